"""Callbacks: see and change a training from outside; and the listener, which only shows it."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import isclass
from typing import Any

from striate.errors import UsageError
from striate.findings import Finding
from striate.training import Recipe
from striate.training.loop import EpochRecord, Moment, Training
from striate.training.watch import Update

HOOKS = ("on_start", "on_step", "on_epoch", "on_end")
"""What a callback may have; one of them at least."""


class Callback:
    """Sees a training and may change it. Any object with one of these methods will do; this class has them all, empty.

    A training that is resumed begins again with `on_start`, at the step where it stopped; what a callback has kept for
    itself is not stored with the run.
    """

    def on_start(self, training: Training) -> None:
        """Before the first step. Keep `training` to change it later: `training.lr`, `training.model`, `training.pace`."""

    def on_step(self, moment: Moment) -> bool | None:
        """After each step (on a GPU each tenth: a look makes it wait). False ends the training here."""

    def on_epoch(self, record: EpochRecord) -> bool | None:
        """After each epoch and its validation. False ends the training here."""

    def on_end(self, run: Any) -> None:
        """After the training, with the finished `Run`: evaluated and reported."""


class Callbacks:
    """Several callbacks as one, called in their order.

    Raises UsageError for an object that has none of the methods.
    """

    def __init__(self, parts: Sequence[Any] = ()) -> None:
        for part in parts:
            if isclass(part):
                raise UsageError(
                    f"{part.__name__} in callbacks is a class; make one of it: {part.__name__}()"
                )
            if not any(callable(getattr(part, hook, None)) for hook in HOOKS):
                raise UsageError(
                    f"a callback is an object with {', '.join(HOOKS[:-1])} or {HOOKS[-1]}, and {type(part).__name__} "
                    "has none of these methods"
                )
        self.parts = tuple(parts)
        self.ended_by: str | None = None  # the callback that ended the training, by its class

    def on_start(self, training: Training) -> None:
        """See Callback."""
        self._call("on_start", training)

    def on_step(self, moment: Moment) -> bool:
        """Whether the training continues."""
        return self._call("on_step", moment)

    def on_epoch(self, record: EpochRecord) -> bool:
        """Whether the training continues."""
        return self._call("on_epoch", record)

    def on_end(self, run: Any) -> None:
        """See Callback."""
        self._call("on_end", run)

    def _call(self, hook: str, argument: Any) -> bool:
        on = True
        for part in self.parts:  # all hear it, also what comes after the one that ends the training
            method = getattr(part, hook, None)
            if method is not None and method(argument) is False:
                on = False
                self.ended_by = self.ended_by or type(part).__name__
        return on


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
