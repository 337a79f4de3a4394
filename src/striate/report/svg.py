"""SVG made safe to stand inside a page: its own ids, nothing that runs, nothing that loads."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from striate.errors import DataError

SVG = "{http://www.w3.org/2000/svg}"
XLINK_HREF = "{http://www.w3.org/1999/xlink}href"
DROPPED = {"script", "foreignObject", "metadata", "iframe", "object", "embed", "a"}
EMBEDDED = re.compile(r"data:image/(png|jpeg|webp|gif);base64,", re.IGNORECASE)
# Figures are drawn for a light page; these two of its colours the page's style lightens when it is
# dark.
THEMED = {"#0072b2": "var(--blue, #0072b2)", "#d55e00": "var(--vermillion, #d55e00)"}
URL = re.compile(r"url\(\s*['\"]?(?P<target>[^)'\"]*)['\"]?\s*\)", re.IGNORECASE)
POINTS = {"pt": 96 / 72, "px": 1.0, "": 1.0, "in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4}


def inline(content: bytes, prefix: str, alt: str) -> tuple[str, float]:
    """An SVG document as an element of an HTML page, and its natural width in CSS pixels.

    Ids are prefixed, because matplotlib gives the same ones to every figure; scripts, event
    handlers, foreign content and every reference to the outside are removed; styles are confined to
    the figure. Raises DataError if it is not SVG.
    """
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise DataError(f"figure {prefix}: an SVG must not declare entities")
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise DataError(f"figure {prefix}: not a readable SVG ({error})") from error
    if root.tag not in (f"{SVG}svg", "svg"):
        raise DataError(f"figure {prefix}: expected an SVG, got <{root.tag.rpartition('}')[2]}>")
    _clean(root, prefix)
    width, height = (_pixels(root.attrib.pop(side, "")) for side in ("width", "height"))
    if "viewBox" not in root.attrib and width and height:
        root.set("viewBox", f"0 0 {width:g} {height:g}")
    if not width:
        box = root.get("viewBox", "0 0 640 400").replace(",", " ").split()
        width = float(box[2])
    root.set("role", "img")
    root.set("id", prefix)
    root.set("aria-label", alt)
    root.attrib.pop("version", None)
    return ElementTree.tostring(root, encoding="unicode"), width


def _clean(element: ElementTree.Element, prefix: str) -> None:
    element.tag = element.tag.removeprefix(SVG)
    for name, value in list(element.attrib.items()):
        del element.attrib[name]
        plain = "href" if name == XLINK_HREF else name
        if plain.startswith("{") or plain.lower().startswith("on"):
            continue
        if plain == "id":
            value = f"{prefix}-{value}"
        elif plain == "href":
            if value.startswith("#"):
                value = f"#{prefix}-{value[1:]}"
            elif not (element.tag == "image" and EMBEDDED.match(value)):
                continue
        elif plain in ("aria-labelledby", "aria-describedby"):
            value = " ".join(f"{prefix}-{target}" for target in value.split())
        else:
            value = _local(value, prefix)
            if plain == "style":
                value = re.sub(r"#[0-9a-fA-F]{6}\b", _themed, value)
        element.set(plain, value)
    for child in list(element):
        tag = child.tag if isinstance(child.tag, str) else ""
        foreign = tag.startswith("{") and not tag.startswith(SVG)
        if not tag or foreign or tag.removeprefix(SVG) in DROPPED:
            element.remove(child)
            continue
        _clean(child, prefix)
        # An animation can set an attribute that was just removed.
        if child.tag in ("set", "animate") and child.get("attributeName", "").lower() == "href":
            element.remove(child)
    if element.tag == "style" and element.text:
        rules = re.sub(r"@import[^;]*;?", "", _local(element.text, prefix))
        rules = re.sub(r"#(?=[A-Za-z_][\w-]*\s*[{,.:\s>])", f"#{prefix}-", rules)
        element.text = f"#{prefix}{{{rules}}}"


def _local(value: str, prefix: str) -> str:
    """Every url(#id) gets the prefix; every other url() is emptied."""

    def replace(match: re.Match[str]) -> str:
        target = match["target"].strip()
        return f"url(#{prefix}-{target[1:]})" if target.startswith("#") else "none"

    return URL.sub(replace, value)


def _themed(match: re.Match[str]) -> str:
    return THEMED.get(match[0].lower(), match[0])


def _pixels(length: str) -> float:
    match = re.fullmatch(r"\s*([\d.]+)\s*(pt|px|in|cm|mm|)\s*", length)
    return float(match[1]) * POINTS[match[2]] if match else 0.0
