"""What every experiment is given: a seed, a time and data where it takes them, and what is called with its progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from striate.findings import Finding
from striate.ranges import check_ranges

Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, of: int) -> None:
    """Progress is not shown."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How an experiment is run.

    seed: everything random follows from it. budget: seconds, for experiments that can be made shorter; None for their
    own default. data: a source or a folder instead of the experiment's own images. progress: called with what is being done,
    steps done and steps in all (0: not known). clock: seconds.
    Raises UsageError for a negative seed or no time.
    """

    seed: int = 0
    budget: float | None = None
    data: str | None = None
    progress: Progress = silent
    clock: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        check_ranges(seed=self.seed, budget=self.budget)

    def record(self, pages: Sequence[Finding], started: float) -> list[Finding]:
        """The pages with the seed; the first also has the seconds that all of them took since `started`, of the clock."""
        seconds = self.clock() - started
        return [
            replace(page, seed=self.seed, seconds=None if i else seconds)
            for i, page in enumerate(pages)
        ]
