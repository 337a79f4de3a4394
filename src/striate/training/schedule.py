"""How the learning rate moves, and how many steps fit into a time."""

from __future__ import annotations

from dataclasses import dataclass


def learning_rate_factor(progress: float, warmup: float) -> float:
    """Share of the peak learning rate at `progress` in [0, 1]: up in a line until `warmup`, down in a line to 0."""
    if progress < warmup:
        return max(progress / warmup, 1e-3)
    return max((1 - progress) / max(1 - warmup, 1e-9), 0.0)


@dataclass
class Pace:
    """Where a training stands between its first step and its last.

    step: steps done. total: steps planned. progress: in [0, 1]; when `total` changes, progress continues from where it is,
    so that the learning rate never jumps.
    """

    total: int
    step: int = 0
    progress: float = 0.0

    @property
    def done(self) -> bool:
        """Whether every planned step was made."""
        return self.step >= self.total

    def advance(self) -> None:
        """Count one step."""
        self.progress += (1 - self.progress) / max(self.total - self.step, 1)
        self.step += 1

    def end(self) -> None:
        """No step is planned any more."""
        self.total = self.step

    def replan(self, seconds_left: float, seconds_per_step: float) -> None:
        """Plan as many further steps as fit into `seconds_left` (at least one)."""
        self.total = self.step + max(1, int(seconds_left / max(seconds_per_step, 1e-9)))
