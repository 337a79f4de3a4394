"""Precision, recall, F1 and average precision of each tag."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate.figures import BLUE, any_script, new_figure, render, style
from striate.findings import Cell, Figure, Finding, Status, Table
from striate.statistics.bootstrap import Interval
from striate.statistics.resampling import weighted_bootstrap
from striate.tasks.multilabel.findings.counts import counts_of, f1_of, ratio
from striate.tasks.multilabel.metric import average_precision
from striate.tasks.multilabel.thresholds import LEAST
from striate.wording import listed, percent, quoted, short

SHOWN = 30  # tags in the figure; of more, the weakest
FEW = 20  # held-out images with a tag, below which its numbers say little


def per_tag(
    shares: np.ndarray,
    targets: np.ndarray,
    tags: Sequence[str],
    thresholds: np.ndarray,
    *,
    trained_on: np.ndarray,
    seed: int = 0,
) -> Finding:
    """Each tag's numbers, from probabilities (N, K) and targets (N, K).

    trained_on: targets (M, K) of the training images.
    """
    n = len(targets)
    given = shares >= thresholds
    counts = counts_of(given, targets)
    total = counts.sum(0).T  # (K, 3)
    precision, recall = ratio(total[:, 0], total[:, :2].sum(1)), ratio(total[:, 0], total[:, [0, 2]].sum(1))  # fmt: skip
    support = targets.sum(0).astype(int)
    f1 = np.where(support > 0, f1_of(total), np.nan)
    interval = weighted_bootstrap(lambda w: average_precision(shares, targets, w), n, seed=seed)
    taught = trained_on.sum(0).astype(int)
    rows: list[tuple[Cell, ...]] = []
    for k, tag in enumerate(tags):
        known = support[k] > 0
        ap = Interval(*(part[k] for part in interval))
        rows.append(
            (
                tag, int(taught[k]), int(support[k]), _cell(float(ap.value)), ap.text() if known else None,
                float(thresholds[k]), _cell(precision[k]), _cell(recall[k]), _cell(f1[k]),
            )
        )  # fmt: skip
    order = np.argsort(np.where(support > 0, interval.value, np.inf), kind="stable")
    present = [int(k) for k in order if support[k]]
    absent = [tag for tag, s in zip(tags, support, strict=True) if not s]
    never = [tag for tag, s in zip(tags, taught, strict=True) if not s]
    verdict, status, advice = _judge(tags, present, absent, never, support, interval.value)
    return Finding(
        name="per-tag",
        title="How good it is at each tag",
        verdict=verdict,
        status=status,
        advice=advice,
        tables=(
            Table(
                columns=("tag", "training images", "held-out images", "average precision", "95 % interval", "threshold",
                         "precision", "recall", "F1"),
                rows=tuple(rows),
                formats=("", ",", ",", ".1%", "", ".2f", ".1%", ".1%", ".1%"),
                caption="Images that have the tag. Precision, recall and F1 at the threshold, the probability from which "
                f"the tag is given: the best F1 on the validation images, 0.50 where fewer than {LEAST} of these have it. "
                "A dash where there is nothing to count.",
            ),
        ),
        figures=(_dots(tags, present[:SHOWN], interval, targets.mean(0), len(present)),) if present else (),
        data={
            "tags": list(tags),
            "support": support.tolist(),
            "training_support": taught.tolist(),
            "average_precision": [_cell(v) for v in interval.value],
            "thresholds": [float(t) for t in thresholds],
            "precision": [_cell(v) for v in precision],
            "recall": [_cell(v) for v in recall],
            "f1": [_cell(v) for v in f1],
            "absent": absent,
            "never_trained": never,
        },
        seed=seed,
    )  # fmt: skip


def _cell(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _judge(
    tags: Sequence[str], present: list[int], absent: list[str], never: list[str], support: np.ndarray, ap: np.ndarray
) -> tuple[str, Status, str]:  # fmt: skip
    advice = []
    few = [tags[k] for k in present if support[k] < FEW]
    if never:
        have = "have" if len(never) > 1 else "has"
        advice.append(f"{listed(never)} {have} no training image and cannot be learned.")
    if few:
        have = "have" if len(few) > 1 else "has"
        advice.append(f"{listed(few)} {have} fewer than {FEW} held-out images: read the intervals.")
    if absent:
        them = "them" if len(absent) > 1 else "it"
        advice.append(f"No held-out image has {listed(absent)}: nothing is known about {them}.")
    status: Status = "warning" if never else "note" if few or absent else "good"
    if not present:
        return "No tag occurs on the held-out images.", "warning", " ".join(advice)
    worst, best = present[0], present[-1]
    verdict = (
        f"Weakest is {quoted(tags[worst])} with an average precision of {percent(float(ap[worst]))}"
    )
    verdict += (
        f", best {quoted(tags[best])} with {percent(float(ap[best]))}." if best != worst else "."
    )
    return verdict, status, " ".join(advice)


def _dots(
    tags: Sequence[str], shown: list[int], ap: Interval, share: np.ndarray, total: int
) -> Figure:
    """Average precision of each tag with its interval, weakest on top, and that of a constant prediction."""
    with style(), any_script():
        figure = new_figure(6.4, 1.1 + 0.26 * max(len(shown), 2))
        ax = figure.subplots()
        y = np.arange(len(shown))
        value, low, high = (part[shown] for part in ap)
        ax.hlines(y, low, high, color=BLUE, linewidth=5, alpha=0.3)
        ax.plot(value, y, "o", color=BLUE, markersize=6, label="average precision")
        ax.plot(
            share[shown], y, "|", color="#8c959f", markersize=11, markeredgewidth=2, label="constant prediction"
        )  # fmt: skip
        ax.set_yticks(y, [short(tags[k], 22) for k in shown], parse_math=False)
        ax.set_ylim(len(shown) - 0.4, -0.6)
        ax.set_xlim(-0.01, 1.01)
        ax.xaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        figure.legend(loc="outside upper right", ncols=2)
        which = f"the {len(shown)} weakest of {total:,} tags" if total > len(shown) else "each tag"
        return render(
            figure,
            caption=f"Average precision of {which}, weakest first; the bar is the bootstrap 95 % interval, the grey mark "
            "what an answer that ignores the image gets: the share of images with the tag.",
            alt=f"Average precision of {which}: "
            + ", ".join(f"{tags[k]} {percent(float(ap.value[k]))}" for k in shown[:10]),
        )
