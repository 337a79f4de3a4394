"""A page: prose and blocks of code, in the order in which they are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

from striate.errors import UsageError
from striate.wording import in_quotes

# Number -> title, in the lectures' order. One Markdown file each in `pages/`.
LECTURES: dict[str, str] = {
    "000": "The world of CNNs",
    "001": "Computer vision with CNNs",
    "002": "Introduction to convolutional neural networks",
    "003": "CNNs and spatial processing",
    "004": "Introduction to CNNs, from the visual cortex to the gradients",
}

FENCE = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)]+\.png)\)")


@dataclass(frozen=True)
class Block:
    """A block of Python of a page; `line` is where its first statement stands, counted from 1."""

    code: str
    line: int


@dataclass(frozen=True)
class Page:
    """One lecture's page. `parts` in reading order: prose as text, code as Block."""

    number: str
    file: str
    text: str

    @cached_property
    def parts(self) -> tuple[str | Block, ...]:
        """The page cut at its blocks of Python; joined again they are the page."""
        parts: list[str | Block] = []
        end = 0
        for fence in FENCE.finditer(self.text):
            parts.append(self.text[end : fence.start()])
            parts.append(Block(fence[1], self.text.count("\n", 0, fence.start(1)) + 1))
            end = fence.end()
        return (*parts, self.text[end:])

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The page's code alone."""
        return tuple(part for part in self.parts if isinstance(part, Block))

    @property
    def pictures(self) -> tuple[str, ...]:
        """The file names of the pictures that the page shows."""
        return tuple(PICTURE.findall(self.text))


def read_page(number: str) -> Page:
    """The page of lecture "000" ... "004"; "3" and "03" mean "003".

    Raises UsageError for any other.
    """
    digits = number.strip()
    name = digits.zfill(3) if digits else ""
    if name not in LECTURES:
        known = ", ".join(f"{n} ({title})" for n, title in LECTURES.items())
        raise UsageError(f"there is no lecture {in_quotes(number)}; there are {known}")
    source = files("striate.lectures") / "pages" / f"{name}.md"
    return Page(name, str(source), source.read_text(encoding="utf-8"))
