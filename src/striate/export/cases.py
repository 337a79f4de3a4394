"""Cases: the images of a proof, made to show what goes wrong in exports: resampling, places, colours, sizes."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from striate.data import Preprocessing

BATCH = 7
LARGEST_FILE = 2400  # pixels of a side of the file that is decoded at a part of its size


def cases(
    how: Preprocessing, size: tuple[int, int] | None, *, own_size: bool = False
) -> dict[str, np.ndarray]:
    """Images (H, W, C) uint8 by name. size: (height, width) of all, None for any. own_size: the network resizes none."""
    rng = np.random.default_rng(19)
    height, width = size or how.size
    if own_size and size is None:
        height, width = min(height, 96), min(width, 96)
    made = {
        "noise": _noise(rng, height, width),
        "checkerboard": _checkers(height, width, 1),
        "shapes": _shapes(height, width),
        "colours": _colours(rng, height, width),
        "black": np.zeros((height, width, 3), np.uint8),
    }
    if size is None:
        wide = max(8, round(height * 1.37) | 1), max(8, round(width * 0.81) | 1)
        made["noise, odd sides"] = _noise(rng, *wide)
        if not own_size:
            made |= {
                "checkerboard, reduced": _checkers(2 * height + 1, round(1.5 * width) + 2, 1),
                "shapes, tall": _shapes(round(2.4 * height) + 3, width),
                "colours, wide": _colours(rng, max(height // 2, 1), round(2.1 * width) + 5),
                "noise, enlarged": _noise(rng, max(height // 3, 2), max(width // 3 - 1, 2)),
                "one row": _noise(rng, 1, 2 * width + 1),
                "one column": _noise(rng, height + 3, 1),
                "one pixel": np.array([[[200, 30, 90]]], np.uint8),
            }
    if how.channels == 1:
        made = {name: image[..., :1] for name, image in made.items()}
    return made


def batch_of(how: Preprocessing, size: tuple[int, int] | None, *, own_size: bool = False) -> np.ndarray:  # fmt: skip
    """(7, H, W, C) uint8: unlike images of one size, the first of the cases moved and turned."""
    made = cases(how, size, own_size=own_size)
    same = [image for image in made.values() if image.shape == made["noise"].shape][:4]
    turned = [np.roll(image, 3, 1)[::-1] for image in same]
    return np.stack([*same, *turned, *same][:BATCH])


def files(
    how: Preprocessing, size: tuple[int, int] | None, *, own_size: bool = False
) -> dict[str, bytes]:
    """Image files by name, of what decoders take differently: grey, alpha, 16 bits, EXIF, one pixel, a reduced JPEG."""
    height, width = size or how.size
    if own_size and size is None:
        height, width = min(height, 96), min(width, 96)
    elif size is None:
        height, width = min(height + 13, 90), min(width + 6, 70)
    shapes = _shapes(height, width)
    deep = (shapes[..., 0].astype(np.uint16) * 256 + shapes[..., 2]).astype(np.uint16)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter
    lying = Image.fromarray(np.ascontiguousarray(_shapes(width, height)))
    made = {
        "grey.png": _file(Image.fromarray(shapes[..., 2])),
        "alpha.png": _file(Image.fromarray(np.dstack([shapes, 255 - shapes[..., 2]]))),
        "16 bits.png": _file(Image.fromarray(deep)),
        "turned by EXIF.jpg": _file(lying, "JPEG", quality=92, exif=turned),
    }
    if size is None and not own_size:
        made["one pixel.png"] = _file(Image.fromarray(shapes[:1, :1]))
        made["one row.png"] = _file(Image.fromarray(shapes[height // 3 : height // 3 + 1]))
        large = 5 * how.height + 3, 6 * how.width + 1
        if max(large) <= LARGEST_FILE:
            made["large.jpg"] = _file(Image.fromarray(_shapes(*large)), "JPEG", quality=80)
    return made


def _file(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Sixteen levels, so that it can be compressed."""
    return (rng.integers(0, 16, (height, width, 3)) * 17).astype(np.uint8)


def _checkers(height: int, width: int, side: int) -> np.ndarray:
    rows, columns = np.indices((height, width)) // side
    board = ((rows + columns) % 2 * 255).astype(np.uint8)
    return np.stack([board, 255 - board, board // 2], -1)


def _shapes(height: int, width: int) -> np.ndarray:
    """A disc, a bar and a ramp, each in another channel: nothing in it is the same mirrored or turned."""
    y, x = np.indices((height, width)) + 0.5
    y, x = y / height, x / width
    disc = ((y - 0.35) ** 2 + (x - 0.3) ** 2 < 0.05) * 230
    bar = ((x > 0.6) & (y > 0.15)) * 180 + 20
    return np.stack([disc, bar, x * 255], -1).astype(np.uint8)


def _colours(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Blocks of saturated colours of the size of an eighth."""
    small = rng.integers(0, 256, (9, 9, 3)).astype(np.uint8)
    rows, columns = np.arange(height) * 8 // max(height, 1), np.arange(width) * 8 // max(width, 1)
    return np.ascontiguousarray(small[rows][:, columns])
