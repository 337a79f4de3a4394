"""Faces: where in an image the one face is, by a detector of the user's own, whose boxes cut it out and never align it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.files import Found
from striate.errors import DataError, GalleryError, UsageError
from striate.tasks.embedding import preprocessing_digest, weights_digest
from striate.tasks.trained import Trained
from striate.wording import counted, listed

NAMES = ("face", "faces")  # of the class that is taken where a detector knows several
Place = np.ndarray | str
"""Five points (5, 2) of a face, or its box (4,): left, top, right, bottom, in pixels; or why there is none."""
Places = Mapping[str, Place]


def boxes_of(detector: Trained, found: Found, device: str = "auto") -> dict[str, Place]:
    """The box of the one face of each image, by its name, or why there is none. Raises UsageError for what finds no faces.

    A detector's boxes say nothing of eyes and mouth, so that nothing is aligned by them. Where several faces are found,
    none is taken: whose the name is, and who agreed, is not known.
    """
    label = face_label(detector)
    places: dict[str, Place] = {}
    for one in detector.task.predict(detector, found, top=1, device=device):
        if one.error is not None:
            places[one.path] = str(one.error)
            continue
        boxes = [o["box"] for o in one.document()["objects"] if o["class"] == label]
        if len(boxes) == 1:
            places[one.path] = np.array(boxes[0], np.float64)
        elif boxes:
            places[one.path] = (
                f"{counted(len(boxes), 'face')} are found in it, and one image gives one; cut the others out"
            )
        else:
            places[one.path] = f"{detector.name} finds no face in it"
    return places


def face_label(detector: Trained) -> str:
    """The class of a detector that is taken for faces. Raises UsageError where there is none."""
    if not detector.task.objects:
        raise UsageError(
            f"{detector.name} gives {detector.task.about}, no boxes; --detector takes a detect run that was trained on faces"
        )
    known = [name for name in detector.classes if name.casefold() in NAMES]
    if len(detector.classes) == 1 or len(known) == 1:
        return (known or list(detector.classes))[0]
    raise UsageError(
        f"which class of {detector.name} is a face is not known: it finds {listed(detector.classes)}; take a detector with "
        "one class, or with one that is called face"
    )


def cut(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The part of an image (H, W, C) within a box (4,), its sides outwards to whole pixels. Raises DataError for none."""
    height, width = image.shape[:2]
    left, top = (int(v) for v in np.floor(np.maximum(box[:2], 0)))
    right, bottom = (int(v) for v in np.ceil(np.minimum(box[2:], (width, height))))
    if right <= left or bottom <= top:
        raise DataError(f"the face lies outside the image of {width} x {height} pixels")
    return np.ascontiguousarray(image[top:bottom, left:right])


def detector_of(detector: Trained, where: str | None) -> dict[str, Any]:
    """What a gallery's document says of a detector. where: the run's folder by which it is opened again."""
    return {
        "name": detector.name, "where": where, "model": weights_digest(detector),
        "preprocessing": preprocessing_digest(detector),
    }  # fmt: skip


def refuse_other_detector(path: Path, known: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raise GalleryError where a detector is not the one of a gallery, whose boxes may lie elsewhere."""
    if any(own[key] != known[key] for key in ("model", "preprocessing")):
        raise GalleryError(
            f"the faces of {path} were cut out by {known['name']}, and {own['name']} is another detector, whose boxes lie "
            "elsewhere; give the one that it was made with, or enrol the images again into a new gallery"
        )
