"""The headline: how well tags are ranked and given on images the network never saw, and against what."""

from __future__ import annotations

import numpy as np

from striate.findings import Cell, Finding, Status, Table
from striate.statistics.bootstrap import Interval
from striate.statistics.resampling import weighted_bootstrap
from striate.tasks.multilabel.findings.counts import counts_of, f1_of, macro
from striate.tasks.multilabel.metric import MeanAveragePrecision, average_precision
from striate.wording import percent

FEW_IMAGES = 100


def headline(
    shares: np.ndarray, targets: np.ndarray, thresholds: np.ndarray, *, seed: int = 0
) -> Finding:
    """Mean average precision and F1 of probabilities (N, K) for targets (N, K), with bootstrap 95 % intervals.

    thresholds: (K,) from which a tag is given. Each stands against the best answer that ignores the image.
    """
    n, k = targets.shape
    evidence = np.stack((shares, targets), 1)
    counts = counts_of(shares >= thresholds, targets)
    exact = (counts[:, 1:].sum((1, 2)) == 0).astype(np.float64)
    metric = MeanAveragePrecision()
    ever = np.asarray(targets.any(0))
    whole = f1_of(counts.sum(0).T)

    def statistic(weights: np.ndarray) -> np.ndarray:
        each = np.einsum("rn,nck->rkc", weights, counts)
        # Of a tag that a resample misses, that of all images: the mean is over the same tags.
        each_f1 = np.where((each[..., 0] + each[..., 2]) > 0, f1_of(each), whole)
        total = weights.sum(-1)
        return np.stack(
            (
                metric.score(evidence, weights)["map"],
                macro(each_f1, ever),
                f1_of(each.sum(1)),
                weights @ exact / total,
            ),
            axis=-1,
        )

    interval = weighted_bootstrap(statistic, n, seed=seed)
    names = ("mean average precision", "macro F1", "micro F1", "all tags right")
    base = baselines(targets)
    rows: list[tuple[Cell, ...]] = []
    data: dict[str, object] = {"images": n, "tags": k}
    for i, (name, without) in enumerate(zip(names, base, strict=True)):
        one = Interval(*(part[i] for part in interval))
        value = float(one.value)
        if np.isnan(value):
            rows.append((name, None, None, None))
            continue
        rows.append((name, value, one.text(), percent(without)))
        key = name.replace(" ", "_")
        data[key] = {"value": value, "low": float(one.low), "high": float(one.high), "baseline": without}  # fmt: skip
    best = Interval(*(part[0] for part in interval))
    value, baseline = float(best.value), base[0]
    occurring = int((targets.sum(0) > 0).sum())
    table = Table(
        columns=("measure", "value", "95 % interval", "baseline"),
        rows=tuple(rows),
        formats=("", ".1%", "", ""),
        caption=f"Measured on {n:,} held-out images with {k:,} tags; intervals from 1,000 bootstrap resamples. The baseline "
        "is the best prediction that is the same for every image. Mean average precision: the mean over tags of the "
        "area under the precision over the recall, whatever the threshold. F1 at the thresholds that were chosen on the "
        "validation images: macro, each tag counts the same; micro, each given or missed tag does.",
    )
    if np.isnan(value):
        return Finding(
            name="headline", title="How good it is", status="warning", tables=(table,), data=data, seed=seed,
            verdict=f"No tag occurs on the {n:,} held-out images, so precision and recall are not known.",
            advice="Hold out images that have tags.",
        )  # fmt: skip
    data["key_figure"] = {
        "label": "mean average precision on held-out images", "value": value, "low": float(best.low),
        "high": float(best.high), "baseline": baseline, "baseline_label": "the best constant prediction",
    }  # fmt: skip
    status: Status = "good"
    advice = ""
    if float(best.low) <= baseline:
        status = "problem"
        advice = "It is not better than the best constant prediction: train longer, or look at the tags and the images."
    elif n < FEW_IMAGES:
        status = "note"
        advice = f"With {n:,} images the numbers are uncertain: read the intervals."
    return Finding(
        name="headline",
        title="How good it is",
        verdict=f"Mean average precision {percent(value)} over {occurring:,} tag{'s' * (occurring != 1)} on {n:,} held-out "
        f"image{'s' * (n != 1)} (95 % interval {best.text()}); the best constant prediction has {percent(baseline)}.",
        status=status,
        advice=advice,
        tables=(table,),
        data=data,
        seed=seed,
    )


def baselines(targets: np.ndarray) -> tuple[float, float, float, float]:
    """What the best answer that is the same for every image gets of targets (N, K): mAP, macro F1, micro F1, all right."""
    n = len(targets)
    share = (targets > 0.5).mean(0)
    occurs = share > 0
    if not occurs.any():
        return float("nan"), float("nan"), float("nan"), 1.0
    precision = float(np.nanmean(average_precision(np.zeros(targets.shape), targets)))
    always = float((2 * share[occurs] / (1 + share[occurs])).mean())
    ranked = np.sort(share)[::-1]
    micro = float((2 * np.cumsum(ranked) / (np.arange(1, len(ranked) + 1) + ranked.sum())).max())
    _, sets = np.unique(targets > 0.5, axis=0, return_counts=True)
    return precision, always, micro, float(sets.max() / n)
