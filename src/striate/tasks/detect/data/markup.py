"""XML, element by element and without entities: a file can neither grow when it is read nor name another one.

A document type is refused before anything in it is expanded (the billion laughs, external entities); nothing that
annotation tools write has one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from striate.errors import DataError
from striate.files import open_regular

PIECE = 2**20  # bytes
HEAD = 4096  # bytes by which a file is recognised
DEEPEST = 100  # elements within one another


@dataclass(eq=False)
class Element:
    """One element: its tag without a namespace, attributes, text and children."""

    tag: str
    attributes: dict[str, str]
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def find(self, tag: str) -> Element | None:
        """The first child of that tag."""
        return next((child for child in self.children if child.tag == tag), None)

    def all(self, tag: str) -> list[Element]:
        """The children of that tag."""
        return [child for child in self.children if child.tag == tag]

    def value(self, *tags: str) -> str:
        """The text below a path of tags, without blanks at its ends; empty where there is none."""
        at: Element | None = self
        for tag in tags:
            at = at.find(tag) if at is not None else None
        return at.text.strip() if at is not None else ""


def elements(path: Path, *tags: str) -> Iterator[Element]:
    """Each outermost element of one of `tags`, in order; nothing else is kept.

    Raises DataError, with the line, where the file is missing, empty, cut short, no XML, or has a document type.
    """
    building = _Building(set(tags))
    try:
        with open_regular(path) as file:
            while piece := file.read(PIECE):
                building.parser.Parse(piece, False)
                yield from building.taken()
            building.parser.Parse(b"", True)
            yield from building.taken()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except expat.ExpatError as error:
        if error.code == 3:  # no element found
            raise DataError(
                f"{path} ends in the middle, on line {error.lineno:,}, or is empty; copy it again"
            ) from None
        reason = expat.errors.messages.get(error.code, str(error))
        raise DataError(
            f"cannot read {path}: {reason}, on line {error.lineno:,}; it is no XML as it stands"
        ) from None
    except (
        DataError,
        ValueError,
        LookupError,
    ) as error:  # LookupError: an encoding that nobody knows
        raise DataError(f"cannot read {path}: {error}") from None


def first_tag(path: Path) -> str:
    """The tag of the outermost element, or nothing where the beginning of the file shows none."""
    building = _Building(set())
    try:
        with open_regular(path) as file:
            building.parser.Parse(file.read(HEAD), False)
    except (OSError, expat.ExpatError, DataError, ValueError, LookupError):
        pass  # what came before counts
    return building.outermost


class _Building:
    """Handlers of the parser: open elements from the outermost wanted one on, and those that are complete."""

    def __init__(self, tags: set[str]) -> None:
        self.tags, self.open, self.complete, self.outermost, self.depth = (
            tags,
            list[Element](),
            list[Element](),
            "",
            0,
        )
        self.texts: list[list[str]] = []
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters
        self.parser.StartDoctypeDeclHandler = self.refuse

    def refuse(self, *declared: object) -> None:
        raise DataError(
            "it declares a document type, which may expand without end and is not read; delete the line <!DOCTYPE ...>"
        )

    def start(self, name: str, attributes: dict[str, str]) -> None:
        tag = name.rpartition(":")[2]
        self.outermost = self.outermost or tag
        self.depth += 1
        if self.depth > DEEPEST:
            raise DataError(f"its elements lie more than {DEEPEST} deep")
        if self.open or tag in self.tags:
            element = Element(tag, attributes)
            if self.open:
                self.open[-1].children.append(element)
            self.open.append(element)
            self.texts.append([])

    def characters(self, text: str) -> None:
        if self.texts:
            self.texts[-1].append(text)

    def end(self, name: str) -> None:
        self.depth -= 1
        if self.open:
            element = self.open.pop()
            element.text = "".join(self.texts.pop())
            if not self.open:
                self.complete.append(element)

    def taken(self) -> list[Element]:
        complete, self.complete = self.complete, []
        return complete
