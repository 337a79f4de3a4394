"""`striate tile`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress

from striate.cli.console import err, print_csv, print_finding
from striate.data.depth import refuse_depth
from striate.errors import DataError, ExactnessError, UsageError
from striate.findings import Finding, Table
from striate.inference.tiled import Tiled
from striate.inference.tiled.read.files import open_file
from striate.inference.tiled.read.images import Image
from striate.inference.tiled.read.open import open_image
from striate.runs import Run, load

CROP = 128  # pixels a side of the crops by which the depth of an image is judged
CROPS = 4  # along each axis


def pixels_of(run: Run, colours: int = 0) -> Callable[[torch.Tensor], torch.Tensor]:
    """From pixels as they are read, (1, C, rows, columns), to what the run's network reads; no resizing.

    colours: how many of the channels are colours, where the image says so; others are left out, as `predict` does.
    """
    preprocessing = run.preprocessing

    def prepare(raw: torch.Tensor) -> torch.Tensor:
        seen = torch.from_numpy(preprocessing.colours(as_read(raw, colours)))
        return preprocessing.normalise(seen[None])

    return prepare


def as_read(raw: torch.Tensor, colours: int) -> np.ndarray:
    """Pixels (1, C, rows, columns) as tiles are read, as the decoder gives them: (rows, columns, colours)."""
    part = raw[0, : colours or raw.shape[1]].permute(1, 2, 0).cpu().numpy()
    return part.astype(np.uint16) if raw.dtype == torch.int32 else part


def refuse_foreign(run: Run, opened: Image, path: Path) -> None:
    """Raise DataError, as `predict` does, for a depth or values that are not those of the training; by some crops."""
    channels, height, width = opened.shape
    channels = getattr(opened, "colours", 0) or channels
    if channels not in (1, 3):
        raise DataError(
            f"cannot use {path}: it has {channels} channels; 1 (grey), 3 (RGB) or 4 (RGB and alpha) are read"
        )
    rows, columns = (
        np.unique(np.linspace(0, max(n - CROP, 0), CROPS).astype(int)) for n in (height, width)
    )
    parts = [
        as_read(
            opened.read(0, ((r, min(r + CROP, height)), (c, min(c + CROP, width)))),
            getattr(opened, "colours", 0),
        ).reshape(-1)
        for r in rows.tolist()
        for c in columns.tolist()
    ]
    values = np.concatenate(parts)
    try:
        refuse_depth(values, run.preprocessing)
        run.preprocessing.eight_bits(
            values[:1, None, None]
        )  # says so where nothing relates the depths
    except DataError as error:
        raise DataError(f"cannot use {path}: {error}") from error


def open_page(path: Path, page: int | None) -> Image:
    """The image in a file, or page `page` of it, from 1. Raises UsageError."""
    if page is not None and page < 1:
        raise UsageError(f"--page counts from 1, got {page}")
    return open_file(path, page=(page or 1) - 1)


def pages_said(opened: Image, page: int | None) -> str:
    """Which of several pages is read, in a sentence; nothing where there is one."""
    pages = getattr(opened, "pages", 1)
    if pages == 1:
        return ""
    if getattr(opened, "pictures", "") != "TIFF":
        return "The file holds several pictures, of which the first is read. "
    chosen = f"page {page} is read" if page else "the first is read; take another with --page"
    return f"The file has {pages:,} pages, of which {chosen}. "


def tile_command(
    path: Path,
    image: Path,
    *,
    out: Path | None,
    memory: str,
    tile: int | None,
    page: int | None,
    force: bool,
    format: str,
    check: bool = True,
) -> None:
    """Print the classes of the whole image, or write its map, with the certificate."""
    run = load(path)
    if not image.exists():
        raise UsageError(f"there is no image {image}; give a TIFF, PNG, JPEG, .npy or Zarr file")
    limit = None if tile is not None else memory
    opened = open_page(image, page)
    refuse_foreign(run, opened, image)
    colours, said = getattr(opened, "colours", 0), pages_said(opened, page)
    if run.labels_pixels:  # whose output may hold the finished tiles of a run that was stopped
        tile_masks(
            run,
            opened,
            image,
            said,
            out=out,
            memory=limit,
            tile=tile,
            force=force,
            format=format,
            check=check,
        )
        return
    if out is not None and out.exists() and not force:
        raise UsageError(f"{out} exists; choose another name, or --force to write over it")
    job = Tiled(run.model, opened, memory=limit, tile=tile, prepare=pixels_of(run, colours))
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("tiles", total=None)
        with saved_report(Path(f"{image.stem}-difference.json")):
            logits = job.run(
                certificate=True,
                check=check,
                progress=lambda done, total, _: progress.update(task, completed=done, total=total),
            )
    assert job.certificate is not None
    probabilities = torch.softmax(logits.flatten() / run.temperature, 0)
    best = probabilities.argsort(descending=True).tolist()
    rows = [
        {"class": run.classes[i], "probability": round(float(probabilities[i]), 6)} for i in best
    ]
    document = {
        "image": str(image),
        "page": 1 + getattr(opened, "page", 0),
        "classes": rows,
        "certificate": job.certificate.to_dict(),
    }
    if out is not None:
        out.write_text(json.dumps(document, indent=1), encoding="utf-8")
    if format == "json":
        print(json.dumps(document, indent=1))
    elif format == "csv":
        print_csv(rows)
    else:
        print_finding(
            Finding(
                name="tile",
                title=f"{image.name} as a whole",
                verdict=f"{rows[0]['class']}, {rows[0]['probability']:.1%}. {said}{job.certificate.verdict}",
                status="note"
                if job.certificate.exact is None or (said and page is None)
                else "good"
                if job.certificate.exact
                else "problem",
                tables=(
                    Table(
                        columns=("class", "probability"),
                        rows=tuple((str(r["class"]), float(r["probability"])) for r in rows[:5]),
                        formats=("", ".1%"),
                    ),
                    Table(columns=("certificate", ""), rows=tuple(job.certificate.rows)),
                ),
            ),
            format,
        )


@contextmanager
def saved_report(path: Path) -> Iterator[None]:
    """Write what a maintainer needs to know of a result that differs from the module's, and say where it is."""
    try:
        yield
    except ExactnessError as error:
        path.write_text(json.dumps(error.report, indent=1), encoding="utf-8")
        raise ExactnessError(f"{error}; the report is {path}", error.report) from error


