"""Recipe: everything that decides a training. The same recipe on the same machine gives the same run."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from striate.errors import UsageError
from striate.ranges import check_fields, check_ranges
from striate.training.machine import check_device
from striate.training.settings import coerce, names_of, require_choice, unknown

CHOICES = {
    "optimizer": ("muon", "sgd", "adamw"),
    "precision": ("auto", "fp32", "bf16"),
    "fit": ("squash", "crop", "pad"),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of one training; None means "decided by the data" (see `choose`).

    Units: `size` and `shift` in pixels, `budget` and `checkpoint_seconds` in seconds, `epochs` in passes over the
    training images (fractions allowed), `rotate` in degrees, `batch` in images a step.
    Raises UsageError, naming the setting, when a value is out of range.
    """

    data: str
    task: str | None = None  # the name of a task, see `striate.tasks`
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
    outside: bool | None = None  # whether a table may name files outside its folder
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
    frozen: float | None = (
        None  # fine-tuning: share of the layers, from the first, that keep their weights
    )
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
    settings: Any = None  # the task's own settings, a frozen dataclass; None for a task without any
    # machine
    device: str = "auto"
    precision: str = "auto"
    workers: int | None = None
    fsdp: bool | None = (
        None  # several processes: each holds a part of the weights and of what the optimizer remembers
    )
    seed: int = 0
    checkpoint_seconds: float = 60.0
    snapshots: int | None = None  # epochs whose weights are kept, spread over the training

    def __post_init__(self) -> None:
        require_choice(self, CHOICES)
        if self.channels not in (None, 1, 3):
            raise UsageError(f"channels must be 1 (grey) or 3 (RGB), got {self.channels}")
        check_fields(self)
        if self.val is not None and self.test is not None and self.val + self.test >= 1:
            raise UsageError(
                f"val + test must leave images to train on, got {self.val} + {self.test}; make them smaller"
            )
        if self.black is not None and self.white is not None and not self.white > self.black:
            raise UsageError(
                f"black is the value that becomes black and white the one that becomes white, so white must be the larger; "
                f"got black={self.black:g} and white={self.white:g}; swap them"
            )
        check_device(self.device)

    @property
    def model_options(self) -> dict[str, Any]:
        """What the recipe says about the architecture itself."""
        return {"width": self.width} if self.width else {}

    def replace(self, **changes: Any) -> Recipe:
        """The same recipe with other values."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The settings that have a value (TOML knows no None); the task's own in a table of the task's name."""
        own = dataclasses.asdict(self.settings) if self.settings is not None else {}
        settings = {f: getattr(self, f) for f in names_of(Recipe) if f != "settings"}
        if self.settings is not None:
            settings[str(self.task)] = {k: v for k, v in own.items() if v is not None}
        return {k: v for k, v in settings.items() if v is not None}

    @classmethod
    def from_dict(cls, settings: dict[str, Any], own: type | None = None) -> Recipe:
        """The opposite of `to_dict`, from typed values or text; the task's own settings, of class `own`, may lie beside
        the others. Raises UsageError for a name that no setting has, and for text that a setting does not admit.
        """
        settings = dict(settings)
        mine = [name for name in names_of(cls) if name != "settings"]
        theirs = names_of(own) if own is not None else []
        nested = settings.pop(str(settings.get("task")), None) if own is not None else None
        more = dict(nested) if nested is not None else {}
        common = {}
        for name, value in settings.items():
            if name in mine:
                value = parse_seconds(value) if name == "budget" and value is not None else value
                common[name] = coerce(cls, name, value)
            elif name in theirs:
                more[name] = value
            else:
                raise unknown(name, [*mine, *theirs])
        for name in more:
            if name not in theirs:
                raise unknown(name, theirs)
        typed = {name: coerce(own, name, value) for name, value in more.items()} if own else {}
        return cls(**common, settings=own(**typed) if own is not None else None)


def parse_seconds(text: str | float) -> float:
    """Seconds from `90`, `"90s"`, `"2m"`, `"1.5h"` or `"1m30s"`. Raises UsageError."""
    if isinstance(text, int | float):
        check_ranges(budget=text)
        return float(text)
    parts = re.fullmatch(
        r"(?:([\d.]+)h)?(?:([\d.]+)m(?:in)?)?(?:([\d.]+)s?)?", text.strip().lower()
    )
    try:
        if parts is None or not any(parts.groups()):
            raise ValueError
        seconds = sum(
            float(p or 0) * unit for p, unit in zip(parts.groups(), (3600, 60, 1), strict=True)
        )
    except ValueError:
        raise UsageError(f"budget must be a time such as 90s, 5m or 1h, got {text!r}") from None
    check_ranges(budget=seconds)
    return seconds
