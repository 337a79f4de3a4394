"""The range of every number that a person sets, in one table: for recipes, for the public functions, for the command line.

A bound that no real work reaches stands there so that a slip of the keyboard ends in a sentence instead of a full memory.
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import Any

from striate.errors import UsageError


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both included unless `above`: then `low` itself is out. whole: integers alone."""

    low: float
    high: float
    whole: bool = False
    above: bool = False

    def __contains__(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            return False
        if self.whole and not isinstance(value, numbers.Integral):
            return False
        # Compared as they are: a float of 2 ** 64 would be another number. nan is in no range.
        number: Any = value
        return (self.low < number if self.above else self.low <= number) and number <= self.high

    def __str__(self) -> str:
        kind = "a whole number " if self.whole else ""
        low, high = shown(self.low), shown(self.high)
        if math.isinf(self.low):
            return "a number" if math.isinf(self.high) else f"{kind}at most {high}"
        if self.above:
            return f"{kind}greater than {low} and at most {high}"
        return f"{kind}from {low} to {high}" if kind else f"between {low} and {high}"


def whole(low: int, high: int) -> Range:
    """Whole numbers."""
    return Range(low, high, whole=True)


def positive(high: float) -> Range:
    """Numbers greater than 0."""
    return Range(0, high, above=True)


SHARE = Range(0, 1)
ANY = Range(-1.7976931348623157e308, 1.7976931348623157e308)  # every finite number
SIDE = whole(1, 65_536)  # pixels
COUNT = whole(1, 10**12)  # of images

RANGES: dict[str, Range] = {
    # everything random; scikit-learn and NumPy's older generators take 32 bits
    "seed": whole(0, 2**32 - 1),
    # a recipe: the network and the data
    "width": whole(1, 65_536),
    "size": SIDE,
    "channels": whole(1, 3),
    "black": ANY,
    "white": ANY,
    "val": SHARE,
    "test": SHARE,
    "limit": COUNT,
    "count": whole(1, 10**8),
    # its length
    "epochs": positive(10**6),
    "budget": positive(10**8),
    "checkpoint_seconds": positive(10**8),
    "snapshots": whole(1, 10_000),
    # optimisation
    "batch": whole(1, 10**6),
    "lr": positive(10**4),
    "weight_decay": Range(0, 10**4),
    "warmup": SHARE,
    "label_smoothing": SHARE,
    "average": SHARE,
    "head_epochs": Range(0, 10**6),
    "frozen": SHARE,
    "layer_decay": SHARE,
    # augmentation
    "shift": whole(0, 65_536),
    "scale": Range(0, 1, above=True),
    "rotate": Range(0, 180),
    "erase": SHARE,
    "mixup": SHARE,
    "workers": whole(0, 128),
    # of segmentation, detection and regression
    "foreground": SHARE,
    "dice": Range(0, 10**6),
    "zoom": Range(1, 100),
    "jitter": SHARE,
    "huber": positive(10**6),
    # of detection
    "edges": Range(0, 10**6),
    "regions": whole(4, 10**6),
    "aimed": SHARE,
    "longest": whole(0, 65_536),
    "enlarge": Range(0, 16, above=True),
    "pixels": Range(0, 10**6),
    "votes": Range(0, 10**6),
    # of embeddings
    "dimensions": whole(1, 65_536),
    "margin": Range(0, 2.0),  # beyond, ArcFace would no longer fall with the angle
    "logit_scale": positive(10**4),
    "temperature": positive(10**4),
    "margin_warmup": Range(0, 10**6),
    "each": whole(2, 10**4),
    "identities": whole(1, 10**9),
    # of commands and public functions
    "port": whole(0, 65_535),
    "top": whole(1, 10**6),
    "classes": whole(1, 10**6),
    "depth": whole(1, 10**6),
    "unit": whole(0, 10**9),
    "quantile": Range(0, 0.5, above=True),
    "far": Range(0, 0.5, above=True),
    "tile": SIDE,
    "window": SIDE,
    "stride": SIDE,
    "patch": SIDE,
    "page": whole(1, 10**9),
    "cross_validate": whole(2, 1000),
    "trials": whole(1, 10_000),
}


def check_ranges(**values: Any) -> None:
    """Raise UsageError for the first value that is not in its range; None stands for "not given"."""
    for name, value in values.items():
        if value is not None and value not in RANGES[name]:
            raise UsageError(f"{name} must be {RANGES[name]}, got {shown(value)}")


def check_fields(settings: Any) -> None:
    """`check_ranges` of every field of a settings object that has a range."""
    check_ranges(**{n: getattr(settings, n) for n in RANGES if hasattr(settings, n)})


def shown(value: Any) -> str:
    """A number as a person writes it, a text in quotes; the beginning of what is too long to read."""
    if isinstance(value, str):
        return repr(value) if len(value) <= 60 else f"{value[:40]!r}... ({len(value)} characters)"
    text = f"{value:,}" if type(value) is int and abs(value) < 10**15 else str(value)
    return text if len(text) <= 30 else f"{text[:12]}... ({len(text)} digits)"
