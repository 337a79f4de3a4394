"""Part: one file of enrolled images, written once and never changed, so that a reader can map it while others write more.

A safetensors file with, for each of its n images, a vector, the digest of its content, and the numbers of its name and its
group among the texts of the part. Texts lie one behind the other, each with where it ends.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from striate.files import open_regular
from striate.schema import shortened

CONTENT = 16  # bytes of an image's digest
BYTES = 32 * 2**20  # of vectors in one part: what an enrolment holds in memory, twice
LARGEST_HEADER = 2**20  # bytes
BLOCK = 2**22  # bytes of vectors that are checked at a time
LENGTH = 1e-3  # by which a vector's length may differ from 1
TYPES: dict[str, Any] = {"F32": np.float32, "I32": np.int32, "I64": np.int64, "U8": np.uint8}
KEYS = {
    "vectors": "F32", "content": "U8", "name": "I32", "group": "I32", "names": "U8", "names_end": "I64", "groups": "U8",
    "groups_end": "I64", "paths": "U8", "paths_end": "I64",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Some enrolled images: vectors (n, d) float32 of length 1, and for each its content's digest (16 bytes), its name, the
    path that it was enrolled from, and its group, which may be empty."""

    vectors: np.ndarray
    contents: Sequence[bytes]
    names: Sequence[str]
    paths: Sequence[str]
    groups: Sequence[str]

    def __len__(self) -> int:
        return len(self.vectors)


