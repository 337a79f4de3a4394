"""The settings that regression adds to a recipe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from striate.errors import UsageError
from striate.ranges import check_fields


@dataclass(frozen=True, kw_only=True)
class RegressionSettings:
    """What regression decides beside the recipe; None means "decided by the data".

    targets: columns of the table, separated by commas; all columns of numbers, if None. huber: errors, in standard
    deviations of the training targets, from which on the loss grows in proportion (Huber 1964). center, spread: (K,) mean
    and standard deviation by which targets are standardised. Raises UsageError, naming the setting, when a value is out of
    range.
    """

    targets: str | None = None
    huber: float = 1.0
    center: Sequence[float] | None = None
    spread: Sequence[float] | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("center", "spread"):
            value = getattr(self, name)
            if value is None:
                continue
            numbers = not isinstance(value, str) and all(isinstance(v, int | float) for v in value)
            if not numbers or not all(map(math.isfinite, value)):
                raise UsageError(f"{name} is found from the training targets, got {value!r}; leave it out")  # fmt: skip
            object.__setattr__(self, name, tuple(map(float, value)))
