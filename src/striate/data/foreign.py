"""Foreign preprocessing: what timm, torchvision or a person says of how images enter a network, as a `Preprocessing`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from striate.data.depth import BYTES
from striate.data.foreign_steps import of_processor, of_steps, steps_of
from striate.data.preprocessing import FILTERS, Preprocessing
from striate.errors import UsageError

SIDE, SHORTER = 224, 256  # of nearly every network for ImageNet: the shorter side, then the centre
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FORMS = (
    "a striate Preprocessing; timm's data config (timm.data.resolve_model_data_config(model)); torchvision's preset "
    "(weights.transforms()); torchvision's Compose of Resize, CenterCrop, ToTensor and Normalize; Hugging Face's "
    "preprocessor_config.json; or (size, mean, std) such as (224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))"
)


def as_preprocessing(
    given: Any, *, channels: int | None = None, own_size: bool = False
) -> Preprocessing:
    """The preprocessing that `given` describes; its `why` says what was taken from it and what was assumed.

    given: a `Preprocessing`; timm's data config, a mapping with `input_size`, `mean`, `std`, `interpolation`, `crop_pct`
    and `crop_mode`; torchvision's preset for classification or segmentation, or its `Compose` of transforms; Hugging Face's
    image processor as a mapping; (size, mean, std), a side in pixels or (height, width), and a number or one a channel;
    None, where `assumed` holds. channels: of the network's images, where that is known. own_size: it reads images at their
    own size, as a segmenter does. Raises UsageError for anything else, and for what Striate cannot do to an image.
    """
    if given is None:
        made = assumed(channels or 3, own_size=own_size)
    elif isinstance(given, Preprocessing):
        made = given
    elif isinstance(given, Mapping) and "image_mean" in given:
        made = _made(**of_processor(given))
    elif isinstance(given, Mapping):
        made = _of_timm(given)
    elif hasattr(given, "mean") and hasattr(given, "std") and hasattr(given, "resize_size"):
        made = _of_torchvision(given)
    elif (steps := steps_of(given)) is not None:
        made = _made(**of_steps(steps, own_size=own_size))
    elif isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 3:
        made = _of_three(*given, channels=channels or 3)
    else:
        raise UsageError(
            f"preprocessing is {type(given).__name__}, and is not understood; give {FORMS}"
        )
    if channels is not None and made.channels != channels:
        raise UsageError(
            f"the network reads {channels} channel{'s' * (channels > 1)} and the preprocessing gives {made.channels}; give "
            f"mean and std of {channels} number{'s' * (channels > 1)}"
        )
    return made


def assumed(channels: int, *, own_size: bool = False) -> Preprocessing:
    """What most networks that were trained on ImageNet read: shorter side to 256, the centre of 224, its mean and std.

    own_size: the mean and std alone.
    """
    grey = channels == 1
    size = (
        "images at their own size"
        if own_size
        else f"shorter side to {SHORTER} pixels, the centre {SIDE} x {SIDE}, bilinear"
    )
    return _made(
        size=(SIDE, SIDE), mean=(sum(MEAN) / 3,) if grey else MEAN, std=(sum(STD) / 3,) if grey else STD,
        resize=SHORTER, fit="crop",
        why=f"assumed, because none was given: {size}, ImageNet's mean and standard deviation",
    )  # fmt: skip


def _of_torchvision(preset: Any) -> Preprocessing:
    sides = [getattr(preset, name, None) for name in ("resize_size", "crop_size")]
    resize, crop = ([s] if isinstance(s, int) else s for s in sides)
    if any(side is not None and len(side) != 1 for side in (resize, crop)):
        raise UsageError(
            f"{type(preset).__name__} is torchvision's preset of another task than images; give {FORMS}"
        )
    if crop is None:  # semantic segmentation: images are read at their own size
        side = resize[0] if resize else SIDE
        return _made(
            size=(side, side), mean=preset.mean, std=preset.std, interpolation=preset.interpolation, fit="squash",
            why=f"torchvision's preset {type(preset).__name__}; it resizes the shorter side of images to {side} pixels, "
            "which is not done here: a segmenter reads images at their own size",
        )  # fmt: skip
    first = resize[0] if resize else crop[0]
    return _made(
        size=(crop[0], crop[0]), mean=preset.mean, std=preset.std, interpolation=preset.interpolation, fit="crop",
        resize=first, why=f"torchvision's preset {type(preset).__name__}: shorter side to {first}, the centre of {crop[0]}",
    )  # fmt: skip


def _of_timm(config: Mapping[str, Any]) -> Preprocessing:
    missing = [name for name in ("input_size", "mean", "std") if name not in config]
    if missing:
        raise UsageError(
            f"a timm data config has input_size, mean and std, and {', '.join(missing)} is missing; give {FORMS}"
        )
    _, height, width = config["input_size"]
    kept = float(config.get("crop_pct") or 1.0)
    mode = config.get("crop_mode") or "center"
    rest: dict[str, Any] = {}
    if mode == "border":
        if kept != 1:
            raise UsageError(
                f"timm's crop_mode border with crop_pct={kept:g} is not among what Striate does to images; give crop_pct=1, "
                "or a striate Preprocessing of your own"
            )
        rest = {"fit": "pad"}
    elif height == width:
        rest = {"fit": "squash" if mode == "squash" else "crop", "resize": math.floor(height / kept)}  # fmt: skip
    elif mode == "squash" and kept == 1:
        rest = {"fit": "squash"}
    else:
        rest = {"fit": "crop", "crop_fraction": kept}
    return _made(
        size=(height, width), mean=config["mean"], std=config["std"],
        interpolation=config.get("interpolation", "bilinear"), why=f"timm's data config, crop_mode {mode}", **rest,
    )  # fmt: skip


def _of_three(size: Any, mean: Any, std: Any, *, channels: int) -> Preprocessing:
    both = (size, size) if isinstance(size, int) else tuple(size)
    values = [
        (float(v),) * channels if isinstance(v, int | float) else tuple(v) for v in (mean, std)
    ]
    if max(map(abs, values[0])) > 2:
        raise UsageError(
            f"mean is of images in [0, 1], got {values[0]}; divide mean and std by 255"
        )
    return _made(
        size=both, mean=values[0], std=values[1], fit="crop",
        why="size, mean and std as given; assumed: the longer side is cut at both ends, bilinear",
    )  # fmt: skip


def _made(
    *, size: Any, mean: Any, std: Any, interpolation: Any = "bilinear", why: str, **rest: Any
) -> Preprocessing:
    name = str(getattr(interpolation, "value", interpolation))
    name = {"random": "bilinear", "nearest-exact": "nearest"}.get(name, name)
    if name not in FILTERS:
        raise UsageError(
            f"the interpolation {name} is not among {', '.join(FILTERS)}; give one of these in a striate Preprocessing"
        )
    return Preprocessing(
        channels=len(mean), height=size[0], width=size[1], mean=tuple(mean), std=tuple(std), why=(why,),
        interpolation=cast(Any, name), full_scale=BYTES, **rest,
    )  # fmt: skip
