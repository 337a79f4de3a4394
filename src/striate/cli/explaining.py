"""`striate explain`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from striate.cli.options import (
    Force,
    Format,
    Formats,
    Images,
    Model,
    Network,
    Seed,
    app,
    opened,
)
from striate.errors import UsageError

if TYPE_CHECKING:
    from striate.api import Explained


@app.command()
def explain(
    target: Network,
    images: Images,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method", "-m", help="Only this method; may be given again. All by default."
        ),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option(
            "--target", "-t", metavar="CLASS", help="Class to explain, by name or number."
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="ROW,COL",
            help="A pixel of a segmenter's output, or 10:40,20:60; a pixel of a detector's image.",
        ),
    ] = None,
    object: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="A detector's object, from 1 as `striate predict` lists them."
        ),
    ] = None,
    edge: Annotated[
        str | None,
        typer.Option(help="left, top, right or bottom of its box, instead of its score."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE",
            help="Of embeddings: which pixels make it similar to this image, and this one to it.",
        ),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Grad-CAM's layer (see `striate summary`).")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            help="One picture (.png), a page (.html), arrays (.npz, .safetensors), or a folder for a picture a method.",
        ),
    ] = None,
    bare: Annotated[
        bool,
        typer.Option("--bare", help="Draw maps alone; over the dimmed photograph by default."),
    ] = False,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust/--no-trust",
            "--check/--no-check",
            help="Check how far each map can be trusted.",
        ),
    ] = True,
    seed: Seed = 0,
    force: Force = False,
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """Which pixels decided: maps by thirteen methods, each with how far to trust it."""
    from striate import api
    from striate.cli.console import print_csv, print_json, progress, say, say_left_out

    where = parse_place(at) if at is not None else None
    found = api.find_files(images)
    files = api.ExplanationFiles(out, found, force=force, bare=bare, also=against)
    network = opened(target, model)
    documents: list[dict[str, Any]] = []
    failed = total = 0
    with progress("explaining") as bar:
        for one in api.explain(
            network, found, of, at=where, object=object, edge=edge, methods=method or None, layer=layer, trust=trust,
            seed=seed, against=against, progress=bar,
        ):  # fmt: skip
            total += 1
            if one.explanation is None:
                failed += 1
                documents.append({"path": one.path, "error": one.error})
                if format is not Format.json:
                    say(f"{one.path} was not read: {one.error}")
                continue
            documents.append(shown(one, files.write(one), format))
    if format is Format.json:
        print_json(documents)
    elif format is Format.csv:
        print_csv(row for d in documents for row in d.get("rows", ()))
    say_left_out(found)
    if failed:
        say(f"{failed} of {total} files could not be read")
        raise SystemExit(1)


def shown(one: Explained, files: Sequence[Path], format: Format) -> dict[str, Any]:
    """Print one explanation for people; return it for the other formats."""
    from striate.cli.console import print_finding, print_path

    found = one.finding
    if format is Format.table:
        print_finding(found)
        for file in files:
            print_path(file)
    rows = [
        {"image": one.path, **dict(zip(found.tables[0].columns, row, strict=True))}
        for row in found.tables[0].rows
    ]
    document = {"path": one.path, "error": None, "files": [str(f) for f in files], **found.to_dict()}  # fmt: skip
    return {"rows": rows} if format is Format.csv else document


def parse_place(text: str) -> tuple[slice, slice]:
    """Rows and columns from `10,20` (a pixel) or `10:40,20:60` (a rectangle, ends not included). Raises UsageError."""
    parts = text.replace(" ", "").split(",")
    spans = []
    for part in parts:
        ends = part.split(":")
        if not all(e.isdecimal() for e in ends) or len(ends) > 2:
            break
        start = int(ends[0])
        spans.append(slice(start, int(ends[1]) if len(ends) == 2 else start + 1))
    if len(parts) != 2 or len(spans) != 2:
        raise UsageError(f"--at is row,column such as 10,20, or a rectangle such as 10:40,20:60; got {text!r}")  # fmt: skip
    return spans[0], spans[1]
