"""Gating: the images on which a run's network is measured before its INT8 form is let through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from striate.errors import UsageError
from striate.export import Gate
from striate.runs.given import given_run
from striate.runs.images import source_of

CALIBRATION = 300  # images from which ranges are chosen: what NNCF itself takes
MEASURED = 2000  # images that both forms are compared on


@contextmanager
def gate_of(target: Any, data: Any, drop: float) -> Iterator[Gate]:
    """What INT8 is measured on: calibrated by training images, compared on validation images.

    target: a run, its folder or a Trained. data: images with labels where it has none of its own; halves of them are taken
    for both, where they come in one split. drop: how much of the headline it may cost, 0 to 1. Raises UsageError.
    """
    if not 0 <= drop <= 1:
        raise UsageError(
            f"--drop is a share of the metric, 0.01 for one point of a hundred; got {drop:g}"
        )
    with given_run(target, data, None, "int8") as (run, where):
        task, trained, source = run.task, run.trained, source_of(run, where)
        learned, kept = source.train, source.val if len(source.val) else source.test
        if not len(kept):  # one split: neither half is in the other
            half = len(learned) // 2
            learned, kept = learned.take(range(half)), learned.take(range(half, len(learned)))
        if not len(learned) or not len(kept):
            raise UsageError(
                "int8 needs images to choose its ranges by and others to be measured on; give --data"
            )
        how, classes = run.preprocessing, run.classes
        seen = task.load_examples(
            source, learned, how, classes, limit=CALIBRATION, seed=trained.seed
        )
        examples = task.load_examples(source, kept, how, classes, limit=MEASURED, seed=trained.seed)
        yield Gate(
            calibration=seen.images.numpy(),
            examples=examples,
            metric=task.metric(classes),
            drop=drop,
        )
