"""Envelope: what stands around the graph in an ONNX file, read and written without the package onnx.

An ONNX file is a list of numbered fields (Protocol Buffers). Field 14 holds named texts, the metadata, each of which is a
message of its own; the rest is the network and is copied as it is, byte for byte, so that its digest stays.
"""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

from striate.documents import from_json, to_json
from striate.errors import DataError

METADATA = 14
FORMAT = 1
ABOUT, PROOF, DIGEST, VERIFIED = "striate", "striate_proof", "striate_digest", "striate_verified"


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """An exported file taken apart.

    graph: everything but the metadata. texts: the metadata, by name.
    """

    graph: bytes
    texts: Mapping[str, str]

    @classmethod
    def open(cls, data: bytes) -> Envelope:
        """Raises DataError for what is no ONNX file."""
        graph, texts = bytearray(), dict[str, str]()
        for number, field, content in _fields(data):
            if number == METADATA:
                parts = {n: c for n, _, c in _fields(content)}
                texts[_text(parts.get(1, b""))] = _text(parts.get(2, b""))
            else:
                graph += field
        return cls(graph=bytes(graph), texts=texts)

    def bytes(self) -> bytes:
        """The file."""
        entries = (
            _field(METADATA, _field(1, name.encode()) + _field(2, text.encode()))
            for name, text in self.texts.items()
        )
        return self.graph + b"".join(entries)

    def with_texts(self, **texts: str) -> Envelope:
        """The same with other metadata."""
        return Envelope(graph=self.graph, texts={**self.texts, **texts})

    @property
    def digest(self) -> str:
        """SHA-256 of the graph and of all metadata but the digest itself and the records of verifications."""
        return digest_with(hashlib.sha256(self.graph), self.texts)

    @property
    def about(self) -> dict[str, Any]:
        """What Striate noted. Raises DataError for a file that it did not write, of a later format, or that was altered."""
        return checked(self.texts, self.digest)


def digest_with(made: Any, texts: Mapping[str, str]) -> str:
    """SHA-256 of what a hash has taken and of all texts but the digest itself and the records of verifications."""
    for name in sorted(set(texts) - {DIGEST, VERIFIED}):
        made.update(f"\0{name}\0{texts[name]}".encode())
    return str(made.hexdigest())


def checked(texts: Mapping[str, str], digest: str) -> dict[str, Any]:
    """What Striate noted in texts whose file has this digest now. Raises DataError, see `Envelope.about`."""
    if ABOUT not in texts:
        raise DataError(
            "it holds no proof: it was not written by `striate export`; export the network again"
        )
    try:
        about = from_json(texts[ABOUT])
        number = int(about["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"what Striate noted in it cannot be read ({error}); export the network again"
        ) from error
    if number > FORMAT:
        raise DataError(
            f"it was written by a later version of Striate (format {number}, known is {FORMAT}); update Striate"
        )
    if texts.get(DIGEST) != digest:
        raise DataError(
            "it was altered after it was proven: its digest is another; export the network again"
        )
    return dict(about)


def packed(arrays: Mapping[str, np.ndarray]) -> str:
    """Arrays by name as text: compressed .npy files, in base64."""
    file = BytesIO()
    for name, array in arrays.items():
        np.save(file, np.array(name), allow_pickle=False)
        np.save(file, array, allow_pickle=False)
    return b64encode(zlib.compress(file.getvalue(), 9)).decode()


def unpacked(text: str) -> dict[str, np.ndarray]:
    """What `packed` gave. Raises DataError."""
    try:
        content = zlib.decompress(b64decode(text, validate=True))
        file, arrays = BytesIO(content), dict[str, np.ndarray]()
        while file.tell() < len(content):
            name = str(np.load(file, allow_pickle=False))
            arrays[name] = np.load(file, allow_pickle=False)
        return arrays
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"its proof cannot be read ({error}); export the network again") from error


def noted(value: Any) -> str:
    """JSON in one line."""
    return to_json(value, indent=None)


def _fields(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(number, the whole field, its content) of each field of a message."""
    view, at = memoryview(data), 0
    while at < len(view):
        start = at
        key, at = _varint(view, at)
        number, kind = key >> 3, key & 7
        first = at
        if kind == 0:
            _, at = _varint(view, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == 2:
            length, first = _varint(view, at)
            at = first + length
        else:
            raise _no_file()
        if at > len(view) or not number:
            raise _no_file()
        yield number, bytes(view[start:at]), bytes(view[first:at])


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(view) and shift < 64:
        byte = view[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise _no_file()


def _field(number: int, content: bytes) -> bytes:
    return _coded(number << 3 | 2) + _coded(len(content)) + content


def _coded(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes(made) + bytes([value])


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise _no_file() from None


def _no_file() -> DataError:
    return DataError("it is no ONNX file, or was cut short; export the network again")
