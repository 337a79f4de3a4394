"""Frames: an answer on the wire, a header in JSON and arrays as they lie in memory.

A frame is four bytes, the header's length, little-endian; the header, padded with blanks so that what follows lies at a
multiple of eight bytes; and the arrays, each at a multiple of eight bytes. `arrays` of the header says for each array its
kind of number, its shape and where it begins after the header.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from striate.documents import to_json

KINDS = ("uint8", "uint16", "int32", "float16", "float32")
ALIGNED = 8


def encode(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> bytes:
    """The bytes of a frame. arrays: of the kinds of `KINDS`, of any shape. Numbers that are not finite are null in JSON."""
    pieces: list[bytes] = []
    placed: dict[str, Any] = {}
    at = 0
    for name, array in (arrays or {}).items():
        assert array.dtype.name in KINDS, array.dtype
        data = np.ascontiguousarray(array).tobytes()
        placed[name] = {"kind": array.dtype.name, "shape": list(array.shape), "at": at}
        data += b"\0" * (-len(data) % ALIGNED)
        pieces.append(data)
        at += len(data)
    text = to_json({**header, "arrays": placed}, indent=None).encode()
    text += b" " * (-(4 + len(text)) % ALIGNED)
    return b"".join((len(text).to_bytes(4, "little"), text, *pieces))


def decode(frame: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What `encode` was given: the header, and arrays of any shape by name, such as maps (channels, H, W)."""
    length = int.from_bytes(frame[:4], "little")
    header = json.loads(frame[4 : 4 + length])
    arrays = {}
    for name, placed in header.pop("arrays").items():
        count = int(np.prod(placed["shape"], dtype=np.int64))
        flat = np.frombuffer(frame, placed["kind"], count, 4 + length + placed["at"])
        arrays[name] = flat.reshape(placed["shape"])
    return header, arrays