def run_job(job: Tiled, *, force: bool = False, check: bool = True) -> Any:
    """Run with a progress bar on standard error, and leave the certificate in the job."""
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("tiles", total=None)
        return job.run(
            force=force,
            certificate=True,
            check=check,
            progress=lambda done, total, seconds: progress.update(
                task, completed=done, total=total
            ),
        )


def tile_masks(
    run: Run,
    opened: Image,
    image: Path,
    said: str,
    *,
    out: Path | None,
    memory: str | None,
    tile: int | None,
    force: bool,
    format: str,
    check: bool = True,
) -> None:
    """Write the class of every pixel into a TIFF, .npy or Zarr file of one byte a pixel, with the certificate."""
    if out is None:
        raise UsageError(
            f"{run.path} labels every pixel; say where the map goes, such as --out {image.stem}-mask.tif"
        )

    def classes(logits: torch.Tensor) -> torch.Tensor:
        return logits.argmax(1).to(torch.uint8)

    job = Tiled(
        run.model,
        opened,
        memory=memory,
        tile=tile,
        prepare=pixels_of(run, getattr(opened, "colours", 0)),
        finish=classes,
        out=out,
    )
    with saved_report(out.with_name(f"{out.stem}-difference.json")):
        run_job(job, force=force, check=check)
    assert job.certificate is not None
    counts = counted(out)
    pixels = int(counts.sum())
    table: list[dict[str, Any]] = [
        {"class": name, "pixels": int(counts[i]), "share": round(int(counts[i]) / pixels, 6)}
        for i, name in enumerate(run.classes)
        if counts[i]
    ]
    document = {
        "image": str(image),
        "page": 1 + getattr(opened, "page", 0),
        "mask": str(out),
        "classes": list(run.classes),
        "areas": table,
        "certificate": job.certificate.to_dict(),
    }
    if format == "json":
        print(json.dumps(document, indent=1))
        return
    if format == "csv":
        print_csv(table)
        return
    good = job.certificate.exact
    print_finding(
        Finding(
            name="tile",
            title=f"{image.name} as a whole",
            verdict=f"The class of each of {pixels:,} pixels is in {out}. {said}{job.certificate.verdict}",
            status="note"
            if good is None or said.endswith("--page. ")
            else "good"
            if good
            else "problem",
            tables=(
                Table(
                    columns=("class", "pixels", "share"),
                    rows=tuple(
                        (str(r["class"]), int(r["pixels"]), float(r["share"])) for r in table
                    ),
                    formats=("", ",", ".2%"),
                ),
                Table(columns=("certificate", ""), rows=tuple(job.certificate.rows)),
            ),
        ),
        format,
    )


def counted(path: Path, rows: int = 512) -> torch.Tensor:
    """How often each class stands in the map that was written, (256,), read some rows at a time."""
    written = open_image(path)
    height, width = written.shape[1:]
    counts = torch.zeros(256, dtype=torch.int64)
    for top in range(0, height, rows):
        part = written.read(0, ((top, min(top + rows, height)), (0, width)))
        counts += torch.bincount(part.flatten().long(), minlength=256)
    return counts
