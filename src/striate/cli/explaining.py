"""`striate explain`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from striate.cli.options import Format, Formats, Model, app, opened
from striate.documents import to_json
from striate.errors import UsageError

if TYPE_CHECKING:
    from striate.runs.explaining import Explained

SUFFIXES = (".png", ".npz", ".safetensors")


@app.command()
def explain(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|SPEC",
            help="A run's folder, or a model with weights such as efficientnet-lite0 or timm/NAME.",
        ),
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...", help="Images, folders, or patterns such as 'photos/*.jpg'."
        ),
    ],
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
            metavar="ROW,COL", help="A pixel of a labelling network's map, or 10:40,20:60."
        ),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Grad-CAM's layer (see `striate summary`).")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="One picture (.png), arrays (.npz, .safetensors), or a folder for a picture a method.",
        ),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust/--no-trust",
            "--check/--no-check",
            help="Check how far each map can be trusted.",
        ),
    ] = True,
    seed: Annotated[int, typer.Option(help="Of noise and of the checks.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Write over an output that exists.")
    ] = False,
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """Which pixels decided: maps by ten methods, each with how far to trust it."""
    from rich.progress import Progress

    from striate import api
    from striate.cli.console import err, print_csv
    from striate.cli.predicting import say_left_out
    from striate.data.files import find_files, stays

    if out is not None and out.suffix.lower() not in (*SUFFIXES, ""):
        raise UsageError(
            f"-o takes a file ending in {', '.join(SUFFIXES)}, or a folder for one picture a method; got {out}"
        )
    if out is not None and out.suffix and out.exists() and not force:
        raise UsageError(f"{out} exists; choose another name, or --force to write over it")
    where = parse_place(at) if at is not None else None
    network = opened(target, model)
    found = find_files(images)
    inputs = stays(found.files)
    documents: list[dict[str, Any]] = []
    taken: set[Path] = set()
    failed = total = 0
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task("explaining", total=None)
        stream = api.explain(
            network, found, of, at=where, methods=method or None, layer=layer, trust=trust, seed=seed,
            progress=lambda what, done, of: bar.update(task, description=what, completed=done, total=of),
        )  # fmt: skip
        for one in stream:
            total += 1
            if one.explanation is None:
                failed += 1
                documents.append({"path": one.path, "error": one.error})
                if format is not Format.json:
                    err.print(f"striate: {one.path} was not read: {one.error}", soft_wrap=True, markup=False)  # fmt: skip
                continue
            files = save(one, out, taken, inputs, force=force)
            documents.append(shown(one, files, format.value))
    if format is Format.json:
        print(to_json(documents))
    elif format is Format.csv:
        print_csv(row for d in documents for row in d.get("rows", ()))
    say_left_out(found)
    if failed:
        err.print(f"striate: {failed} of {total} files could not be read", soft_wrap=True)
        raise SystemExit(1)


def shown(one: Explained, files: Sequence[Path], format: str) -> dict[str, Any]:
    """Print one explanation for people; return it for the other formats."""
    from striate.attribution import finding
    from striate.cli.console import print_finding, print_path

    assert one.explanation is not None
    stem = Path(one.path).stem
    title = f"{stem}: {one.explanation.target}"
    found = finding(one.explanation, name="explanation", title=title, figures=False)
    if format == "table":
        print_finding(found, "table")
        for file in files:
            print_path(file)
    rows = [
        {"image": one.path, **dict(zip(found.tables[0].columns, row, strict=True))}
        for row in found.tables[0].rows
    ]
    document = {"path": one.path, "error": None, "files": [str(f) for f in files], **found.to_dict()}  # fmt: skip
    return {"rows": rows} if format == "csv" else document


def save(
    one: Explained,
    out: Path | None,
    taken: set[Path],
    inputs: frozenset[tuple[int, int]],
    *,
    force: bool,
) -> list[Path]:
    """Write what `out` asks for; returns the files. Raises StriateError where that cannot be written."""
    from striate.attribution import arrays, one_map, picture
    from striate.writing import write_atomically, writing

    explanation, source = one.explanation, Path(one.path)
    assert explanation is not None
    if out is not None and not out.suffix:
        files = [free(out / f"{source.stem}.png", taken, inputs, force)]
        write_atomically(files[0], picture(explanation, title=source.name).content)
        for method in explanation.maps:
            files.append(free(out / f"{source.stem}-{method}.png", taken, inputs, force))
            write_atomically(files[-1], one_map(explanation, method).content)
        return files
    if out is None:
        file = free(Path(f"{source.stem}-explained.png"), taken, inputs, force)
    else:
        file = out if not taken else out.with_name(f"{out.stem}-{source.stem}{out.suffix}")
        file = free(file, taken, inputs, force or not taken)
    if file.suffix.lower() == ".png":
        write_atomically(file, picture(explanation, title=source.name).content)
    elif file.suffix.lower() == ".npz":
        import numpy as np

        with writing(file) as stream:
            np.savez_compressed(stream, **arrays(explanation))  # type: ignore[arg-type]
    else:
        from safetensors.numpy import save as to_bytes

        said = {"target": explanation.target, "verdict": explanation.verdict, "image": one.path}
        write_atomically(file, to_bytes(arrays(explanation), metadata=said))
    return [file]


def free(wanted: Path, taken: set[Path], inputs: frozenset[tuple[int, int]], force: bool) -> Path:
    """`wanted`, or with the first number that is not there yet; never a file of another image, an image that is explained
    or, without `force`, a file of another day."""
    from striate.data.files import holds

    file, number = wanted, 1
    while file in taken or (file.exists() and not force) or holds(inputs, file):
        number += 1
        file = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
    taken.add(file)
    return file


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
