"""Predict objects: for every image file the boxes, and with a folder an overlay and one COCO file of all."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from striate.data.files import Found, holds, stays
from striate.data.output_names import output_names
from striate.documents import Listing, json_in_parts
from striate.errors import DataError, RunError, UsageError
from striate.geometry import leaves_of
from striate.inference.tiled.read.open import open_image
from striate.tasks.detect import forward
from striate.tasks.detect.data.run_lengths import counts_of, text_of_counts
from striate.tasks.detect.drawing import Draw, drawn
from striate.tasks.detect.evaluation.threshold import threshold_of
from striate.tasks.detect.forms.form import Forms
from striate.tasks.detect.forms.table import form_of
from striate.tasks.detect.forward import outputs_of
from striate.tasks.detect.frame import original
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.prediction import DetectionPrediction
from striate.tasks.tiling import TileJob
from striate.tasks.trained import Trained
from striate.training.machine import choose_device, choose_precision
from striate.writing import write_atomically, writing

LARGEST_OVERLAY = 4096  # pixels a side; WebP takes no more than four times that
DOCUMENT = "objects.json"
NOT_FINITE = "the network gives numbers for it that are not finite, and so no boxes"


Picture = Callable[[np.ndarray, Any], bytes]
"""(image (H, W, 1 or 3) uint8, its prediction) -> a file's content."""


def predict_objects(
    trained: Trained, inputs: Found, *, out: Path | None = None, force: bool = False, device: str = "auto",
    forms: Forms = form_of, kind: type[DetectionPrediction] = DetectionPrediction,
    pictures: Mapping[str, tuple[str, Picture]] | None = None,
) -> Iterator[DetectionPrediction]:  # fmt: skip
    """The objects of image files, in order; with `out`, overlays and `objects.json` (COCO) are written into that folder.

    forms: which one an output has. kind: of prediction. pictures: field of the prediction -> (end of a file's name, what
    makes it) of the files that are written of each image; the overlay if not given. A file that cannot be read gives a
    prediction with its error. Raises UsageError where a file would be overwritten without `force`, or an image itself with
    it, before anything is written.
    """
    folder = None if out is None else out.expanduser()
    if folder is not None and inputs.only is not None:
        raise UsageError(
            f"{DOCUMENT} in -o holds all images, and a shard has some of them; leave -o out, and merge the shards with "
            "--format json"
        )
    pictures = pictures or {"overlay": ("-overlay.webp", overlay_of)}
    ends = [end for end, _ in pictures.values()]
    files = None if folder is None else files_of(inputs, folder, ends, force=force)
    return _predictions(trained, inputs, folder, files, device, forms, kind, pictures)


def files_of(inputs: Found, folder: Path, ends: Sequence[str], *, force: bool) -> list[list[Path]]:
    """The files of each image in the folder, which is made. Raises UsageError for one that may not be written."""
    files = [[folder / f"{stem}{end}" for end in ends] for stem in output_names(inputs.files)]
    given = stays(inputs.files)
    all_files = [*(file for several in files for file in several), folder / DOCUMENT]
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
    trained: Trained, inputs: Found, folder: Path | None, files: list[list[Path]] | None, device: str, forms: Forms,
    kind: type[DetectionPrediction], pictures: Mapping[str, tuple[str, Picture]],
) -> Iterator[DetectionPrediction]:  # fmt: skip
    refuse_no_numbers(trained)
    place = choose_device(device)
    dtype = choose_precision(trained.precision, place)
    model = trained.model.to(place)
    listed: list[DetectionPrediction] = []
    whole = trained.preprocessing.unframed
    for i, name in inputs.chosen:
        try:
            given = inputs.image(name)
            image = (
                whole.colours(given) if isinstance(given, np.ndarray) else whole.read_colours(given)
            )
        except DataError as error:
            yield kind(path=name, error=str(error), classes=trained.classes)
            continue
        made = predicted(
            trained, model, image, name, device=place, dtype=dtype, forms=forms, kind=kind
        )
        if files is not None and made.error is None:
            for file, (field, (_, picture)) in zip(files[i], pictures.items(), strict=True):
                write_atomically(file, picture(image.transpose(1, 2, 0), made))
                written: dict[str, Any] = {field: str(file)}
                made = replace(made, **written)
            listed.append(made)
        yield made
    if folder is not None:
        write_document(folder / DOCUMENT, coco_document(listed, trained.classes))


def predicted(
    trained: Trained, model: torch.nn.Module, image: np.ndarray, name: str, *, device: torch.device,
    dtype: torch.dtype = torch.float32, forms: Forms = form_of, kind: type[DetectionPrediction] = DetectionPrediction,
) -> DetectionPrediction:  # fmt: skip
    """The objects of one image (C, H, W) uint8, upright and at its own size. forms: which one an output has."""
    how = trained.preprocessing
    pixels = torch.from_numpy(how.colours(image.transpose(1, 2, 0)))
    seen = pixels.shape[-2], pixels.shape[-1]
    if forward.is_tiled(model, pixels.shape, device):
        objects = large_objects(trained, pixels, name, forms)
    else:
        out = outputs_of(model, how, [pixels], device=device, dtype=dtype)[0]
        maps = [leaf for leaf in leaves_of(out) if isinstance(leaf, torch.Tensor)]
        if not all(bool(m.isfinite().all()) for m in maps):
            return kind(path=name, error=NOT_FINITE, classes=trained.classes)
        (objects,) = forms(out).decode(out, len(trained.classes), seen)
    size = image.shape[-2], image.shape[-1]
    return prediction_of(original(objects, size, how), name, size, trained, kind)


