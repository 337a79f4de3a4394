"""The score from which on a predicted object is taken for one, chosen on validation images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from striate.tasks.detect.evaluation.kinds import KINDS, Judged

USUAL = 0.3  # where nothing was chosen


def best_threshold(judged: Sequence[Judged]) -> float | None:
    """The score, in (0, 1), from which on right objects are most of all that are predicted or annotated (F1).

    Rounded down to hundredths, so that it can be said. None without a right object.
    """
    asked = sum(int(j.counted.sum()) for j in judged)
    scores = np.concatenate([j.scores[~j.ignored] for j in judged] or [np.zeros(0)])
    right = np.concatenate(
        [j.kinds[~j.ignored] == KINDS.index("right") for j in judged] or [np.zeros(0, bool)]
    )
    if not asked or not right.any():
        return None
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + asked)
    return float(max(np.floor(100 * scores[order][int(f1.argmax())]) / 100, 0.01))


def threshold_of(calibration: Mapping[str, Any]) -> float:
    """The score that a run's calibration holds, or the usual one."""
    return float(calibration.get("score", USUAL))
