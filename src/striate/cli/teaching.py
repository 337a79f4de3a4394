"""`striate lecture`."""

from __future__ import annotations

from pathlib import Path

from rich.progress import Progress

from striate.cli.console import err, print_path
from striate.lectures import make


def lecture_command(number: str, folder: Path | None) -> None:
    """Make one lecture's page and figures, and print their paths."""
    out = folder if folder is not None else Path(f"lecture-{number.zfill(3)}")
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task(f"lecture {number}", total=None)
        paths = make(
            number,
            out,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    for path in paths:
        print_path(path)
