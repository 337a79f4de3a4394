"""Reading: the whole of a small file that somebody else may have made."""

from __future__ import annotations

from pathlib import Path

from striate.files import length, open_regular, steadily


def read_file(path: Path, *, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes.

    A pipe, a device or a socket is refused before it can make the reader wait. Raises OSError, whose `strerror` says why.
    """

    def read() -> tuple[int, bytes]:
        with open_regular(path) as file:
            size = length(file)
            return size, file.read(min(limit, size) + 1)

    size, data = steadily(read)
    if len(data) > limit:
        raise OSError(27, f"it holds {size:,} bytes, and at most {limit:,} are read")
    return data
