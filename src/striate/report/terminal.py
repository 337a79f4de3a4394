"""A Finding in a terminal: the verdict with its mark, the tables, and where the figures are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from striate.findings import SUFFIX, Finding, Status, Table
from striate.report.wording import WORDS, cell, numeric, printable

MARKS: dict[Status, tuple[str, str, str]] = {  # mark, mark in ASCII, colour
    "good": ("✔", "[ok]", "green"),
    "note": ("●", "[i]", "blue"),
    "warning": ("▲", "[!]", "yellow"),
    "problem": ("✖", "[x]", "red"),
}
ROWS = 20


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
        yield Text.assemble(
            (plain if options.ascii_only else mark, f"bold {colour}"),
            " ",
            (printable(finding.title), "bold"),
            (f"  {WORDS[finding.status]}", colour),
        )
        yield Padding(_text(finding.verdict), (0, 0, 0, 2))
        if finding.advice:
            yield Padding(_text(finding.advice, style="dim"), (0, 0, 0, 2))
        for table in finding.tables:
            yield Padding(self._table(table, options), (1, 0, 0, 2))
            if self.rows is not None and len(table.rows) > self.rows:
                yield Padding(
                    Text(f"… {len(table.rows) - self.rows:,} more rows", style="dim"), (0, 0, 0, 2)
                )
            if table.caption:
                yield Padding(_text(table.caption, style="dim italic"), (0, 0, 0, 2))
        for line in self._files():
            yield Padding(_text(line, style="dim"), (0, 0, 0, 2))

    def _table(self, table: Table, options: ConsoleOptions) -> RichTable:
        shown = RichTable(
            box=box.ASCII2 if options.ascii_only else box.SIMPLE_HEAD,
            pad_edge=False,
            show_edge=False,
            header_style="bold",
        )
        for c, name in enumerate(table.columns):
            shown.add_column(
                _text(name), justify="right" if numeric(table, c) else "left", overflow="fold"
            )
        count = len(table.rows) if self.rows is None else min(self.rows, len(table.rows))
        for r in range(count):
            shown.add_row(*(_text(cell(table, r, c)) for c in range(len(table.columns))))
        return shown

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


def _text(text: str, style: str = "") -> Text:
    """Plain text, whatever brackets or control codes it holds; too long a word is folded, never
    cut.
    """
    return Text(printable(text), style=style, overflow="fold")
