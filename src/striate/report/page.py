"""One HTML file that opens offline, from Findings."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from striate.errors import DataError, RunError
from striate.findings import SUFFIX, Figure, Finding, Status, Table
from striate.report.svg import inline
from striate.report.weight import lighten
from striate.report.wording import WORDS, cell, numeric, percent, tie

LIMIT = 5_000_000  # bytes of the whole file
OPEN_ROWS = 12  # a longer table is folded
MOST_ROWS = 1000  # a longer one is cut, and says so
MOST_DATA = 40_000  # characters of JSON shown
CARDS = 5
URGENCY: dict[Status, int] = {"problem": 0, "warning": 1, "good": 2, "note": 3}


def write_report(
    path: Path | str,
    findings: Sequence[Finding],
    *,
    title: str,
    subtitle: str,
    facts: Mapping[str, str],
    generated: str,
) -> Path:
    """Write the findings, in their order, as one HTML file of at most 5 MB that needs nothing
    else; returns its path.

    The summary shows the first finding whose data has a `key_figure` in large type, and the most
    urgent of the others as cards. facts: short name -> value, under the title; generated: when and
    by what, in the footer. The file appears whole or not at all. Raises RunError if it cannot be
    written.
    """
    path = Path(path)
    page = render_page(findings, title=title, subtitle=subtitle, facts=facts, generated=generated)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise RunError(
            f"cannot write the report {path}: {error.strerror or error}; "
            "choose a folder that can be written to, on a disk with room"
        ) from error
    return path


def render_page(
    findings: Sequence[Finding],
    *,
    title: str,
    subtitle: str,
    facts: Mapping[str, str],
    generated: str,
    limit: int = LIMIT,
) -> str:
    """The page as text; its pictures are made smaller until it is within `limit` bytes."""

    def build(some: Sequence[Finding]) -> str:
        return _template().render(
            title=title,
            subtitle=subtitle,
            facts=dict(facts),
            generated=generated,
            style=Markup(_resource("page.css")),
            words=WORDS,
            hero=_hero(some),
            cards=_cards(some),
            sections=[_section(f, i) for i, f in enumerate(some, 1)],
        )

    page = build(findings)
    over = len(page.encode()) - limit
    if over <= 0:
        return page
    figures = [figure for finding in findings for figure in finding.figures]
    pictures = sum(len(f.content) for f in figures if f.media != "image/svg+xml")
    # base64 writes three bytes as four
    lighter = iter(lighten(figures, max(0, pictures - over * 3 // 4 - 1000)))
    findings = [replace(f, figures=tuple(next(lighter) for _ in f.figures)) for f in findings]
    page = build(findings)
    while len(page.encode()) > limit:
        # Charts alone are too many: leave the heaviest out, with a word where it is found.
        weights = [
            (len(figure.content), i, j)
            for i, f in enumerate(findings)
            for j, figure in enumerate(f.figures)
            if figure.content
        ]
        if not weights:
            break
        _, i, j = max(weights)
        kept = list(findings[i].figures)
        kept[j] = replace(kept[j], content=b"")
        findings[i] = replace(findings[i], figures=tuple(kept))
        page = build(findings)
    return page


@dataclass(frozen=True, kw_only=True)
class Cell:
    text: str
    number: bool


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure as HTML: `width` in CSS pixels; `small` pictures stand together in a gallery."""

    html: Markup
    caption: str
    width: float
    small: bool
    wide: bool


def _hero(findings: Sequence[Finding]) -> dict[str, Any] | None:
    for finding in findings:
        figure = finding.data.get("key_figure")
        if figure:
            return {"finding": finding, **figure}
    return None


def _cards(findings: Sequence[Finding]) -> list[tuple[Finding, str]]:
    """The most urgent findings and their anchors; the one in large type needs no card."""
    hero = _hero(findings)
    rest = [
        (f, _anchor(f, i))
        for i, f in enumerate(findings, 1)
        if hero is None or f is not hero["finding"]
    ]
    return sorted(rest, key=lambda pair: URGENCY[pair[0].status])[:CARDS]


def _anchor(finding: Finding, number: int) -> str:
    return f"s{number}-{re.sub(r'[^a-z0-9-]', '-', finding.name.lower())}"


def _section(finding: Finding, number: int) -> dict[str, Any]:
    pictures = [
        _picture(figure, f"f{number}-{i}", f"{finding.name}-{i}{SUFFIX[figure.media]}")
        for i, figure in enumerate(finding.figures, 1)
    ]
    data = json.dumps(dict(finding.data), indent=1, ensure_ascii=False, default=str)
    return {
        "finding": finding,
        "anchor": _anchor(finding, number),
        "charts": [p for p in pictures if not p.small],
        "gallery": [p for p in pictures if p.small],
        "tables": [_table(table) for table in finding.tables],
        "data": data if finding.data and len(data) <= MOST_DATA else "",
        "file": f"findings/{finding.name}.json",
    }


def _picture(figure: Figure, prefix: str, file: str) -> Picture:
    alt = figure.alt or figure.caption
    if not figure.content:
        html = Markup("<p class='left-out'>Left out to keep this file small; see findings/{}.</p>")
        return Picture(
            html=html.format(file), caption=figure.caption, width=640, small=False, wide=False
        )
    if figure.media == "image/svg+xml":
        try:
            text, width = inline(figure.content, prefix, alt)
        except DataError as error:
            html = Markup("<p class='left-out'>{}</p>").format(str(error))
            return Picture(html=html, caption=figure.caption, width=640, small=False, wide=False)
        return Picture(
            html=Markup(text), caption=figure.caption, width=width, small=False, wide=width > 560
        )
    size = _size(figure)
    html = Markup('<img src="data:{};base64,{}" alt="{}" width="{}" height="{}">').format(
        figure.media, base64.b64encode(figure.content).decode(), alt, *size
    )
    small = size[0] <= 520 and size[1] <= 260
    return Picture(
        html=html, caption=figure.caption, width=size[0], small=small, wide=size[0] > 560
    )


def _size(figure: Figure) -> tuple[int, int]:
    with Image.open(io.BytesIO(figure.content)) as picture:
        return picture.size


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


def _template() -> Any:
    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(_resource),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tie"] = tie
    environment.filters["percent"] = percent
    return environment.get_template("page.html.j2")


def _resource(name: str) -> str:
    return resources.files("striate.report").joinpath(name).read_text(encoding="utf-8")
