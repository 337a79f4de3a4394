"""Mirroring: whether the mean over an image and its mirror image predicts better, asked of the validation images.

The second pass doubles the time of every prediction, so it is made only where it gains more than chance explains: where the
95 % interval of the paired difference lies above 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.findings import Finding, Table
from striate.statistics.bootstrap import Interval
from striate.statistics.clusters import clustered_bootstrap
from striate.statistics.intervals import paired
from striate.statistics.resampling import weighted_bootstrap
from striate.tasks.metric import Metric, clusters_of

NAME = "mirroring"
MOST = 1000  # validation images that are asked; three passes over them are made


def gain_of(metric: Metric, plain: np.ndarray, mirrored: np.ndarray, *, seed: int = 0) -> Interval:
    """By how much the headline is higher with the mirrored pass, from evidence (N, ...) of the same images."""
    clusters = clusters_of(metric, plain)
    if metric.hit and clusters is None:
        return Interval(*map(np.asarray, paired(plain, mirrored)))

    def gain(weights: np.ndarray) -> np.ndarray:
        first, second = (next(iter(metric.score(e, weights).values())) for e in (plain, mirrored))
        return np.asarray(second - first)

    if clusters is not None:
        return clustered_bootstrap(gain, clusters, seed=seed)
    return weighted_bootstrap(gain, len(plain), seed=seed)


def mirroring(metric: Metric, plain: Any, mirrored: Any, *, seed: int = 0) -> Finding:
    """What the mirrored pass gains, and whether it is made: `data["on"]`.

    plain, mirrored: outputs and targets of the same validation images, without it and with it.
    """
    evidence = [metric.evidence(a.outputs, a.targets) for a in (plain, mirrored)]
    before, after = (float(next(iter(metric.score(part).values()))) for part in evidence)
    gain = gain_of(metric, *evidence, seed=seed)
    low, high = float(gain.low), float(gain.high)
    on, images = bool(low > 0), len(plain)
    decided = "is made at every prediction" if on else "is left out, which halves the time of a prediction"  # fmt: skip
    measured = bool(
        np.isfinite([before, after]).all()
    )  # not where no two images are of one identity, or targets are equal
    verdict = (
        f"Averaging over the mirrored image changes {metric.name} by {after - before:+.2%} "
        f"({low:+.2%} to {high:+.2%}) on {images:,} validation images, and {decided}."
        if measured
        else f"What averaging over the mirrored image gains in {metric.name} cannot be measured on {images:,} validation "
        f"images, and it {decided}."
    )
    return Finding(
        name=NAME,
        title="Mirrored pass",
        verdict=verdict,
        tables=(
            Table(
                columns=("prediction from", metric.name),
                rows=(("the image", before), ("the image and its mirror image", after)),
                formats=("", ".2%"),
                caption="Paired 95 % interval over images. Change it by --set flip_test=true or false.",
            ),
        ),
        data={"on": on, "gain": after - before, "low": low, "high": high, "images": images},
    )
