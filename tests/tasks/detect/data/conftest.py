"""Tests of this folder share `box_sets`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