def rows_at_once(size: int) -> int:
    """Images of one part, of vectors of `size` numbers."""
    return max(1, BYTES // (4 * size))


def encoded(rows: Rows) -> bytes:
    """The file of a part."""
    from safetensors.numpy import save

    names, name = _numbered(rows.names)
    groups, group = _numbered(rows.groups)
    tensors: dict[str, np.ndarray] = {
        "vectors": np.ascontiguousarray(rows.vectors, dtype=np.float32),
        "content": np.frombuffer(b"".join(rows.contents), np.uint8).reshape(-1, CONTENT),
        "name": name, "group": group, **_packed("names", names), **_packed("groups", groups),
        **_packed("paths", rows.paths),
    }  # fmt: skip
    return save(tensors)


class Part:
    """A part's file, mapped into memory. path: the file; its numbers are checked by `check`, its layout when it is opened.

    vectors: (n, d) float32. content: (n, 16) uint8. name, group: (n,) int32, numbers among `names` and `groups`. Raises
    ValueError that says what is wrong with the file, OSError where it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_regular(path) as file:
            try:
                self.bytes: np.ndarray = np.memmap(file, mode="r")
            except ValueError:  # an empty file
                raise ValueError("it is empty") from None
        arrays = self._arrays()
        self.vectors, self.content = arrays["vectors"], arrays["content"]
        self.name, self.group = arrays["name"], arrays["group"]
        self._texts = arrays
        n = len(self.vectors)
        shapes = {"vectors": (n, self.vectors.shape[-1]), "content": (n, CONTENT), "name": (n,), "group": (n,)}  # fmt: skip
        for key, shape in shapes.items():
            if arrays[key].shape != shape:
                raise ValueError(f"{key} has the shape {arrays[key].shape}, not {shape}")
        if not n or not self.vectors.shape[1]:
            raise ValueError("it holds no vectors")
        if len(arrays["paths_end"]) != n:
            raise ValueError(f"it holds {len(arrays['paths_end'])} paths for {n} vectors")

    def __len__(self) -> int:
        return len(self.vectors)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names in this part, each once."""
        return tuple(_unpacked(self._texts["names"], self._texts["names_end"]))

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The groups in this part, each once; one may be empty."""
        return tuple(_unpacked(self._texts["groups"], self._texts["groups_end"]))

    def path_of(self, row: int) -> str:
        """Where the image of a row was enrolled from."""
        ends = self._texts["paths_end"]
        start = int(ends[row - 1]) if row else 0
        return bytes(self._texts["paths"][start : int(ends[row])]).decode()

    def paths_hold(self, text: str) -> bool:
        """Whether a text stands anywhere in the paths."""
        return text.encode() in self._texts["paths"].tobytes()

    def rows(self, at: np.ndarray) -> Rows:
        """Some of its images, by their numbers (m,)."""
        return Rows(
            vectors=np.array(self.vectors[at]), contents=[bytes(self.content[i]) for i in at],
            names=[self.names[self.name[i]] for i in at], paths=[self.path_of(int(i)) for i in at],
            groups=[self.groups[self.group[i]] for i in at],
        )  # fmt: skip

    def digest(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.bytes.data).hexdigest()

    def check(self) -> None:
        """Raise ValueError where its numbers are none that an enrolment writes."""
        for key, texts in (("name", self.names), ("group", self.groups)):
            numbers = getattr(self, key)
            if int(numbers.min()) < 0 or int(numbers.max()) >= len(texts):
                raise ValueError(f"{key} points to a text that is not there")
        _ = list(_unpacked(self._texts["paths"], self._texts["paths_end"]))
        step = max(1, BLOCK // (4 * self.vectors.shape[1]))
        for start in range(0, len(self), step):
            block = self.vectors[start : start + step]
            length = np.einsum("nd,nd->n", block, block)
            # Not "> LENGTH", so that what is no number is found as well.
            wrong = ~(np.abs(length - 1) <= LENGTH)
            if wrong.any():
                row = start + int(wrong.argmax())
                raise ValueError(
                    f"the vector of image {row} has the squared length {length[row - start]:.3g}, not 1"
                )

    def _arrays(self) -> dict[str, np.ndarray]:
        """The arrays of the file, mapped; they fill it without a gap."""
        if len(self.bytes) < 8:
            raise ValueError("it is cut short")
        length = int.from_bytes(self.bytes[:8].tobytes(), "little")
        if length > min(LARGEST_HEADER, len(self.bytes) - 8):
            raise ValueError(
                "its header is longer than the file"
                if length < LARGEST_HEADER
                else "its header is too long"
            )
        try:
            header = json.loads(self.bytes[8 : 8 + length].tobytes())
        except (ValueError, RecursionError):
            raise ValueError("its header is no JSON") from None
        if not isinstance(header, dict) or set(header) - {"__metadata__"} != set(KEYS):
            raise ValueError(f"it does not hold {', '.join(KEYS)}")
        body, found, spans = 8 + length, {}, []
        for key, kind in KEYS.items():
            entry = header[key]
            try:
                shape, (start, end) = tuple(entry["shape"]), entry["data_offsets"]
                whole = all(type(v) is int and 0 <= v < 2**48 for v in (*shape, start, end))
                if not whole or entry["dtype"] != kind:
                    raise ValueError
            except (TypeError, KeyError, ValueError):
                raise ValueError(f"{key} is described as {shortened(entry)}") from None
            items = math.prod(shape)
            if end - start != items * TYPES[kind]().itemsize or end > len(self.bytes) - body:
                raise ValueError(f"{key} does not lie within the file")
            flat = self.bytes[body + start : body + end].view(np.ndarray).view(TYPES[kind])
            found[key] = flat.reshape(shape)
            spans.append((start, end))
        ends = [0, *(end for _, end in sorted(spans))]
        if [start for start, _ in sorted(spans)] != ends[:-1] or ends[-1] != len(self.bytes) - body:
            raise ValueError("its arrays do not fill it without a gap")
        for key in ("names_end", "groups_end", "paths_end"):
            if found[key].ndim != 1:
                raise ValueError(f"{key} has the shape {found[key].shape}, not (n,)")
        if found["vectors"].ndim != 2:
            raise ValueError(f"vectors has the shape {found['vectors'].shape}, not (n, d)")
        return found


def _numbered(texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Each text once, in the order of their first, and for each of all its number there, (n,) int32."""
    known = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    return list(known), np.array([known[text] for text in texts], dtype=np.int32)


def _packed(key: str, texts: Sequence[str]) -> dict[str, np.ndarray]:
    blobs = [text.encode() for text in texts]
    ends = np.cumsum([len(blob) for blob in blobs], dtype=np.int64)
    return {key: np.frombuffer(b"".join(blobs), np.uint8), f"{key}_end": ends}


def _unpacked(blob: np.ndarray, ends: np.ndarray) -> list[str]:
    """The texts. Raises ValueError where they do not fill the blob, or are no UTF-8."""
    places = [0, *ends.tolist()]
    if (
        ends.ndim != 1
        or blob.ndim != 1
        or any(a > b for a, b in itertools.pairwise(places))
        or places[-1] != len(blob)
    ):
        raise ValueError("its texts do not end where they should")
    data = blob.tobytes()
    try:
        return [data[a:b].decode() for a, b in itertools.pairwise(places)]
    except UnicodeDecodeError:
        raise ValueError("its texts are no UTF-8") from None
