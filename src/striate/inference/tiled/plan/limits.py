"""Limits: how many bytes a user allows."""

from __future__ import annotations

import re

from striate.errors import UsageError
from striate.ranges import shown

UNITS = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "k": 2**10, "m": 2**20, "g": 2**30,
}  # fmt: skip
MOST = 10**18  # bytes; no machine has them, and every sum of such numbers is one that a float holds


def parse_bytes(limit: int | float | str | None) -> int | None:
    """Bytes from a number or a text such as "1GB", "512 MiB" or "1.5gb"; None stays None.

    Raises UsageError for anything else, and for more than any machine has.
    """
    if limit is None:
        return None
    count: int | float = 0
    if isinstance(limit, (int, float)) and not isinstance(limit, bool):
        count = limit
    elif isinstance(limit, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", limit)
        if match and match[2].lower() in UNITS:
            count = float(match[1]) * UNITS[match[2].lower()]
    if 1 <= count <= MOST:  # nan is neither
        return int(count)
    raise UsageError(
        f"a memory limit is a number of bytes or a text such as '1GB' or '512MiB', at most {show_bytes(MOST)}; "
        f"got {shown(limit)}"
    )


def show_bytes(count: float) -> str:
    """Bytes as a person reads them: 1.2 GB, 340 MB, 12 kB."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            number = count / size
            return f"{number:.1f} {unit}" if number < 100 else f"{number:.0f} {unit}"
    return f"{int(count)} bytes"
