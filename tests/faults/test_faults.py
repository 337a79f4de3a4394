"""Nothing half-written, nothing lost: kills, Ctrl-C, full disks and two at once, at moments drawn by a seed.

`STRIATE_FUZZ=3000 pytest tests/faults` makes 300 trials; see faults.py for what a trial is.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TRIALS = max(4, int(os.environ.get("STRIATE_FUZZ", "40")) // 10)


def test_what_lies_on_the_disk_after_a_fault_is_whole() -> None:
    program = Path(__file__).parent / "faults.py"
    done = subprocess.run(
        [sys.executable, program, str(TRIALS), "0"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().splitlines()[-1].startswith(f"{TRIALS} trials, 0 broke the rule")
