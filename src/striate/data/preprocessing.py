"""Preprocessing: from an image of any size and depth to what the network sees."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from PIL import Image

from striate.data.depth import BYTES, NUMBERS, SHORTS, UNKNOWN, refuse_depth, to_bytes
from striate.data.resampling import resampled
from striate.errors import DataError, UsageError
from striate.images import flatten_alpha, read_image

if TYPE_CHECKING:
    import torch

Fit = Literal["squash", "crop", "pad"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box"]
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}
MOST_SIDE = 8192
MOST_FRAME = 65_536  # pixels of a longer side to which images may be reduced
MOST_ENLARGED = 16


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How every image is brought to the network's size, depth and scale: the same in training,
    evaluation and prediction. Saved with the run.

    channels: 1 (grey) or 3 (RGB); images are converted. height, width: pixels.
    fit: what happens to another aspect ratio. "squash" stretches each axis on its own, "crop" cuts
        the longer axis off on both sides, "pad" adds bars in the mean colour.
    interpolation: of the resize, always antialiased (except "nearest").
    crop_fraction: the part of the side that "crop" keeps in any case, 1.0 all of it.
    resize: pixels of the shorter side ("squash": of both sides) before the centre is cut out, in two steps with their own
        rounding, as torchvision and timm do; 0: the part that is kept is resized in one step.
    mean, std: a value a channel, of images in [0, 1].
    white, black: the values of images deeper than 8 bits that become 255 and 0; decided once.
    full_scale: what the training files state as white: 255 (8 bits), 65535 (16 bits), 0 (nothing: floating, signed and
        32-bit numbers), or -1 in runs that were made before it was recorded, which take all.
    nodata: values of deep images that stand for no data; they become black.
    longest, enlarge: of tasks that see images at their own size: the pixels to which a longer side is reduced (0: none is),
        and by how much images are enlarged, or reduced below 1; see `frame`.
    why: the reasons for the choices, one sentence each; not compared.
    """

    channels: int
    height: int
    width: int
    fit: Fit = "squash"
    interpolation: Interpolation = "bilinear"
    crop_fraction: float = 1.0
    resize: int = 0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    white: float = 65535
    black: float = 0
    full_scale: float = UNKNOWN
    nodata: tuple[float, ...] = ()
    longest: int = 0
    enlarge: float = 1.0
    why: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise UsageError(f"channels must be 1 (grey) or 3 (RGB), got {self.channels!r}")
        for name in ("height", "width"):
            side = getattr(self, name)
            if isinstance(side, np.integer):
                object.__setattr__(self, name, int(side))
            if not isinstance(side, (int, np.integer)) or not 1 <= side <= MOST_SIDE:
                raise UsageError(f"{name} must be 1 to {MOST_SIDE} pixels, got {side!r}")
        for name, kind in (("fit", Fit), ("interpolation", Interpolation)):
            if getattr(self, name) not in get_args(kind):
                allowed = ", ".join(get_args(kind))
                raise UsageError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")
        if not 0 < self.crop_fraction <= 1:
            raise UsageError(f"crop_fraction must be above 0, at most 1, got {self.crop_fraction}")
        if not 0 <= self.resize <= MOST_SIDE or (self.resize and self.fit == "pad"):
            raise UsageError(
                f"resize must be 0 to {MOST_SIDE} pixels, and 0 where fit is pad, got {self.resize} with {self.fit}"
            )
        for name, default in (("mean", 0.0), ("std", 1.0)):
            values = tuple(float(v) for v in getattr(self, name)) or (default,) * self.channels
            if len(values) != self.channels or not all(map(math.isfinite, values)):
                raise UsageError(
                    f"{name} must be {self.channels} numbers, one a channel, got {values}"
                )
            object.__setattr__(self, name, values)
        if min(self.std) <= 0:
            raise UsageError(f"std must be above 0, got {self.std}")
        if not 0 <= self.longest <= MOST_FRAME or not 0 < self.enlarge <= MOST_ENLARGED:
            raise UsageError(
                f"longest must be 0 to {MOST_FRAME} pixels and enlarge above 0, at most {MOST_ENLARGED}, got {self.longest} "
                f"and {self.enlarge}"
            )
        if not self.white > self.black:
            raise UsageError(f"white must be above black, got {self.white} and {self.black}")
        if self.full_scale not in (UNKNOWN, NUMBERS, BYTES, SHORTS):
            raise UsageError(f"full_scale must be 255, 65535, 0 or -1, got {self.full_scale}")
        object.__setattr__(self, "nodata", tuple(float(v) for v in self.nodata))
        object.__setattr__(self, "why", tuple(self.why))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height, self.width

    @property
    def numbers(self) -> bool:
        """Whether it is of images that hold plain numbers, such as measured ones, and state no white."""
        return self.full_scale == NUMBERS

    def to_dict(self) -> dict[str, Any]:
        """Numbers, strings and lists, as TOML and JSON have them."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Preprocessing:
        """What `to_dict` gave. Raises UsageError on a missing, unknown or wrong entry."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(raw) - known):
            raise UsageError(f"unknown entries in a preprocessing: {', '.join(unknown)}")
        if missing := sorted({"channels", "height", "width"} - set(raw)):
            raise UsageError(f"a preprocessing lacks {', '.join(missing)}")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
        return cls(**values)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Prepare an image (H, W, C), C 1, 3 or 4, or (H, W): (channels, height, width) uint8.

        Images of the depth of `full_scale` are scaled from black..white to 0..255, uint8 is taken as it is; others by what
        they state. Raises DataError for another shape, or a depth that nothing relates to this one.
        """
        pixels = self._resized(self._flat(image))
        if pixels.shape[-1] == 1 and self.channels == 3:
            pixels = np.repeat(pixels, 3, axis=-1)
        # A copy: the caller may write into it, and torch takes no read-only array.
        return np.array(pixels.transpose(2, 0, 1), order="C")

    def colours(self, image: np.ndarray) -> np.ndarray:
        """As `apply`, but at the image's own size, or that of its `frame`: (channels, h, w) uint8."""
        pixels = self._flat(image)
        size, frame = (pixels.shape[0], pixels.shape[1]), self.frame(*pixels.shape[:2])
        if frame != size:
            pixels = resampled(pixels, frame, of=size, to=frame)
        if pixels.shape[-1] != self.channels:
            pixels = np.repeat(pixels, self.channels, axis=-1)
        return np.array(pixels.transpose(2, 0, 1), order="C")

    def frame(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) at which a task that resizes nothing else sees an image of this size: reduced to `longest` along
        its longer side where it is larger, then enlarged `enlarge` times; 1 pixel at least."""
        scale = self.enlarge
        if self.longest and max(height, width) > self.longest:
            scale *= self.longest / max(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))

    @property
    def unframed(self) -> Preprocessing:
        """The same at an image's own size, whatever its size."""
        return replace(self, longest=0, enlarge=1.0)

    def eight_bits(self, image: np.ndarray) -> np.ndarray:
        """As `apply`, but at the image's own size and in its own colours: (H, W, C) uint8, C 1 or 3, on white."""
        return flatten_alpha(to_bytes(_three_axes(image), self), keep=False)

    def _flat(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 1 or 3) uint8 on white, in grey where one channel is wanted."""
        pixels = self.eight_bits(image)
        if pixels.shape[-1] == 3 and self.channels == 1:
            pixels = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
        return pixels

    def read(self, path: str | os.PathLike[str], *, foreign: bool = True) -> np.ndarray:
        """Read and preprocess an image file: (channels, height, width) uint8. Raises DataError.

        The way in which training, evaluation and prediction take a file: a JPEG that is far
        larger than needed is decoded at a half, a quarter or an eighth of its size, which is
        several times faster and differs from `apply(read_image(path))` by less than a grey level
        on average.
        foreign: refuse an image whose depth or values are not those of the training; see `refuse_depth`.
        """
        return self._of(path, self.apply, read_image(path, shrink=self.shrink), foreign)

    def read_colours(self, path: str | os.PathLike[str]) -> np.ndarray:
        """As `read`, but at the image's own size, or that of its `frame`: (channels, h, w) uint8. Raises DataError."""
        return self._of(path, self.colours, read_image(path), True)

    def _of(
        self,
        path: str | os.PathLike[str],
        turn: Callable[[np.ndarray], np.ndarray],
        pixels: np.ndarray,
        foreign: bool,
    ) -> np.ndarray:
        try:
            if foreign:
                refuse_depth(pixels, self)
            return turn(pixels)
        except DataError as error:
            raise DataError(f"cannot use {os.fspath(path)}: {error}") from error

    def shrink(self, height: int, width: int) -> int:
        """How many times smaller (1, 2, 4 or 8) an image may be decoded before it is resized.

        Twice the pixels that are needed remain along each axis, so that the resize still decides
        what is seen.
        """
        if (
            self.interpolation == "nearest" or self.resize
        ):  # two steps are to be those of others, exactly
            return 1
        left, upper, right, lower = self.box(height, width)
        down, across = (lower - upper) / self.height, (right - left) / self.width
        spare = max(down, across) if self.fit == "pad" else min(down, across)
        return max((f for f in (2, 4, 8) if spare >= 2 * f), default=1)

    def box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """The part of an image that is kept: left, upper, right, lower in its own pixels."""
        if self.resize:
            rows, columns = self._first_size(height, width)
            tall, wide = min(self.height / rows, 1) * height, min(self.width / columns, 1) * width
            left, upper = (width - wide) / 2, (height - tall) / 2
            return left, upper, left + wide, upper + tall
        if self.fit != "crop":
            return 0.0, 0.0, float(width), float(height)
        scale = min(height / self.height, width / self.width) * self.crop_fraction
        # Rounding must not put an edge outside the image.
        kept_height, kept_width = min(self.height * scale, height), min(self.width * scale, width)
        left, upper = (width - kept_width) / 2, (height - kept_height) / 2
        return left, upper, min(left + kept_width, width), min(upper + kept_height, height)

    def lost_fraction(self, height: int, width: int) -> float:
        """What an image of this size loses, from 0 (nothing) to 1.

        "crop": the share of the area that is cut off. "squash": 1 - the squeeze, the ratio of the
        smaller to the larger scale of the axes; 0.5 means that a circle becomes twice as long as
        wide. "pad": nothing.
        """
        if self.fit == "crop":
            left, upper, right, lower = self.box(height, width)
            return 1 - (right - left) * (lower - upper) / (height * width)
        if self.fit == "squash":
            scales = self.height / height, self.width / width
            return 1 - min(scales) / max(scales)
        return 0.0

    def normalise(self, batch: torch.Tensor, *, dtype: torch.dtype | None = None) -> torch.Tensor:
        """uint8 (N, C, H, W) -> (value / 255 - mean) / std, on the batch's device, as `dtype`.

        Computed in float32 and then rounded to `dtype` (float32 if None); channels-last stays.
        """
        shape = (1, self.channels, 1, 1)
        values = batch.float()
        scale = values.new_tensor([1 / (255 * s) for s in self.std]).view(shape)
        shift = values.new_tensor([-m / s for m, s in zip(self.mean, self.std, strict=True)]).view(
            shape
        )
        values = values * scale + shift
        return values if dtype is None else values.to(dtype)

    def restore(self, batch: torch.Tensor) -> torch.Tensor:
        """The inverse of `normalise`: uint8 (N, C, H, W), rounded and clipped to 0..255."""
        shape = (1, self.channels, 1, 1)
        values = batch.detach().float()
        std, mean = values.new_tensor(self.std), values.new_tensor(self.mean)
        values = (values * std.view(shape) + mean.view(shape)) * 255
        return values.round().clamp(0, 255).byte()

    def _resized(self, pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        if self.resize:
            return self._cut_out(pixels)
        if (height, width) == self.size and (self.fit != "crop" or self.crop_fraction == 1):
            return pixels
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        method = FILTERS[self.interpolation]
        if self.fit == "pad":
            scale = min(self.height / height, self.width / width)
            inner = (max(1, round(width * scale)), max(1, round(height * scale)))
            part = np.asarray(resized(image, inner, method))
            part = part.reshape(inner[1], inner[0], -1)
            bars = np.rint(np.array(self.mean) * 255).clip(0, 255).astype(np.uint8)
            if part.shape[-1] != self.channels:
                part = np.repeat(part, self.channels, axis=-1)
            page = np.empty((*self.size, self.channels), dtype=np.uint8)
            page[:] = bars
            top, left = (self.height - inner[1]) // 2, (self.width - inner[0]) // 2
            page[top : top + inner[1], left : left + inner[0]] = part
            return page
        made = resized(image, (self.width, self.height), method, self.box(height, width))
        return np.asarray(made).reshape(self.height, self.width, -1)

    def _first_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of an image after the first of two steps; the longer side is rounded down, as torchvision does."""
        if self.fit == "squash":
            return self.resize, self.resize
        if height <= width:
            return self.resize, int(self.resize * width / height)
        return int(self.resize * height / width), self.resize

    def _cut_out(self, pixels: np.ndarray) -> np.ndarray:
        """Two steps: resize, then the centre; what lies outside the resized image is black, as in torchvision."""
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        rows, columns = self._first_size(*pixels.shape[:2])
        whole = np.asarray(resized(image, (columns, rows), FILTERS[self.interpolation]))
        whole = whole.reshape(rows, columns, -1)
        missing = [max(side - n, 0) for side, n in zip(self.size, (rows, columns), strict=True)]
        if any(missing):
            bars = [(n // 2, n - n // 2) for n in missing]
            whole = np.pad(whole, (*bars, (0, 0)))
        # `round` takes halves to the even number, as torchvision's own does.
        top, left = (
            round((n - side) / 2) for n, side in zip(whole.shape[:2], self.size, strict=True)
        )
        return whole[top : top + self.height, left : left + self.width]


def resized(
    image: Image.Image,
    size: tuple[int, int],
    method: Image.Resampling,
    box: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    """`image.resize` of the part `box`, columns first and then rows, whatever the version of Pillow. size: width, height.

    Grey levels are rounded between the two passes, so that their order shows. Until version 12 Pillow took columns first,
    and networks were trained so; since 13 it takes what seems cheaper: up to 35 grey levels apart in tall images.
    """
    left, upper, right, lower = box or (0, 0, *image.size)
    if method is Image.Resampling.NEAREST or (upper, lower) == (0, image.height) == (0, size[1]):
        return image.resize(size, method, (left, upper, right, lower))
    across = image.resize((size[0], image.height), method, (left, 0, right, image.height))
    return across.resize(size, method, (0, upper, size[0], lower))


def _three_axes(image: np.ndarray) -> np.ndarray:
    pixels = image[..., None] if image.ndim == 2 else image
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3, 4) or 0 in pixels.shape:
        raise DataError(
            f"an image must be (height, width, channels) with 1, 3 or 4 channels, got {image.shape}"
        )
    return pixels
