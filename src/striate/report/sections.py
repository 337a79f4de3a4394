"""What the page's template is given: each finding, figure and table as text and markup that is
safe to print.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from striate.documents import to_json
from striate.errors import DataError
from striate.findings import SUFFIX, Figure, Finding, Status, Table
from striate.report.raster import size_of
from striate.report.svg import inline
from striate.report.wording import cell, numeric, tie
from striate.wording import percent

OPEN_ROWS = 10  # a longer table is folded
MOST_ROWS = 1000  # a longer one is cut, and says so
MOST_DATA = 40_000  # characters of JSON shown
CARDS = 5
URGENCY: dict[Status, int] = {"problem": 0, "warning": 1, "good": 2, "note": 3}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A table cell as text; numbers stand on the right."""

    text: str
    number: bool


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure as markup, `width` CSS pixels wide; `small` ones stand together in a gallery. bare: the same without the
    photograph beneath, which the page shows at a switch; key: the switch's id.
    """

    html: Markup
    caption: str
    width: float
    small: bool = False
    bare: Markup | None = None
    key: str = ""

    @property
    def wide(self) -> bool:
        """Whether it takes a row for itself."""
        return self.width > 560


def hero(findings: Sequence[Finding]) -> dict[str, Any] | None:
    """The first key figure: value and, where they are known, low, high and baseline, all from 0
    to 1, and how each is written: in per cent, or by its `format` as the field writes an average precision.
    """
    for finding in findings:
        figure = finding.data.get("key_figure")
        if isinstance(figure, Mapping) and _share(figure.get("value")) is not None:
            numbers = {
                name: _share(figure.get(name)) for name in ("value", "low", "high", "baseline")
            }
            if numbers["low"] is None or numbers["high"] is None:
                numbers |= {"low": None, "high": None}
            texts = {name: str(figure.get(name, "")) for name in ("label", "baseline_label")}
            spec = str(figure.get("format", ""))
            written = {
                name: None if number is None else _written(number, spec)
                for name, number in numbers.items()
            }
            return {"finding": finding, **numbers, **texts, "written": written}
    return None


def _written(number: float, spec: str) -> str:
    return format(number, spec) if re.fullmatch(r"\.\df", spec) else tie(percent(number))


def _share(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and 0 <= value <= 1 else None


def cards(findings: Sequence[Finding]) -> list[tuple[Finding, str]]:
    """The most urgent findings with their anchors; the one in large type needs no card."""
    top = hero(findings)
    rest = [
        (f, anchor(f, i))
        for i, f in enumerate(findings, 1)
        if top is None or f is not top["finding"]
    ]
    return sorted(rest, key=lambda pair: URGENCY[pair[0].status])[:CARDS]


def anchor(finding: Finding, number: int) -> str:
    """The id of the finding's section."""
    return f"s{number}-{re.sub(r'[^a-z0-9-]', '-', finding.name.lower())}"


def section(finding: Finding, number: int) -> dict[str, Any]:
    """A finding's pictures, tables and data, ready for the template."""
    pictures = [
        picture(figure, f"f{number}-{i}", f"findings/{finding.name}-{i}{SUFFIX[figure.media]}")
        for i, figure in enumerate(finding.figures, 1)
    ]
    data = to_json(dict(finding.data), ascii=False)
    return {
        "finding": finding,
        "anchor": anchor(finding, number),
        "charts": [p for p in pictures if not p.small],
        "gallery": [p for p in pictures if p.small],
        "tables": [_table(table) for table in finding.tables],
        "data": data if finding.data and len(data) <= MOST_DATA else "",
        "file": f"findings/{finding.name}.json",
    }


def picture(figure: Figure, prefix: str, file: str) -> Picture:
    """A figure as an element of the page; `prefix` makes its ids its own, `file` is where to
    find it if it is empty.
    """
    if not figure.content:
        return _remark(figure, f"Left out to keep this page small; see {file}.")
    alt = figure.alt or figure.caption
    try:
        if figure.media == "image/svg+xml":
            text, width = inline(figure.content, prefix, alt)
            return Picture(html=Markup(text), caption=figure.caption, width=width)
        size = size_of(figure.content)
    except (DataError, OSError, ValueError) as error:
        return _remark(figure, f"{file} cannot be shown: {error}")
    html, bare = (
        Markup('<img src="data:{};base64,{}" alt="{}" width="{}" height="{}">').format(
            figure.media, base64.b64encode(content).decode(), words, *size
        )
        for content, words in (
            (figure.content, alt),
            (figure.bare, f"{alt}, without the photograph"),
        )
    )
    small = size[0] <= 520 and size[1] <= 280
    return Picture(
        html=html, caption=figure.caption, width=size[0], small=small, bare=bare if figure.bare else None,
        key=f"{prefix}-bare",
    )  # fmt: skip


def _remark(figure: Figure, text: str) -> Picture:
    html = Markup('<p class="left-out">{}</p>').format(text)
    return Picture(html=html, caption=figure.caption, width=480)


def _table(table: Table) -> dict[str, Any]:
    count = len(table.rows)
    numbers = [numeric(table, c) for c in range(len(table.columns))]
    return {
        "columns": [Cell(text=c, number=n) for c, n in zip(table.columns, numbers, strict=True)],
        "rows": [
            [Cell(text=cell(table, r, c), number=numbers[c]) for c in range(len(table.columns))]
            for r in range(min(count, MOST_ROWS))
        ],
        "count": count,
        "folded": count > OPEN_ROWS,
        "cut": count > MOST_ROWS,
        "caption": table.caption,
    }
