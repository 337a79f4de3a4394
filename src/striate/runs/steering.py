"""Steering: a training says twice a second where it stands, in `live.json` of its run, and does what `steer.json` asks for.

The studio reads the one and writes the other. Both are gone when the training is over.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate.documents import to_json
from striate.errors import StriateError
from striate.reading import read_file
from striate.training.loop import EpochRecord, Moment, Training
from striate.writing import write_atomically

LIVE, STEER = "live.json", "steer.json"
EVERY = 0.5  # seconds between two looks
LARGEST = 100_000  # bytes
LOST = 30.0  # seconds after which a training that says nothing is taken to be gone
LOWEST = 1e-3  # of the learning rate that it began with


class Steering:
    """A callback that tells and is told. It draws no random number: a training that nobody steers stays the same."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._next = time.monotonic() + EVERY
        self._training: Training | None = None
        self._first = 0.0
        self._losses: list[list[float]] = []

    def on_start(self, training: Training) -> None:
        """See Callback."""
        self._training, self._first = training, training.lr
        (self.path / STEER).unlink(missing_ok=True)  # of an earlier training

    def on_step(self, moment: Moment) -> bool:
        """See Callback."""
        if time.monotonic() < self._next:
            return True
        self._next = time.monotonic() + EVERY
        self._losses = [*self._losses, [moment.step, moment.loss]][-600:]
        asked = self._asked()
        self._tell(moment, paused=bool(asked.get("pause")))
        while asked.get("pause") and not asked.get("stop"):
            time.sleep(EVERY / 4)
            asked = self._asked()
            self._tell(moment, paused=bool(asked.get("pause")))
        share = asked.get("rate")
        if self._training is not None and isinstance(share, int | float) and LOWEST <= share <= 1:
            self._training.lr = self._first * float(share)
        return not asked.get("stop")

    def on_epoch(self, record: EpochRecord) -> bool:
        """See Callback."""
        return not self._asked().get("stop")

    def end(self) -> None:
        """The training is over, in whatever way."""
        for name in (LIVE, STEER):
            (self.path / name).unlink(missing_ok=True)

    def _asked(self) -> Mapping[str, Any]:
        return read_small(self.path / STEER)

    def _tell(self, moment: Moment, *, paused: bool) -> None:
        told = {
            "time": time.time(), "step": moment.step, "total": moment.total, "steps_per_epoch": moment.steps_per_epoch,
            "loss": moment.loss, "parts": dict(moment.parts), "images_per_second": moment.images_per_second,
            "seconds_left": moment.seconds_left, "paused": paused, "losses": self._losses,
            "rate": 1.0 if self._training is None else self._training.lr / self._first,
        }  # fmt: skip
        try:
            write_atomically(self.path / LIVE, to_json(told).encode(), durable=False)
        except StriateError:  # a full disk stops the checkpoint, which says so; not this
            return


def read_small(path: Path) -> Mapping[str, Any]:
    """A JSON object of a few lines; nothing where there is none, or it is none."""
    try:
        found = json.loads(read_file(path, limit=LARGEST))
    except (OSError, ValueError, StriateError):
        return {}
    return found if isinstance(found, dict) else {}


def live_of(path: Path) -> Mapping[str, Any] | None:
    """Where the training of a run stands; None where none is under way, or it says nothing any more."""
    told = read_small(path / LIVE)
    moment = told.get("time")
    if not isinstance(moment, int | float) or time.time() - moment > LOST:
        return None
    return told


def steer(path: Path, wishes: Mapping[str, Any]) -> None:
    """Ask the training of a run for something: `pause`, `stop` (true or false), `rate` (a share of its learning rate).

    Raises WriteError.
    """
    asked = {**read_small(path / STEER), **wishes}
    write_atomically(path / STEER, to_json(asked).encode(), durable=False)
