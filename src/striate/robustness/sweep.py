"""Sweep: one kind of change at several levels: the score at each with paired intervals, and which loss to act on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from striate.findings import Figure, Finding, Status, Table
from striate.robustness.context import Context

NOTABLE = 0.05  # a loss that is worth acting on
LARGE = 0.2  # one to warn of


@dataclass(frozen=True, eq=False)
class Level:
    """What was seen at one level of a change.

    name: in tables. words: after "loses 5 points", such as "at 4 px of shift". common: an image in use may well come so; a
    loss here is a warning. evidence: of each way in which the level was tried. same: share of images that get the
    prediction that they got unchanged, where there is one a image.
    """

    name: str
    words: str
    common: bool
    evidence: tuple[np.ndarray, ...]
    same: float | None = None


class Row(NamedTuple):
    """A level's score, share of unchanged predictions, and change with its interval."""

    name: str
    score: float
    same: float | None
    change: float
    low: float
    high: float


def swept(
    context: Context, kind: str, title: str, levels: Sequence[Level], *,
    figures: Callable[[Sequence[Row]], tuple[Figure, ...]], advice: Callable[[int], str], closing: str = "",
    outside: str = "", data: Mapping[str, Any] | None = None,
) -> Finding:  # fmt: skip
    """The finding of a kind of change.

    figures: of the rows. advice: against the level of an index. closing: ends the verdict where a loss is notable. outside:
    ends the table's caption.
    """
    n, amounts, metric = len(context), context.amounts, context.metric
    clean = context.clean_score
    rows = []
    for level in levels:
        score = float(np.mean([context.score(e) for e in level.evidence]))
        change = context.difference([context.clean_evidence], level.evidence)
        rows.append(Row(level.name, score, level.same, *change))
    costly = [i for i, r in enumerate(rows) if r.change <= -NOTABLE and r.high < 0]
    # The warning and the verdict are about the worst change that an image in use may well have.
    common = [i for i in costly if levels[i].common]
    worst = min(common or costly or range(len(rows)), key=lambda i: rows[i].change)
    row = rows[worst]
    # A loss that is seen but may be chance, or an interval that holds one twice as large, shows nothing either way.
    unsure = not costly and (row.change <= -NOTABLE or row.low <= -2 * NOTABLE)
    status: Status = (
        "note" if unsure else "good" if not costly
        else "warning" if common and row.change < -LARGE else "note"
    )  # fmt: skip
    if not costly:
        verdict = (
            f"Too few images to tell whether {kind} costs it {amounts.size(NOTABLE)}" if unsure
            else f"No {kind} tried here costs it {amounts.size(NOTABLE)}"
        ) + (
            f": the worst, {levels[worst].words.split(' ', 1)[1]}, "
            f"changes {metric.name} by {amounts.signed(row.change)}{amounts.points} (95 % interval "
            f"{amounts.signed(row.low)} to {amounts.signed(row.high)}) from {amounts.value(clean)} on {n:,} images."
        )  # fmt: skip
    else:
        verdict = (
            f"Loses {amounts.size(row.change)} {levels[worst].words} (95 % interval {amounts.bare(row.high)} to "
            f"{amounts.bare(row.low)}; {amounts.value(clean)} to {amounts.value(row.score)} on {n:,} images)"
        )
        mildest = min(costly, key=lambda i: (not levels[i].common, abs(rows[i].change)))
        most = min(costly, key=lambda i: rows[i].change)
        others = [
            f"{amounts.size(rows[i].change)} {levels[i].words}" for i in (mildest, most) if i != worst
        ]  # fmt: skip
        if others:
            verdict += f", {' and '.join(dict.fromkeys(others))}"
        verdict += closing or "."
    same = all(r.same is not None for r in rows)
    value, change_format = amounts.cells
    return Finding(
        name=f"probe-{kind}",
        title=title,
        verdict=verdict,
        status=status,
        advice=advice(worst) if costly else "Probe it on more images: `--limit`, or more with `--data`." if unsure else "",
        tables=(
            Table(
                columns=(kind, metric.name, *(("same prediction",) if same else ()), "change", "from", "to"),
                rows=tuple(r if same else (*r[:2], *r[3:]) for r in rows),
                formats=("", value, *((".1%",) if same else ()), *[change_format] * 3),
                caption=f"{n:,} images, {amounts.value(clean)} as they are; the change with its 95 % interval, paired over "
                f"the same images.{outside}",
            ),
        ),
        figures=figures(rows),
        data={
            "clean": clean,
            "levels": [r.name for r in rows],
            next(iter(metric.score(context.clean_evidence))): [r.score for r in rows],
            "change": [r.change for r in rows],
            "images": n,
            **(data or {}),
        },
        seed=context.seed,
    )  # fmt: skip
