"""Amounts: how a metric's scores and their changes are written: shares in per cent and points, others as numbers."""

from __future__ import annotations

from dataclasses import dataclass

from striate.wording import percent, points


@dataclass(frozen=True)
class Amounts:
    """name: of the metric. share: whether it is a share of images."""

    name: str
    share: bool

    def value(self, score: float) -> str:
        """A score: `93.2 %` or `0.831`."""
        return percent(score) if self.share else f"{score:.3f}"

    def size(self, change: float) -> str:
        """The size of a change: `31 points` or `0.12 of mean IoU`."""
        return points(change) if self.share else f"{abs(change):.2f} of {self.name}"

    def signed(self, change: float) -> str:
        """A change with its sign: `-31.2` points or `-0.120`."""
        return f"{100 * change:+.1f}" if self.share else f"{change:+.3f}"

    def bare(self, change: float) -> str:
        """The size of a change without its unit."""
        return f"{abs(100 * change):.1f}" if self.share else f"{abs(change):.3f}"

    @property
    def cells(self) -> tuple[str, str]:
        """The formats of a score and of a change in a table."""
        return (".1%", "+.1%") if self.share else (".3f", "+.3f")

    @property
    def points(self) -> str:
        """The unit of `signed` as a word of a sentence."""
        return " points" if self.share else ""
