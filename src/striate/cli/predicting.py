"""`striate predict`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.cli.options import Folder, Format, Formats, Model, app
from striate.documents import to_json

if TYPE_CHECKING:
    from rich.table import Table

    from striate.data.files import Found
    from striate.tasks.prediction import Prediction

AT_ONCE = 200  # rows of one table; longer lists are several, so that the first appears early


@app.command()
def predict(
    run: Folder,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...", help="Images, folders, or patterns such as 'photos/*.jpg'."
        ),
    ],
    top: Annotated[int, typer.Option(help="How many classes to name.")] = 3,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Where masks and overlays go; masks/ if not given."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over masks that exist.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """Name the classes of images, or write a mask for each where the run labels pixels."""
    from rich.markup import escape

    from striate import api
    from striate.cli.console import err, print_csv
    from striate.cli.console import out as console
    from striate.data.files import find_files

    trained = api.load(run, model=None if model is None else api.find_factory(model)).trained
    found = find_files(paths)
    shown, folder = min(top, len(trained.classes)), out
    if folder is None and trained.task.folder is not None:
        folder = Path(trained.task.folder)
    answers = api.predict(trained, found, top=top, out=folder, force=force, device=device)
    failed = total = 0

    def watched() -> Iterator[Prediction]:
        nonlocal failed, total
        for prediction in answers:
            total += 1
            failed += prediction.error is not None
            yield prediction

    if format is Format.json:
        print_json(watched())
    elif format is Format.csv:
        print_csv(row for p in watched() for row in p.rows(shown))
    else:
        print_tables(watched(), shown)
        if folder is not None:
            console.print(f"what was written is in {escape(str(folder))}", soft_wrap=True)
    say_left_out(found)
    if failed:
        err.print(
            f"striate: {failed} of {total} files could not be read; the rows say why",
            soft_wrap=True,
        )
        raise SystemExit(1)


def say_left_out(found: Found) -> None:
    """Name on standard error what was not looked at, pages and pictures after the first among it."""
    from striate.cli.console import err

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
    from striate.errors import DataError
    from striate.images import pages_of

    try:
        return pages_of(Path(path))
    except DataError:  # its row says why
        return 1


def _moves(path: str) -> bool:
    from PIL import Image

    from striate.files import refuse_special
    from striate.images import quiet

    try:
        refuse_special(path)
        with quiet(), Image.open(path) as picture:
            return bool(getattr(picture, "is_animated", False))
    except (OSError, ValueError, SyntaxError):  # its row says why
        return False


def print_json(predictions: Iterator[Prediction]) -> None:
    """One JSON array, an item at a time."""
    print("[", end="")
    for i, p in enumerate(predictions):
        print(",\n " if i else "\n ", to_json(p.document(), indent=None), sep="", end="")
    print("\n]")


def print_tables(predictions: Iterator[Prediction], top: int) -> None:
    """Tables of at most AT_ONCE rows."""
    from striate.cli.console import out

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
    from rich.markup import escape
    from rich.table import Table

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
