"""One look for every figure: colour-blind-safe colours, and lines that follow the page from light to dark."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from striate.findings import Figure
from striate.wording import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure
    from matplotlib.text import Text

# Okabe and Ito, "Color Universal Design" (2008): tells apart under every common colour blindness.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW = "#CC79A7", "#56B4E9", "#F0E442"
CYCLE = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY)
SEQUENTIAL = "cividis"  # perceptually even, and the same to most colour-blind eyes
DIVERGING = "PuOr"
INK = "#1f2328"  # text and axes; becomes currentColor in SVG, so that a dark page turns it light
GRID = "#8c959f"


# Fonts with scripts that matplotlib's own lacks, as Linux, macOS and Windows have them; colour fonts cannot be drawn.
OTHER_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "Microsoft YaHei", "SimHei", "PingFang SC", "PingFang HK",
    "Hiragino Sans GB", "Hiragino Sans", "Yu Gothic", "Meiryo", "MS Gothic", "Malgun Gothic",
    "Apple SD Gothic Neo", "NanumGothic", "Noto Sans Devanagari", "Noto Sans Thai", "Noto Sans Arabic",
    "Noto Sans Hebrew", "Noto Sans Bengali", "Noto Sans Tamil", "Nirmala UI", "Leelawadee UI", "Segoe UI",
    "Noto Emoji", "Segoe UI Symbol", "Symbola", "Noto Sans Symbols2", "Arial Unicode MS", "FreeSans", "Unifont",
)  # fmt: skip


@cache
def other_fonts() -> tuple[str, ...]:
    """Those of OTHER_FONTS that are installed: they draw what the first font lacks."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return tuple(name for name in OTHER_FONTS if name in installed)


@cache
def font_for(text: str) -> str:
    """The file of an installed font that has every character of `text`; matplotlib's own where none has."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    own = findfont(FontProperties(family="DejaVu Sans"))
    for file in (own, *(findfont(FontProperties(family=name)) for name in other_fonts())):
        if all(ord(c) in get_font(file).get_charmap() for c in text):
            return file
    return own


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's settings for the duration of a `with`, without a display and without touching the user's own."""
    import matplotlib
    from cycler import cycler

    settings: dict[Any, Any] = {
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": cycler(color=CYCLE),
        "axes.grid": False,
        "grid.color": GRID,
        "grid.alpha": 0.3,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "font.family": ["sans-serif", *other_fonts()],
        "font.size": 10,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "svg.fonttype": "none",
        "svg.hashsalt": "striate",
        "image.cmap": SEQUENTIAL,
    }
    with warnings.catch_warnings(), matplotlib.rc_context(settings), _nothing_of_weights():
        # A class may have any name. What no font has becomes a box here; in SVG the reader's own fonts draw it.
        warnings.filterwarnings(
            "ignore", message=r"Glyph .* missing from|Matplotlib currently does not support"
        )
        yield


@contextmanager
def _nothing_of_weights() -> Iterator[None]:
    """Keep matplotlib from logging that a font of another script has no bold: its only weight is right for such a name."""

    def other(record: logging.LogRecord) -> bool:
        return "font weight" not in record.msg

    log = logging.getLogger("matplotlib.font_manager")
    log.addFilter(other)
    try:
        yield
    finally:
        log.removeFilter(other)


def new_figure(width: float = 6.4, height: float = 4.0, *, placed: bool = False) -> MplFigure:
    """An empty matplotlib figure of `width` x `height` inches that belongs to no window; use inside `style()`.

    placed: all that is on it is given its place; else matplotlib lays it out, for which it draws everything twice.
    """
    from matplotlib.figure import Figure as MplFigure

    return MplFigure(figsize=(width, height), layout=None if placed else "constrained")


def render(
    figure: MplFigure, *, caption: str, alt: str = "", png: bool = False, dpi: int = 150
) -> Figure:
    """Turn a matplotlib figure into a Finding's Figure: SVG for charts, PNG (on white) for photographs.

    Call inside `style()`.
    """
    _names_as_they_are(figure)
    buffer = io.BytesIO()
    if png:
        figure.savefig(buffer, format="png", dpi=dpi, facecolor="white")
        return Figure(content=buffer.getvalue(), media="image/png", caption=caption, alt=alt)
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue().decode()
    # Names at ticks are set again when it draws; XML has no way to write most controls.
    text = printable(text[text.index("<svg") :]).replace(INK, "currentColor")
    return Figure(
        content=text.encode("utf-8", "replace"), media="image/svg+xml", caption=caption, alt=alt
    )


def _names_as_they_are(figure: MplFigure) -> None:
    """Texts of a figure hold names of anything: dollars begin no formula in them, and no character is one that SVG lacks.

    What matplotlib writes on axes itself, such as powers of ten, is set when it draws, and stays a formula.
    """
    for text in _texts(figure):
        if written := text.get_text():
            text.set_text(printable(written))
            text.set_parse_math(written.startswith(r"$\mathdefault{"))


def _texts(part: Any) -> Iterator[Text]:
    """The texts of a figure or a part of it, without the ticks of axes that show none or numbers alone.

    Matplotlib makes ticks when they are asked for, which for many small pictures took longer than to draw them.
    """
    from matplotlib.axis import Axis
    from matplotlib.text import Text
    from matplotlib.ticker import LogFormatter, NullFormatter, ScalarFormatter

    numbers = NullFormatter, ScalarFormatter, LogFormatter
    if isinstance(part, Text):
        yield part
    elif isinstance(part, Axis):
        hidden = not (part.get_visible() and part.axes.axison)
        yield part.label
        if not hidden and not isinstance(part.get_major_formatter(), numbers):
            for tick in part.get_major_ticks():
                yield from (tick.label1, tick.label2)
    else:
        for inside in part.get_children():
            yield from _texts(inside)


@contextmanager
def any_script() -> Iterator[None]:
    """Silence matplotlib about characters that its own font lacks: in SVG the reader's fonts
    draw the text.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield
