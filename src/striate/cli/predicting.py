"""`striate predict`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from striate.cli.options import (
    Device,
    Force,
    Format,
    Formats,
    Images,
    Model,
    Network,
    On,
    Parts,
    Shards,
    Workers,
    app,
    belong_together,
    opened,
)

if TYPE_CHECKING:
    from rich.table import Table

    from striate.api import Prediction
    from striate.data.files import Found
    from striate.runs.shards import Merged

AT_ONCE = 200  # rows of one table; longer lists are several, so that the first appears early


@app.command()
def predict(
    run: Network,
    paths: Images,
    top: Annotated[int, typer.Option(help="How many classes to name.")] = 3,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="Where masks and overlays go; masks/ if not given."),
    ] = None,
    force: Force = False,
    device: Device = "auto",
    engine: Annotated[
        str,
        typer.Option(
            help="What runs the network: torch, or onnxruntime or openvino, which are proven here first; auto takes the "
            "fastest that has been."
        ),
    ] = "auto",
    model: Model = None,
    shard: Shards = None,
    parts: Parts = None,
    on: On = None,
    workers: Workers = None,
    format: Formats = Format.table,
) -> None:
    """Name the classes of images, or write a mask for each where the run labels pixels."""
    from striate import api
    from striate.cli.console import print_path, progress, say

    belong_together(shard, parts, on, workers)
    trained = api.opened(run if model is None else api.load(run, model=api.find_factory(model)))
    found = api.find_files(paths)
    shown, folder = min(top, len(trained.classes)), out
    if folder is None and trained.task.folder is not None:
        folder = trained.task.folder
    if shard is not None and parts is not None:
        with progress(f"shard {shard}") as show:
            made = api.predict_shard(
                trained, found, parts, shard=shard, top=shown, out=folder, force=force, device=device, engine=engine,
                say=say, progress=lambda done, of: show("", done, of),
            )  # fmt: skip
        print_path(made)
        return
    if on is not None and parts is not None:
        with progress("images") as show:
            done = api.predict_on_ray(
                run, found, parts, model=model, workers=workers, top=shown, out=folder, force=force, device=device,
                engine=engine, progress=lambda done, of: show("", done, of),
            )  # fmt: skip
        print_predictions(done, done, format, done.top, written=written_in(done.out))
        return
    answers = api.predict(
        trained, found, top=top, out=folder, force=force, device=device, engine=engine, say=say
    )
    print_predictions(answers, found, format, shown, written=written_in(folder))


@app.command()
def merge(
    parts: Annotated[str, typer.Argument(metavar="PARTS", help="The folder given as --parts.")],
    run: Annotated[
        str | None,
        typer.Option(
            help="The run of an image's tiles, where it lies elsewhere than when they were made."
        ),
    ] = None,
    model: Model = None,
    force: Force = False,
    format: Formats = Format.table,
) -> None:
    """Put shards together: prints what `striate predict` or `striate tile` had printed without --shard."""
    from striate import api
    from striate.cli.console import progress
    from striate.cli.tiling import print_tiled
    from striate.findings import Finding

    target = None if run is None else opened(run, model)
    with contextlib.ExitStack() as stack:
        bars: list[Callable[[str, int, int], None]] = []

        def show(done: int, of: int) -> None:
            if not bars:  # predictions are read as they are printed, without a bar
                bars.append(stack.enter_context(progress("tiles")))
            bars[0]("", done, of)

        merged = api.merge(parts, run=target, force=force, progress=show)
    if isinstance(merged, Finding):
        print_tiled(merged, format)
        return
    print_predictions(merged, merged, format, merged.top, written=written_in(merged.out))


def written_in(folder: str | None) -> str:
    """Where files of each image were written, in markup."""
    from rich.markup import escape

    return "" if folder is None else f"what was written is in {escape(folder)}"


def print_predictions(
    predictions: Iterable[Prediction], found: Found | Merged, format: Format, top: int = 1, *, written: str = ""
) -> None:  # fmt: skip
    """Print predictions as they come, then what was left out; exit 1 where an image could not be used. written: a line below
    the table, in markup."""
    from striate.cli.console import out, print_csv, say, say_left_out

    failed: list[str] = []
    total = 0

    def watched() -> Iterator[Prediction]:
        nonlocal total
        for prediction in predictions:
            total += 1
            if prediction.error is not None:
                failed.append(prediction.path)
            yield prediction

    if format is Format.json:
        print_array(watched())
    elif format is Format.csv:
        print_csv(row for p in watched() for row in p.rows(top))
    else:
        print_tables(watched(), top)
        if written:
            out.print(written, soft_wrap=True)
    say_left_out(found)
    if failed:
        more = f" and {len(failed) - 1:,} more" if len(failed) > 1 else ""
        say(
            f"{len(failed):,} of {total:,} files could not be used: {failed[0]}{more}; the rows say why"
        )
        raise SystemExit(1)


def print_array(predictions: Iterator[Prediction]) -> None:
    """One JSON array, an item at a time."""
    from striate.documents import to_json

    print("[", end="")
    for i, p in enumerate(predictions):
        print(",\n " if i else "\n ", to_json(p.document(), indent=None), sep="", end="")
    print("\n]")


def print_tables(predictions: Iterator[Prediction], top: int) -> None:
    """Tables of at most AT_ONCE rows."""
    from striate.cli.console import print_wide

    batch: list[Prediction] = []
    for p in predictions:
        batch.append(p)
        if len(batch) == AT_ONCE:
            print_wide(table_of(batch, top))
            batch = []
    if batch:
        print_wide(table_of(batch, top))


def table_of(batch: list[Prediction], top: int) -> Table:
    """A table with the file and what is said of it; numbers and all but the first of several alternatives are dim."""
    from rich.markup import escape
    from rich.table import Table

    from striate.wording import one_line

    def plain(text: str) -> str:
        return escape(one_line(text))

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold")
    headings = batch[0].headings(top)
    for heading in headings:
        table.add_column(
            plain(heading.strip()), justify="right" if heading.startswith(" ") else "left"
        )
    for p in batch:
        if p.error:
            table.add_row(plain(p.path), f"[red]not used: {plain(p.error)}[/red]")
            continue
        for i, line in enumerate(p.cells(top)):
            cells = [
                f"[{'bold' if at < 2 else 'dim'}]{plain(cell)}[/]" for at, cell in enumerate(line)
            ]
            table.add_row(plain(p.path) if i == 0 else "", *cells)
    return table
