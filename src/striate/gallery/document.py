"""Document: what `gallery.json` holds, checked key by key when a gallery is opened, with a digest of all of it.

The digest tells what was changed by accident or by hand. It keeps nobody out who can write the file: whoever can, can write
the digest, too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate.documents import from_json, to_json
from striate.errors import GalleryError
from striate.files import leads_out
from striate.reading import read_file
from striate.schema import Key, above, each, expect, within

FILE = "gallery.json"
FORMAT = 1
LARGEST = 64_000_000  # bytes that are read
HEX = "0123456789abcdef"
MOST = 2**48  # of anything that is counted
PART = re.compile(r"part-[0-9a-f]{16}\.safetensors", re.ASCII)


def read_document(folder: Path) -> dict[str, Any]:
    """The document of a gallery. Raises GalleryError that names what is wrong, FileNotFoundError where there is none."""
    file = folder / FILE
    try:
        document = from_json(read_file(file, limit=LARGEST))
        check_document(document)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(error.errno, error.strerror, str(file)) from error
    except OSError as error:
        raise GalleryError(
            f"cannot read {file}: {error.strerror or error}; restore it, or enrol again into another folder"
        ) from error
    except ValueError as error:
        reason = "it is a link out of the gallery" if leads_out(file) else error
        raise GalleryError(
            f"{file} was altered and cannot be read: {reason}; restore it, or enrol again into another folder"
        ) from error
    return document  # type: ignore[no-any-return]


def written(document: Mapping[str, Any]) -> bytes:
    """The file's bytes, with the digest."""
    rest = {name: value for name, value in document.items() if name != "digest"}
    return to_json({**rest, "digest": digest_of(rest)}).encode()


def digest_of(document: Mapping[str, Any]) -> str:
    """SHA-256 of all entries but the digest itself."""
    rest = {name: value for name, value in document.items() if name != "digest"}
    back = from_json(to_json(rest, indent=None))  # numbers as they are read
    return hashlib.sha256(to_json(back, indent=None).encode()).hexdigest()


def check_document(raw: Any) -> None:
    """Raise ValueError that names the first key that is missing, of another kind, out of range or not as it was written."""
    if isinstance(raw, Mapping) and type(raw.get("format")) is int and raw["format"] > FORMAT:
        raise ValueError(
            f"format is {raw['format']}, of a later version of Striate than this, which reads {FORMAT}"
        )
    expect(raw, DOCUMENT)
    expect(raw["network"], NETWORK, "network")
    if raw.get("detector") is not None:
        expect(raw["detector"], DETECTOR, "detector")
    for i, part in enumerate(raw["parts"]):
        expect(part, PARTS, f"parts[{i}]")
    if len({part["file"] for part in raw["parts"]}) < len(raw["parts"]):
        raise ValueError("parts names a file twice")
    threshold = raw["threshold"]
    expect(threshold, THRESHOLD, "threshold")
    for name in ("identify", "compare"):
        if threshold[name] is not None:
            expect(threshold[name], CHOSEN, f"threshold.{name}")
    if threshold["impostors"] is not None:
        expect(threshold["impostors"], IMPOSTORS, "threshold.impostors")
        if len(threshold["impostors"]["bins"]) != len(threshold["impostors"]["counts"]):
            raise ValueError("threshold.impostors must hold a count for each bin")
        bounds = [threshold["impostors"].get(name) for name in ("low", "high")]
        if bounds != [None, None]:
            more = len(threshold["impostors"]["bins"]) + 1
            if any(b is None or len(b) != more for b in bounds):
                raise ValueError(
                    "threshold.impostors must hold low and high for each bin and for none"
                )
    for i, group in enumerate(threshold["groups"]):
        expect(group, GROUP, f"threshold.groups[{i}]")
    if digest_of(raw) != raw["digest"]:
        raise ValueError("it is not what was written, by its digest")


def _hex(length: int) -> Any:
    def wrong(text: str) -> str:
        good = len(text) == length and set(text) <= set(HEX)
        return "" if good else f"must be {length} hexadecimal digits"

    return wrong


def _name_of_part(text: str) -> str:
    return "" if PART.fullmatch(text) else "must be the name of a part"


NOTHING = type(None)
DOCUMENT = {
    "format": Key(int, check=within(1, FORMAT)), "created": Key(str), "network": Key(dict), "parts": Key(list),
    "threshold": Key(dict), "faces": Key(bool), "consent": Key(str),
    "detector": Key((dict, NOTHING), optional=True), "striate": Key(str), "digest": Key(str, check=_hex(64)),
}  # fmt: skip
NETWORK = {
    "name": Key(str), "where": Key((str, NOTHING)), "layer": Key(str), "size": Key(int, check=within(1, 10**6)),
    "model": Key(str, check=_hex(64)), "preprocessing": Key(str, check=_hex(64)),
    "pattern": Key(list, check=each(float, within(-1.001, 1.001))),
}  # fmt: skip
DETECTOR = {
    "name": Key(str), "where": Key((str, NOTHING)), "model": Key(str, check=_hex(64)),
    "preprocessing": Key(str, check=_hex(64)),
}  # fmt: skip
PARTS = {
    "file": Key(str, check=_name_of_part), "rows": Key(int, check=within(1, MOST)), "sha256": Key(str, check=_hex(64)),
}  # fmt: skip
RATE = within(0, 1)
CHOSEN = {
    "value": Key(float, check=within(-1.01, 1.01)), "rate": Key(float, check=RATE), "pairs": Key(int, check=within(1, MOST)),
    "accepted": Key(int, check=within(0, MOST)), "low": Key(float, check=RATE), "high": Key(float, check=RATE),
}  # fmt: skip
THRESHOLD = {
    "rate": Key(float, check=RATE), "source": Key((str, NOTHING)), "images": Key(int, check=within(0, MOST)),
    "names": Key(int, check=within(0, MOST)), "seed": Key(int, check=within(0, 2**32)),
    "identify": Key((dict, NOTHING)), "compare": Key((dict, NOTHING)), "why": Key(str), "impostors": Key((dict, NOTHING)),
    "groups": Key(list),
}  # fmt: skip
IMPOSTORS = {
    "step": Key(float, check=above(0)), "pairs": Key(int, check=within(1, MOST)),
    "bins": Key(list, check=each(int)), "counts": Key(list, check=each(int, within(1, MOST))),
    "low": Key(list, optional=True, check=each(float, RATE)), "high": Key(list, optional=True, check=each(float, RATE)),
}  # fmt: skip
GROUP = {
    "group": Key(str), "images": Key(int, check=within(0, MOST)), "strangers": Key(int, check=within(0, MOST)),
    "taken": Key((int, NOTHING)), "pairs": Key(int, check=within(0, MOST)), "accepted": Key((int, NOTHING)),
}  # fmt: skip
