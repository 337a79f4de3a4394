"""Seeing: image files as a gallery's network sees them, aligned first where they are faces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from striate.data.files import Found
from striate.data.reading import read_image
from striate.errors import DataError, UsageError
from striate.gallery.align import align
from striate.tasks.embedding import Read
from striate.tasks.trained import Trained

NO_POINTS = "no five points of a face are given for it"


def reader(
    trained: Trained, file: Callable[[str], Path | np.ndarray], points: Mapping[str, np.ndarray] | None
) -> Read:  # fmt: skip
    """What reads an image by its name as the network sees it, (C, H, W) uint8.

    file: a name to a file, or to an image (H, W, C). points: the five points (5, 2) of each face by name; None where images
    are taken whole. Raises DataError.
    """
    if points is None:
        return lambda name: trained.read(file(name))
    pixels = pixels_of(trained, file, points)
    return lambda name: trained.preprocessing.apply(pixels(name))


def pixels_of(
    trained: Trained, file: Callable[[str], Path | np.ndarray], points: Mapping[str, np.ndarray] | None
) -> Read:  # fmt: skip
    """As `reader`, before the network's preprocessing: (H, W, C) uint8, of a face (112, 112, C). points: (5, 2) each."""

    def pixels(name: str) -> np.ndarray:
        if points is not None and name not in points:
            raise DataError(f"cannot use {name}: {NO_POINTS}")
        given = file(name)
        whole = trained.preprocessing.eight_bits(
            given if isinstance(given, np.ndarray) else read_image(given)
        )
        if points is None:
            return whole
        try:
            return align(whole, points[name])  # the face alone goes on; nothing of it is stored
        except UsageError as error:
            raise DataError(f"cannot use {name}: {error}") from error

    return pixels


def found_reader(trained: Trained, found: Found, points: Mapping[str, np.ndarray] | None) -> Read:
    """`reader` of files that were found. points: (5, 2) each."""
    return reader(trained, found.image, points)
