"""Predict masks: for every image file a palette mask and an overlay, with the area and the objects of each class."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import find_objects
from scipy.ndimage import label as components

from striate.data.files import Found, holds, stays
from striate.data.output_names import output_names
from striate.errors import DataError, RunError, UsageError, WriteError
from striate.tasks.prediction import Drawing, Prediction
from striate.tasks.segment.data.key import with_key
from striate.tasks.segment.data.palette import NOTHING, overlay, palette
from striate.tasks.segment.forward import label
from striate.tasks.trained import Trained
from striate.training.machine import choose_device, choose_precision
from striate.writing import writing

LEAST = 4  # pixels; smaller spots are no objects
WEBP_SIDE = 16383  # pixels; the format takes no more
FULL = {errno.ENOSPC, errno.EROFS, errno.EDQUOT}  # of a disk: no further file can be written either
MOST_OBJECTS = 1000  # of one class and image that are listed


@dataclass(frozen=True, kw_only=True)
class MaskPrediction(Prediction):
    """One file's prediction: where its mask and overlay were written and what they show, or the `error` why there is none.

    size: (height, width) in pixels. areas: for each class that occurs its name, pixels, share, and its objects (connected
    pixels, largest first) with area and box (top, left, bottom, right). pixels: the mask itself, (H, W) uint8, where it was
    not written.
    """

    mask: str = ""
    overlay: str = ""
    size: tuple[int, int] = (0, 0)
    areas: list[dict[str, Any]] = field(default_factory=list)
    pixels: np.ndarray | None = field(default=None, repr=False, compare=False)

    def rows(self, top: int = 1) -> list[dict[str, Any]]:
        """See Prediction; a row a class that occurs."""
        names = ("class", "pixels", "share", "instances")
        start = {"path": self.path, "mask": self.mask, "error": self.error or ""}
        return [start | {n: area.get(n, "") for n in names} for area in (self.areas or [{}])]

    def document(self) -> dict[str, Any]:
        """See Prediction."""
        return {n: getattr(self, n) for n in ("path", "mask", "overlay", "size", "areas", "error")}

    def cells(self, top: int = 1) -> list[tuple[str, ...]]:
        """See Prediction; a line a class that occurs."""
        size = f"{self.size[1]} × {self.size[0]}"
        return [
            (
                size if i == 0 else "",
                area["class"],
                f"{area['share']:.1%}",
                f"{area['instances']:,}" if "instances" in area else "–",
            )
            for i, area in enumerate(self.areas)
        ]

    def drawing(self, classes: Sequence[str]) -> Drawing | None:
        """See Prediction; a background and pixels without class stay clear."""
        if self.pixels is None:
            return None
        colours = palette(tuple(classes))
        counts = np.bincount(self.pixels.ravel(), minlength=256)
        parts = {
            i: (name, (int(colours[i][0]), int(colours[i][1]), int(colours[i][2])), int(counts[i]))
            for i, name in enumerate(classes[:255])
            if counts[i] and tuple(colours[i]) != NOTHING
        }
        return Drawing(mask=self.pixels, parts=parts)

    @classmethod
    def headings(cls, top: int = 1) -> tuple[str, ...]:
        """See Prediction."""
        return (" size", "class", " share", " objects")


def predict_masks(
    trained: Trained,
    inputs: Found,
    *,
    out: Path | None = None,
    force: bool = False,
    device: str = "auto",
) -> Iterator[MaskPrediction]:
    """Label image files, in order; with `out`, masks and overlays are written into that folder.

    Each mask has its image's name; where two images share one, or a file system would say so, the second gets a number.
    A mask is a palette PNG of the image's size whose numbers are the classes. A file that cannot be read gives a
    MaskPrediction with its error. Raises UsageError where a file would be overwritten without `force`, or an image itself
    with it, before anything is written.
    """
    names = inputs.files
    only = inputs.only
    outputs = None if out is None else outputs_of(names, out.expanduser(), force=force, only=only)
    return labelled(trained, inputs, outputs, device)


def outputs_of(
    names: Sequence[str], folder: Path, *, force: bool, only: Sequence[int] | None = None
) -> list[tuple[Path, Path]]:
    """(mask, overlay) of each image in the folder, which is made. Raises UsageError for one that may not be written.

    only: places of the images whose files are written; None for all.
    """
    outputs = [(folder / f"{s}.png", folder / f"{s}-overlay.webp") for s in output_names(names)]
    inputs = stays(names)
    own = next((file for both in outputs for file in both if holds(inputs, file)), None)
    if own is not None:
        raise UsageError(
            f"the mask {own} would replace the image itself; choose another folder with --out"
        )
    mine = outputs if only is None else [outputs[i] for i in only]
    taken = [next(f for f in both if f.exists()) for both in mine if any(f.exists() for f in both)]
    if taken and not force:
        raise UsageError(
            f"{taken[0]} exists{f' and {len(taken) - 1} more' if len(taken) > 1 else ''}; choose another folder with --out, "
            "or --force to write over them"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot make the folder {folder}: {error.strerror}; choose another with --out"
        ) from error
    return outputs


def labelled(
    trained: Trained, inputs: Found, outputs: list[tuple[Path, Path]] | None, device: str
) -> Iterator[MaskPrediction]:
    """The predictions, as they are ready."""
    place = choose_device(device)
    dtype = choose_precision(trained.precision, place)
    model = trained.model.to(place)
    for i, name in inputs.chosen:
        try:
            image = trained.read(inputs.image(name))
        except DataError as error:
            yield MaskPrediction(path=name, error=str(error))
            continue
        logits = label(
            model,
            trained.preprocessing,
            torch.from_numpy(image),
            device=place,
            dtype=dtype,
            flip=trained.flip_test,
        )
        mask = logits.argmax(0).byte().numpy()
        made = MaskPrediction(
            path=name, size=mask.shape, areas=areas_of(mask, trained.classes), pixels=mask
        )
        if outputs is None:
            yield made
            continue
        files = outputs[i]
        try:
            write_mask(files[0], mask, trained.classes)
            over = overlay(image.transpose(1, 2, 0), mask, trained.classes)
            write_overlay(files[1], with_key(over, mask, trained.classes))
        except (WriteError, ValueError) as error:
            if isinstance(error, WriteError) and error.errno in FULL:
                raise
            yield MaskPrediction(path=name, error=f"its mask {files[0]} cannot be written: {error}")
            continue
        yield replace(made, mask=str(files[0]), overlay=str(files[1]), pixels=None)


def write_mask(path: Path, mask: np.ndarray, classes: tuple[str, ...]) -> None:
    """Write a mask (H, W) uint8 of class numbers as a PNG in the colours of `palette`; it appears only when it is whole."""
    picture = Image.fromarray(mask, "P")
    picture.putpalette(palette(classes).ravel().tolist())
    with writing(path, durable=False) as file:
        picture.save(file, "PNG", optimize=True)


def write_overlay(path: Path, picture: np.ndarray) -> None:
    """A picture (H, W, 3) uint8 to look at, as WebP; one larger than WebP takes is written smaller."""
    shown = Image.fromarray(picture)
    shown.thumbnail((WEBP_SIDE, WEBP_SIDE))
    with writing(path, durable=False) as file:
        shown.save(file, "WEBP", quality=90)


def areas_of(mask: np.ndarray, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """The classes in a mask (H, W) uint8, largest area first; a class called background has no objects."""
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
            objects: list[dict[str, Any]] = [
                {"area": int(size), "box": [box[0].start, box[1].start, box[0].stop, box[1].stop]}
                for size, box in zip(sizes, find_objects(pieces), strict=True)
                if size >= LEAST
            ]
            objects.sort(key=lambda o: -o["area"])
            row |= {"instances": len(objects), "objects": objects[:MOST_OBJECTS]}
        rows.append(row)
    return sorted(rows, key=lambda r: -r["pixels"])
