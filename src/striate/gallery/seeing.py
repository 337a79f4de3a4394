"""Seeing: image files as a gallery's network sees them, aligned or cut out first where they are faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from striate.data.files import Found
from striate.data.reading import read_image
from striate.errors import DataError, UsageError
from striate.gallery.align import align
from striate.gallery.faces import Places, cut
from striate.tasks.embedding import Read
from striate.tasks.trained import Trained

NO_POINTS = "no five points of a face are given for it"


def reader(
    trained: Trained, file: Callable[[str], Path | np.ndarray], faces: Places | None
) -> Read:  # fmt: skip
    """What reads an image by its name as the network sees it, (C, H, W) uint8.

    file: a name to a file, or to an image (H, W, C). faces: the five points (5, 2) or the box (4,) of each face by name;
    None where images are taken whole. Raises DataError.
    """
    if faces is None:
        return lambda name: trained.read(file(name))
    pixels = pixels_of(trained, file, faces)
    return lambda name: trained.preprocessing.apply(pixels(name))


def pixels_of(
    trained: Trained, file: Callable[[str], Path | np.ndarray], faces: Places | None
) -> Read:  # fmt: skip
    """As `reader`, before the network's preprocessing: (H, W, C) uint8, of an aligned face (112, 112, C)."""

    def pixels(name: str) -> np.ndarray:
        place = None if faces is None else faces.get(name, NO_POINTS)
        given = file(name)
        whole = trained.preprocessing.eight_bits(
            given if isinstance(given, np.ndarray) else read_image(given)
        )
        if place is None:
            return whole
        if isinstance(place, str):
            raise DataError(f"cannot use {name}: {place}")
        try:  # the face alone goes on; nothing of it is stored
            return align(whole, place) if place.ndim == 2 else cut(whole, place)
        except (UsageError, DataError) as error:
            raise DataError(f"cannot use {name}: {error}") from error

    return pixels


def found_reader(trained: Trained, found: Found, faces: Places | None) -> Read:
    """`reader` of files that were found."""
    return reader(trained, found.image, faces)
