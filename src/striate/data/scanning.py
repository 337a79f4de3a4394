"""Scanning: every file of a folder described, on all processors, and none that has not changed since the last time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from striate.data.described import Described
from striate.data.pool import ordered
from striate.data.processes import described_apart
from striate.data.records import Progress, Record, inspect
from striate.data.source import Damage
from striate.files import size_of
from striate.images import quiet

MANY = 3000  # files from which processes, half a second each to start, are repaid
SMALL = (
    100_000  # bytes of a file that is decoded so fast that threads mostly wait for the interpreter
)
SAMPLE = 200  # files whose size is asked for


def scan(
    root: Path, keys: Sequence[str], *, progress: Progress | None = None
) -> tuple[list[Record | None], list[Damage]]:
    """Describe every file: a record or None for each, and the damage.

    Each file that changed since the last scan is read once, the others are not; nothing decoded is kept.
    """
    described = Described(root, len(keys))
    known = {key: described.known(key) for key in keys}
    unknown = [key for key in keys if known[key] is None]
    fresh = _read(root, unknown)
    records: list[Record | None] = []
    damaged: list[Damage] = []
    with quiet():  # once for all: a filter of warnings costs as much as a small image
        for done, key in enumerate(keys, 1):
            result = known[key]
            if result is None:
                read = next(fresh)
                if isinstance(read, str):
                    damaged.append(Damage(path=key, reason=read))
                else:
                    result = described.fresh[key] = read
            records.append(result)
            if progress is not None:
                progress(done, len(keys))
    described.keep(keys)
    return records, damaged


def _read(root: Path, keys: Sequence[str]) -> Iterator[Record | str]:
    """The record of each file, or what is wrong with it, in order.

    Threads decode large files side by side; of small ones most of the time goes into Python, of which threads run one at a
    time, so that many of them are read by processes.
    """
    if len(keys) >= MANY and _are_small(root, keys):
        return described_apart([str(root / key) for key in keys])
    return ordered(lambda key: inspect(root / key), keys)


def _are_small(root: Path, keys: Sequence[str]) -> bool:
    sizes = []
    for key in keys[:: max(1, len(keys) // SAMPLE)]:
        try:
            sizes.append(size_of(root / key))
        except OSError:
            continue
    return bool(sizes) and sum(sizes) / len(sizes) < SMALL
