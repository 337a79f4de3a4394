"""The table of `striate summary`: layers in columns that fit the window, with a line for the whole network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from striate.cli.console import out
from striate.findings import Finding
from striate.report.wording import cell, within
from striate.wording import one_line

if TYPE_CHECKING:
    from striate.findings import Table as Rows

BAR = 8  # characters of the bar of a share of one
# Columns in the order in which they go when the window is narrow; the others always stay.
SPARE = ("bar", "kind", "window")
GAP = 2  # between columns
WIDEST = 100  # characters of a line of prose
NUMBERS = ("parameters", "MACs", "share")
STYLES = {"kind": "dim", "window": "cyan", "receptive field": "green"}
NBSP = "\N{NO-BREAK SPACE}"


def show(finding: Finding, title: str) -> None:
    """The summary's table, in columns that fit the window, with a line for the whole network."""
    table = finding.tables[0]
    place = {name.split(" (")[0]: c for c, name in enumerate(table.columns)}
    millions = "MACs" not in table.columns
    sums = finding.data["totals"]
    known = sums["known_multiply_adds"]
    totals = {
        "layer": "total",
        "kind": str(sums["kind"]),
        "parameters": f"{sums['parameters']:,}",
        "MACs": f"{known / 1e6:,.1f}" if millions else f"{known:,}",
    }
    if sums["multiply_adds"] is None:
        totals["MACs"] = f"at least {totals['products']}"
    left_out = set() if not out.options.ascii_only else {"bar"}
    for name in SPARE:
        if _width(table, place, totals, left_out) <= out.width:
            break
        left_out.add(name)
    names = [name for name in place if name not in left_out]
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True,
                  header_style="bold", show_footer=True, footer_style="bold")  # fmt: skip
    for name in names:
        shown.add_column(
            table.columns[place[name]],
            _said(totals.get(name, "")),
            justify="right" if name in NUMBERS else "left",
            style=STYLES.get(name, ""),
            overflow="fold",
            no_wrap=name != "layer",
        )
    if "bar" not in left_out:
        shown.add_column("", width=BAR, no_wrap=True, style="blue")
    guides = _guides([_level(str(row[0])) for row in table.rows])
    for r, row in enumerate(table.rows):
        cells = [Text(_said("" if not row[place[n]] else cell(table, r, place[n]))) for n in names]
        cells[0] = Text.assemble((_said(guides[r]), "dim"), _said(str(row[0]).lstrip(NBSP)))
        if "bar" not in left_out:
            share = row[place["share"]]
            cells.append(Text(_bar(share if isinstance(share, float) else 0.0)))
        shown.add_row(*cells)
    width = min(out.width, WIDEST)
    out.print(Text(_said(title), style="bold"))
    out.print(Text(_said(finding.verdict)), width=width)
    if finding.advice:
        out.print(Text(_said(f"→ {finding.advice}"), style="yellow"), width=width)
    out.print()
    out.print(shown)
    out.print()
    size = _bytes(sums["activation_bytes"])
    note = f"The outputs of all layers take {size}. {table.caption}"
    out.print(Text(_said(note), style="dim"), width=width)


def _said(text: str) -> str:
    """A text on one line, in the signs that the window has."""
    return within(one_line(text), out.encoding)


def _bytes(count: int) -> str:
    """Bytes as people say them: 640 bytes, 31 kB, 110 MB."""
    for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 10**power:
            return f"{count / 10**power:.3g} {unit}"
    return f"{count} bytes"


def _width(table: Rows, place: dict[str, int], totals: dict[str, str], left_out: set[str]) -> int:
    """Characters that the table takes without these columns."""
    widths = [] if "bar" in left_out else [BAR]
    for name, c in place.items():
        if name not in left_out:
            cells = [len(cell(table, r, c)) for r in range(len(table.rows))]
            widths.append(max(len(table.columns[c]), len(totals.get(name, "")), *cells))
    return sum(widths) + GAP * (len(widths) - 1) + 1  # a branch is one longer than its indent


def _level(name: str) -> int:
    return (len(name) - len(name.lstrip(NBSP))) // 2


def _guides(levels: list[int]) -> list[str]:
    """The branches in front of each name."""
    found = []
    for place, level in enumerate(levels):
        text = ""
        for depth in range(1, level + 1):
            rest = levels[place + 1 :]
            ends = next((n for n in rest if n <= depth), 0)
            more = ends == depth
            text += ("├─" if more else "└─") if depth == level else "│ " if more else "  "
        found.append(text + " " if text else "")
    return found


def _bar(share: float) -> str:
    """A bar of eighths of a character; a share of one fills it."""
    eighths = round(share * BAR * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + ("" if not rest else "▏▎▍▌▋▊▉"[rest - 1])
