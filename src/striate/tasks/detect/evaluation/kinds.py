"""Kinds of errors: what is wrong with each prediction, and what each kind costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from striate.tasks.detect.evaluation.average_precision import curve
from striate.tasks.detect.evaluation.matching import Overlap, box_overlap
from striate.tasks.detect.objects import Objects

KINDS = ("right", "localisation", "class", "both", "duplicate", "background")
"""Of predictions, in the order of their numbers in `Judged.kinds`."""

ENOUGH, SOME = (
    0.5,
    0.1,
)  # overlaps from which on a box is the object, and from which on it is near it


@dataclass(frozen=True, eq=False)
class Judged:
    """The predictions of one image, best first, and its annotated objects.

    labels, scores: (D,). kinds: (D,) indices into KINDS. objects: (D,) the object that each is or comes nearest to, -1 for
    none. ignored: (D,) bool, whether it lies on a crowd. truth: (G,) classes of the objects. counted: (G,) bool, whether one
    is to be found. found: (G,) bool. missed: (G,) bool, whether no prediction is it or comes near it.
    """

    labels: np.ndarray
    scores: np.ndarray
    kinds: np.ndarray
    objects: np.ndarray
    ignored: np.ndarray
    truth: np.ndarray
    counted: np.ndarray
    found: np.ndarray
    missed: np.ndarray


def judge(predicted: Objects, truth: Objects, measure: Overlap = box_overlap) -> Judged:
    """What is wrong with each prediction of one image. measure: how far two objects overlap, by boxes or by regions.

    Right: it overlaps a free object of its class by half at least. Duplicate: that object is taken by a better one.
    Class: it overlaps an object of another class by half. Localisation: it overlaps one of its class by a tenth. Both: one
    of another class by a tenth. Background: none.
    Source: Bolya et al., "TIDE: a general toolbox for identifying object detection errors" (2020), section 2.2.
    """
    assert predicted.scores is not None
    order = np.argsort(-predicted.scores, kind="stable")
    predicted = predicted.take(order)
    assert predicted.scores is not None
    d, g = len(predicted), len(truth)
    overlaps = measure(predicted, truth)
    regular = ~truth.crowd
    same = predicted.labels[:, None] == truth.labels[None]
    kinds = np.full(d, KINDS.index("background"))
    objects = np.full(d, -1)
    found = np.zeros(g, dtype=bool)
    ignored = np.zeros(d, dtype=bool)
    for i in range(d):
        own = np.where(same[i] & regular, overlaps[i], -1.0)
        other = np.where(~same[i] & regular, overlaps[i], -1.0)
        free = np.where(found, -1.0, own)
        best = {
            name: (int(values.argmax()), float(values.max())) if g else (-1, -1.0)
            for name, values in (("free", free), ("own", own), ("other", other))
        }
        if best["free"][1] >= ENOUGH:
            kind, objects[i] = "right", best["free"][0]
            found[objects[i]] = True
        elif best["own"][1] >= ENOUGH:
            kind, objects[i] = "duplicate", best["own"][0]
        elif (overlaps[i, truth.crowd] >= ENOUGH).any():  # over its own area alone
            kind, ignored[i] = "background", True
        elif best["other"][1] >= ENOUGH:
            kind, objects[i] = "class", best["other"][0]
        elif best["own"][1] >= SOME:
            kind, objects[i] = "localisation", best["own"][0]
        elif best["other"][1] >= SOME:
            kind, objects[i] = "both", best["other"][0]
        else:
            kind = "background"
        kinds[i] = KINDS.index(kind)
    near = np.zeros(g, dtype=bool)
    near[objects[np.isin(kinds, [KINDS.index("class"), KINDS.index("localisation")])]] = True
    return Judged(
        predicted.labels, predicted.scores, kinds, objects, ignored, truth.labels, regular, found,
        regular & ~found & ~near,
    )  # fmt: skip


def ap50(judged: Sequence[Judged], classes: int, *, mend: str = "") -> float:
    """Average precision at an overlap of a half, or what it would be were all errors of one kind mended.

    mend: a kind of KINDS, or "missed": then those objects are not asked for. A prediction whose class or place is mended
    becomes right where its object is still free, and is left out otherwise; duplicates, background and both are left out.
    nan where no object counts.
    """
    values = []
    rows = [_mended(one, mend) for one in judged]
    for label in range(classes):
        asked = sum(
            int((j.counted & (j.truth == label) & ~(j.missed if mend == "missed" else False)).sum())
            for j in judged
        )
        if not asked:
            continue
        scores = np.concatenate([s[k == label] for k, s, _ in rows] or [np.zeros(0)])
        right = np.concatenate([r[k == label] for k, _, r in rows] or [np.zeros(0, bool)])
        order = np.argsort(-scores, kind="stable")
        hits = np.cumsum(right[order]).astype(float)
        values.append(curve(hits, np.cumsum(~right[order]).astype(float), asked)[0].mean())
    return float(np.mean(values)) if values else float("nan")


def _mended(one: Judged, mend: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(labels, scores, right) of an image's predictions once errors of a kind are mended."""
    labels, right = one.labels.copy(), one.kinds == 0
    keep = ~one.ignored
    if mend in KINDS and mend != "right":
        free = one.counted & ~one.found
        for i in np.flatnonzero(one.kinds == KINDS.index(mend)):
            j = one.objects[i]
            if mend in ("class", "localisation") and j >= 0 and free[j]:
                labels[i], right[i], free[j] = one.truth[j], True, False
            else:
                keep[i] = False
    return labels[keep], one.scores[keep], right[keep]
