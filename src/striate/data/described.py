"""Described: what is known of files that were read before, so that a folder that has not changed is not read again.

The records of a folder lie in a file of the user's cache, by path. One holds as long as the file has the same device, inode,
size, time of its last writing and time of its last change. The last of these moves with every write, also where a tool sets
the time of writing back, and no ordinary tool sets it; a file that takes another's place has another inode. A file that
changed within a minute before it was read is not noted: a clock may be too coarse, or of another machine, to tell a second
change from the first. Where times do not mean that (Windows), and for small folders, nothing is noted.

`STRIATE_CACHE` names another folder for it, or is `off`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from striate.data.records import Record, inspect
from striate.errors import StriateError
from striate.files import volume_of
from striate.writing import write_atomically

FORMAT = 1
LEAST = 500  # files that are read: fewer take less time than is worth a file
SETTLED = 60.0  # seconds without a change before a file is noted
KEPT = 32  # folders whose records are kept, those used last
MOST_BYTES = 256 * 2**20  # of a file of records that is read
TOOLS = ("pillow", "numpy", "tifffile", "imagecodecs")
KINDS: dict[str, type] = {"bytes": bytes, "int": int, "bool": bool, "float": float, "str": str}
FIELDS = [(f.name, KINDS[str(f.type)]) for f in fields(Record)]

Stamp = list[int]  # device, inode, size, nanoseconds of writing and of change


def stamp(path: Path) -> Stamp | None:
    """What changes when a file does; None where it cannot be asked for."""
    held = volume_of(path)
    if held is not None:
        return held[0].stamp(held[1])
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return [
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    ]  # fmt: skip


def place_of(root: Path) -> Path | None:
    """The file that holds the records of a folder; None where none is kept."""
    given = os.environ.get("STRIATE_CACHE", "")
    if given.strip().lower() == "off" or os.name != "posix":
        return None
    try:
        home = Path(given or os.environ.get("XDG_CACHE_HOME", "") or Path.home() / ".cache")
        name = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:32]
    except (OSError, RuntimeError, ValueError):  # no home, a name with a zero byte
        return None
    return (home if given else home / "striate") / "described" / f"{name}.json"


@cache
def made_by() -> str:
    """What a record depends on beside its file: the tools that decode, and this code."""
    parts: list[Any] = [FORMAT, [f.name for f in fields(Record)]]
    for name in TOOLS:
        with contextlib.suppress(PackageNotFoundError):
            parts.append([name, version(name)])
    here = Path(__file__).parent
    for path in sorted([here / "records.py", *(here.parent / "images").glob("*.py")]):
        parts.append([path.name, (stamp(path) or [])[2:4]])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class Described:
    """The records of the folder `root` as they were noted, for one scan of it.

    `record` gives that of a file, noted or read; `keep` writes those of the scan for the next.
    """

    def __init__(self, root: Path, count: int) -> None:
        """count: files that are to be described."""
        self.root, self.place = root, place_of(root) if count >= LEAST else None
        self.rows: dict[str, list[Any]] = {} if self.place is None else _read(self.place)
        self.began = time.time()
        self.stamps: dict[str, Stamp] = {}
        self.fresh: dict[str, Record] = {}  # that were read now

    def record(self, key: str) -> Record | str:
        """What is known of a file, read if need be, or in words why it cannot be used. May be asked from several threads."""
        record = self.known(key)
        if record is not None:
            return record
        read = inspect(self.root / key)
        if isinstance(read, Record):
            self.fresh[key] = read
        return read

    def known(self, key: str) -> Record | None:
        """The record of a file that has not changed since. Asks the disk; None for one that must be read."""
        if self.place is None:
            return None
        now = stamp(self.root / key)
        if now is None:
            return None
        self.stamps[key] = now
        row = self.rows.get(key)
        if row is None or row[0] != now:
            return None
        return record_of_row(row[1])

    def keep(self, keys: Sequence[str]) -> None:
        """Write the records of `keys`: those noted before, and those read now of files that had not just changed."""
        if self.place is None or not self.fresh:
            return
        old = int((self.began - SETTLED) * 1e9)
        rows: dict[str, Any] = {}
        for key in keys:
            mark = self.stamps.get(key)
            if key not in self.fresh:
                if key in self.rows:
                    rows[key] = self.rows[key]
            elif mark is not None and max(mark[3:]) < old and stamp(self.root / key) == mark:
                rows[key] = [mark, row_of(self.fresh[key])]
        document = {"made_by": made_by(), "root": str(self.root), "files": rows}
        # A cache that cannot be written costs time and nothing else.
        with contextlib.suppress(OSError, StriateError, ValueError):
            self.place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(self.place, json.dumps(document).encode())
            _forget(self.place.parent)


def _read(place: Path) -> dict[str, list[Any]]:
    """The rows of a file of records; none where it is missing, of other tools, or not what was written."""
    try:
        if place.stat().st_size > MOST_BYTES:
            return {}
        document = json.loads(place.read_bytes())
        files = document["files"] if document["made_by"] == made_by() else {}
        os.utime(place)  # used now
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return {}
    if not isinstance(files, dict):
        return {}
    return {k: v for k, v in files.items() if isinstance(v, list) and len(v) == 2}


def row_of(record: Record) -> list[Any]:
    """A record as JSON has it: its fields in their order, bytes as hexadecimal digits."""
    values = [getattr(record, name) for name, _ in FIELDS]
    return [v.hex() if isinstance(v, bytes) else v for v in values]


def record_of_row(row: Any) -> Record | None:
    """A record from its row; None where it is none."""
    if not isinstance(row, list) or len(row) != len(FIELDS):
        return None
    values: dict[str, Any] = {}
    for (name, kind), value in zip(FIELDS, row, strict=True):
        if kind is bytes:
            try:
                value = bytes.fromhex(value)
            except (TypeError, ValueError):
                return None
        if type(value) is not kind:
            return None
        values[name] = value
    return Record(**values)


def _forget(folder: Path) -> None:
    """Delete the records of folders that were not used for longest."""
    files = sorted(folder.glob("*.json"), key=lambda p: p.stat().st_mtime, reverse=True)
    for path in files[KEPT:]:
        path.unlink(missing_ok=True)
