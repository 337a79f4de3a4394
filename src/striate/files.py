"""Opening files that a person, a folder or a table names: regular files alone.

A named pipe waits for a writer that never comes, a device may never end or act when it is opened, and either may stand under
any name, such as `photo.png`. Whatever reads a named file opens it here.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class SpecialFileError(OSError):
    """What was to be read is a pipe, a socket or a device; `strerror` is the bare reason."""


class TooLargeError(OSError):
    """A file holds more bytes than can be meant; `strerror` is the bare reason."""


def refuse_special(path: str | os.PathLike[str]) -> None:
    """Raise SpecialFileError where `path` is a pipe, a socket or a device; other OSErrors where there is nothing to read."""
    _check(os.stat(path).st_mode, path)


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """A regular file, opened to be read as bytes.

    Raises SpecialFileError for a pipe, a socket or a device, and the other OSErrors of `open`.
    """
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
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if limit is not None and size > limit:
            reason = (
                f"it holds {size / 1e9:,.1f} GB, more than the {limit / 1e9:,.1f} GB that are read"
            )
            raise TooLargeError(errno.EFBIG, reason, os.fspath(path))
        try:
            return file.read()
        except OSError as error:  # of a disk that fails, without the name
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def leads_out(path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> bool:
    """Whether links lead from `path` to what does not lie below `root`, by default below the folder that the path names.

    Whoever made a folder can put a link to any file into it: of such a file no message quotes what it holds.
    """
    folder = os.path.dirname(os.path.abspath(path)) if root is None else root
    try:
        real, home = os.path.realpath(path), os.path.realpath(folder)
        return os.path.commonpath((real, home)) != home
    except (OSError, ValueError):  # a name with a zero byte, another drive
        return True


def is_regular(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a regular file that can be asked for; False for any name that no file has."""
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
