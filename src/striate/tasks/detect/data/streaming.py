"""A JSON document of any length, item by item: the entries of its lists one after another, never the whole."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from striate.errors import DataError
from striate.files import open_regular

PIECE = 2**20  # bytes read at a time
LONGEST = 2**29  # characters of one entry
HEAD = 2**18  # bytes by which a document is recognised
_BLANK = re.compile(r"[ \t\r\n]*")
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip


def entries(path: Path) -> Iterator[tuple[str, Any]]:
    """(key, entry) for each entry of each list of the outermost object, and (key, value) for what is no list.

    The outermost may be a list itself: its entries have the key "". Bytes that are no UTF-8 stay in names as they are in the
    names of files. Raises DataError, with the line, where the file is missing, empty, cut short, or no JSON.
    """
    try:
        with open_regular(path) as file:
            yield from _Reader(file, path).entries()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def first_keys(path: Path) -> tuple[str, ...]:
    """The keys of the outermost object as far as the beginning of a file shows them; empty for what is no JSON object."""
    keys: dict[str, None] = {}
    try:
        with open_regular(path) as file:
            for key, _ in _Reader(file, path, limit=HEAD).entries():
                keys[key] = None
    except (OSError, DataError):
        pass  # cut off, or no JSON: what came before counts
    return tuple(keys)


class _Reader:
    """text from `at` on is not yet used; `lines` were."""

    def __init__(self, file: BinaryIO, path: Path, *, limit: int | None = None) -> None:
        self.file, self.path, self.limit = file, path, limit
        head = file.read(4)
        encoding = next((name for mark, name in _BOMS if head.startswith(mark)), "utf-8")
        self.coder = codecs.getincrementaldecoder(encoding)(
            "surrogateescape" if encoding == "utf-8" else "replace"
        )
        self.decoder = json.JSONDecoder()
        self.text, self.at, self.lines, self.ended, self.last = self.coder.decode(head), 0, 1, False, ""  # fmt: skip

    def entries(self) -> Iterator[tuple[str, Any]]:
        first = self._peek()
        if not first:
            raise DataError(f"{self.path} is empty; copy it again from where it came from")
        if first == "[":
            yield from (("", item) for item in self._list())
        elif first == "{":
            yield from self._object()
        else:
            raise self._error("it is no JSON")

    def _object(self) -> Iterator[tuple[str, Any]]:
        self.at += 1
        if self._peek() == "}":
            return
        while True:
            if self._peek() != '"':
                raise self._error("a name in quotes is missing")
            key = self._value()
            self._expect(":")
            self.last = key
            if self._peek() == "[":
                found = False
                for item in self._list():
                    found = True
                    yield key, item
                if not found:
                    yield key, None
            else:
                yield key, self._value()
            if self._peek() == "}":
                return
            self._expect(",")

    def _list(self) -> Iterator[Any]:
        self.at += 1
        if self._peek() == "]":
            self.at += 1
            return
        while True:
            self._peek()
            yield self._value()
            if self._peek() == "]":
                self.at += 1
                return
            self._expect(",")

    def _value(self) -> Any:
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.at)
            except RecursionError:
                raise self._error("it is nested too deeply") from None
            except ValueError as error:
                place = getattr(error, "pos", self.at)
                cut = "Unterminated string" in str(error) or place > len(self.text) - 16
                if self.ended or not cut:
                    self._use(place)
                    raise self._error(str(error).split(":")[0]) from None
                self._more()
                continue
            # A number may go on in the next piece: 1 may become 1.5, 1e-5 or 12.
            number = isinstance(value, int | float) and end > len(self.text) - 4
            if (number or end == len(self.text)) and not self.ended:
                self._more()
                continue
            self.at = end
            return value

    def _peek(self) -> str:
        """The next character that is no blank; empty at the end."""
        while True:
            match = _BLANK.match(self.text, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if self.ended:
                return ""
            self._more()

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise self._error(f"{character!r} is missing")
        self.at += 1

    def _more(self) -> None:
        self._use(self.at)
        waiting = len(self.text)
        if waiting > LONGEST:
            raise self._error("one entry has more than 500 million characters")
        piece = self.file.read(max(PIECE, waiting))
        if self.limit is not None:
            piece = piece[: max(self.limit, 0)]
            self.limit -= len(piece)
        self.ended = not piece
        try:
            self.text += self.coder.decode(piece, final=self.ended)
        except UnicodeDecodeError:
            raise self._error("its encoding is broken") from None

    def _use(self, at: int) -> None:
        self.lines += self.text.count("\n", 0, at)
        self.text, self.at = self.text[at:], 0

    def _error(self, reason: str) -> DataError:
        where = f" in {self.last!r}" if self.last else ""
        self._use(min(self.at, len(self.text)))
        if self.ended and len(self.text) < 16 and "empty" not in reason:
            return DataError(
                f"{self.path} ends in the middle{where}, on line {self.lines:,}: it is half written; copy it "
                "again from where "
                "it came from"
            )
        return DataError(
            f"cannot read {self.path}: {reason}{where}, on line {self.lines:,}; it is no JSON as it stands"
        )
