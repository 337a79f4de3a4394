"""Index: where each file of a volume lies, in columns that are mapped from the disk and not read into memory."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np

from striate.writing import write_atomically

COLUMNS = ("blob", "ends", "shard", "offset", "size", "part")


@dataclass(frozen=True, eq=False)
class Names(Sequence[str]):
    """N names in the order of their bytes. blob: (B,) uint8, all of them in a row. ends: (N,) int64, where each ends."""

    blob: np.ndarray
    ends: np.ndarray
    _views: list[memoryview] = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        # A search asks for twenty names: of a memory view that takes a tenth of the time that it takes of a mapped array.
        self._views.extend(np.ascontiguousarray(a).data for a in (self.blob, self.ends))

    @classmethod
    def of(cls, names: Sequence[bytes]) -> Names:
        """From names that are in order."""
        ends = np.cumsum(np.fromiter(map(len, names), dtype=np.int64, count=len(names)))
        return cls(np.frombuffer(b"".join(names), dtype=np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        return text(self.stored(range(len(self))[at]))

    def __iter__(self) -> Iterator[str]:
        return (text(self.stored(i)) for i in range(len(self)))

    def stored(self, at: int) -> bytes:
        """Name `at` as it is stored."""
        blob, ends = self._views
        return blob[ends[at - 1] if at else 0 : ends[at]].tobytes()

    def place(self, name: bytes) -> int:
        """How many names come before `name`."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self.stored(middle) < name:
                low = middle + 1
            else:
                high = middle
        return low

    def find(self, name: str) -> int:
        """The number of a name, or -1."""
        wanted = raw(name)
        at = self.place(wanted)
        return at if at < len(self) and self.stored(at) == wanted else -1

    def has_below(self, folder: str) -> bool:
        """Whether a name begins with that folder."""
        wanted = raw(folder + "/")
        at = self.place(wanted)
        return at < len(self) and self.stored(at).startswith(wanted)


@dataclass(frozen=True, eq=False, kw_only=True)
class Index:
    """N files of a volume.

    names: of the files. shard: (N,) int32, in which of `shards` each lies. offset, size: (N,) int64, from which byte, or
    in which row, and how many bytes. part: (N,) int8, what of a row it is; -1 for a file that lies there as a whole.
    """

    names: Names
    shard: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    part: np.ndarray
    shards: tuple[str, ...] = ()

    @classmethod
    def of(cls, rows: Sequence[tuple[str, int, int, int, int]], shards: Sequence[str]) -> Index:
        """From (name, shard, offset, size, part) in any order; of equal names the last counts."""
        known = {raw(row[0]): row[1:] for row in rows}
        names = sorted(known)
        table = np.array([known[name] for name in names], dtype=np.int64).reshape(-1, 4)
        return cls(
            names=Names.of(names),
            shard=table[:, 0].astype(np.int32),
            offset=table[:, 1],
            size=table[:, 2],
            part=table[:, 3].astype(np.int8),
            shards=tuple(shards),
        )

    def write(self, folder: Path) -> None:
        """Write the columns as .npy files."""
        values = (self.names.blob, self.names.ends, self.shard, self.offset, self.size, self.part)
        for name, value in zip(COLUMNS, values, strict=True):
            buffer = io.BytesIO()
            np.save(buffer, np.ascontiguousarray(value))
            write_atomically(folder / f"{name}.npy", buffer.getvalue(), durable=False)

    @classmethod
    def read(cls, folder: Path, shards: Sequence[str]) -> Index:
        """Map what `write` wrote. Raises OSError or ValueError for anything else."""
        blob, ends, *rest = (_mapped(folder / f"{name}.npy") for name in COLUMNS)
        values = dict(zip(COLUMNS[2:], rest, strict=True))
        if any(len(v) != len(ends) for v in rest) or (len(ends) and int(ends[-1]) != len(blob)):
            raise ValueError("columns of different lengths")
        return cls(names=Names(blob, ends), shards=tuple(shards), **values)


def _mapped(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]
    except ValueError:  # nothing can be mapped of an empty file
        return np.load(path)  # type: ignore[no-any-return]


def raw(name: str) -> bytes:
    """A name as bytes, whatever its file system allowed."""
    return name.encode("utf-8", "surrogateescape")


def text(name: bytes) -> str:
    """The reverse of `raw`."""
    return name.decode("utf-8", "surrogateescape")
