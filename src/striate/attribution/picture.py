"""Pictures of an explanation: the image as the network saw it, its predictions, and each method's map over it."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable
from dataclasses import replace

from PIL import Image

from striate.attribution.explanation import Explanation, signed
from striate.attribution.methods import Map, row
from striate.attribution.panels import (
    DPI,
    HEADING,
    LINE,
    MARGIN,
    PANEL,
    SCALE,
    SMALLTEXT,
    TEXT,
    WIDTH,
    Page,
    draw_image,
    draw_lines,
    draw_map,
    draw_scale,
    draw_top,
    draw_words,
    ends,
    lines_of,
    remark_of,
    words_below,
)
from striate.figures import BLUE, INK, VERMILLION, render, style
from striate.findings import Figure


def both(draw: Callable[..., Figure]) -> Figure:
    """What `draw(bare=False)` draws, with `draw(bare=True)` behind it for pages that switch between the two."""
    return replace(draw(bare=False), bare=draw(bare=True).content)


def picture(explanation: Explanation, *, title: str = "", bare: bool = False) -> Figure:
    """All maps of an explanation on one page of 720 pixels, two a row, as PNG.

    Each map is colour over the dimmed photograph, from nothing to its strongest evidence, with its scale; occlusion's is
    the probability that is left with the patch at each place. bare: the maps alone (cividis).
    """
    e = explanation
    high = min(max(e.image.shape[1] / e.image.shape[2], 0.5), 1.6) * PANEL
    maps = list(e.maps.values())
    panels: list[tuple[str, Map, list[tuple[str, str]]] | None] = [
        (one.title, one, lines_of(e, one)) for one in maps
    ]
    # The numbers beside it begin a row of their own.
    panels += [None] * (len(panels) % 2 and bool(e.beside))
    panels += [(name, one, remark_of(one)) for name, one in e.beside.items()]
    pairs = [panels[i : i + 2] for i in range(0, len(panels), 2)]
    blocks = [
        40 + high + SCALE + LINE * max(len(p[2]) for p in pair if p is not None) + 24
        for pair in pairs
    ]
    verdict = textwrap.wrap(e.verdict, 56)
    title_lines = textwrap.wrap(f"Why “{e.target}”?", 42)[:2]
    start = 14 + 38 * len(title_lines) + 4
    top = start + 10 + LINE * len(verdict)
    height = int(top + high + 60 + sum(blocks) + LINE * len(words_below(e)) + 14)
    with style():
        page = Page(WIDTH, height)
        for i, line in enumerate(title_lines):
            page.text(MARGIN, 14 + 38 * i, line, HEADING, weight="bold")
        for i, line in enumerate(verdict):
            page.text(MARGIN, start + LINE * i, line, SMALLTEXT)
        draw_image(page, e, MARGIN, top + 32, PANEL, high)
        page.text(MARGIN, top, "As the network saw it", SMALLTEXT, weight="bold")
        draw_top(page, e, 2 * MARGIN + PANEL, top, PANEL, high + 28)
        for i, panel in enumerate(panels):
            if panel is None:
                continue
            name, one, lines = panel
            left = MARGIN + (i % 2) * (PANEL + MARGIN)
            at = top + high + 62 + sum(blocks[: i // 2])
            draw_map(page, e, one, left, at + 34, PANEL, high, bare=bare)
            draw_scale(page, e, one, left, at + 34 + high + 6, PANEL, bare=bare)
            best = one.method == e.best and e.convincing and name == one.title
            page.text(left, at, name, TEXT, weight="bold", color=BLUE if best else INK)
            draw_lines(page, lines, left, at + high + 40 + SCALE)
        draw_words(page, e)
        caption = f"{title or e.target}: {e.verdict}"
        return render(page.figure, caption=caption, alt=_alt(e), png=True, dpi=DPI)


def one_map(explanation: Explanation, method: str, *, bare: bool = False) -> Figure:
    """One method's map beside the image, 720 pixels wide, as PNG; over the dimmed photograph, or `bare`."""
    e = explanation
    high = min(max(e.image.shape[1] / e.image.shape[2], 0.5), 1.6) * PANEL
    one = e.maps[method]
    height = int(high + 52 + SCALE + len(lines_of(e, one)) * LINE + 20 + LINE * len(words_below(e)))
    with style():
        page = Page(WIDTH, height)
        page.text(MARGIN, 14, textwrap.shorten(e.target, 26), TEXT, weight="bold")
        draw_image(page, e, MARGIN, 46, PANEL, high)
        page.text(2 * MARGIN + PANEL, 14, one.title, TEXT, weight="bold")
        draw_map(page, e, one, 2 * MARGIN + PANEL, 46, PANEL, high, bare=bare)
        draw_scale(page, e, one, 2 * MARGIN + PANEL, 52 + high, PANEL, bare=bare)
        draw_lines(page, lines_of(e, one), 2 * MARGIN + PANEL, 52 + high + SCALE)
        draw_words(page, e)
        return render(page.figure, caption=caption_of(e, one), alt=_alt(e), png=True, dpi=DPI)


