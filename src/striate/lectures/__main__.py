"""`python -m striate.lectures FOLDER` makes all five pages with their figures, as in
docs/lectures.
"""

from __future__ import annotations

import sys
from pathlib import Path

from striate.lectures import LECTURES, make

for number in sys.argv[2:] or LECTURES:
    for figure in make(number, Path(sys.argv[1])):
        print(figure)
