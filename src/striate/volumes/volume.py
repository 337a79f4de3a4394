"""Volumes of archives: a file is a run of bytes of a shard."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import Protocol

from striate.errors import DataError
from striate.volumes.index import Index, Names

MOST_OPEN = 256  # shards
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0)


class Reader(Protocol):
    """What reads a row of a shard that is no run of bytes."""

    def read(self, shard: int, row: int, part: int) -> bytes: ...


def on_disk(shard: str) -> str:
    """The file of a shard that lies on this machine: itself."""
    return shard


class IndexedVolume:
    """Files by an index. local: the file of a shard on this machine, fetched if need be; reader: for what lies in rows.

    part: what reads from a shard that is not to be fetched whole, since all of them find no room here.
    """

    def __init__(
        self, root: str, index: Index, *, local: Callable[[str], str] = on_disk, reader: Reader | None = None,
        stamps: Sequence[Sequence[int]] = (), part: Callable[[str, int, int], bytes] | None = None,
    ) -> None:  # fmt: skip
        self.root, self.index, self.local, self.reader, self.stamps = (
            root,
            index,
            local,
            reader,
            stamps,
        )
        self.part = part
        self._open: dict[int, tuple[int, int]] = {}  # shard -> process and descriptor

    @property
    def names(self) -> Names:
        """All files, in the order of their bytes."""
        return self.index.names

    def __contains__(self, name: str) -> bool:
        return self.index.names.find(name) >= 0

    def _row(self, name: str) -> int:
        at = self.index.names.find(name)
        if at < 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{self.root}/{name}")
        return at

    def size(self, name: str) -> int:
        """See Volume."""
        return int(self.index.size[self._row(name)])

    def stamp(self, name: str) -> list[int] | None:
        """See Volume: that of the shard, with the file's place in it."""
        try:
            at = self._row(name)
        except OSError:
            return None
        shard = int(self.index.shard[at])
        if shard >= len(self.stamps):
            return None
        device, inode, _, written, changed = self.stamps[shard]
        return [device, inode, int(self.index.offset[at]), written, changed]

    def read(self, name: str) -> bytes:
        """See Volume."""
        at = self._row(name)
        shard, offset = int(self.index.shard[at]), int(self.index.offset[at])
        part = int(self.index.part[at])
        if self.reader is not None and part > 0:
            return self.reader.read(shard, offset, part)
        size = int(self.index.size[at])
        if self.part is not None and "://" in self.index.shards[shard]:
            return self._far(self.part, shard, offset, size, name)
        data = self._bytes(shard, offset, size)
        if len(data) != size:
            reason = f"{self.index.shards[shard]} has become shorter since it was indexed"
            raise OSError(errno.EIO, reason, f"{self.root}/{name}")
        return data

    def _far(
        self, part: Callable[[str, int, int], bytes], shard: int, offset: int, size: int, name: str
    ) -> bytes:
        try:
            return part(self.index.shards[shard], offset, size)
        except DataError as error:  # whoever reads a file expects what a disk would say
            raise OSError(errno.EIO, str(error), f"{self.root}/{name}") from None

    def _bytes(self, shard: int, offset: int, size: int) -> bytes:
        held = self._open.get(shard)
        if held is None or held[0] != os.getpid():
            try:
                descriptor = os.open(self.local(self.index.shards[shard]), _FLAGS)
            except DataError as error:
                raise OSError(errno.EIO, str(error), self.root) from None
            if len(self._open) >= MOST_OPEN:  # not kept: threads may be reading those that are
                try:
                    return _read(descriptor, offset, size)
                finally:
                    os.close(descriptor)
            held = self._open[shard] = (os.getpid(), descriptor)
        try:
            return _read(held[1], offset, size)
        except OSError as error:
            if error.errno == errno.ESTALE and self._open.get(shard) == held:
                del self._open[
                    shard
                ]  # opened again by the next try; another thread may be reading it
            raise

    def close(self) -> None:
        """Close the shards that are open."""
        while self._open:
            _, (process, descriptor) = self._open.popitem()
            if process == os.getpid():
                os.close(descriptor)


def _read(descriptor: int, offset: int, size: int) -> bytes:
    if hasattr(os, "pread"):
        data = os.pread(descriptor, size, offset)
        while len(data) < size and (
            more := os.pread(descriptor, size - len(data), offset + len(data))
        ):
            data += more  # a network file system may give less at a time
        return data
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.read(descriptor, size)
