"""SVG made safe to stand inside a page: its own ids, and nothing that runs, loads or leaves the figure."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

from striate.errors import DataError
from striate.report.svg_rules import (
    ATTRIBUTES,
    ELEMENTS,
    REPEATED,
    TEXT_ALONE,
    sheet_of,
    style_of,
    value_of,
)

SVG = "{http://www.w3.org/2000/svg}"
XLINK_HREF = "{http://www.w3.org/1999/xlink}href"
EMBEDDED = re.compile(r"data:image/(png|jpeg|webp|gif);base64,[A-Za-z0-9+/=\s]*", re.IGNORECASE)
POINTS = {"pt": 96 / 72, "px": 1.0, "": 1.0, "in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4}
DEPTH = 100  # levels; a figure has ten, browsers give up at 512
MOST_PIXELS = 20_000  # a wider figure is shown as wide as the page
USUAL = (640.0, 400.0)  # CSS pixels of a figure that states no size


def inline(content: bytes, prefix: str, alt: str) -> tuple[str, float]:
    """An SVG document as an element of an HTML page, and its natural width in CSS pixels.

    Ids are prefixed, because matplotlib gives the same ones to every figure. What is kept stands in a list: elements,
    attributes and styles that draw. A page is parsed as HTML, in which other elements than those of the list end a figure or
    act, whatever their case. Raises DataError if it is not SVG.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"figure {prefix}: an SVG must be UTF-8") from error
    if re.search("<!(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise DataError(f"figure {prefix}: an SVG must not declare entities")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"figure {prefix}: not a readable SVG ({error})") from error
    if root.tag not in (f"{SVG}svg", "svg"):
        raise DataError(f"figure {prefix}: expected an SVG, got <{root.tag.rpartition('}')[2]}>")
    _refuse_deep(root, prefix)
    _clean(root, prefix, _drawn_twice(root), repeated=False)
    width, height = (_pixels(root.attrib.pop(side, "")) for side in ("width", "height"))
    box = _box(root.attrib.pop("viewBox", ""))
    if box is None:
        box = (0.0, 0.0, width or USUAL[0], height or USUAL[1])
    root.set("viewBox", " ".join(f"{n:g}" for n in box))
    root.set("role", "img")
    root.set("id", prefix)
    root.set("aria-label", alt)
    return ElementTree.tostring(root, encoding="unicode"), min(width or box[2], MOST_PIXELS)


def _refuse_deep(root: ElementTree.Element, prefix: str) -> None:
    """Raise DataError where elements lie too deep, level by level, so that no depth is too much for the check."""
    level = [root]
    for _ in range(DEPTH):
        level = [child for element in level for child in element]
        if not level:
            return
    raise DataError(f"figure {prefix}: its elements are nested more than {DEPTH} deep")


def _drawn_twice(root: ElementTree.Element) -> frozenset[str]:
    """Ids of elements that hold a `use`: copies of copies may multiply without end."""
    return frozenset(
        element.get("id", "")
        for element in root.iter()
        if any(str(inner.tag).rpartition("}")[2] == "use" for inner in element.iter())
    )


def _clean(
    element: ElementTree.Element, prefix: str, twice: frozenset[str], *, repeated: bool
) -> None:
    """Keep what is in the lists. repeated: inside an element that is drawn many times."""
    element.tag = tag = str(element.tag).removeprefix(SVG)
    given = dict(element.attrib)
    element.attrib.clear()
    for name, value in given.items():
        kept = _attribute(tag, "href" if name == XLINK_HREF else name, value, prefix, twice)
        if kept and not (repeated and "url(" in kept):
            element.set("href" if name == XLINK_HREF else name, kept)
    if tag == "style":
        element.text = sheet_of("".join(element.itertext()), prefix)
    for child in list(element):
        inner = child.tag.removeprefix(SVG) if isinstance(child.tag, str) else ""
        multiplies = repeated and inner == "use"
        if tag in TEXT_ALONE or inner not in ELEMENTS or multiplies:
            element.remove(child)
        else:
            _clean(child, prefix, twice, repeated=repeated or inner in REPEATED)


def _attribute(tag: str, name: str, value: str, prefix: str, twice: frozenset[str]) -> str | None:
    """An attribute's value as it may stand in the page, or None."""
    if name == "id":
        return f"{prefix}-{value}"
    if name == "href":
        if value.startswith("#"):
            return None if tag == "use" and value[1:] in twice else f"#{prefix}-{value[1:]}"
        return value if tag == "image" and EMBEDDED.fullmatch(value) else None
    if name in ("aria-labelledby", "aria-describedby"):
        return " ".join(f"{prefix}-{target}" for target in value.split())
    if name == "style":
        return style_of(value, prefix)
    return value_of(value, prefix) if name in ATTRIBUTES else None


def _box(text: str) -> tuple[float, float, float, float] | None:
    """The four numbers of a viewBox, None where they are none."""
    try:
        x, y, width, height = (float(part) for part in text.replace(",", " ").split())
    except ValueError:
        return None
    sound = all(math.isfinite(n) for n in (x, y, width, height)) and width > 0 and height > 0
    return (x, y, width, height) if sound else None


def _pixels(length: str) -> float:
    match = re.fullmatch(r"\s*(\d{1,9}(?:\.\d*)?|\.\d+)\s*(pt|px|in|cm|mm|)\s*", length)
    return float(match[1]) * POINTS[match[2]] if match else 0.0
