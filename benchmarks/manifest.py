"""Opening a manifest of ten million images: seconds and memory, of a process that does nothing else.

    python benchmarks/manifest.py [--rows 10000000] [--keep FOLDER]

The rows are made: paths of 45 characters, digests drawn at random, 1,000 classes. Printed are the bytes a row, and the
seconds and the peak memory of a process that maps it, and of one that opens it as a source (splits, classes, digest);
for a tenth of the rows too. Peak memory counts the pages of the file that were touched, which the system may drop.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.manifest import RECORD, write_manifest

CLASSES = 1000
CODE = """
import resource, sys, time
from pathlib import Path
import striate.data.manifest_source as source
import pyarrow, pyarrow.ipc
begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
path = Path(sys.argv[1])
if sys.argv[2] == "map":
    known = source.open_manifest(path)
    assert known.table.column("path")[len(known) // 2].as_py()
else:
    source.shows_photographs = lambda split: True  # it looks at 24 images, which are not there
    opened = source.source_of_manifest(path, seed=int(sys.argv[3]))
    assert opened.train.keys[len(opened.train) // 2]
print(time.perf_counter() - begun, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


class Rows(Sequence[Any]):
    """N values that are made when they are asked for, a slice at a time."""

    def __init__(self, count: int, made: Callable[[range], Sequence[Any]]) -> None:
        self.count, self.made = count, made

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return self.made(range(*at.indices(self.count)))
        return self.made(range(self.count)[at : at + 1])[0]

    def __iter__(self) -> Iterator[Any]:
        for first in range(0, self.count, 100_000):
            yield from self[first : first + 100_000]


def path_of(row: int) -> str:
    """A path of 45 characters."""
    return f"c{row % CLASSES:04d}/batch-{row // 100000:05d}/image-{row:012d}-a.jpg"


def make(out: Path, count: int) -> None:
    """Write a manifest of made rows."""
    rng = np.random.default_rng(0)
    digests = rng.integers(0, 2**63, (count, 2)).view(np.uint8)
    place = rng.random(count)
    order = np.lexsort(digests.view(">u8").T[::-1])
    same = {
        "height": 480,
        "width": 640,
        "channels": 3,
        "deep": False,
        "low": 0.0,
        "high": 255.0,
        "format": "JPEG",
        "several_pages": False,
        "blank": False,
        "stated": 255,
        "missing": 0.0,
        "left_out": 0,
        "profile": "",
    }
    columns = {
        "path": Rows(
            count,
            lambda r: [
                f"c{i % CLASSES:04d}/batch-{i // 100000:05d}/image-{i:012d}-a.jpg" for i in r
            ],
        ),
        "size": Rows(count, lambda r: [100_000 + i % 999 for i in r]),
        "digest": Rows(count, lambda r: [digests[i].tobytes() for i in r]),
        "label": Rows(count, lambda r: [f"c{i % CLASSES:04d}" for i in r]),
        "split": Rows(count, lambda r: [""] * len(r)),
        "place": place,
        "order": order,
        **{name: Rows(count, lambda r, name=name: [same[name]] * len(r)) for name, _ in RECORD},
    }
    facts = {
        "format": 1,
        "root": ".",
        "seed": 0,
        "classes": [f"c{i:04d}" for i in range(CLASSES)],
        "damaged": [],
        "outside": [],
        "empty": [],
        "notes": [],
        "copies": [],
    }
    write_manifest(out, columns, facts)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = given.keep or Path(place)
        for rows in (given.rows // 10, given.rows):
            path = folder / f"rows-{rows}.arrow"
            if not path.exists():
                make(path, rows)
            print(f"{rows:,} rows: {path.stat().st_size / rows:.0f} bytes a row", flush=True)
            for what, seed in (("map", 0), ("source", 0), ("source", 1)):
                command = [sys.executable, "-c", CODE, str(path), what, str(seed)]
                out = subprocess.run(command, capture_output=True, text=True)
                if out.returncode:
                    raise SystemExit(out.stderr)
                seconds, memory = map(float, out.stdout.split())
                print(
                    f"  {what}, seed {seed}: {seconds:.2f} s, {memory:,.0f} MiB more than at its start",
                    flush=True,
                )


if __name__ == "__main__":
    main()
