"""Nothing half-written, nothing lost: kills, Ctrl-C, full disks and two at once, at moments drawn by a seed.

`STRIATE_FUZZ=3000 pytest tests/faults` makes 300 trials; see faults.py for what a trial is.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TRIALS = max(6, int(os.environ.get("STRIATE_FUZZ", "40")) // 10)
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import contextlib
from faults import ready, run_all
from striate import writing


@contextlib.contextmanager
def in_place(target):
    with open(target, "wb") as file:
        yield file, target


def reverted():
    writing._beside = in_place


with ready() as (base, known):
    run_all(base, known, int(sys.argv[2]), 0)
    print("and without the writer")
    run_all(base, known, 6, 0, ["report"], ["full"], first=reverted)
"""


def test_what_lies_on_the_disk_after_a_fault_is_whole_because_of_the_writer() -> None:
    """The trials find nothing; those of a full disk find a page that is cut short once it is written in its place."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, Path(__file__).parent, str(TRIALS)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    with_it, without = done.stdout.split("and without the writer")
    assert f"{TRIALS} trials, 0 broke the rule" in with_it, done.stdout + done.stderr
    assert "6 trials, 0 broke the rule" not in without, done.stdout + done.stderr
    assert "half-written: done/" in without, done.stdout + done.stderr
