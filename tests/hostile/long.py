"""The long forms: many hostile trials of one kind by number, in several processes; prints what breaks the rule, and counts.

    python tests/hostile/long.py files|runs|arguments|boxes COUNT SEED [PROCESSES]

Trial n of a seed is the same trial in every process, so that one can be run again: COUNT 1, SEED the number that was
printed. `arguments` draws its trials in turn, so that COUNT must reach the number.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))  # as conftest.py does

import arguments
import boxes
import test_files
import test_runs

Found = tuple[int, str | None]


def of_files(base: Path, count: int, seed: int, part: int, parts: int) -> Iterator[Found]:
    """Trials of `test_files`."""
    home = test_files.make_home(base)
    for n in range(seed + part, seed + count, parts):
        yield n, test_files.trial(n, home)


def of_runs(base: Path, count: int, seed: int, part: int, parts: int) -> Iterator[Found]:
    """Trials of `test_runs`."""
    template = test_runs.make_template(base)
    for n in range(seed + part, seed + count, parts):
        found, made, outcome = test_runs.trial(template, base / str(n), n)
        test_runs.remove(base / str(n))
        yield n, None if found is None else f"{made}: {found}\n{outcome}"


def of_arguments(base: Path, count: int, seed: int, part: int, parts: int) -> Iterator[Found]:
    """Trials of `arguments`."""
    home = base / "home"
    home.mkdir()
    os.environ["HOME"] = str(home / "out")  # what ~ is
    arguments.make_home(home)
    for n, trial in itertools.islice(enumerate(arguments.trials(seed)), part, count, parts):
        outcome, found = arguments.run(trial, home)
        yield n, None if found is None else f"{found}\n{outcome}"


def of_boxes(base: Path, count: int, seed: int, part: int, parts: int) -> Iterator[Found]:
    """Trials of `boxes`."""
    home = boxes.make_home(base)
    for n in range(seed + part, seed + count, parts):
        yield n, boxes.run(n, home)


KINDS = {"files": of_files, "runs": of_runs, "arguments": of_arguments, "boxes": of_boxes}


def work(kind: str, count: int, seed: int, part: int, parts: int) -> tuple[int, int]:
    """One process's share; returns trials and faults."""
    ends: Counter[str] = Counter()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"striate-{kind}-") as folder:
        for n, found in KINDS[kind](Path(folder), count, seed, part, parts):
            ends["trials"] += 1
            if found is not None:
                ends["faults"] += 1
                print(f"--- {n}: {found}", flush=True)
            if ends["trials"] % 50 == 0:
                print(
                    f"process {part}: {dict(ends)} in {time.monotonic() - began:.0f} s", flush=True
                )
    return ends["trials"], ends["faults"]


def main(kind: str, count: int, seed: int, processes: int = 1) -> int:
    """Run the trials; returns the number of faults."""
    with get_context("fork").Pool(processes) as pool:
        jobs = [(kind, count, seed, part, processes) for part in range(processes)]
        done = pool.starmap(work, jobs, chunksize=1)
    trials, faults = map(sum, zip(*done, strict=True))
    print(f"{kind}: {trials:,} trials from seed {seed}, {faults} broke the rule")
    return faults


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], *map(int, sys.argv[2:])) > 0)
