"""Output: what a writer of annotations is given, and the texts that it gives back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from xml.sax.saxutils import quoteattr

from striate.tasks.detect.objects import Objects
from striate.wording import as_text

File = tuple[str, Iterator[str]]  # a path below the output, and its text in pieces
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


@dataclass(frozen=True, kw_only=True, eq=False)
class Item:
    """One image of an output: its name there, without folders where images are copied; its split; and its objects."""

    name: str
    split: str | None
    height: int
    width: int
    objects: Objects

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        path = PurePosixPath(self.name)
        return str(path.with_suffix(""))


def number(value: float) -> str:
    """The shortest text that is read as the same number."""
    return repr(float(value)).removesuffix(".0")


def attribute(text: str) -> str:
    """A text as an attribute of XML, in quotes."""
    return quoteattr(plain(text))


def plain(text: str) -> str:
    """A text without what XML cannot hold."""
    return _NO_XML.sub("", as_text(text))


def splits_of(items: Sequence[Item]) -> list[str | None]:
    """The splits that occur, in order; None for images of no split."""
    return [s for s in (None, "train", "val", "test") if any(i.split == s for i in items)]
