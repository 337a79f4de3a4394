"""`striate predict`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from striate.cli.console import err, out, print_csv
from striate.data.files import Found, find_files
from striate.errors import DataError, UsageError
from striate.images import pages_of, quiet
from striate.runs import Prediction, Run, load, predict
from striate.runs.mask_predicting import predict_masks

AT_ONCE = 200  # rows of one table; longer lists are several, so that the first appears early


def row(prediction: Prediction, top: int) -> dict[str, Any]:
    """A prediction as one flat row."""
    flat: dict[str, Any] = {"path": prediction.path, "error": prediction.error or ""}
    for i in range(top):
        name, probability = prediction.top[i] if i < len(prediction.top) else ("", None)
        flat[f"class_{i + 1}"] = name
        flat[f"probability_{i + 1}"] = "" if probability is None else round(probability, 6)
    return flat


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
    if run.labels_pixels:
        predict_masks_command(
            run, paths, folder=folder or Path("masks"), force=force, device=device, format=format
        )
        return
    if folder is not None:
        raise UsageError(
            f"{path} names the classes of whole images and writes no files; leave out --out (use --format csv > FILE)"
        )
    found = find_files(paths)
    failed = total = 0

    def watched() -> Iterator[Prediction]:
        nonlocal failed, total
        for prediction in predict(run, found, top=top, device=device):
            total += 1
            failed += prediction.error is not None
            yield prediction

    shown = min(top, len(run.classes))
    if format == "json":
        print_json(watched())
    elif format == "csv":
        print_csv(row(p, shown) for p in watched())
    else:
        print_tables(watched(), shown)
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
        item = {
            "path": p.path,
            "error": p.error,
            "top": [
                {"class": name, "probability": round(probability, 6)} for name, probability in p.top
            ],
        }
        print(",\n " if i else "\n ", json.dumps(item), sep="", end="")
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
    """A table with the file, its classes and their probabilities."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold")
    for i in range(top):
        table.add_column("class" if i == 0 else "")
        table.add_column("", justify="right")
    for p in batch:
        if p.error:
            table.add_row(escape(p.path), f"[red]not read: {escape(p.error)}[/red]")
            continue
        cells = []
        for i, (name, probability) in enumerate(p.top):
            mark = "bold" if i == 0 else "dim"
            cells += [f"[{mark}]{escape(name)}[/{mark}]", f"[{mark}]{probability:.1%}[/{mark}]"]
        table.add_row(escape(p.path), *cells)
    return table


def predict_masks_command(
    run: Run, paths: list[str], *, folder: Path, force: bool, device: str, format: str
) -> None:
    """Write masks and overlays, and print what they show."""
    answers = []
    found = find_files(paths)
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("labelling", total=None)
        for answer in predict_masks(run, found, out=folder, force=force, device=device):
            answers.append(answer)
            progress.update(task, completed=len(answers))
    if format == "json":
        print(json.dumps([asdict(a) for a in answers], indent=1))
    elif format == "csv":
        print_csv(
            {
                "path": a.path,
                "mask": a.mask,
                "error": a.error or "",
                "class": row.get("class", ""),
                "pixels": row.get("pixels", ""),
                "share": row.get("share", ""),
                "instances": row.get("instances", ""),
            }
            for a in answers
            for row in (a.areas or [{}])
        )
    else:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("file", "size", "class", "share", "objects"):
            table.add_column(heading, justify="left" if heading in ("file", "class") else "right")
        for a in answers:
            if a.error:
                table.add_row(escape(a.path), "", f"[red]not read: {escape(a.error)}[/red]")
            for i, row in enumerate(a.areas):
                first = (escape(a.path), f"{a.size[1]} × {a.size[0]}") if i == 0 else ("", "")
                objects = f"{row['instances']:,}" if "instances" in row else "–"
                table.add_row(*first, escape(row["class"]), f"{row['share']:.1%}", objects)
        out.print(table)
        out.print(f"masks and overlays are in {escape(str(folder))}", soft_wrap=True)
    say_left_out(found)
    failed = sum(a.error is not None for a in answers)
    if failed:
        err.print(
            f"striate: {failed} of {len(answers)} files could not be read; the rows say why",
            soft_wrap=True,
        )
        raise SystemExit(1)
