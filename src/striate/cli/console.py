"""What the terminal shows: results on standard output, everything else on standard error."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.segment import Segment

from striate.cli.options import Format
from striate.documents import Listing, json_in_parts, to_json
from striate.findings import Finding
from striate.report.terminal import terminal
from striate.wording import as_text, cell_of_csv, one_line, printable

if TYPE_CHECKING:
    from striate.api import Found
    from striate.runs.shards import Merged


class SafeConsole(Console):
    """A console on which no text steers the terminal or makes a line: only what Rich itself writes does.

    Names of files and classes come from anywhere, and a name may hold the codes that move the cursor or set a title. Each
    text that is printed is one line; `print_lines` is for our own texts of several.
    """

    def print(self, *objects: Any, **options: Any) -> None:
        """See Console; texts are one line each."""
        super().print(*(one_line(o) if isinstance(o, str) else o for o in objects), **options)

    def print_lines(self, text: str, **options: Any) -> None:
        """A text of several lines, none of which comes from a name."""
        for line in text.split("\n"):
            self.print(line, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """See Console."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


UNLIMITED = 10_000  # characters of a line that goes into a file or a pipe

out = SafeConsole(highlight=False)
err = SafeConsole(stderr=True, highlight=False)


def print_path(path: Path | str) -> None:
    """Where something was written, a line of standard output. A name that is no UTF-8 goes into a pipe as it is, so that the
    program behind it finds the file.
    """
    name = str(path)
    shown = one_line(name)
    print(name if shown == as_text(name) and not sys.stdout.isatty() else shown)


def say(text: str) -> None:
    """A line on standard error, as it is."""
    err.print(f"striate: {text}", soft_wrap=True, markup=False)


def say_left_out(found: Found | Merged) -> None:
    """Name on standard error what was not looked at, pages and pictures after the first among it."""
    for remark in found.remarks:
        say(remark)


@contextmanager
def progress(text: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error that goes when the work ends. It gives a function (what, done, of); `of` is 0 if not known."""
    from rich.progress import Progress

    with Progress(console=err, transient=True) as bar:
        task = bar.add_task(text, total=None)
        yield lambda what, done, of: bar.update(
            task, description=what or text, completed=done, total=of or None
        )


def print_wide(table: RenderableType) -> None:
    """A table on standard output with each row on one line, as wide as it is, where that is no terminal: a file name that is
    broken in two is found by no program and no eye. A terminal has the width that it has.
    """
    if out.is_terminal:
        out.print(table)
        return
    natural = Measurement.get(out, out.options.update(max_width=UNLIMITED), table).maximum
    SafeConsole(highlight=False, width=max(out.width, natural)).print(table)


def print_findings(
    findings: Sequence[Finding], format: Format, *, kind: str = "finding", tables: bool = True
) -> None:
    """Findings for people, as one JSON array, or as CSV with a row each under the name `kind`.

    tables: with their tables, for people.
    """
    if format is Format.json:
        print_json([f.to_dict() for f in findings])
    elif format is Format.csv:
        print_csv(
            {kind: f.name, "status": f.status, "verdict": f.verdict, "advice": f.advice}
            for f in findings
        )
    else:
        for finding in findings:
            out.print(terminal(finding if tables else replace(finding, tables=())))


def print_finding(finding: Finding, format: Format = Format.table) -> None:
    """A finding as a table for people, one JSON document, or the rows of its first table as CSV."""
    if format is Format.json:
        print_json(finding.to_dict())
    elif format is Format.csv:
        table = finding.tables[0]
        print_csv([dict(zip(table.columns, row, strict=True)) for row in table.rows])
    else:
        out.print(terminal(finding))


def print_json(value: Any) -> None:
    """One JSON document; very many rows are written as they are made."""
    long = [k for k, v in value.items() if isinstance(v, Listing)] if isinstance(value, dict) else []  # fmt: skip
    if len(long) != 1:
        print(to_json(value))
        return
    for part in json_in_parts(value, long[0]):
        print(part, end="")
    print()


def print_csv(rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows with the same keys as CSV with a header."""
    writer, names = None, list[str]()
    for row in rows:
        if writer is None:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            names = list(row)
            writer.writerow([cell_of_csv(name) for name in names])
        writer.writerow([cell_of_csv(row[name]) for name in names])
