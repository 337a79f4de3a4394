"""Image files drawn at random: format x depth x colour x layout x orientation x alpha, as Pillow and tifffile write them.

The right pixels are worked out from the arrays that are written; every way in which a command reads must give them.

    python tests/properties/random_images.py 20000
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from PIL import Image

from striate.data import Preprocessing
from striate.data.depth import stated_white
from striate.images import open_picture, read_image
from striate.inference.tiled import open_file
from striate.tasks.tiling import pixels_of

SHAPE = (21, 35)  # rows, columns as stored
Pixels = np.ndarray


@dataclass(frozen=True)
class Case:
    """A file's bytes, its suffix, and the pixels that a person sees: (H, W, C), deep where the file is.

    near: by how much a lossy format may be off on average; name: how it was made.
    """

    name: str
    suffix: str
    raw: bytes
    pixels: Pixels
    near: float = 0.0


def draw(rng: np.random.Generator) -> Case:
    """One file, with the right answer worked out from the arrays alone."""
    return (tiff, tiff, pillow)[rng.integers(3)](rng)


def tiff(rng: np.random.Generator) -> Case:
    """A TIFF of any depth, layout, compression, colour, alpha and orientation."""
    kind = str(rng.choice(["u1", "u2", "i1", "i2", "i4", "u4", "f2", "f4", "f8"]))
    colour = str(
        rng.choice(["grey", "white is zero", "rgb", "palette", "bilevel", "cmyk", "ycbcr"])
    )
    if colour in ("palette", "bilevel", "ycbcr"):
        kind = "u1"
    if colour == "cmyk":
        kind = str(rng.choice(["u1", "u2"]))
    dtype = np.dtype(kind)
    channels = {"rgb": 3, "ycbcr": 3, "cmyk": 4}.get(colour, 1)
    stored = numbers(rng, dtype, (*SHAPE, channels))
    options: dict[str, Any] = {}
    near = 0.0
    alpha = colour in ("grey", "rgb") and kind in ("u1", "u2") and rng.random() < 0.3
    if colour == "bilevel":
        bits = stored[..., 0] > 127
        seen = (bits * 255).astype(np.uint8)[..., None]
        options["photometric"] = "minisblack"
        values: Pixels = bits
    elif colour == "palette":
        table = rng.integers(0, 256, (3, 256)).astype(np.uint16) * 257
        values, seen = stored[..., 0], (table >> 8).astype(np.uint8).T[stored[..., 0]]
        options |= {"photometric": "palette", "colormap": table}
    elif colour == "ycbcr":
        values = np.asarray(Image.fromarray(smooth(rng, 3)))
        seen = values
        near = 5.0
        options |= {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": 95}}
        options["subsampling"] = [(1, 1), (2, 1), (2, 2)][rng.integers(3)]
    elif colour == "cmyk":
        values, seen = stored, inks(stored)
        options["photometric"] = "separated"
        near = 2.0 if kind == "u1" else 1.0
    else:
        seen = stored
        if colour == "white is zero":
            seen = mirrored(stored)
        seen = as_read(seen)
        values = stored
        options["photometric"] = {"grey": "minisblack", "rgb": "rgb"}.get(colour, "miniswhite")
        if alpha:
            opacity = numbers(rng, dtype, (*SHAPE, 1))
            opacity[:5], opacity[5:9] = 0, np.iinfo(dtype).max
            seen, values = laid(stored, opacity), np.concatenate([stored, opacity], -1)
            options["extrasamples"] = ["unassalpha"]
        if values.shape[-1] == 1:
            values = values[..., 0]
        elif rng.random() < 0.4:
            values = np.moveaxis(values, -1, 0).copy()
            options["planarconfig"] = "separate"
        elif colour == "grey":
            options["planarconfig"] = "contig"
    order = str(rng.choice(["<", ">"]))
    if colour != "ycbcr":
        options |= packing(rng, dtype, colour, order)
    options |= {"byteorder": order, "bigtiff": bool(rng.random() < 0.3)}
    if rng.random() < 0.5:
        options["tile"] = (16, 32)
    else:
        options["rowsperstrip"] = int(rng.choice([1, 5, 16, 40]))
    if options["compression"] == "jpeg":
        options |= {"tile": (16, 32)}
        options.pop("rowsperstrip", None)
    orientation = int(rng.integers(1, 9))
    options["extratags"] = [(274, 3, 1, orientation, True)]
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    shown = {k: v for k, v in options.items() if k not in ("extratags", "colormap")}
    name = f"TIFF {kind} {colour} orientation {orientation} {shown}"
    return Case(name, ".tif", buffer.getvalue(), turned(seen, orientation), near)


def packing(rng: np.random.Generator, dtype: np.dtype, colour: str, order: str) -> dict[str, Any]:
    """A compression that keeps every bit, and a predictor where it may have one."""
    if colour == "bilevel":
        return {"compression": rng.choice([None, "packbits", "zlib"])}
    known = [None, "lzw", "zlib", "zstd", "lzma", "packbits"]
    # Of 16 bits tifffile hands a big-endian file's bytes to the encoder swapped.
    if order == "<" and dtype.itemsize <= 2 and dtype.kind == "u" and colour in ("grey", "rgb"):
        known.append("jpeg2000")
    chosen = known[rng.integers(len(known))]
    found: dict[str, Any] = {"compression": chosen}
    if chosen == "jpeg2000":
        found["compressionargs"] = {"level": 0, "reversible": True}
    elif chosen in ("lzw", "zlib", "zstd") and dtype.itemsize <= 4 and rng.random() < 0.5:
        found["predictor"] = 3 if dtype.kind == "f" else 2
    return found


def pillow(rng: np.random.Generator) -> Case:
    """A file of one of Pillow's formats, in a mode that it can hold."""
    kinds: list[tuple[str, str, dict[str, Any], float]] = [
        ("PNG", "1", {}, 0), ("PNG", "L", {}, 0), ("PNG", "LA", {}, 0), ("PNG", "P", {}, 0),
        ("PNG", "RGB", {}, 0), ("PNG", "RGBA", {}, 0), ("PNG", "I;16", {}, 0),
        ("JPEG", "L", {"quality": 98}, 3), ("JPEG", "RGB", {"quality": 98, "subsampling": 0}, 3),
        ("JPEG", "CMYK", {"quality": 98}, 3), ("JPEG", "RGB", {"quality": 98, "progressive": True, "subsampling": 0}, 3),
        ("WEBP", "RGB", {"lossless": True}, 0), ("WEBP", "RGBA", {"lossless": True, "exact": True}, 0),
        ("BMP", "1", {}, 0), ("BMP", "L", {}, 0), ("BMP", "P", {}, 0), ("BMP", "RGB", {}, 0),
        ("GIF", "L", {}, 0), ("GIF", "P", {}, 0), ("PPM", "1", {}, 0), ("PPM", "L", {}, 0), ("PPM", "RGB", {}, 0),
        ("PPM", "I;16", {}, 0), ("TIFF", "1", {"compression": "group4"}, 0), ("TIFF", "L", {"compression": "tiff_lzw"}, 0),
        ("TIFF", "LA", {}, 0), ("TIFF", "P", {}, 0), ("TIFF", "RGB", {"compression": "tiff_adobe_deflate"}, 0),
        ("TIFF", "RGBA", {}, 0), ("TIFF", "CMYK", {}, 2), ("TIFF", "YCbCr", {}, 3), ("TIFF", "I;16", {}, 0),
        ("TIFF", "RGB", {"compression": "jpeg", "quality": 97}, 5), ("TIFF", "F", {}, 0), ("JPEG2000", "L", {}, 0),
        ("JPEG2000", "RGB", {"mct": 0}, 0), ("JPEG2000", "I;16", {}, 0),
    ]  # fmt: skip
    kind, mode, options, near = kinds[rng.integers(len(kinds))]
    image, seen = picture(rng, mode, lossy=near > 0)
    orientation = 1
    if kind in ("PNG", "JPEG", "WEBP", "TIFF"):
        orientation = int(rng.integers(1, 9))
        exif = Image.Exif()
        exif[274] = orientation
        options = options | ({"tiffinfo": {274: orientation}} if kind == "TIFF" else {"exif": exif})
    if kind in ("WEBP", "GIF") and seen.shape[-1] == 1:
        seen = np.repeat(seen, 3, -1)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    suffix = {"JPEG2000": ".jp2", "PPM": ".ppm"}.get(kind, "." + kind.lower())
    name = f"{kind} {mode} orientation {orientation} {options}"
    return Case(name, suffix, buffer.getvalue(), turned(seen, orientation), near)


