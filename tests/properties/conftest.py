"""Programs of this folder are packages that also run by hand; they are found from here."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
