"""Reading: the whole of a small file that somebody else may have made."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_file(path: Path, *, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes.

    A pipe, a device or a socket is refused before it can make the reader wait. Raises OSError, whose `strerror` says why.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(22, "it is no regular file")
        data = file.read(min(limit, status.st_size) + 1)
    if len(data) > limit:
        raise OSError(27, f"it holds {status.st_size:,} bytes, and at most {limit:,} are read")
    return data
