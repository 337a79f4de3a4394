"""What an SVG inside a page may hold: elements, attributes and styles that draw, and nothing else."""

from __future__ import annotations

import re

ELEMENTS = frozenset({
    "svg", "g", "defs", "symbol", "use", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text",
    "tspan", "textPath", "title", "desc", "style", "linearGradient", "radialGradient", "stop", "clipPath", "mask",
    "pattern", "marker", "image",
})  # fmt: skip
# Elements in which HTML is parsed as HTML again, or whose text is a style: they hold text alone.
TEXT_ALONE = frozenset({"title", "desc", "style"})
# What is drawn many times over: references inside one may multiply without end.
REPEATED = frozenset({"pattern", "mask", "marker"})
STYLES = frozenset({
    "alignment-baseline", "baseline-shift", "clip-path", "clip-rule", "color", "color-interpolation", "display",
    "dominant-baseline", "fill", "fill-opacity", "fill-rule", "font", "font-family", "font-size", "font-stretch",
    "font-style", "font-variant", "font-weight", "image-rendering", "letter-spacing", "marker", "marker-end",
    "marker-mid", "marker-start", "mask", "mix-blend-mode", "opacity", "paint-order", "shape-rendering", "stop-color",
    "stop-opacity", "stroke", "stroke-dasharray", "stroke-dashoffset", "stroke-linecap", "stroke-linejoin",
    "stroke-miterlimit", "stroke-opacity", "stroke-width", "text-anchor", "text-decoration", "text-rendering",
    "transform", "transform-origin", "vector-effect", "visibility", "white-space", "word-spacing", "writing-mode",
})  # fmt: skip
ATTRIBUTES = STYLES | frozenset({
    "class", "clipPathUnits", "cx", "cy", "d", "dx", "dy", "fr", "fx", "fy", "gradientTransform", "gradientUnits",
    "height", "lengthAdjust", "markerHeight", "markerUnits", "markerWidth", "maskContentUnits", "maskUnits", "offset",
    "orient", "pathLength", "patternContentUnits", "patternTransform", "patternUnits", "points",
    "preserveAspectRatio", "r", "refX", "refY", "rotate", "rx", "ry", "spreadMethod", "startOffset", "textLength",
    "viewBox", "width", "x", "x1", "x2", "y", "y1", "y2",
})  # fmt: skip
FUNCTIONS = frozenset({
    "rgb", "rgba", "hsl", "hsla", "matrix", "translate", "translatex", "translatey", "scale", "scalex", "scaley", "rotate",
    "skewx", "skewy", "url",
})  # fmt: skip
# Figures are drawn for a light page; these two of its colours the page's style lightens when it is dark.
THEMED = {"#0072b2": "var(--blue, #0072b2)", "#d55e00": "var(--vermillion, #d55e00)"}
_URL = re.compile(r"url\(\s*(['\"]?)#([\w.:-]+)\1\s*\)", re.IGNORECASE)
_CALL = re.compile(r"([\w-]*)\s*\(")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_RULE = re.compile(r"([^{}@\\<>;]+)\{([^{}@\\<>]*)\}")
_ID = re.compile(r"#(?=[A-Za-z_])")


def value_of(value: str, prefix: str) -> str | None:
    """An attribute's or a style's value whose url(#id) has the prefix; None where it may reach out of the figure."""
    if any(sign in value for sign in "\\@<>{}") or "/*" in value:
        return None
    value = _URL.sub(lambda m: f"url(#{prefix}-{m[2]})", value)
    for call in _CALL.finditer(value):
        name = call[1].lower()
        if name not in FUNCTIONS or (name == "url" and not value[call.end() :].startswith("#")):
            return None
    return value


def style_of(text: str, prefix: str) -> str:
    """The declarations of a style attribute that only draw, in the colours of the page."""
    kept = []
    for one in _COMMENT.sub("", text).split(";"):
        name, colon, value = one.partition(":")
        name = name.strip().lower()
        safe = value_of(value.strip(), prefix) if colon and name in STYLES else None
        if safe:
            kept.append(f"{name}: {safe}")
    return re.sub(r"#[0-9a-fA-F]{6}\b", lambda m: THEMED.get(m[0].lower(), m[0]), "; ".join(kept))


def sheet_of(text: str, prefix: str) -> str:
    """The plain rules of a style element, confined to the figure."""
    rules = []
    for selector, declarations in _RULE.findall(_COMMENT.sub("", text)):
        style = style_of(declarations, prefix)
        if style and not any(sign in selector for sign in "&()'\""):
            rules.append(f"{_ID.sub(f'#{prefix}-', selector.strip())}{{{style}}}")
    return f"#{prefix}{{{' '.join(rules)}}}" if rules else ""
