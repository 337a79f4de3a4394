"""An SVG inside the page keeps its looks and loses what could act or reach outside."""

from __future__ import annotations

import re

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
    assert "viewBox" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<svg", "figure p: not a readable SVG"),
        (b"<html><body/></html>", "figure p: expected an SVG, got <html>"),
        (
            b'<!DOCTYPE svg [<!ENTITY a "b">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>',
            "must not declare entities",
        ),
        (b'<!doctype svg><svg xmlns="http://www.w3.org/2000/svg"/>', "must not declare entities"),
    ],
)
def test_what_is_no_svg_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        inline(content, "p", "a")


ACTS = (
    '<meta http-equiv="refresh" content="0;url=https://example.org"/>',
    '<x:meta xmlns:x="http://www.w3.org/1999/xhtml" http-equiv="refresh" content="0"/>',
    "<Script>alert(1)</Script>",
    "<SCRIPT>alert(1)</SCRIPT>",
    '<form action="https://example.org"><input name="a"/></form>',
    "<foreignobject><b>b</b></foreignobject>",
    '<title><img src="x" onerror="alert(1)"/></title>',
    '<desc><meta http-equiv="refresh" content="0"/></desc>',
    '<style><img src="x" onerror="alert(1)"/></style>',
    '<g ONCLICK="alert(1)" onload="alert(1)" formaction="x" background="x" tabindex="1"/>',
    '<image href="https://example.org/a.png"/><image href="data:image/svg+xml;base64,PHN2Zz4="/>',
    '<image href="data:image/png;base64,AAAA&quot; onerror=&quot;alert(1)"/>',
    '<use href="https://example.org/a.svg#b"/>',
    '<animate attributeName="href" to="javascript:alert(1)"/><set attributeName="onclick" to="alert(1)"/>',
    "<style>} body{position:fixed} a{</style>",
    "<style>@import url(https://example.org); @font-face{src:url(https://example.org)}</style>",
    "<style>*{background:url(https://example.org);fill:u\\72l(https://example.org);position:fixed}</style>",
    "<g style=\"position:fixed;background-image:url(https://example.org);fill:image-set('https://example.org' 1x)\"/>",
    '<g fill="url(https://example.org#a)" mask="url( &apos;//example.org&apos; )" filter="url(#f)"/>',
    '<iframe srcdoc="a"/><object data="a"/><embed src="a"/><link rel="stylesheet" href="a"/><base href="a"/>',
)
WORDS = re.compile(
    r"meta|script|form\b|input|foreign|<img|onerror|onclick|onload|example\.org|svg\+xml|javascript|display|import|"
    r"@|\\\\|position|background|image-set|filter|iframe|object|embed|<link|<base|tabindex|<set|<animate",
    re.IGNORECASE,
)


@pytest.mark.parametrize("body", ACTS, ids=range(len(ACTS)))
def test_nothing_that_acts_or_loads_stays(body: str) -> None:
    text = cleaned(f"{body}<path d='M0 0'/>")
    assert WORDS.search(text) is None
    assert "M0 0" in text


@pytest.mark.parametrize("depth", [200, 3000, 100_000])
def test_elements_that_lie_too_deep_are_refused(depth: int) -> None:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg">{"<g>" * depth}{"</g>" * depth}</svg>'
    with pytest.raises(DataError, match="nested more than 100 deep"):
        inline(svg.encode(), "p", "a")


def test_copies_of_copies_are_not_drawn() -> None:
    """Ten levels of ten copies each would be ten billion."""
    levels = "".join(
        f'<g id="g{i}">{f"""<use href="#g{i - 1}"/>""" * 10}</g>' for i in range(1, 10)
    )
    text = cleaned(f'<g id="g0"><path d="M0 0"/></g>{levels}<use href="#g9"/>')
    assert text.count("<use") == text.count('href="#p-g0"') + text.count("<use />")
    assert 'href="#p-g9"' not in text and 'href="#p-g1"' not in text


@pytest.mark.parametrize("box", ["a b c d", "1 2", "nan 0 1 1", "0 0 inf 1", "0 0 -1 1", ""])
def test_a_view_box_that_is_none_is_replaced(box: str) -> None:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" width="1.2.3"><g/></svg>'
    text, width = inline(svg.encode(), "p", "a")
    assert width == 640 and 'viewBox="0 0 640 400"' in text


def test_other_encodings_cannot_hide_a_declaration() -> None:
    svg = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE svg><svg xmlns="http://www.w3.org/2000/svg"/>'
    with pytest.raises(DataError, match="must be UTF-8"):
        inline(svg.encode("utf-16"), "p", "a")
