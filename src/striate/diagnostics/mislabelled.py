"""Labels that are likely wrong: confident disagreement (Northcutt et al. 2021, "Confident Learning")."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from striate.errors import UsageError
from striate.findings import Finding, Table

LISTED = 50


def label_errors(
    probabilities: Tensor,
    labels: Tensor,
    classes: Sequence[str],
    *,
    keys: Sequence[str] | None = None,
) -> Finding:
    """Images whose label a network contradicts with at least the confidence that it has on that class in general.

    probabilities: (N, C); best of a network that has not learned these images. labels: (N,) int64. keys: the images'
    names. Raises UsageError where shapes do not fit.
    """
    n, c = probabilities.shape
    if labels.shape != (n,) or len(classes) != c or (keys is not None and len(keys) != n):
        raise UsageError(
            f"probabilities {n} x {c} need {n} labels and {c} class names, got {tuple(labels.shape)} and {len(classes)}"
        )
    p = probabilities.double()
    usual = torch.full((c,), 2.0, dtype=p.dtype)  # a class without images is never suggested
    for k in labels.unique().tolist():
        usual[k] = p[labels == k, k].mean()
    surest, suggested = p.masked_fill(p < usual, -1.0).max(1)
    doubtful = (surest > 0) & (suggested != labels)
    own = p.gather(1, labels[:, None])[:, 0]
    at = doubtful.nonzero().flatten()
    at = at[(surest - own)[at].argsort(descending=True, stable=True)]
    found = at.tolist()
    rows = tuple(
        (
            keys[i] if keys is not None else str(i),
            classes[int(labels[i])],
            classes[int(suggested[i])],
            float(surest[i]),
        )
        for i in found[:LISTED]
    )
    return Finding(
        name="diagnose-labels",
        title="Labels likely wrong",
        verdict=f"Of {n:,} labels {len(found):,} are contradicted with confidence."
        if found
        else f"None of {n:,} labels is contradicted with confidence.",
        status="warning" if len(found) > 0.01 * n else "note" if found else "good",
        advice="Look at the images listed, and correct those whose label is wrong."
        if found
        else "",
        tables=(
            Table(
                columns=("image", "label", "suggested", "confidence"),
                rows=rows,
                formats=("", "", "", ".1%"),
                caption=f"The surest {len(rows)}.",
            ),
        )
        if rows
        else (),
        data={"images": found, "suggested": suggested[at].tolist(), "of": n},
    )
