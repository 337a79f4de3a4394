"""The threshold of a run: chosen on its validation identities, which are neither trained on nor tested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from striate.statistics.intervals import wilson
from striate.tasks.embed.evaluation.curve import curve_of
from striate.tasks.embed.evaluation.embedded import Embedded
from striate.tasks.embed.evaluation.threshold import Threshold, pairs_needed
from striate.tasks.embed.evaluation.verification import rates_at
from striate.tasks.embed.findings.held import RATES, resolved


def chosen(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The threshold for 1 % of false accepts, or the lowest rate of a few that the pairs resolve, and how it was chosen.

    embeddings: (N, d) of length 1. labels: (N,) identities. Empty where there are too few pairs to choose from.
    """
    embedded = Embedded.of(embeddings, labels)
    if embedded.impostor_pairs < pairs_needed(RATES[-1]) or not embedded.genuine_pairs:
        return {}
    rate = resolved(embedded.impostor_pairs)
    point = curve_of(embedded).at_far(rate)
    far = rates_at(embedded, point.threshold).far
    found = {
        "threshold": point.threshold, "rate": rate, "pairs": embedded.impostor_pairs, "accepted": far.hits,
        "identities": embedded.identities, "low": far.low, "high": far.high,
    }  # fmt: skip
    return {name: float(value) for name, value in found.items()}


def threshold_of(calibration: Mapping[str, Any]) -> Threshold | None:
    """The threshold that `chosen` put into a run, with Wilson's interval; None where it chose none."""
    if "threshold" not in calibration:
        return None
    pairs, accepted = round(calibration["pairs"]), round(calibration["accepted"])
    return Threshold(
        float(calibration["threshold"]), float(calibration["rate"]), pairs, accepted, *wilson(accepted, pairs)
    )  # fmt: skip
