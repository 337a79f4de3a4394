"""Align: a face brought to a fixed place by five points, as networks that were trained on aligned faces see it.

The map is the similarity (rotation, one scale, shift) that brings the points nearest to the template in the sense of least
squares, by the closed form of Umeyama (1991, "Least-squares estimation of transformation parameters between two point
patterns", equations 40 to 42). The template is that of ArcFace (Deng et al. 2019) for 112 x 112 pixels: the pupils, the tip
of the nose and the corners of the mouth, each pair the left one in the picture first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from striate.data.columns import cell
from striate.data.finder import Finder
from striate.data.table import read_table
from striate.data.tree import grow
from striate.errors import DataError, UsageError

SIDE = 112  # pixels of the template
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)  # fmt: skip
POINTS = ("left eye", "right eye", "nose", "left corner of the mouth", "right corner of the mouth")
MOST_RESIDUAL = 0.35  # of the distance of the template's eyes; points in another order leave more
NAMES = (
    ("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4", "x5", "y5"),
    ("lefteyex", "lefteyey", "righteyex", "righteyey", "nosex", "nosey", "leftmouthx", "leftmouthy", "rightmouthx",
     "rightmouthy"),
    ("lefteyex", "lefteyey", "righteyex", "righteyey", "nosex", "nosey", "mouthleftx", "mouthlefty", "mouthrightx",
     "mouthrighty"),
)  # fmt: skip


def similarity(points: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """The similarity transform (2, 3) that brings points (n, 2) nearest to others (n, 2): x' = s R x + t (Umeyama 1991).

    It never mirrors. Raises UsageError for points that are not finite, or all one point.
    """
    source, target = np.asarray(points, np.float64), np.asarray(onto, np.float64)
    if source.ndim != 2 or source.shape != target.shape or source.shape[1] != 2 or len(source) < 2:
        raise UsageError(
            f"points are pairs (n, 2) of x and y, as many of both, got {source.shape} and {target.shape}"
        )
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise UsageError("the points hold numbers that are not finite; give pixels")
    centre, middle = source.mean(0), target.mean(0)
    away, wanted = source - centre, target - middle
    variance = (away**2).sum() / len(source)
    if variance < 1e-12 * max(1.0, float((centre**2).sum())):
        raise UsageError("the points are all one point, so that nothing says how a face lies")
    covariance = wanted.T @ away / len(source)
    u, strength, vt = np.linalg.svd(covariance)
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])
    rotation = u @ np.diag(sign) @ vt
    scale = float(strength @ sign) / variance
    if scale <= 0:
        raise UsageError("no turning and scaling brings the points to a face; look at their order")
    return np.column_stack((scale * rotation, middle - scale * rotation @ centre))


def align(image: np.ndarray, points: np.ndarray, *, side: int = SIDE) -> np.ndarray:
    """The face in an image (H, W, C) or (H, W) uint8 as (side, side, C) uint8, by five points (5, 2) of x and y in pixels.

    The points are, in this order and left and right as they are in the picture: left eye, right eye, tip of the nose, left
    and right corner of the mouth; the centre of the first pixel is (0, 0). What lies outside the image is black. Read
    bilinearly; an image that is more than twice too large is reduced first, so that nothing is skipped. Raises UsageError
    for points that are none of a face.
    """
    pixels = np.asarray(image)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise UsageError(
            f"an image is uint8 (H, W, C) or (H, W), got {pixels.dtype} {np.shape(image)}"
        )
    given = np.asarray(points, np.float64)
    if given.shape != (5, 2):
        raise UsageError(f"a face has five points (5, 2), {', '.join(POINTS)}, got {given.shape}")
    template = TEMPLATE * side / SIDE
    matrix = similarity(given, template)
    refuse_misfit(given, matrix, template)
    height, width = pixels.shape[:2]
    extent = np.array([width, height])
    if (given < -extent).any() or (given > 2 * extent).any():
        raise UsageError(
            f"the points lie far outside the image of {width} x {height} pixels; give pixels of this image"
        )
    scale = math.hypot(*matrix[:, 0])
    reduce = int(min(1 / scale, 64)) if scale < 0.5 else 1
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if reduce > 1:
        picture = picture.reduce(reduce)
        # The centre of the first pixel of the reduced image is that of the block it stands for.
        shrink = np.array([[reduce, 0, (reduce - 1) / 2], [0, reduce, (reduce - 1) / 2], [0, 0, 1]])
        matrix = matrix @ shrink
    back = np.linalg.inv(np.vstack((matrix, [0, 0, 1])))
    # Pillow reads at the centres of pixels, half a pixel from their corner.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    back = half @ back @ np.linalg.inv(half)
    out = picture.transform(
        (side, side), Image.Transform.AFFINE, tuple(back[:2].reshape(-1)), Image.Resampling.BILINEAR
    )
    return np.asarray(out).reshape(side, side, -1)


def refuse_misfit(points: np.ndarray, matrix: np.ndarray, template: np.ndarray) -> None:
    """Raise UsageError where points (5, 2) that were brought to the template by `matrix` (2, 3) are no face's, such as in
    another order, or with the person's own left for the picture's left."""
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    residual = float(np.sqrt(((moved - template) ** 2).sum(1).mean()))
    eyes = float(np.linalg.norm(template[1] - template[0]))
    if residual > MOST_RESIDUAL * eyes:
        raise UsageError(
            f"the five points are not those of a face: {residual / eyes:.0%} of the distance of the eyes remains between "
            f"them and a face's; give {', '.join(POINTS)}, in this order, left and right as they are in the picture"
        )


def points_of(table: Path, root: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """The five points (5, 2) of each image that a table has: x and y in pixels, by key below `root`. keys: the images.

    Columns: file, and x1, y1 to x5, y5, or those of CelebA (lefteye_x, ... rightmouth_y). Raises DataError.
    """
    rows = read_table(table)
    if len(rows.rows) < 2:
        raise DataError(f"{table} holds no line below its heading; give it a line a face")
    heading = [re.sub(r"[^a-z0-9]", "", text.casefold()) for text in rows.rows[0]]
    known = next((names for names in NAMES if set(names) <= set(heading)), None)
    if known is None:
        raise DataError(
            f"{table} has no five points: its first line reads {', '.join(rows.rows[0])}; name the columns file, x1, y1 "
            f"to x5, y5 ({', '.join(POINTS)})"
        )
    columns = [heading.index(name) for name in known]
    file = next(
        (
            heading.index(n)
            for n in ("file", "filename", "path", "image", "imageid", "name")
            if n in heading
        ),
        0,
    )
    base = table.resolve().parent
    where = base.relative_to(root.resolve()).parts if base.is_relative_to(root.resolve()) else ()
    wanted = set(keys)
    exact = {"/".join((*where, cell(row, file))) for row in rows.rows[1:]}
    # A table that names them letter by letter, as most do, needs no look at what else is there. Otherwise all images that
    # are there: among a few of them, a row of another image would be taken for one of its name.
    named = wanted <= exact
    images = [tuple(key.split("/")) for key in keys] if named else grow(root).images
    finder = Finder(root, (*where, table.name), images)
    found: dict[str, np.ndarray] = {}
    for row, line in zip(rows.rows[1:], rows.lines[1:], strict=True):
        if named and "/".join((*where, cell(row, file))) not in wanted:
            continue
        parts = finder.find(cell(row, file))
        if isinstance(parts, str) or "/".join(parts) not in wanted:
            continue
        try:
            numbers = np.array([float(cell(row, at)) for at in columns])
        except ValueError:
            raise DataError(
                f"{table}, line {line}: the points must be ten numbers, got {', '.join(cell(row, at) for at in columns)}"
            ) from None
        if not np.isfinite(numbers).all():
            raise DataError(f"{table}, line {line}: the points must be finite numbers")
        key = "/".join(parts)
        if key in found:
            raise DataError(
                f"{table}, line {line}: {key} has points already; one image gives one face, so cut others out"
            )
        found[key] = numbers.reshape(5, 2)
    return found