def strip(explanation: Explanation, *, heading: str, bare: bool = False) -> Figure:
    """Image and maps side by side, 480 pixels wide, small enough for a report; WebP."""
    e = explanation
    maps = list(e.maps.values())
    count = 1 + len(maps)
    gap, width = 10, 480
    side = (width - gap * (count + 1)) / count
    high = min(side * e.image.shape[1] / e.image.shape[2], 170)
    height = int(high + 128)
    small = 9.5
    with style():
        page = Page(width, height)
        page.text(gap, 6, textwrap.shorten(heading, 56), small, weight="bold")
        draw_image(page, e, gap, 30, side, high)
        page.text(gap, 34 + high, "as it was seen", small)
        for i, one in enumerate(maps, 1):
            left = gap + i * (side + gap)
            draw_map(page, e, one, left, 30, side, high, bare=bare)
            page.text(left, 34 + high, textwrap.shorten(one.title, 22), small)
            draw_scale(page, e, one, left, 56 + high, side, bare=bare, size=8)
            if one.method in e.curves:
                unchanged = e.ignores_weights(one.method) is not None
                words = f"faithful {signed(e.curves[one.method].faithfulness)}"
                page.text(left, 90 + high, words, small, color=VERMILLION if unchanged else INK)
                if unchanged:
                    page.text(left, 106 + high, "same when shuffled", small, color=VERMILLION)
        caption = f"{heading}. " + "; ".join(caption_of(e, one) for one in maps)
        png = render(page.figure, caption=caption, alt=_alt(e), png=True, dpi=DPI)
    with Image.open(io.BytesIO(png.content)) as drawn:
        buffer = io.BytesIO()
        drawn.convert("RGB").save(buffer, "WEBP", quality=88)
    return Figure(content=buffer.getvalue(), media="image/webp", caption=caption, alt=png.alt)


def caption_of(e: Explanation, one: Map) -> str:
    """A map in words: method, how it was made, how far to trust it."""
    text = f"{one.title} ({row(one.method).source}; {one.remark})"
    if one.method in e.curves:
        text += f", faithfulness {signed(e.curves[one.method].faithfulness)}"
    unchanged = e.ignores_weights(one.method)
    if unchanged is not None:
        text += f"; it stays much the same when the weights are shuffled (rank correlation {unchanged:.2f})"
    nothing, most = ends(e, one)
    if e.hidden is not None and one.method == "occlusion":
        text += f"; drawn is the probability with the patch at each place, from {nothing} to {most}"
    return text + ("; it marks nothing" if one.empty else "")


def _alt(e: Explanation) -> str:
    titles = ", ".join(m.title for m in e.maps.values())
    return f"An image predicted as {e.target}, and beside it the pixels that decided by {titles}"
