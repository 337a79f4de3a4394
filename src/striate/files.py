"""Opening files that a person, a folder or a table names: regular files alone.

A named pipe waits for a writer that never comes, a device may never end or act when it is opened, and either may stand under
any name, such as `photo.png`. Whatever reads a named file opens it here.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import re
import stat
import time
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol, TypeVar

T = TypeVar("T")

STALE = 4  # times that a file is opened whose handle is stale
LAG = 0.1  # seconds between them, and so much more each time

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


_SCHEME = re.compile(r"[a-z][a-z0-9]+:")  # of two letters or more: one letter is a drive
AGAIN = "striate.volumes.mounting"  # what opens a volume in a process that has not


class Volume(Protocol):
    """Files that lie in archives, in the rows of tables, at the other end of a line; a path names them all the same.

    The path of a volume begins with a scheme, `wds:photos.tar/0001.jpg`; `names` are what follows, in the order of bytes.
    """

    @property
    def names(self) -> Any: ...

    def __contains__(self, name: str) -> bool: ...

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises OSError, whose `strerror` says why there are none."""
        ...

    def size(self, name: str) -> int:
        """How many bytes a file has; FileNotFoundError where there is none."""
        ...

    def stamp(self, name: str) -> list[int] | None:
        """What changes when the file does, as `os.stat` would give it; None where that is not known."""
        ...


VOLUMES: dict[str, Volume] = {}
"""By the path that stands before the names of their files."""


def volume_of(path: str | os.PathLike[str]) -> tuple[Volume, str] | None:
    """The volume in which a file lies, and its name there ("" for the volume itself); None for a file of the disk."""
    text = os.fspath(path)
    if not isinstance(text, str) or _SCHEME.match(text) is None:
        return None
    for root, volume in VOLUMES.items():
        if text.startswith(root) and text[len(root) : len(root) + 1] in ("", "/"):
            return volume, text[len(root) + 1 :]
    # Of another process: what that has opened is found by its index.
    root = importlib.import_module(AGAIN).mounted_again(text)
    return None if root is None else (VOLUMES[root], text[len(root) + 1 :])


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a folder, of the disk or of a volume."""
    held = volume_of(path)
    if held is None:
        return os.path.isdir(path)
    volume, name = held
    return not name or (name not in volume and volume.names.has_below(name))


def is_there(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a file or a folder, of the disk or of a volume."""
    held = volume_of(path)
    if held is None:
        return os.path.exists(path)
    return held[1] in held[0] or is_folder(path)


def as_opened(path: str | os.PathLike[str]) -> Any:
    """What libraries that open files themselves are given: the path, or the bytes of a file in a volume."""
    return path if volume_of(path) is None else io.BytesIO(read_regular(path))


def size_of(path: str | os.PathLike[str]) -> int:
    """The bytes of a file. Raises OSError."""
    held = volume_of(path)
    return os.stat(path).st_size if held is None else held[0].size(held[1])


class SpecialFileError(OSError):
    """What was to be read is a pipe, a socket or a device; `strerror` is the bare reason."""


class TooLargeError(OSError):
    """A file holds more bytes than can be meant; `strerror` is the bare reason."""


def refuse_special(path: str | os.PathLike[str]) -> None:
    """Raise SpecialFileError where `path` is a pipe, a socket or a device; other OSErrors where there is nothing to read."""
    held = volume_of(path)
    if held is not None:
        _named(*held, path)
        return
    _check(os.stat(path).st_mode, path)


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """A regular file, opened to be read as bytes.

    Raises SpecialFileError for a pipe, a socket or a device, and the other OSErrors of `open`.
    """
    held = volume_of(path)
    if held is not None:
        _named(*held, path)
        return io.BytesIO(held[0].read(held[1]))
    refuse_special(path)  # before it is opened: opening a device can act
    # The name may be another file's by now; a pipe that is opened without waiting is refused like one that was seen.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))  # fmt: skip
    try:
        _check(os.fstat(descriptor).st_mode, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: str | os.PathLike[str], *, limit: int | None = None) -> bytes:
    """The bytes of a regular file. limit: the most that are read.

    Raises as `open_regular`, and TooLargeError above the limit.
    """

    def read() -> bytes:
        with open_regular(path) as file:
            size = length(file)
            if limit is not None and size > limit:
                reason = f"it holds {size / 1e9:,.1f} GB, more than the {limit / 1e9:,.1f} GB that are read"
                raise TooLargeError(errno.EFBIG, reason, os.fspath(path))
            try:
                return file.read()
            except OSError as error:  # of a disk that fails, without the name
                raise OSError(error.errno, error.strerror, os.fspath(path)) from error

    return steadily(read)


def steadily(read: Callable[[], T]) -> T:
    """What `read` gives, tried again where a network file system says that the file's handle is stale.

    It says so when another machine has replaced the file since this one looked: the name then leads to the new one.
    """
    for attempt in range(1, STALE):
        try:
            return read()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
        time.sleep(LAG * attempt)
    return read()


def length(file: BinaryIO) -> int:
    """The bytes of an open file."""
    if isinstance(file, io.BytesIO):
        return len(file.getbuffer())
    return os.fstat(file.fileno()).st_size


def leads_out(path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> bool:
    """Whether links lead from `path` to what does not lie below `root`, by default below the folder that the path names.

    Whoever made a folder can put a link to any file into it: of such a file no message quotes what it holds.
    """
    if volume_of(path) is not None:
        return False
    folder = os.path.dirname(os.path.abspath(path)) if root is None else root
    try:
        real, home = os.path.realpath(path), os.path.realpath(folder)
        return os.path.commonpath((real, home)) != home
    except (OSError, ValueError):  # a name with a zero byte, another drive
        return True


def is_regular(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a regular file that can be asked for; False for any name that no file has."""
    held = volume_of(path)
    if held is not None:
        return held[1] in held[0]
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):  # a name with a zero byte, or of another encoding
        return False


def _check(mode: int, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    for asks, what in _KINDS:
        if asks(mode):
            reason = f"it is {what}, not a file; give a file that is stored on a disk"
            raise SpecialFileError(errno.EINVAL, reason, os.fspath(path))


def _named(volume: Volume, name: str, path: str | os.PathLike[str]) -> None:
    if name in volume:
        return
    kind = errno.EISDIR if is_folder(path) else errno.ENOENT
    raise OSError(kind, os.strerror(kind), os.fspath(path))
