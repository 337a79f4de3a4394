"""Predict masks: for every image file a palette mask and an overlay, with the area and the objects of each class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import find_objects
from scipy.ndimage import label as components

from striate.data.masks.palette import overlay, palette
from striate.data.reading import read_image
from striate.errors import DataError, RunError, UsageError
from striate.runs.labelling import label
from striate.runs.predicting import find_images
from striate.runs.run import Run
from striate.training.machine import choose_device, choose_precision

LEAST = 4  # pixels; smaller spots are no objects
MOST_OBJECTS = 1000  # of one class and image that are listed


@dataclass(frozen=True, kw_only=True)
class MaskPrediction:
    """One file's answer: where its mask and overlay were written and what they show, or the `error` why there is none.

    size: (height, width) in pixels. areas: for each class that occurs its name, pixels, share, and its objects (connected
    pixels, largest first) with area and box (top, left, bottom, right).
    """

    path: str
    mask: str = ""
    overlay: str = ""
    size: tuple[int, int] = (0, 0)
    areas: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None


def predict_masks(
    run: Run,
    paths: Sequence[str | Path],
    *,
    out: str | Path,
    force: bool = False,
    device: str = "auto",
) -> Iterator[MaskPrediction]:
    """Label files, folders and globs, in order; masks and overlays are written into the folder `out`.

    A mask is a palette PNG of the image's size whose numbers are the run's classes. A file that cannot be read gives a
    MaskPrediction with its error. Raises UsageError for a path that names nothing, or where a file would be overwritten
    without `force`, before anything is written.
    """
    names = list(find_images([str(p) for p in paths]))
    folder = Path(out).expanduser()
    stems = unique_stems(names)
    taken = [folder / f"{s}.png" for s in stems if (folder / f"{s}.png").exists()]
    if taken and not force:
        raise UsageError(
            f"{taken[0]} exists{f' and {len(taken) - 1} more' if len(taken) > 1 else ''}; choose another folder with --out, "
            "or --force to write over them"
        )
    place = choose_device(device)
    dtype = choose_precision(run.recipe.precision, place)
    model = run.model.to(place)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot make the folder {folder}: {error.strerror}; choose another with --out"
        ) from error
    for name, stem in zip(names, stems, strict=True):
        try:
            image = run.preparation.colours(read_image(name))
        except DataError as error:
            yield MaskPrediction(path=name, error=str(error))
            continue
        logits = label(
            model,
            run.preparation,
            torch.from_numpy(image),
            device=place,
            dtype=dtype,
            flip=bool(run.recipe.flip_test),
        )
        mask = logits.argmax(0).byte().numpy()
        files = folder / f"{stem}.png", folder / f"{stem}-overlay.webp"
        try:
            write_mask(files[0], mask, run.classes)
            shown = overlay(image.transpose(1, 2, 0), mask, run.classes)
            Image.fromarray(shown).save(files[1], "WEBP", quality=90)
        except OSError as error:
            raise RunError(
                f"cannot write {files[0]}: {error.strerror or error}; make room there or choose another folder with --out"
            ) from error
        yield MaskPrediction(
            path=name,
            mask=str(files[0]),
            overlay=str(files[1]),
            size=mask.shape,
            areas=areas_of(mask, run.classes),
        )


def unique_stems(names: Sequence[str]) -> list[str]:
    """File names without suffix; a second one of the same stem gets -2, and so on."""
    seen: dict[str, int] = {}
    stems = []
    for name in names:
        stem = Path(name).stem
        seen[stem] = seen.get(stem, 0) + 1
        stems.append(stem if seen[stem] == 1 else f"{stem}-{seen[stem]}")
    return stems


def write_mask(path: Path, mask: np.ndarray, classes: tuple[str, ...]) -> None:
    """A palette PNG: numbers are classes, colours those of `palette`; it appears only when it is whole."""
    picture = Image.fromarray(mask, "P")
    picture.putpalette(palette(classes).ravel().tolist())
    part = path.with_name(f".{path.name}.part")
    try:
        picture.save(part, "PNG", optimize=True)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def areas_of(mask: np.ndarray, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """What a mask shows, largest area first; a class called background has no objects."""
    rows = []
    for c in np.unique(mask).tolist():
        if c >= len(classes):
            continue
        inside = mask == c
        row: dict[str, Any] = {
            "class": classes[c],
            "pixels": int(inside.sum()),
            "share": round(float(inside.mean()), 6),
        }
        if classes[c].casefold() != "background":
            pieces, _ = components(inside)
            sizes = np.bincount(pieces.ravel())[1:]
            found: list[dict[str, Any]] = [
                {"area": int(size), "box": [box[0].start, box[1].start, box[0].stop, box[1].stop]}
                for size, box in zip(sizes, find_objects(pieces), strict=True)
                if size >= LEAST
            ]
            found.sort(key=lambda o: -o["area"])
            row |= {"instances": len(found), "objects": found[:MOST_OBJECTS]}
        rows.append(row)
    return sorted(rows, key=lambda r: -r["pixels"])
