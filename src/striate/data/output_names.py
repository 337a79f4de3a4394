"""Names of the files that are written for many images: each its own, on every file system."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import PurePath

from striate.data.naming import normal

LONGEST = 200  # bytes; file systems take 255, and -overlay.webp and .part are to fit
FORBIDDEN = frozenset('<>:"/\\|?*')  # on Windows, exFAT and most network drives
DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))})  # fmt: skip


def output_names(files: Sequence[str]) -> list[str]:
    """A name without suffix for each file: its own, or with a number where an earlier file has that.

    Names that differ only by case or by Unicode form count as equal, for a file system may say so; a number never makes
    the name of another file. Characters that Windows refuses become `_`, over-long names are cut.
    """
    stems = [_safe(PurePath(file).stem) for file in files]
    own = {_key(stem) for stem in stems}
    used: set[str] = set()
    names = []
    for stem in stems:
        name, number = stem, 1
        while _key(name) in used or (number > 1 and _key(name) in own):
            number += 1
            name = f"{stem}-{number}"
        used.add(_key(name))
        names.append(name)
    return names


def _key(name: str) -> str:
    return normal(normal(name).casefold())


def _safe(stem: str) -> str:
    text = "".join("_" if c in FORBIDDEN or not c.isprintable() else c for c in normal(stem))
    text = text.rstrip(". ") or "image"
    if text.split(".")[0].casefold() in DEVICES:
        text = f"{text}_"
    data = text.encode("utf-8")
    if len(data) > LONGEST:
        mark = hashlib.blake2b(stem.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
        text = f"{data[: LONGEST - 9].decode('utf-8', 'ignore').rstrip('. ')}~{mark}"
    return text
