"""Allowance: the time of a whole training command, and what of it evaluation and report will need."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

FIGURES = 40  # small figures that a report costs as much as
EXPLAINED = 0.1  # share of a budget that explanations and units may take
MARGIN = 0.05  # share of a budget for what was not measured
LEAST = 0.4  # share of what is left that a training gets, however little that is
BACKWARD = 3  # passes forward that a training step costs as much as


@dataclass(kw_only=True)
class Allowance:
    """The seconds of a command from its start to its report; none where `seconds` is None.

    started: of `clock`. figure: seconds that a small figure takes on this machine now. forward: seconds an image.
    earliest: when a training may be ended at first.
    """

    seconds: float | None
    started: float
    figure: float = 0.07
    forward: float = 0.0
    clock: Callable[[], float] = time.monotonic
    earliest: float | None = None

    def left(self) -> float:
        """Seconds until the budget ends; infinite without one."""
        return float("inf") if self.seconds is None else self.started + self.seconds - self.clock()

    def reserve(self, images: int) -> float:
        """Seconds to keep for what follows a training: passes over `images`, figures, explanations and a margin."""
        assert self.seconds is not None
        return images * self.forward + FIGURES * self.figure + (EXPLAINED + MARGIN) * self.seconds

    def deadline(self, images: int) -> float:
        """When a training must end, by the clock; the first call is its beginning, from which it gets its least share."""
        if self.earliest is None:
            self.earliest = self.clock() + LEAST * max(self.left(), 0.0)
        return max(self.clock() + self.left() - self.reserve(images), self.earliest)

    def measure_figure(self) -> None:
        """Draw a figure twice: what the second takes is what figures take; the first brings the drawing into memory."""
        from striate.robustness.chart import bars

        for _ in range(2):
            began = self.clock()
            bars(["a", "b"], [0.3, 0.6], title="trial", caption="", alt="")
            self.figure = self.clock() - began