def refuse_no_numbers(trained: Trained) -> None:
    """Raise RunError where weights are no numbers: no box would have a score then, and nothing would seem to be there."""
    for name, weights in trained.model.state_dict().items():
        if weights.is_floating_point() and not bool(weights.isfinite().all()):
            raise RunError(
                f"the weights {name} of {trained.name} hold what is no number, so that nothing could be found; train it "
                "again, with a lower learning rate, or take an earlier checkpoint"
            )


def large_objects(trained: Trained, pixels: torch.Tensor, name: str, forms: Forms) -> Objects:
    """The objects of pixels (C, H, W) uint8 as the network sees them, as `striate tile` finds them.

    Maps lie on the disk until objects are chosen: those of the R-CNNs take 85 bytes a pixel, a gigabyte at 12 megapixels.
    """
    job = TileJob(
        trained=replace(trained, preprocessing=trained.preprocessing.unframed), image=open_image(pixels.numpy(), 2),
        path=Path(name), page_note="", page=None, out=None, memory=forward.TILES, tile=None, force=False, check=True,
        progress=lambda done, of: None,
    )  # fmt: skip
    output = forward.output_of(trained.model, trained.shape)
    return forms(output).tile(job, output, len(trained.classes))[0]


def prediction_of(
    objects: Objects, name: str, size: tuple[int, int], trained: Trained,
    kind: type[DetectionPrediction] = DetectionPrediction,
) -> DetectionPrediction:  # fmt: skip
    """Objects as a prediction; its scalars are the best score of each class that was found."""
    classes, scalars = trained.classes, dict[str, float]()
    assert objects.scores is not None
    for label, score in zip(objects.labels.tolist(), objects.scores.tolist(), strict=True):
        scalars.setdefault(classes[label], score)
    return kind(
        path=name,
        size=size,
        objects=objects,
        classes=classes,
        scalars=scalars,
        sure=threshold_of(trained.calibration),
    )


def overlay_of(image: np.ndarray, made: DetectionPrediction, draw: Draw = drawn) -> bytes:
    """The picture of an image (H, W, C) uint8, C 1 or 3, with its objects, as WebP; a small one enlarged, a large one
    reduced.
    """
    side = max(image.shape[:2])
    scale = min(4.0, 480 / side) if side < 480 else min(1.0, LARGEST_OVERLAY / side)
    buffer = io.BytesIO()
    Image.fromarray(draw(image, made.shown, made.classes, scale=scale)).save(
        buffer, "WEBP", quality=88
    )
    return buffer.getvalue()


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write what `coco_document` gives; a slide has half a million objects."""
    with writing(path) as file:
        for part in json_in_parts(document, "annotations"):
            file.write(part.encode())


def coco_document(
    predictions: list[DetectionPrediction], classes: tuple[str, ...]
) -> dict[str, Any]:
    """Images, objects and classes in COCO's form; boxes are left, top, width, height in pixels; numbers count from 1.

    Regions, where objects have them, are compressed run lengths of the whole image. Entries are made when asked for.
    """
    ends = np.cumsum([len(one.objects) for one in predictions]).tolist()

    def annotations(first: int, last: int) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        for number in range(bisect_right(ends, first), len(ends)):
            one, start = predictions[number], ends[number] - len(predictions[number].objects)
            part = range(max(first, start), min(last, ends[number]))
            if start >= last:
                break
            if len(part):
                own = one.objects.take(np.arange(part.start - start, part.stop - start))
                made += _annotations(own, one.size, number + 1, part.start)
        return made

    return {
        "images": [
            {"id": n, "file_name": p.path, "height": p.size[0], "width": p.size[1]}
            for n, p in enumerate(predictions, start=1)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(classes, start=1)],
        "annotations": Listing(ends[-1] if ends else 0, annotations),
    }


def _annotations(
    objects: Objects, size: tuple[int, int], image: int, before: int
) -> list[dict[str, Any]]:
    """The entries of objects of image number `image` of that size, numbered from `before` + 1 on."""
    rows: list[dict[str, Any]] = []
    assert objects.scores is not None
    columns = (objects.boxes, objects.labels, objects.scores, objects.areas)
    for i, (box, label, score, area) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        left, top, right, bottom = box
        entry: dict[str, Any] = {
            "id": before + i + 1,
            "image_id": image,
            "category_id": label + 1,
            "bbox": [left, top, right - left, bottom - top],
            "area": area,
            "iscrowd": 0,
            "score": score,
        }
        if objects.regions is not None:
            counts = text_of_counts(counts_of(objects.regions[i], *size))
            entry["segmentation"] = {"size": list(size), "counts": counts}
        rows.append(entry)
    return rows
