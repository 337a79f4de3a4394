"""`striate data` and `striate models`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from striate.cli.options import Format, Formats, Seed, Tasks, app, parse_settings

TAKEN = {
    "data": "name the data as DATA",
    "task": "give it as --task",
    "page": "give it as --page",
    "near": "give it as --near",
    "manifest": "give it as --manifest",
    "progress": "leave it out",
}


@app.command()
def data(
    data: Annotated[
        str | None, typer.Argument(help="A source or a folder; leave it out to list the sources.")
    ] = None,
    seed: Seed = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="How the data are read, as in a training: val, test, count; masks, ignore.",
        ),
    ] = None,
    task: Tasks = None,
    page: Annotated[
        str | None,
        typer.Option(help="Write all of it with its figures, masks over their images, as .html."),
    ] = None,
    near: Annotated[
        bool,
        typer.Option(
            "--near",
            help="Also look for near-duplicates between the splits, by the embedding of efficientnet-lite0.",
        ),
    ] = False,
    manifest: Annotated[
        str | None,
        typer.Option(
            help="Write path, size, digest, label and split of every image, as .arrow; give that as DATA then."
        ),
    ] = None,
    format: Formats = Format.table,
) -> None:
    """List the sources, or describe one: classes, counts, sizes, damage."""
    from striate import api
    from striate.cli.console import err, print_finding, print_json, progress

    more = {"seed": seed, **parse_settings(settings or [], TAKEN)}
    with progress("reading images") as bar:
        found = api.data(
            data,
            task=task,
            page=page,
            near=near,
            manifest=manifest,
            progress=lambda done, of: bar("", done, of),
            **more,
        )
    if data is None:
        print_finding(found[0], format)
        return
    if page is not None:
        err.print(f"wrote {page}", soft_wrap=True, markup=False)
    if manifest is not None:
        err.print(f"wrote {manifest}", soft_wrap=True, markup=False)
    if format is Format.json:
        names = ("data", "check", "near")
        print_json({name: f.to_dict() for name, f in zip(names, found, strict=False)})
        return
    shown = found if format is Format.table else found[-1:] if near else found[:1]
    for finding in shown:
        print_finding(finding, format)


@app.command()
def models(
    pattern: Annotated[
        str | None, typer.Argument(help="Only names that contain this; timm/ lists timm's.")
    ] = None,
    format: Formats = Format.table,
) -> None:
    """List the models with their parameters and multiply-adds."""
    from rich.markup import escape

    from striate import api
    from striate.cli.console import out, print_finding, print_json, progress

    with progress("tracing") as bar:
        found = api.models(pattern, progress=lambda done, of: bar("", done, of))
    rows = found.data["models"]
    if format is Format.json:
        print_json(rows)
    elif format is Format.csv:
        print_finding(found, format)
    elif isinstance(rows[0], str):
        print("\n".join(rows))
    else:
        models_table(rows)
        out.print(
            "[dim]Also a layer pattern such as[/dim] "
            + escape("'[[conv32-relu]*2-pool]*2-[fc128-relu]-fc'")
            + "[dim], and[/dim] timm/NAME [dim](`striate models timm/` lists the names).[/dim]"
        )


def models_table(rows: Sequence[dict[str, Any]]) -> None:
    """A line a model, names and numbers whole at any width; a description that finds no room stands in a line below."""
    from rich.markup import escape
    from rich.padding import Padding

    from striate.cli.console import out

    cells = [
        (
            str(row["model"]),
            str(row["input"]).replace("x", " × "),
            f"{row['classes']:,}",
            f"{row['parameters'] / 1e6:,.2f} M",
            "–" if row["multiply_adds"] is None else f"{row['multiply_adds'] / 1e6:,.1f} M",
        )
        for row in rows
    ]
    head = ("model", "input", "classes", "parameters", "multiply-adds")
    widths = [max(len(c[i]) for c in (head, *cells)) for i in range(len(head))]
    room = out.width - sum(widths) - 2 * len(widths)

    def line(texts: Sequence[str]) -> str:
        first, *rest = texts
        parts = [t.rjust(w) for t, w in zip(rest, widths[1:], strict=True)]
        return "  ".join([first.ljust(widths[0]), *parts])

    endless = not out.is_terminal and "COLUMNS" not in os.environ  # a pipe has no width
    beside = endless or room >= max(len(str(row["description"])) for row in rows)
    out.print(f"[bold]{line(head)}[/bold]", soft_wrap=True)
    for row, texts in zip(rows, cells, strict=True):
        words = f"[dim]{escape(str(row['description']))}[/dim]"
        out.print(f"{line(texts)}  {words}" if beside else line(texts), soft_wrap=True)
        if not beside:
            out.print(Padding(words, (0, 0, 0, 2)))