def picture(rng: np.random.Generator, mode: str, *, lossy: bool) -> tuple[Image.Image, Pixels]:
    """An image in a mode of Pillow's, and what a person sees of it."""
    if mode == "I;16":
        deep = numbers(rng, np.dtype(np.uint16), SHAPE)
        return Image.fromarray(deep), deep[..., None]
    if mode == "F":
        floats = numbers(rng, np.dtype(np.float32), SHAPE)
        return Image.fromarray(floats), floats[..., None]
    rgb = (
        smooth(rng, 3)
        if lossy or mode == "YCbCr"
        else numbers(rng, np.dtype(np.uint8), (*SHAPE, 3))
    )
    grey = rgb[..., :1]
    if mode == "1":
        bits = grey > 127
        return Image.fromarray(bits[..., 0]), (bits * 255).astype(np.uint8)
    if mode == "L":
        return Image.fromarray(grey[..., 0]), grey
    if mode == "P":
        table = rng.integers(0, 256, (256, 3)).astype(np.uint8)
        image = Image.fromarray(grey[..., 0], "P")
        image.putpalette(table.tobytes())
        return image, table[grey[..., 0]]
    if mode in ("LA", "RGBA"):
        opacity = numbers(rng, np.dtype(np.uint8), (*SHAPE, 1))
        opacity[:5], opacity[5:9] = 0, 255
        colour = grey if mode == "LA" else rgb
        return Image.fromarray(np.concatenate([colour, opacity], -1), mode), laid(colour, opacity)
    if mode == "CMYK":
        ink = np.concatenate([rgb, smooth(rng, 1) // 4], -1)
        return Image.fromarray(ink, "CMYK"), inks(ink)
    image = Image.fromarray(rgb)
    return (image.convert(mode) if mode != "RGB" else image), rgb


def numbers(rng: np.random.Generator, dtype: np.dtype, shape: tuple[int, ...]) -> Pixels:
    """Any values of a kind; those of floats between -1000 and 1000."""
    if dtype.kind == "f":
        return rng.uniform(-1000, 1000, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def smooth(rng: np.random.Generator, channels: int) -> Pixels:
    """What a lossy format keeps: a slope a channel."""
    rows, columns = np.mgrid[0 : 1 : SHAPE[0] * 1j, 0 : 1 : SHAPE[1] * 1j]
    weights = rng.uniform(0, 1, (2, channels))
    values = rows[..., None] * weights[0] + columns[..., None] * weights[1]
    return (20 + 100 * values).astype(np.uint8)


def as_read(values: Pixels) -> Pixels:
    """uint8 and uint16 as they are, all else as float32."""
    return values if values.dtype in (np.uint8, np.uint16) else values.astype(np.float32)


def mirrored(values: Pixels) -> Pixels:
    """White for black: each integer's distance from the greatest taken from the least, and floats negated."""
    if values.dtype.kind == "f":
        return -values
    limits = np.iinfo(values.dtype)
    exact = values.astype(object)
    return (limits.max + limits.min - exact).astype(values.dtype)


def laid(colour: Pixels, opacity: Pixels) -> Pixels:
    """A colour over white, in real numbers."""
    top = float(np.iinfo(colour.dtype).max)
    share = opacity / top
    return np.rint(colour * share + top * (1 - share)).astype(colour.dtype)


def inks(ink: Pixels) -> Pixels:
    """RGB of cyan, magenta, yellow and black, in real numbers."""
    top = float(np.iinfo(ink.dtype).max)
    left = 1 - ink / top
    return np.rint(left[..., :3] * left[..., 3:] * top).astype(ink.dtype)


TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda p: p,
    2: np.fliplr,
    3: lambda p: np.rot90(p, 2),
    4: np.flipud,
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(p, 2).swapaxes(0, 1),
    8: np.rot90,
}  # Exif 2.32, tag 274: from stored to upright


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """The stored picture as its orientation asks for it."""
    return TURNS[orientation](pixels)


def differs(case: Case, folder: Path, rng: np.random.Generator) -> str:
    """What is wrong with a file as it is read, whole or in part, by any command; nothing if all is right."""
    path = folder / f"case{case.suffix}"
    path.write_bytes(case.raw)
    found, expected = read_image(path), case.pixels
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return f"{found.shape} {found.dtype} instead of {expected.shape} {expected.dtype}"
    apart = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    off = float(apart.mean() if case.near else apart.max())
    # A pixel over white is rounded in another way by each decoder.
    if off > max(case.near, 1.0 if expected.dtype != np.float32 else 0):
        return f"off by {off}"
    height, width, channels = found.shape
    picture = open_picture(path)
    top, left = int(rng.integers(height)), int(rng.integers(width))
    bottom, right = int(rng.integers(top, height)) + 1, int(rng.integers(left, width)) + 1
    part = picture.read((top, bottom), (left, right))
    picture.close()
    if not np.array_equal(part[..., :channels], found[top:bottom, left:right]):
        return f"a region {(top, bottom), (left, right)} is not as the whole"
    preprocessing = as_trained(found, int(rng.choice([1, 3])) if channels == 3 else 1)
    network_reads = preprocessing.normalise(torch.from_numpy(preprocessing.read(path))[None])
    if not np.array_equal(preprocessing.read_colours(path), preprocessing.apply(found)):
        return "predict and explain read other pixels than train"
    opened: Any = open_file(path, page=0)
    tiled = pixels_of(preprocessing, opened.colours)(opened.read(0, ((top, bottom), (left, right))))
    if not torch.equal(tiled, network_reads[..., top:bottom, left:right]):
        return "tile reads other pixels than predict"
    return ""


def as_trained(pixels: Pixels, channels: int) -> Preprocessing:
    """What a training on such pixels leaves, at their own size."""
    full = stated_white(pixels.dtype)
    black, white = (0.0, 65535.0) if full else (float(pixels.min()), float(pixels.max()) + 1)
    return Preprocessing(
        channels=channels,
        height=pixels.shape[0],
        width=pixels.shape[1],
        mean=(0.4,) * channels,
        std=(0.3,) * channels,
        black=black,
        white=white,
        full_scale=full,
    )


def main(count: int) -> None:
    """Draw `count` files and name those that are read wrongly."""
    wrong = 0
    with tempfile.TemporaryDirectory() as home:
        for number in range(count):
            rng = np.random.default_rng(number)
            case = draw(rng)
            if said := differs(case, Path(home), rng):
                wrong += 1
                print(number, case.name, said, sep="\n  ")
    print(f"{count:,} files, {wrong} read wrongly")


if __name__ == "__main__":
    main(int(sys.argv[1]))
