"""Names: natural order, and what a folder or file name means."""

from __future__ import annotations

import re
from collections.abc import Iterable

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def natural(name: str) -> tuple[object, ...]:
    """Sort key under which "class 9" comes before "class 10"."""
    parts = re.split(r"(\d+)", name.casefold())
    return tuple(int(p) if i % 2 else p for i, p in enumerate(parts)), name


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names in natural order, each once."""
    return tuple(sorted(set(names), key=natural))


def ignored(name: str) -> bool:
    """Whether a file or folder is none of the user's: hidden, or left by an operating system."""
    junk = {"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin"}
    return name.startswith(".") or name.casefold() in junk
