"""Preprocessing of others as they write it down: a chain of torchvision's transforms, or Hugging Face's processor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from striate.errors import UsageError

# Hugging Face writes Pillow's number of a filter.
RESAMPLE = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
TO_TENSOR = ("ToTensor", "PILToTensor", "ToImage", "ToImageTensor", "ToPILImage", "ToPureTensor")


def steps_of(given: Any) -> list[Any] | None:
    """The transforms of torchvision's `Compose` or of an `nn.Sequential`, nested ones in place; None for another thing."""
    inner = getattr(given, "transforms", None)
    if inner is None and type(given).__name__ == "Sequential":
        inner = list(given)
    if not isinstance(inner, Iterable) or isinstance(inner, str):
        return None
    found: list[Any] = []
    for step in inner:
        nested = steps_of(step)
        found += [step] if nested is None else nested
    return found


def of_steps(steps: list[Any], *, own_size: bool) -> dict[str, Any]:
    """What a chain of torchvision's transforms does to an image, as the entries of a `Preprocessing` and `size`.

    own_size: the network reads images at their own size, so that resizing is left out. Raises UsageError where a step
    draws at random, is of no known kind, or where images would leave it in different sizes.
    """
    made: dict[str, Any] = {}
    first: tuple[int, ...] | None = None
    cut: tuple[int, int] | None = None
    scaled = tensor = False
    for step in steps:
        name = type(step).__name__
        if not type(step).__module__.startswith("torchvision."):
            raise _refused(name, "is not one of torchvision's transforms")
        if name.startswith(("Random", "AutoAugment", "TrivialAugment", "AugMix", "ColorJitter")):
            raise _refused(
                name, "draws at random, as in training; give the transform of validation"
            )
        if name == "Resize" and first is None and cut is None:
            if getattr(step, "max_size", None) is not None:
                raise _refused(
                    name, f"with max_size={step.max_size} gives images of different sizes"
                )
            if tensor and step.antialias is False:
                raise _refused(name, "without antialias is not among what Striate does to images")
            first = _sides(step.size)
            made["interpolation"] = step.interpolation
        elif name == "CenterCrop" and cut is None:
            height, width = (*_sides(step.size), *_sides(step.size))[:2]
            cut = (height, width)
        elif name == "Grayscale" and step.num_output_channels == 1:
            pass  # the length of mean says the same
        elif name in TO_TENSOR:
            tensor = name not in ("ToPILImage",)
            scaled = scaled or name == "ToTensor"
        elif name in ("ConvertImageDtype", "ToDtype"):
            scaled = scaled or name == "ConvertImageDtype" or bool(step.scale)
        elif name == "Normalize" and "mean" not in made:
            made |= {"mean": tuple(step.mean), "std": tuple(step.std)}
        else:
            raise _refused(name, "here is not among what Striate does to images")
    if not scaled:
        raise UsageError(
            "the chain of transforms never brings bytes to 0 to 1 (ToTensor, or ToDtype with scale=True); add that step"
        )
    made.setdefault("mean", (0.0, 0.0, 0.0))
    made.setdefault("std", (1.0,) * len(made["mean"]))
    done = " then ".join(type(s).__name__ for s in steps)
    made["why"] = f"torchvision's transforms: {done}"
    return made | _size(first, cut, own_size=own_size)


def _size(
    first: tuple[int, ...] | None, cut: tuple[int, int] | None, *, own_size: bool
) -> dict[str, Any]:
    """size, fit and resize of a Resize to `first` and a CenterCrop to `cut`."""
    if own_size:
        side = cut or (first if first and len(first) == 2 else (224, 224))
        return {"size": side, "fit": "squash"}
    if first is not None and len(first) == 2:
        if cut is None or cut == first:
            return {"size": first, "fit": "squash"}
        if first[0] == first[1]:
            return {"size": cut, "fit": "squash", "resize": first[0]}
    elif first is not None and cut is not None:
        return {"size": cut, "fit": "crop", "resize": first[0]}
    seen = "Resize of the shorter side alone" if first else "a chain without Resize"
    raise UsageError(
        f"{seen} leaves images in sizes of their own, and the network reads one; give Resize(N) and CenterCrop(N), or "
        "Resize((H, W))"
    )


def of_processor(config: Mapping[str, Any]) -> dict[str, Any]:
    """What Hugging Face's image processor (`preprocessor_config.json`) does, as the entries of a `Preprocessing` and `size`.

    Raises UsageError for what Striate does not do to images.
    """
    size, crop = config.get("size"), config.get("crop_size")
    if not config.get("do_resize", True) or size is None:
        raise _refused("the image processor", "resizes nothing (do_resize), so that sizes differ")
    if abs(float(config.get("rescale_factor", 1 / 255)) * 255 - 1) > 1e-3:
        raise _refused("rescale_factor", f"{config['rescale_factor']} is not 1/255")
    if config.get("crop_pct") and isinstance(size, Mapping) and "shortest_edge" in size:
        # ConvNeXt's: the side is that of the result; from 384 on nothing is cut.
        side = int(size["shortest_edge"])
        crop = side if side < 384 else None
        size = {"shortest_edge": int(side / config["crop_pct"])} if crop else side
    cut = config.get("do_center_crop", crop is not None) and crop is not None
    sides = _processor_sides(size, squash=not cut)
    made: dict[str, Any] = {"why": "Hugging Face's image processor"}
    number = config.get("resample", 2)
    if not isinstance(number, int) or not 0 <= number < len(RESAMPLE):
        raise _refused("resample", f"{number!r} is none of Pillow's filters")
    made["interpolation"] = RESAMPLE[number]
    normalised = config.get("do_normalize", True)
    made["mean"] = tuple(config["image_mean"]) if normalised else (0.0, 0.0, 0.0)
    made["std"] = tuple(config["image_std"]) if normalised else (1.0, 1.0, 1.0)
    if cut:
        target = _processor_sides(crop, squash=True)
        if len(sides) == 2 and sides[0] != sides[1]:
            raise _refused("size", f"{sides} before the cut is of another aspect than square")
        fit = "squash" if len(sides) == 2 else "crop"
        return made | {"size": target, "fit": fit, "resize": sides[0]}
    if len(sides) == 1:
        raise _refused("size", "of the shorter side alone leaves images in sizes of their own")
    return made | {"size": sides, "fit": "squash"}


def _processor_sides(size: Any, *, squash: bool) -> tuple[int, ...]:
    """(shorter side,) or (height, width). squash: a single number is both sides."""
    if isinstance(size, int):
        return (size, size) if squash else (size,)
    if isinstance(size, Mapping) and {"height", "width"} <= set(size):
        return int(size["height"]), int(size["width"])
    if isinstance(size, Mapping) and set(size) == {"shortest_edge"}:
        return (int(size["shortest_edge"]),)
    raise _refused("size", f"{size!r} is neither shortest_edge nor height and width")


def _sides(size: Any) -> tuple[int, ...]:
    return (int(size),) if isinstance(size, int) else tuple(int(s) for s in size)


def _refused(what: str, why: str) -> UsageError:
    return UsageError(
        f"preprocessing: {what} {why}; give a chain of Resize, CenterCrop, ToTensor and Normalize, or size, mean and std "
        "such as 224/0.485,0.456,0.406/0.229,0.224,0.225"
    )
