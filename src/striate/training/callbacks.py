"""What a long job tells whoever waits for it."""

from __future__ import annotations

from collections.abc import Sequence

from striate.findings import Finding
from striate.training import Recipe
from striate.training.loop import EpochRecord, Moment
from striate.training.watch import Update


class Listener:
    """Hears everything and does nothing; the command line overrides what it shows."""

    def say(self, text: str) -> None:
        """A sentence about what was decided or found."""

    def decided(self, recipe: Recipe, why: Sequence[str]) -> None:
        """Every open setting was decided; `why` has a sentence for each."""

    def stage(self, text: str) -> None:
        """A new stage begins, such as "reading images"."""

    def count(self, done: int, total: int) -> None:
        """`done` of `total` parts of the present stage are finished."""

    def finding(self, finding: Finding) -> None:
        """An analysis is done."""

    def step(self, moment: Moment) -> None:
        """Training made a step."""

    def watched(self, rows: Sequence[Update]) -> None:
        """A watched training noted one of its steps, a row a layer."""

    def epoch(self, record: EpochRecord) -> None:
        """Training ended an epoch."""
