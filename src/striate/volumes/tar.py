"""The members of a tar archive: name, place and size of each, by its headers alone (POSIX pax, GNU and old formats)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from striate.errors import DataError

BLOCK = 512
MOST_HEADER = 2**20  # bytes of a long name or of a pax header
REGULAR = (b"0", b"\0", b"7")
COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip"), b"BZh": ("bzip2", "bunzip2"), b"\xfd7zXZ": ("xz", "unxz"),
    b"(\xb5/\xfd": ("zstd", "unzstd"),
}  # fmt: skip

Member = tuple[str, int, int]  # name, first byte, bytes


def members(file: BinaryIO, where: str) -> Iterator[Member]:
    """Every regular file of an archive, in order. file: open, and one that can be asked for any place. where: for messages.

    Raises DataError where the archive is cut short, damaged or compressed, with the place and the last whole member.
    """
    end = file.seek(0, os.SEEK_END)
    at, last = 0, ""
    named: str | None = None
    sized: int | None = None
    while True:
        if at + BLOCK > end:
            raise DataError(_short(where, end, last, "no end mark"))
        file.seek(at)
        header = file.read(BLOCK)
        if header == bytes(BLOCK):
            return
        if at == 0:
            _refuse_compressed(header, where)
        if not _sound(header):
            what = "it is no tar archive" if at == 0 else f"byte {at:,} begins no member"
            raise DataError(f"{where} cannot be read: {what}{_after(last)}; copy it again")
        kind, size = header[156:157], _number(header[124:136], where)
        if kind in b"LxgK" and kind:
            if size > MOST_HEADER or at + BLOCK + size > end:
                raise DataError(_short(where, end, last, "a header that is cut off"))
            content = file.read(size)
            if kind == b"L":
                named = content.rstrip(b"\0").decode("utf-8", "surrogateescape")
            elif kind == b"x":
                pax = _pax(content)
                named = pax.get("path", named)
                sized = int(pax["size"]) if pax.get("size", "").isdecimal() else sized
        else:
            size = size if sized is None else sized
            name = _name(header) if named is None else named
            if kind == b"S":
                raise DataError(
                    f"{where}: {name} is stored as a sparse file; pack it without --sparse"
                )
            if kind in REGULAR and not name.endswith("/"):
                if at + BLOCK + size > end:
                    lacks = at + BLOCK + size - end
                    raise DataError(
                        _short(where, end, last, f"{name} lacks {lacks:,} of {size:,} bytes")
                    )
                yield name.removeprefix("./"), at + BLOCK, size
                last = name
            elif kind not in REGULAR:
                size = size if kind not in b"123456" else 0
            named = sized = None
        at += BLOCK + -(-size // BLOCK) * BLOCK


def _short(where: str, end: int, last: str, what: str) -> str:
    return (
        f"{where} is cut short after {end:,} bytes ({what}){_after(last)}; copy or write it again, or leave it out of the "
        "pattern"
    )


def _after(last: str) -> str:
    return f", the last whole file in it is {last}" if last else ""


def _refuse_compressed(header: bytes, where: str) -> None:
    for head, (kind, tool) in COMPRESSED.items():
        if header.startswith(head):
            raise DataError(
                f"{where} is compressed with {kind}, and only a plain tar can be read at any place; run "
                f"{tool} on it (images "
                "are compressed already)"
            )


def _sound(header: bytes) -> bool:
    """Whether the sum of the header's bytes is the one that it states, its own field taken as blanks."""
    try:
        stated = int(header[148:156].strip(b" \0") or b"0", 8)
    except ValueError:
        return False
    return stated == sum(header) - sum(header[148:156]) + 8 * 32


def _number(field: bytes, where: str) -> int:
    if field[0] & 0x80:  # GNU's binary numbers, for files of 8 GB and more
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        raise DataError(f"{where} cannot be read: a member states no size; copy it again") from None


def _name(header: bytes) -> str:
    name, prefix = header[:100].split(b"\0")[0], b""
    if header[257:263] == b"ustar\0":
        prefix = header[345:500].split(b"\0")[0]
    return (prefix + b"/" + name if prefix else name).decode("utf-8", "surrogateescape")


def _pax(content: bytes) -> dict[str, str]:
    """The records "LENGTH KEY=VALUE" of a pax header."""
    found, at = {}, 0
    while at < len(content):
        blank = content.find(b" ", at)
        if blank < 0 or not content[at:blank].isdigit() or (count := int(content[at:blank])) <= 0:
            break
        key, _, value = content[blank + 1 : at + count - 1].partition(b"=")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        at += count
    return found
