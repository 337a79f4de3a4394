"""A Finding in a terminal: the verdict with its mark, the tables, and where the figures are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from striate.findings import SUFFIX, Finding, Status, Table
from striate.report.wording import WORDS, cell, numeric, within
from striate.wording import one_line

MARKS: dict[Status, tuple[str, str, str]] = {  # mark, mark in ASCII, colour
    "good": ("✔", "[ok]", "green"),
    "note": ("●", "[i]", "blue"),
    "warning": ("▲", "[!]", "yellow"),
    "problem": ("✖", "[x]", "red"),
}
ROWS = 20
INDENT = 2
GAP = 2  # between columns
FOLDED = 12  # a text column is not narrower, if its texts are longer


def terminal(
    finding: Finding, *, folder: Path | None = None, rows: int | None = ROWS
) -> TerminalFinding:
    """The finding as a Rich renderable.

    folder: where it was saved, to name its figures; rows: the most shown of each table, None for
    all.
    """
    return TerminalFinding(finding, folder, rows)


@dataclass(frozen=True)
class TerminalFinding:
    """What `terminal` returns; Rich calls it when it prints. Nothing in a finding is read as
    Rich markup.
    """

    finding: Finding
    folder: Path | None
    rows: int | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        finding = self.finding
        mark, plain, colour = MARKS[finding.status]

        def line(text: str, style: str = "") -> Padding:
            return Padding(_text(text, options, style), (0, 0, 0, INDENT))

        yield Text.assemble(
            (plain if options.ascii_only else mark, f"bold {colour}"),
            " ",
            _text(finding.title, options, "bold"),
            (f"  {WORDS[finding.status]}", colour),
        )
        yield line(finding.verdict)
        if finding.advice:
            yield line(f"→ {finding.advice}")
        for table in finding.tables:
            count = len(table.rows) if self.rows is None else min(self.rows, len(table.rows))
            columns = [Column.of(table, c, count, options) for c in range(len(table.columns))]
            rest = columns
            while rest:
                shown = fit(rest, options.max_width - INDENT)
                yield Padding(_grid(shown, options), (1, 0, 0, INDENT))
                rest = rest[len(shown) :]
                if rest:  # what finds no room stands below, beside the rows' names again
                    rest = [columns[0], *rest] if len(shown) > 1 else rest
            if self.rows is not None and len(table.rows) > self.rows:
                yield line(f"… {len(table.rows) - self.rows:,} more rows", "dim")
            if table.caption:
                yield line(table.caption, "dim italic")
        for file in self._files():
            yield line(file, "dim")

    def _files(self) -> Iterator[str]:
        names = [
            f"{self.finding.name}-{i}{SUFFIX[figure.media]}"
            for i, figure in enumerate(self.finding.figures, 1)
        ]
        if self.folder is None or not names:
            return
        if len(names) <= 3:
            yield from (f"figure: {self.folder / name}" for name in names)
        else:
            yield f"{len(names)} figures: {self.folder / names[0]} … {names[-1]}"


@dataclass(frozen=True, kw_only=True)
class Column:
    """A table's column as text; `least` and `most` are the narrowest and widest that it may be
    drawn.
    """

    name: str
    cells: tuple[str, ...]
    number: bool
    least: int
    most: int

    @classmethod
    def of(cls, table: Table, column: int, count: int, options: ConsoleOptions) -> Column:
        """Column `column` of the first `count` rows; numbers are never broken in two."""
        name = _text(table.columns[column], options).plain
        cells = tuple(_text(cell(table, r, column), options).plain for r in range(count))
        word = max(map(cell_len, name.split()), default=0)
        longest = max(map(cell_len, cells), default=0)
        number = numeric(table, column)
        least = max(word, longest if number else min(longest, FOLDED))
        most = max(cell_len(name), longest)
        return cls(name=name, cells=cells, number=number, least=least, most=most)


def fit(columns: Sequence[Column], room: int) -> list[Column]:
    """The columns that fit into `room` characters, from the left, the texts among them as wide
    as there is room.
    """
    fitting = list(columns)
    while len(fitting) > 1 and sum(c.least for c in fitting) + GAP * (len(fitting) - 1) > room:
        fitting.pop()
    spare = room - sum(c.least for c in fitting) - GAP * (len(fitting) - 1)
    for i, column in enumerate(fitting):
        wider = max(0, min(column.most - column.least, spare))
        spare -= wider
        fitting[i] = replace(column, most=column.least + wider)
    return fitting


def _grid(columns: Sequence[Column], options: ConsoleOptions) -> RichTable:
    shown = RichTable(
        box=box.ASCII2 if options.ascii_only else box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
        header_style="bold",
    )
    for column in columns:
        shown.add_column(
            Text(column.name),
            justify="right" if column.number else "left",
            overflow="fold",
            width=column.most,
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        shown.add_row(*map(Text, row))
    return shown


def _text(text: str, options: ConsoleOptions, style: str = "") -> Text:
    """Plain text on one line, whatever brackets or control codes it holds; too long a word is folded, never
    cut.
    """
    return Text(within(one_line(text), options.encoding), style=style, overflow="fold")
