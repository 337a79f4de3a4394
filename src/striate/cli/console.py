"""What the terminal shows: results on standard output, everything else on standard error."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from striate.documents import to_json
from striate.findings import Finding
from striate.report.terminal import terminal
from striate.wording import as_text, cell_of_csv, one_line, printable


class SafeConsole(Console):
    """A console on which no text steers the terminal: only what Rich itself writes does.

    Names of files and classes come from anywhere, and a name may hold the codes that move the cursor or set a title.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """See Console."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


out = SafeConsole(highlight=False)
err = SafeConsole(stderr=True, highlight=False)


def print_path(path: Path | str) -> None:
    """Where something was written, a line of standard output. A name that is no UTF-8 goes into a pipe as it is, so that the
    program behind it finds the file.
    """
    name = str(path)
    shown = one_line(name)
    print(name if shown == as_text(name) and not sys.stdout.isatty() else shown)


def print_finding(finding: Finding, format: str) -> None:
    """A finding as a table for people, one JSON document, or the rows of its first table as CSV."""
    if format == "json":
        print(to_json(finding.to_dict()))
    elif format == "csv":
        table = finding.tables[0]
        print_csv([dict(zip(table.columns, row, strict=True)) for row in table.rows])
    else:
        out.print(terminal(finding))


def print_csv(rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows with the same keys as CSV with a header."""
    writer, names = None, list[str]()
    for row in rows:
        if writer is None:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            names = list(row)
            writer.writerow([cell_of_csv(name) for name in names])
        writer.writerow([cell_of_csv(row[name]) for name in names])
