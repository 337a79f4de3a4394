"""Random detectors by hand: `python tests/properties/fuzz_detectors.py --count 600 [--seed 0] [--large]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from random_detectors.judging import TOPS, drawn, judge

from striate.tasks.detect import regions


def main() -> int:
    """Judge trials by number; prints what differs, and counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--large", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    regions.TOP = TOPS
    faults = objects = larger = tipped = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(given.seed, given.seed + given.count):
            trial = drawn(seed, large=given.large)
            try:
                verdict = judge(trial, Path(folder))
                fault = verdict.fault
                objects, larger = objects + verdict.objects, larger + verdict.larger
                tipped += verdict.tipped
            except Exception as error:  # a crash is a fault as well
                fault = f"{trial}: {type(error).__name__}: {error}"
            if fault:
                faults += 1
                print(fault, flush=True)
    print(
        f"{given.count} trials, {objects:,} objects, {larger:,} of them larger than a tile, {tipped} told otherwise by "
        f"rounding, {faults} faults"
    )  # fmt: skip
    return int(faults > 0)


if __name__ == "__main__":
    raise SystemExit(main())
