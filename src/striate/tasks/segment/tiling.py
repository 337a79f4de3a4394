"""Tiling of a segmenter: the predicted mask is written, and the areas of classes are counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from striate.answer import answer_of
from striate.errors import UsageError
from striate.findings import Finding, Table
from striate.inference.tiled.read.open import open_image
from striate.tasks.tiling import TileJob


def tile_masks(job: TileJob) -> Finding:
    """Write the class of every pixel into a TIFF, .npy or Zarr file of one byte a pixel. Raises UsageError without `out`."""
    if job.out is None:
        raise UsageError(
            f"{job.trained.name} predicts a mask; say where it goes, such as --out {job.path.stem}-mask.tif"
        )

    def classes(logits: Any) -> torch.Tensor:
        return answer_of(logits).argmax(1).to(torch.uint8)

    _, certificate = job.run(finish=classes, out=job.out)
    counts = counted(job.out)
    pixels = int(counts.sum())
    areas: list[dict[str, Any]] = [
        {"class": name, "pixels": int(counts[i]), "share": round(int(counts[i]) / pixels, 6)}
        for i, name in enumerate(job.trained.classes)
        if counts[i]
    ]
    table = Table(
        columns=("class", "pixels", "share"),
        rows=tuple((a["class"], a["pixels"], a["share"]) for a in areas),
        formats=("", ",", ".2%"),
    )
    return job.finding(
        f"The class of each of {pixels:,} pixels is in {job.out}.", certificate, table, areas,
        mask=str(job.out), classes=list(job.trained.classes), areas=areas,
    )  # fmt: skip


def counted(path: Path, rows: int = 512) -> torch.Tensor:
    """How often each class stands in the mask that was written, (256,), read some rows at a time."""
    written = open_image(path)
    height, width = written.shape[1:]
    counts = torch.zeros(256, dtype=torch.int64)
    for top in range(0, height, rows):
        part = written.read(0, ((top, min(top + rows, height)), (0, width)))
        counts += torch.bincount(part.flatten().long(), minlength=256)
    return counts
