"""Tests of this folder share `tests_of_instances`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
