"""An SVG inside the page keeps its looks and loses what could act or reach outside."""

from __future__ import annotations

import pytest

from striate.errors import DataError
from striate.report.svg import inline


def cleaned(body: str, head: str = "") -> str:
    text = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="72pt" height="36pt" viewBox="0 0 72 36" {head}>{body}</svg>'
    )
    return inline(text.encode(), "p", "alt text")[0]


@pytest.mark.parametrize(
    "body",
    [
        "<script>alert(1)</script>",
        "<g><script>alert(1)</script></g>",
        '<rect onclick="alert(1)"/>',
        '<rect ONLOAD="alert(1)"/>',
        '<a href="javascript:alert(1)"><text>x</text></a>',
        "<foreignObject><p>alert(1)</p></foreignObject>",
        '<image href="https://example.org/alert(1).png"/>',
        '<image xlink:href="data:image/svg+xml;base64,alert(1)"/>',
        '<use href="other.svg#alert(1)"/>',
        '<rect style="fill: url(https://example.org/alert(1))"/>',
        "<rect fill=\"url('//example.org/alert(1)')\"/>",
        "<style>@import 'alert(1)'; rect{fill:url(http://alert(1))}</style>",
        '<set attributeName="href" to="javascript:alert(1)"/>',
        "<metadata>alert(1)</metadata>",
        '<html:iframe xmlns:html="http://www.w3.org/1999/xhtml" src="alert(1)"/>',
        "<!-- alert(1) -->",
    ],
)
def test_what_acts_or_reaches_outside_is_gone(body: str) -> None:
    text = cleaned(body + '<circle r="1"/>')
    assert "alert(1" not in text
    assert "example.org" not in text
    assert '<circle r="1" />' in text


def test_ids_and_their_references_get_the_prefix() -> None:
    text = cleaned(
        '<defs><clipPath id="c"/></defs><g id="g" clip-path="url(#c)" aria-labelledby="g c"/>'
        '<use xlink:href="#g"/><rect style="fill: url(#c); stroke: url( \'#g\' )"/>'
    )
    for part in (
        'id="p-c"',
        'clip-path="url(#p-c)"',
        'aria-labelledby="p-g p-c"',
        'href="#p-g"',
        "fill: url(#p-c); stroke: url(#p-g)",
    ):
        assert part in text


def test_styles_are_confined_to_the_figure() -> None:
    """matplotlib's own rule, `*{stroke-linejoin: round}`, would otherwise reach the whole page."""
    text = cleaned("<style>*{stroke-linejoin: round} #a:hover{fill: #abcdef}</style>")
    assert "#p{*{stroke-linejoin: round} #p-a:hover{fill: #abcdef}}" in text


def test_embedded_pixels_stay() -> None:
    assert 'href="data:image/png;base64,iVBO"' in cleaned(
        '<image xlink:href="data:image/png;base64,iVBO"/>'
    )


def test_chart_colours_become_the_pages_own() -> None:
    text = cleaned('<path style="stroke: #0072b2; fill: #D55E00"/><path style="fill: #123456"/>')
    assert "stroke: var(--blue, #0072b2); fill: var(--vermillion, #d55e00)" in text
    assert "fill: #123456" in text


def test_text_is_still_text() -> None:
    assert "&lt;b&gt; &amp; 猫" in cleaned("<text>&lt;b&gt; &amp; 猫</text>")


@pytest.mark.parametrize(
    ("size", "width"),
    [
        ('width="72pt" height="36pt"', 96),
        ('width="3in" height="1in"', 288),
        ('width="100" height="9"', 100),
        ("", 640),
    ],
)
def test_natural_width_in_css_pixels(size: str, width: float) -> None:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><g/></svg>'
    text, natural = inline(svg.encode(), "p", "a")
    assert natural == pytest.approx(width)
    assert ' width="' not in text
    assert ("viewBox" in text) == bool(size)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<svg", "figure p: not a readable SVG"),
        (b"<html><body/></html>", "figure p: expected an SVG, got <html>"),
        (
            b'<!DOCTYPE svg [<!ENTITY a "b">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>',
            "must not declare entities",
        ),
        (b'<!doctype svg><svg xmlns="http://www.w3.org/2000/svg"/>', "not a readable SVG"),
    ],
)
def test_what_is_no_svg_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        inline(content, "p", "a")
