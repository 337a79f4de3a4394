"""What a file is: by its suffix, and where that says nothing by its first bytes."""

from __future__ import annotations

import os
import re
import stat
from enum import Enum
from pathlib import PurePosixPath

from striate.data.reading import SUFFIXES, UNSUPPORTED, identify
from striate.errors import DataError
from striate.files import open_regular

# fmt: off
# Camera files are TIFF inside, with a preview that is not the picture.
RAW = frozenset((
    ".rw2", ".orf", ".pef", ".srw", ".raf", ".3fr", ".iiq", ".kdc", ".mrw", ".nrw", ".srf", ".sr2",
    ".erf", ".mef", ".mos", ".x3f", ".cr3", ".crw", ".dcr", ".dng", ".cr2", ".nef", ".arw",
))
# Never an image, and often there by the thousand: not opened.
PLAIN = frozenset((
    ".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".md", ".rst", ".html", ".htm", ".yaml", ".yml",
    ".toml", ".ini", ".cfg", ".log", ".py", ".ipynb", ".sh", ".js", ".css", ".zip", ".tar", ".gz", ".tgz",
    ".bz2", ".xz", ".7z", ".rar", ".zst", ".mp4", ".avi", ".mov", ".mkv", ".mp3", ".wav", ".doc", ".docx",
    ".xls", ".xlsx", ".ods", ".parquet", ".feather", ".pt", ".pth", ".ckpt", ".onnx", ".safetensors",
    ".pkl", ".db", ".sqlite", ".xmp", ".aae", ".thm", ".lock", ".srt", ".part",
))
# fmt: on
BACKUPS = ("_original", "~", ".bak", ".orig", ".old", ".backup", ".save")
_IMAGE_NAME = re.compile(
    r"\.(png|jpe?g|jpe|jfif|webp|bmp|dib|tiff?|gif|p[pgbn]m)(?![a-z0-9])", re.IGNORECASE
)
_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})


class Content(Enum):
    """IMAGE is of a format that is read, UNSUPPORTED of one that is not, SPECIAL no regular file, BROKEN a link.

    A BROKEN link leads to nothing, or to itself.
    """

    IMAGE = "image"
    UNSUPPORTED = "unsupported"
    OTHER = "other"
    SPECIAL = "special"
    BROKEN = "broken"


def type_of(path: str, name: str) -> Content:
    """What the file `path`, called `name`, is. A file that cannot be opened is what its suffix says."""
    suffix = PurePosixPath(name).suffix.lower()
    try:
        mode = os.stat(path).st_mode
    except OSError:
        if suffix not in SUFFIXES and os.path.islink(path):
            return Content.BROKEN
        mode = stat.S_IFREG  # of an image the decoder says so
    if not stat.S_ISREG(mode):
        return Content.SPECIAL
    if suffix in SUFFIXES:
        return Content.IMAGE
    if suffix in RAW:
        return Content.UNSUPPORTED
    if suffix in PLAIN and not _IMAGE_NAME.search(name.removesuffix(name[-len(suffix) :])):
        return Content.OTHER
    if sniff(path):
        return Content.IMAGE
    return Content.UNSUPPORTED if suffix in UNSUPPORTED else Content.OTHER


def sniff(path: str) -> bool:
    """Whether a file begins as an image does; stricter than the decoder where two letters would suffice."""
    try:
        with open_regular(path) as file:
            head = file.read(32)
        kind = identify(head[:16])
    except (OSError, DataError):
        return False
    if kind == "BMP":
        return len(head) > 18 and int.from_bytes(head[14:18], "little") in _BMP_HEADERS
    return kind != "PNM" or bool(re.match(rb"P[1-6]\s+(#|\d)", head))


def looks_like_image(name: str, names: set[str]) -> bool:
    """Whether a name holds an image's suffix, such as photo.jpg?w=640, and is no sidecar of a file in `names`."""
    match = _IMAGE_NAME.search(name)
    if match is None or PurePosixPath(name).suffix.lower() in PLAIN:
        return False
    return not (name[match.end() :].startswith(".") and name[: match.end()] in names)


def sidecar_of(name: str) -> str | None:
    """The name of the image that GDAL's `name` belongs to: a.tif of a.tif.msk, a.tif.ovr and a.msk."""
    stem, dot, end = name.rpartition(".")
    return stem if dot and end.lower() in ("msk", "ovr") else None


def backup_of(name: str) -> str | None:
    """The name of which `name` is a backup: photo.jpg of photo.jpg_original."""
    return next((name[: -len(end)] for end in BACKUPS if name.endswith(end)), None)
