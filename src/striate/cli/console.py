"""What the terminal shows: results on standard output, everything else on standard error."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console

from striate.documents import to_json
from striate.findings import Finding
from striate.report.terminal import terminal

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


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
    writer = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(sys.stdout, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)
