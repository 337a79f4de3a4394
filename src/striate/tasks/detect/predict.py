"""Predict objects: for every image file the boxes, and with a folder an overlay and one COCO file of all."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from striate.data.files import Found, holds, stays
from striate.data.output_names import output_names
from striate.documents import to_json
from striate.errors import DataError, RunError, UsageError
from striate.tasks.detect.drawing import drawn
from striate.tasks.detect.evaluation.threshold import threshold_of
from striate.tasks.detect.forms.table import form_of
from striate.tasks.detect.forward import outputs_of
from striate.tasks.detect.frame import original
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.prediction import DetectionPrediction
from striate.tasks.trained import Trained
from striate.training.machine import choose_device, choose_precision
from striate.writing import write_atomically

LARGEST_OVERLAY = 4096  # pixels a side; WebP takes no more than four times that
DOCUMENT = "objects.json"


def predict_objects(
    trained: Trained, inputs: Found, *, out: Path | None = None, force: bool = False, device: str = "auto"
) -> Iterator[DetectionPrediction]:  # fmt: skip
    """The objects of image files, in order; with `out`, overlays and `objects.json` (COCO) are written into that folder.

    A file that cannot be read gives a prediction with its error. Raises UsageError where a file would be overwritten without
    `force`, or an image itself with it, before anything is written.
    """
    folder = None if out is None else out.expanduser()
    files = None if folder is None else files_of(inputs, folder, force=force)
    return _predictions(trained, inputs, folder, files, device)


def files_of(inputs: Found, folder: Path, *, force: bool) -> list[Path]:
    """The overlay of each image in the folder, which is made. Raises UsageError for one that may not be written."""
    files = [folder / f"{stem}-overlay.webp" for stem in output_names(inputs.files)]
    given = stays(inputs.files)
    all_files = [*files, folder / DOCUMENT]
    own = next((file for file in all_files if holds(given, file)), None)
    if own is not None:
        raise UsageError(f"{own} would replace an image itself; choose another folder with --out")
    taken = [file for file in all_files if file.exists()]
    if taken and not force:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise UsageError(
            f"{taken[0]} exists{more}; choose another folder with --out, or --force to write over them"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot make the folder {folder}: {error.strerror}; choose another with --out"
        ) from error
    return files


def _predictions(
    trained: Trained, inputs: Found, folder: Path | None, files: list[Path] | None, device: str
) -> Iterator[DetectionPrediction]:
    place = choose_device(device)
    dtype = choose_precision(trained.precision, place)
    model = trained.model.to(place)
    listed: list[DetectionPrediction] = []
    whole = trained.preprocessing.unframed
    for i, name in enumerate(inputs.files):
        try:
            given = inputs.image(name)
            image = (
                whole.colours(given) if isinstance(given, np.ndarray) else whole.read_colours(given)
            )
        except DataError as error:
            yield DetectionPrediction(path=name, error=str(error), classes=trained.classes)
            continue
        made = predicted(trained, model, image, name, device=place, dtype=dtype)
        if files is not None:
            write_atomically(files[i], overlay_of(image.transpose(1, 2, 0), made))
            made = replace(made, overlay=str(files[i]))
            listed.append(made)
        yield made
    if folder is not None:
        write_atomically(folder / DOCUMENT, to_json(coco_document(listed, trained.classes)).encode())  # fmt: skip


def predicted(
    trained: Trained, model: torch.nn.Module, image: np.ndarray, name: str, *, device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> DetectionPrediction:  # fmt: skip
    """The objects of one image (C, H, W) uint8, upright and at its own size."""
    how = trained.preprocessing
    pixels = torch.from_numpy(how.colours(image.transpose(1, 2, 0)))
    out = outputs_of(model, how, [pixels], device=device, dtype=dtype)[0]
    seen = pixels.shape[-2], pixels.shape[-1]
    (objects,) = form_of(out).decode(out, len(trained.classes), seen)
    size = image.shape[-2], image.shape[-1]
    return prediction_of(original(objects, size, how), name, size, trained)


def prediction_of(
    objects: Objects, name: str, size: tuple[int, int], trained: Trained
) -> DetectionPrediction:
    """Objects as a prediction; its scalars are the best score of each class that was found."""
    classes, scalars = trained.classes, dict[str, float]()
    assert objects.scores is not None
    for label, score in zip(objects.labels.tolist(), objects.scores.tolist(), strict=True):
        scalars.setdefault(classes[label], score)
    return DetectionPrediction(
        path=name,
        size=size,
        objects=objects,
        classes=classes,
        scalars=scalars,
        sure=threshold_of(trained.calibration),
    )


def overlay_of(image: np.ndarray, made: DetectionPrediction) -> bytes:
    """The picture of an image (H, W, C) uint8, C 1 or 3, with its objects, as WebP; a small one enlarged, a large one
    reduced.
    """
    side = max(image.shape[:2])
    scale = min(4.0, 480 / side) if side < 480 else min(1.0, LARGEST_OVERLAY / side)
    shown = made.objects.sure(made.sure)
    buffer = io.BytesIO()
    Image.fromarray(drawn(image, shown, made.classes, scale=scale)).save(buffer, "WEBP", quality=88)
    return buffer.getvalue()


def coco_document(
    predictions: list[DetectionPrediction], classes: tuple[str, ...]
) -> dict[str, Any]:
    """Images, objects and classes in COCO's form; boxes are left, top, width, height in pixels; numbers count from 1."""
    annotations: list[dict[str, Any]] = []
    for number, one in enumerate(predictions, start=1):
        scores = one.objects.scores
        assert scores is not None
        for box, label, score in zip(
            one.objects.boxes.tolist(), one.objects.labels.tolist(), scores.tolist(), strict=True
        ):
            left, top, right, bottom = box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": label + 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top),
                    "iscrowd": 0,
                    "score": score,
                }
            )
    return {
        "images": [
            {"id": n, "file_name": p.path, "height": p.size[0], "width": p.size[1]}
            for n, p in enumerate(predictions, start=1)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(classes, start=1)],
        "annotations": annotations,
    }
