"""The headline: verification, retrieval and open-set identification of identities that were never seen, with intervals."""

from __future__ import annotations

import numpy as np

from striate.errors import StriateError
from striate.findings import Cell, Finding, Status, Table
from striate.statistics.clusters import Share
from striate.tasks.embed.evaluation.folds import FOLDS, draw_pairs, similarities_of, verify
from striate.tasks.embed.evaluation.open_set import identify
from striate.tasks.embed.evaluation.verification import (
    auc_interval,
    eer_interval,
    rates_at,
    tar_interval,
)
from striate.tasks.embed.findings.held import Held, written
from striate.wording import counted, percent

FEW_IDENTITIES = 20  # below which intervals over identities are wide
HARDLY = 0.25  # equal error rate above which it hardly tells identities apart
ALARMS = 0.05  # rate of strangers' images that are taken for somebody

Row = tuple[str, float, float, float, str]


def headline(held: Held) -> Finding:
    """All measures with their 95 % intervals over identities; recall at 1 first."""
    embedded = held.embedded
    n, identities = len(held), embedded.identities
    retrieval = held.retrieval.scores()
    recall = retrieval["recall_at_1"]
    chance = chance_recall(embedded.counts)
    rows: list[Row] = [
        row("recall at 1", recall, "the nearest other image is of the same identity"),
        *(row(f"recall at {k}", retrieval[f"recall_at_{k}"], f"so is one of the {k} nearest") for k in (5, 10)),
        row("mean average precision", retrieval["mean_average_precision"], "over the whole ranking"),
        row("MAP@R", retrieval["map_at_r"], "over as many as the identity has images"),
        row("R-precision", retrieval["r_precision"], "the share of these that are right"),
        *verification_rows(held),
        *protocol_rows(held),
    ]  # fmt: skip
    few = identities < FEW_IDENTITIES
    useless = is_guessing(recall, chance)
    hardly = held.curve.eer().far > HARDLY
    status: Status = "problem" if useless else "warning" if hardly else "note" if few else "good"
    return Finding(
        name="headline",
        title="How good it is",
        verdict=(
            f"Of {recall.of:,} images of {counted(recall.clusters, 'identity', 'identities')} that it never saw, the "
            f"nearest other image is of the same identity for {percent(recall.value)} (95 % interval over identities "
            f"{percent(recall.low)} to {percent(recall.high)}; {percent(chance)} by chance)."
        ),
        status=status,
        advice=advice(useless, hardly, few, identities),
        tables=(
            Table(
                columns=("measure", "value", "from", "to", "what it is"),
                rows=tuple(cells(r) for r in rows),
                formats=("", ".1%", ".1%", ".1%", ""),
                caption=f"{n:,} images of {identities:,} identities, none of which was trained on. Intervals of 95 % over "
                "identities: images of one identity, and pairs that share one, are dependent. From few identities little "
                "is known of others, however many images each has.",
            ),
        ),
        data={
            "images": n, "identities": identities, "chance_recall_at_1": chance,
            "scores": {name: [finite(v), finite(low), finite(high)] for name, v, low, high, _ in rows},
            "key_figure": {
                "label": "of images have one of their identity nearest", "value": recall.value, "low": recall.low,
                "high": recall.high, "baseline": chance, "baseline_label": "by chance",
            },
        },
        seed=held.seed,
    )  # fmt: skip


def is_guessing(recall: Share, chance: float) -> bool:
    """Whether recall at 1 is not shown to be better than chance. Of 2 to 4 identities an interval reaches anywhere: there
    the value alone decides."""
    return not (recall.value > chance and (recall.low > chance or recall.clusters < 5))


def advice(useless: bool, hardly: bool, few: bool, identities: int) -> str:
    """What to do about the result, or empty."""
    if useless:
        return (
            "It is not shown to be better than chance: train longer, on more identities, or look at whether the images "
            "show who or what it is at all."
        )
    if hardly:
        return (
            "Most thresholds get a quarter of all pairs wrong or more: train longer, or on more identities, before acting "
            "on a similarity."
        )
    if few:
        return (
            f"{identities} identities say little of others: train with {FEW_IDENTITIES} or more held out "
            "(`--set test=0.3`)."
        )
    return ""


def row(name: str, share: Share, what: str) -> Row:
    """A measure as a row of the table."""
    return name, share.value, share.low, share.high, what


def chance_recall(counts: np.ndarray) -> float:
    """How often the nearest is right for embeddings that say nothing. counts: (G,) images of each identity."""
    n, asked = counts.sum(), counts[counts > 1]
    return float((asked * (asked - 1)).sum() / asked.sum() / (n - 1)) if len(asked) else 0.0


def verification_rows(held: Held) -> list[Row]:
    """Equal error rate, area under the ROC, true accepts at rates of false ones, and both rates at the threshold in use."""
    curve, embedded = held.curve, held.embedded
    point, (low, high) = eer_interval(embedded, curve)
    rows: list[Row] = [
        ("equal error rate", point.far, low, high, "false accepts as frequent as false rejects; less is better"),
        ("area under the ROC", curve.auc, *auc_interval(embedded, curve), "a genuine pair is the more similar"),
    ]  # fmt: skip
    for rate in (0.01, 0.001, 0.0001):
        if rate >= curve.finest:
            at, (low, high) = tar_interval(embedded, curve, rate)
            what = f"from a similarity of {written(at.threshold)} on"
            rows.append((f"true accepts at {100 * rate:g} % false ones", at.tar, low, high, what))
    threshold, origin = held.in_use
    rates = rates_at(embedded, threshold)
    rows.append(row("false accepts at the threshold", rates.far, f"{written(threshold)}, {origin}"))
    rows.append(row("true accepts at the threshold", rates.tar, "the same"))
    return rows


def protocol_rows(held: Held) -> list[Row]:
    """Ten-fold verification and open-set identification, where there are identities enough."""
    rows: list[Row] = []
    try:
        pairs = draw_pairs(held.embedded, seed=held.seed)
        done = verify(similarities_of(held.embeddings, pairs), pairs)
        what = f"as LFW has it, {len(pairs):,} pairs in {FOLDS} folds; half are right by chance"
        rows.append(("ten-fold verification", done.mean, done.low, done.high, what))
    except StriateError:  # too few identities; nothing is wrong with that
        pass
    try:
        probes = identify(held.embedded, seed=held.seed)
        at = probes.threshold(ALARMS)
        found = probes.found(at.value)
        what = (
            f"found at rank 1 from one image each of {probes.enrolled} enrolled, with {100 * ALARMS:.0f} % of the images of "
            f"{len(np.unique(probes.stranger_identity))} strangers taken for somebody"
        )
        rows.append(row("open-set identification", found, what))
    except StriateError:
        pass
    return rows


def cells(one: Row) -> tuple[Cell, ...]:
    """A row with dashes for what is not known."""
    return (one[0], *(finite(v) for v in one[1:4]), one[4])


def finite(value: float) -> float | None:
    """The number, None for nan."""
    return float(value) if np.isfinite(value) else None
