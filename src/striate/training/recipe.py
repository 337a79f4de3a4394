"""Recipe: everything that decides a training. The same recipe on the same machine gives the same run."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from dataclasses import dataclass
from typing import Any

from striate.errors import UsageError

CHOICES = {
    "optimizer": ("muon", "sgd", "adamw"),
    "precision": ("auto", "fp32", "bf16"),
    "fit": ("squash", "crop", "pad"),
    "masks": ("numbers", "colours", "binary", "nearest"),
}
POSITIVE = ("size", "epochs", "budget", "batch", "lr", "checkpoint_seconds", "width", "limit")
FRACTION = (
    "val",
    "test",
    "warmup",
    "label_smoothing",
    "average",
    "erase",
    "mixup",
    "layer_decay",
    "foreground",
    "jitter",
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of one training; None means "decided by the data" (see `choose`).

    Units: `size` and `shift` in pixels, `budget` and `checkpoint_seconds` in seconds, `epochs` in passes over the
    training images (fractions allowed), `rotate` in degrees, `batch` in images a step.
    Raises UsageError, naming the setting, when a value is out of range.
    """

    data: str
    model: str | None = None
    width: int | None = None  # channels of the default model's first layer
    pretrained: bool | None = None
    weights: str | None = None
    # data
    size: int | None = None
    channels: int | None = None
    fit: str | None = None
    black: float | None = None  # value of images deeper than 8 bits that becomes black
    white: float | None = None  # and the one that becomes white
    val: float | None = None
    test: float | None = None
    limit: int | None = None  # at most so many training images
    count: int | None = None  # images of a generated source
    # length
    epochs: float | None = None
    budget: float | None = None
    # optimisation
    batch: int | None = None
    optimizer: str | None = None
    lr: float | None = None
    weight_decay: float | None = None
    warmup: float | None = None
    label_smoothing: float | None = None
    average: float | None = None  # decay a step of the averaged weights; 0 turns averaging off
    head_epochs: float | None = None  # fine-tuning: passes in which only the head learns
    layer_decay: float | None = (
        None  # fine-tuning: learning rate of a layer group over that of the next one
    )
    # augmentation
    shift: int | None = None
    flip: bool | None = None
    scale: float | None = None  # smallest area that a random crop keeps; 1 turns cropping off
    rotate: float | None = None
    erase: float | None = (
        None  # side of the erased square over the image's side; 0 turns erasing off
    )
    mixup: float | None = None
    flip_test: bool | None = None
    # a class for every pixel
    masks: str | None = (
        None  # what masks hold: numbers, colours, binary (0 or not), nearest (smoothed)
    )
    ignore: str | None = (
        None  # the value of pixels without a label, such as 255 or #ffffff, or none
    )
    foreground: float | None = None  # share of crops laid over one of the rarer classes
    dice: float | None = None  # weight of the Dice loss beside the cross-entropy
    class_weights: bool | None = None  # rare classes weigh more in the cross-entropy
    zoom: float | None = None  # largest zoom of a crop, in or out
    jitter: float | None = None  # largest change of contrast and brightness, of the full scale
    # machine
    device: str = "auto"
    precision: str = "auto"
    workers: int | None = None
    seed: int = 0
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in allowed:
                raise UsageError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
        for name in POSITIVE:
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise UsageError(f"{name} must be greater than 0, got {value}")
        for name in FRACTION:
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise UsageError(f"{name} must lie between 0 and 1, got {value}")
        if self.val is not None and self.test is not None and self.val + self.test >= 1:
            raise UsageError(
                f"val + test must leave images to train on, got {self.val} + {self.test}; make them smaller"
            )
        for name in ("black", "white"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise UsageError(f"{name} must be a number, got {value}")
        if self.black is not None and self.white is not None and not self.white > self.black:
            raise UsageError(
                f"black is the value that becomes black and white the one that becomes white, so white must be the larger; "
                f"got black={self.black:g} and white={self.white:g}; swap them"
            )
        if self.channels not in (None, 1, 3):
            raise UsageError(f"channels must be 1 (grey) or 3 (RGB), got {self.channels}")
        if self.scale is not None and not 0 < self.scale <= 1:
            raise UsageError(f"scale must lie above 0 and at most at 1, got {self.scale}")
        if self.device != "auto" and self.device != "cpu" and not self.device.startswith("cuda"):
            raise UsageError(f"device must be auto, cpu, cuda or cuda:N, got {self.device!r}")

    @property
    def model_options(self) -> dict[str, Any]:
        """What the recipe says about the architecture itself."""
        return {"width": self.width} if self.width else {}

    def replace(self, **changes: Any) -> Recipe:
        """The same recipe with other values."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The settings that have a value (TOML knows no None)."""
        return {k: v for k, v in dataclasses.asdict(self).items() if v is not None}

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> Recipe:
        """The opposite of `to_dict`. Raises UsageError for a name that no setting has."""
        settings = dict(settings)
        if (old := settings.pop("mask_255", None)) is not None:  # its name before `ignore`
            settings.setdefault("ignore", "255" if old == "ignore" else "none")
        return cls(**{name: cls.coerce(name, value) for name, value in settings.items()})

    @classmethod
    def coerce(cls, name: str, value: Any) -> Any:
        """`value` (text from a command line, or already typed) as the type of setting `name`.

        Raises UsageError for an unknown name, with the nearest one, and for text that the type does not admit.
        """
        import difflib

        hints = typing.get_type_hints(cls)
        if name not in hints:
            near = difflib.get_close_matches(name, hints, n=1)
            hint = f"did you mean {near[0]}?" if near else f"settings are {', '.join(hints)}"
            raise UsageError(f"no setting is called {name!r}; {hint}")
        kinds = [
            t for t in (typing.get_args(hints[name]) or (hints[name],)) if t is not types.NoneType
        ]
        kind = kinds[0]
        optional = types.NoneType in typing.get_args(hints[name])
        none = ("auto",) if name == "ignore" else ("none", "auto")
        if optional and (value is None or str(value).lower() in none):
            return None
        try:
            if kind is bool:
                if isinstance(value, bool):
                    return value
                return {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False,
                        "off": False, "0": False}[str(value).lower()]  # fmt: skip
            if kind is int and float(value) != int(float(value)):
                raise ValueError
            return kind(float(value)) if kind is int else kind(value)
        except (ValueError, KeyError, TypeError, OverflowError):
            words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[
                kind
            ]
            raise UsageError(f"{name} must be {words}, got {value!r}") from None


def parse_seconds(text: str | float) -> float:
    """Seconds from `90`, `"90s"`, `"2m"`, `"1.5h"` or `"1m30s"`. Raises UsageError."""
    import re

    parts = re.fullmatch(
        r"(?:([\d.]+)h)?(?:([\d.]+)m(?:in)?)?(?:([\d.]+)s?)?", str(text).strip().lower()
    )
    try:
        if parts is None or not any(parts.groups()):
            raise ValueError
        seconds = sum(
            float(p or 0) * unit for p, unit in zip(parts.groups(), (3600, 60, 1), strict=True)
        )
    except ValueError:
        raise UsageError(f"budget must be a time such as 90s, 5m or 1h, got {text!r}") from None
    if not (seconds > 0 and math.isfinite(seconds)):
        raise UsageError(f"budget must be greater than 0, got {text!r}")
    return seconds
