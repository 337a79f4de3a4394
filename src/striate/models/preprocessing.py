"""How images are preprocessed for weights that exist already, and which classes those know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from striate.models import hub, lite0
from striate.models.building import PATTERN_SIZE, is_pattern
from striate.models.zoo import find

# of ImageNet's red, green and blue over [0, 1], as every torchvision model uses them
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# The four classes that share a first name with another.
_TOLD_APART = {134: "crane (bird)", 517: "crane (machine)"}
_TOLD_APART |= {638: "maillot (tights)", 639: "maillot (tank suit)"}
CROPPED = 0.875  # 224 of 256 pixels, since AlexNet


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Scale the shorter side to size / crop_fraction, cut out the centre, normalise.

    size: (height, width) in pixels. mean, std: a channel each, for values over [0, 1].
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: tuple[int, int]
    interpolation: str
    crop_fraction: float


def preprocessing(spec: str) -> Preprocessing:
    """What published weights of `spec` were trained on: packaged, timm's, or else torchvision's.

    Raises UsageError for an unknown name.
    """
    if spec.startswith(hub.PREFIX):
        name = spec.removeprefix(hub.PREFIX)
        if name != lite0.ARCHITECTURE:
            return _of_timm(name)
        spec = "efficientnet-lite0"
    if is_pattern(spec):
        return _untrained(PATTERN_SIZE)
    name, entry = find(spec)
    if name == "efficientnet-lite0":
        return Preprocessing(
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
            size=entry.size,
            interpolation="bicubic",
            crop_fraction=CROPPED,
        )
    return _untrained(entry.size)


def _untrained(size: tuple[int, int]) -> Preprocessing:
    return Preprocessing(
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        size=size,
        interpolation="bilinear",
        crop_fraction=CROPPED if size == (224, 224) else 1.0,
    )


def _of_timm(name: str) -> Preprocessing:
    known = hub.configuration(name)
    return Preprocessing(
        mean=tuple(known["mean"]),
        std=tuple(known["std"]),
        size=tuple(known["input_size"][1:]),
        interpolation=known["interpolation"],
        crop_fraction=known["crop_pct"],
    )


def imagenet_classes() -> tuple[str, ...]:
    """The 1000 classes of ImageNet in the order of every published head, no two alike: "tench",
    "goldfish", ..., "toilet tissue".
    """
    text = Path(__file__).with_name("imagenet_classes.txt").read_text(encoding="utf-8")
    words = text.splitlines()
    return tuple(_TOLD_APART.get(i, word) for i, word in enumerate(words))
