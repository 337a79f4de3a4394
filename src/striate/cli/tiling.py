"""`striate tile`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from rich.progress import Progress

from striate.cli.console import err, print_csv, print_finding
from striate.errors import UsageError
from striate.findings import Finding, Table
from striate.inference.tiled import Tiled
from striate.runs import Run, load

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow turns colour into grey


def pixels_of(run: Run) -> Callable[[torch.Tensor], torch.Tensor]:
    """From pixels as they are read, (1, C, rows, columns), to what the run's network reads; no resizing."""
    preparation = run.preparation

    def prepare(raw: torch.Tensor) -> torch.Tensor:
        black, white = (
            (0.0, 255.0) if raw.dtype == torch.uint8 else (preparation.black, preparation.white)
        )
        x = ((raw.float() - black) / (white - black)).clamp(0, 1)
        x = x[:, :3] if x.shape[1] > 3 else x
        if x.shape[1] == 3 and preparation.channels == 1:
            x = (x * x.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        if x.shape[1] == 1 and preparation.channels == 3:
            x = x.expand(-1, 3, -1, -1)
        shape = (1, preparation.channels, 1, 1)
        mean, std = (
            x.new_tensor(preparation.mean).view(shape),
            x.new_tensor(preparation.std).view(shape),
        )
        return (x - mean) / std

    return prepare


def tile_command(
    path: Path,
    image: Path,
    *,
    out: Path | None,
    memory: str,
    tile: int | None,
    force: bool,
    format: str,
) -> None:
    """Print the classes of the whole image, or write its map, with the certificate."""
    run = load(path)
    if not image.exists():
        raise UsageError(f"there is no image {image}; give a TIFF, PNG, JPEG, .npy or Zarr file")
    if out is not None and out.exists() and not force:
        raise UsageError(f"{out} exists; choose another name, or --force to write over it")
    limit = None if tile is not None else memory
    job = Tiled(run.model, image, memory=limit, tile=tile, prepare=pixels_of(run))
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("tiles", total=None)
        logits = job.run(
            certificate=True,
            progress=lambda done, total, _: progress.update(task, completed=done, total=total),
        )
    assert job.certificate is not None
    probabilities = torch.softmax(logits.flatten() / run.temperature, 0)
    best = probabilities.argsort(descending=True).tolist()
    rows = [
        {"class": run.classes[i], "probability": round(float(probabilities[i]), 6)} for i in best
    ]
    document = {"image": str(image), "classes": rows, "certificate": job.certificate.to_dict()}
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
                verdict=f"{rows[0]['class']}, {rows[0]['probability']:.1%}. {job.certificate.verdict}",
                status="note"
                if job.certificate.exact is None
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
