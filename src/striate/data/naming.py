"""Names: natural order, and what a folder or file name means."""

from __future__ import annotations

import re
import unicodedata
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
# What Windows, macOS, Linux, NAS systems and tools put among a person's files, in lower case.
SYSTEM = frozenset({
    "__macosx", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "zbthumbnail.info",
    "picasa.ini", "pspbrwse.jbf", "$recycle.bin", "recycler", "system volume information", "lost+found",
    "network trash folder", "temporary items", "thevolumesettingsfolder",
    "@eadir", "@tmp", "@synoresource", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "~snapshot",
    "_gsdata_", "__pycache__", "node_modules", "wandb", "mlruns", "lightning_logs",
})  # fmt: skip
PREFIXES = ("synophoto_thumb", "synofile_thumb", "syno@", "~$")
ENDINGS = (":zone.identifier", "@synoeastream", "@synoresource")


def normal(name: str) -> str:
    """`name` in Unicode's composed form (NFC): equal names that macOS and others write in different bytes become equal.

    For comparing and showing; a file is opened by the name that its folder lists.
    """
    return unicodedata.normalize("NFC", name)


def alike(name: str) -> str:
    """A key that is equal for names that a person would call the same: whatever the case, the width and the blanks.

    >>> alike("Caf\u00e9  noir ") == alike("CAFE\u0301\u00a0NOIR")
    True
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")  # zero-width characters, BOM
    text = re.sub(r"(?<=\w)-+(?=\w)", " ", text)  # but -1 is not 1
    text = " ".join(re.split(r"[\s_]+", text)).strip()
    return unicodedata.normalize("NFC", text.lstrip("0") or "0" if text.isdecimal() else text)


def natural(name: str) -> tuple[object, ...]:
    """Sort key under which "class 9" comes before "class 10", with numbers of any length."""
    parts = re.split(r"([0-9]+)", name.casefold())
    numbers = [part.lstrip("0") for part in parts]  # of two the longer one is larger
    return tuple(
        (len(n), n) if i % 2 else p for i, (p, n) in enumerate(zip(parts, numbers, strict=True))
    ), name


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names in natural order, each once."""
    return tuple(sorted(set(names), key=natural))


def ignored(name: str) -> bool:
    """Whether a file or folder is none of the user's: hidden, or left by a system, a NAS or a program."""
    low = name.casefold()
    return (
        name.startswith(".") or low in SYSTEM or low.startswith(PREFIXES) or low.endswith(ENDINGS)
    )


def is_placeholder(name: str) -> bool:
    """Whether a file stands for one that is only in iCloud: .photo.jpg.icloud."""
    return name.startswith(".") and name.endswith(".icloud")
