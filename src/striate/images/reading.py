"""Reading an image file, whole or region by region, whatever its format, depth, palette and orientation."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.errors import DataError
from striate.files import open_regular, read_regular, volume_of
from striate.images.kinds import identify
from striate.images.picture import Picture, Side
from striate.images.pillow import Shrink, decode_deep_jpeg, decode_pillow
from striate.images.pixels import MAX_PIXELS, refuse_bytes
from striate.images.reasons import reasons
from striate.images.tiff import TiffPicture
from striate.images.warning_filter import quiet

MOST_BYTES = 4_000_000_000  # of a file that is read whole; 100 million pixels of 16 bits and 4 channels have 0.8 billion


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """pixels (H, W, C), what the file is, its full size (H, W), and whether more pages follow.

    missing: values without data. left_out: channels beside the colours, such as near infrared, that are not in `pixels`.
    profile: colours that the file states other than sRGB, which are not converted; "" for sRGB or nothing.
    """

    pixels: np.ndarray
    format: str
    size: tuple[int, int]
    several_pages: bool = False
    missing: int = 0
    left_out: int = 0
    profile: str = ""


class DecodedPicture:
    """A picture whose pixels were decoded at once; see `Picture`."""

    page = 0

    def __init__(self, pixels: np.ndarray, kind: str, several: bool) -> None:
        self.pixels, self.format = pixels, kind
        self.shape = (pixels.shape[0], pixels.shape[1], pixels.shape[2])
        self.colours = 1 if self.shape[2] == 1 else 3
        self.dtype, self.held = pixels.dtype, pixels.nbytes
        self.pages = 2 if several else 1  # how many more is not counted

    def read(self, rows: Side, columns: Side) -> np.ndarray:
        """The region (rows, columns, C)."""
        return self.pixels[slice(*rows), slice(*columns)]

    def close(self) -> None:
        """Nothing is open."""


def open_picture(
    path: str | os.PathLike[str],
    *,
    page: int = 0,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int | None = None,
) -> Picture:
    """Open an image file, of which any region can be read: TIFF by its tiles, others decoded at once.

    page: of a TIFF of several, from 0. Channels that are no colours are read too. max_bytes: what decoding may take at once;
    None for no limit. Raises DataError as `read_image` does.
    """
    try:
        with reasons(), quiet():
            return _open(Path(path), page=page, max_pixels=max_pixels, max_bytes=max_bytes)
    except DataError as error:
        raise DataError(f"cannot read {os.fspath(path)}: {error}") from error


def _open(path: Path, *, page: int, max_pixels: int, max_bytes: int | None) -> Picture:
    with open_regular(path) as stream:
        kind = identify(stream.read(16))
    if kind == "TIFF":
        picture = TiffPicture(path, page=page, max_pixels=max_pixels, alpha=False)
        try:
            refuse_bytes(picture.stored.at_once, max_bytes)
        except DataError:
            picture.close()
            raise
        return picture
    if page:
        raise DataError(f"it is {kind}, of which only the first picture is read")
    image = _decode(
        read_regular(path, limit=MOST_BYTES),
        kind,
        page=0,
        max_pixels=max_pixels,
        max_bytes=max_bytes,
    )
    return DecodedPicture(image.pixels, kind, image.several_pages)


def read_image(
    path: str | os.PathLike[str],
    *,
    page: int = 0,
    max_pixels: int = MAX_PIXELS,
    alpha: bool = False,
    shrink: Shrink | None = None,
) -> np.ndarray:
    """Read an image file: (H, W, C), C 1 (grey) or 3 (RGB); uint8, or uint16 or float32 if deeper.

    Transparent pixels are laid on white, as on a page; `alpha=True` keeps RGB and alpha instead.
    EXIF orientation is applied, palettes and CMYK become RGB; of several pages the first is read, or `page`, from 0.
    What a deep file states to be no data is NaN in float32 and 0 in uint16.
    shrink: given height and width, how many times smaller (1, 2, 4 or 8) a JPEG may be decoded:
        all of the file is read, at a fraction of the work.
    Raises DataError with one sentence if the file is missing, cut short, no image, or larger than
    `max_pixels`.
    """
    try:
        return decode(
            Path(path), page=page, max_pixels=max_pixels, alpha=alpha, shrink=shrink
        ).pixels
    except DataError as error:
        where = f"page {page + 1} of {os.fspath(path)}" if page else os.fspath(path)
        raise DataError(f"cannot read {where}: {error}") from error


def decode(
    file: bytes | Path,
    *,
    page: int = 0,
    max_pixels: int = MAX_PIXELS,
    alpha: bool = False,
    shrink: Shrink | None = None,
) -> Decoded:
    """Decode a file or its bytes as `read_image` does; its DataError holds the bare reason."""
    with reasons(), quiet():
        if isinstance(file, Path) and volume_of(file) is not None:
            file = read_regular(file, limit=MOST_BYTES)
        if isinstance(file, Path):
            with open_regular(file) as stream:
                head = stream.read(16)
        else:
            head = file[:16]
        kind = identify(head)
        if isinstance(file, Path) and kind != "TIFF":
            file = read_regular(file, limit=MOST_BYTES)
        return _decode(file, kind, page=page, max_pixels=max_pixels, alpha=alpha, shrink=shrink)


def _decode(
    file: bytes | Path,
    kind: str,
    *,
    page: int,
    max_pixels: int,
    alpha: bool = False,
    shrink: Shrink | None = None,
    max_bytes: int | None = None,
) -> Decoded:
    missing, left_out, profile = 0, 0, ""
    if kind == "TIFF":
        picture = TiffPicture(file, page=page, max_pixels=max_pixels, alpha=alpha)
        try:
            height, width, channels = picture.shape
            if not picture.colours:
                raise DataError(
                    f"it has {channels} channels; 1 (grey), 3 (RGB) or 4 (RGB and alpha) are read"
                )
            pixels = picture.read((0, height), (0, width))
            if not (alpha and picture.colour.alpha):
                left_out = channels - picture.colours
                pixels = np.ascontiguousarray(pixels[..., : picture.colours])
            missing, several, size = picture.missing, picture.pages > 1, (height, width)
            profile, clear = picture.profile, picture.colour.alpha and not alpha
        finally:
            picture.close()
    else:
        assert isinstance(file, bytes)
        deep = decode_deep_jpeg(file, max_pixels) if kind == "JPEG" else None
        if deep is not None:
            pixels, size, several = deep, (deep.shape[0], deep.shape[1]), False
        else:
            pixels, size, several, profile = decode_pillow(
                file, kind, max_pixels=max_pixels, alpha=alpha, shrink=shrink, max_bytes=max_bytes
            )
        clear = not alpha and deep is None and kind != "JPEG"
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3, 4) or not pixels.size:
        raise DataError(f"it holds an array of shape {pixels.shape}, not an image")
    if clear and _white(pixels) and _transparent(file, kind, page, max_pixels):
        raise DataError(
            "all of its pixels are transparent, so that nothing of it is to be seen; save it without its alpha channel"
        )
    if pixels.dtype == np.float32:
        missing = int(np.isnan(pixels).sum())
        if missing == pixels.size:
            raise DataError("none of its values is a number")
    return Decoded(
        pixels=pixels,
        format=kind,
        size=size,
        several_pages=several,
        missing=missing,
        left_out=left_out,
        profile=profile,
    )


def _white(pixels: np.ndarray) -> bool:
    """Whether an image is of the paper alone, on which transparent pixels are laid."""
    if pixels.dtype.kind != "u":
        return False
    white = np.iinfo(pixels.dtype).max
    return bool((pixels[0] == white).all() and (pixels == white).all())


def _transparent(file: bytes | Path, kind: str, page: int, max_pixels: int) -> bool:
    """Whether a file has an alpha channel that shows nothing."""
    pixels = _decode(file, kind, page=page, max_pixels=max_pixels, alpha=True).pixels
    return pixels.shape[-1] == 4 and not pixels[..., 3].any()
