"""`striate predict`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from rich.markup import escape
from rich.table import Table

from striate.cli.console import err, out, print_csv
from striate.data.files import Found, find_files
from striate.errors import DataError
from striate.images import pages_of, quiet
from striate.runs import Prediction, load, predict

AT_ONCE = 200  # rows of one table; longer lists are several, so that the first appears early


def predict_command(
    path: Path,
    paths: list[str],
    *,
    top: int,
    device: str,
    format: str,
    folder: Path | None = None,
    force: bool = False,
) -> None:
    """Print a row a file; exit status 1 when a file could not be read."""
    run = load(path)
    found = find_files(paths)
    task, shown = run.task, min(top, len(run.classes))
    if folder is None and task.folder is not None:
        folder = Path(task.folder)
    answers = predict(run, found, top=top, out=folder, force=force, device=device)
    failed = total = 0

    def watched() -> Iterator[Prediction]:
        nonlocal failed, total
        for prediction in answers:
            total += 1
            failed += prediction.error is not None
            yield prediction

    if format == "json":
        print_json(watched())
    elif format == "csv":
        print_csv(row for p in watched() for row in p.rows(shown))
    else:
        print_tables(watched(), shown)
        if folder is not None:
            out.print(f"what was written is in {escape(str(folder))}", soft_wrap=True)
    say_left_out(found)
    if failed:
        err.print(
            f"striate: {failed} of {total} files could not be read; the rows say why",
            soft_wrap=True,
        )
        raise SystemExit(1)


def say_left_out(found: Found) -> None:
    """Name on standard error what was not looked at, pages and pictures after the first among it."""
    pages = [f for f in found.files if f.lower().endswith((".tif", ".tiff")) and _pages(f) > 1]
    moving = [f for f in found.files if f.lower().endswith((".gif", ".webp")) and _moves(f)]
    for several, what, remedy in (
        (pages, "pages", ", or take them with `striate tile --page`"),
        (moving, "pictures", ""),
    ):
        if several:
            many = f"{len(several)} files hold" if len(several) > 1 else "1 file holds"
            err.print(
                f"striate: {many} several {what}, of which the first is read ({several[0]}); save the others as files of "
                f"their own{remedy}",
                soft_wrap=True,
                markup=False,
            )
    for sentence in found.sentences:
        err.print(f"striate: {sentence}", soft_wrap=True, markup=False)


def _pages(path: str) -> int:
    try:
        return pages_of(Path(path))
    except DataError:  # its row says why
        return 1


def _moves(path: str) -> bool:
    try:
        with quiet(), Image.open(path) as picture:
            return bool(getattr(picture, "is_animated", False))
    except (OSError, ValueError, SyntaxError):  # its row says why
        return False


def print_json(predictions: Iterator[Prediction]) -> None:
    """One JSON array, an item at a time."""
    print("[", end="")
    for i, p in enumerate(predictions):
        print(",\n " if i else "\n ", json.dumps(p.document()), sep="", end="")
    print("\n]")


def print_tables(predictions: Iterator[Prediction], top: int) -> None:
    """Tables of at most AT_ONCE rows."""
    batch: list[Prediction] = []
    for p in predictions:
        batch.append(p)
        if len(batch) == AT_ONCE:
            out.print(table_of(batch, top))
            batch = []
    if batch:
        out.print(table_of(batch, top))


def table_of(batch: list[Prediction], top: int) -> Table:
    """A table with the file and what is said of it; numbers and all but the first of several alternatives are dim."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold")
    headings = batch[0].headings(top)
    for heading in headings:
        table.add_column(heading.strip(), justify="right" if heading.startswith(" ") else "left")
    for p in batch:
        if p.error:
            table.add_row(escape(p.path), f"[red]not read: {escape(p.error)}[/red]")
            continue
        for i, line in enumerate(p.cells(top)):
            cells = [
                f"[{'bold' if at < 2 else 'dim'}]{escape(cell)}[/]" for at, cell in enumerate(line)
            ]
            table.add_row(escape(p.path) if i == 0 else "", *cells)
    return table
