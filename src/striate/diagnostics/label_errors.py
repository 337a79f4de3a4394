"""Label errors: labels that a network confidently contradicts (Northcutt et al. 2021, "Confident Learning")."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from striate.errors import DataError, UsageError
from striate.figures import new_figure, render, style
from striate.findings import Cell, Figure, Finding, Table

LISTED = 200
SHOWN = 24
BETTER = 1.5  # times the share of the largest class: a network of lower accuracy cannot judge


def label_errors(
    probabilities: Tensor,
    labels: Tensor,
    classes: Sequence[str],
    *,
    keys: Sequence[str] | None = None,
    images: Callable[[Sequence[int]], Tensor] | None = None,
    folds: int | None = None,
) -> Finding:
    """Images whose label a network contradicts with at least the confidence that it has on that class in general.

    probabilities: (N, C); best of networks that were not trained on these images, in `folds` folds. labels: (N,)
    int64. keys: the images' names; images: gives those of some indices, uint8 (n, C, H, W), for the figure. An image
    counts where another class is likelier than its label and at least as likely as that class is, on average, where it is
    the label (the confident joint, equation 1 of the paper). Nothing is named where the network knows hardly more than the
    largest class. Raises UsageError where shapes do not fit, DataError for probabilities that are not finite.
    """
    n, c = probabilities.shape
    if labels.shape != (n,) or len(classes) != c or (keys is not None and len(keys) != n):
        raise UsageError(
            f"probabilities {n} x {c} need {n} labels and {c} class names, got {tuple(labels.shape)} and {len(classes)}"
        )
    if not bool(torch.isfinite(probabilities).all()):
        raise DataError("the network gives probabilities that are not finite; look at its weights")
    agree = float((probabilities.argmax(1) == labels).float().mean())
    largest = float(labels.bincount().max()) / n
    if agree < BETTER * largest and largest < 0.5:
        return Finding(
            name="diagnose-labels",
            title="Suspected label errors",
            verdict=f"The network agrees with only {agree:.0%} of {n:,} labels, where the largest class alone has "
            f"{largest:.0%}: it knows too little to judge them.",
            status="problem",
            advice="Train until it learns, then look for label errors.",
            data={"images": [], "keys": [], "suggested": [], "of": n, "folds": folds},
        )
    p = probabilities.double()
    usual = torch.full((c,), 2.0, dtype=p.dtype)  # a class without images is never suggested
    for k in labels.unique().tolist():
        usual[k] = p[labels == k, k].mean()
    surest, suggested = p.masked_fill(p < usual, -1.0).max(1)
    own = p.gather(1, labels[:, None])[:, 0]
    doubtful = (surest > own) & (suggested != labels)
    at = doubtful.nonzero().flatten()
    at = at[(surest - own)[at].argsort(descending=True, stable=True)]
    suspects = at.tolist()
    rows = tuple(
        (
            keys[i] if keys is not None else str(i),
            classes[int(labels[i])],
            classes[int(suggested[i])],
            float(surest[i]),
        )
        for i in suspects[:LISTED]
    )
    return Finding(
        name="diagnose-labels",
        title="Suspected label errors",
        verdict=verdict_of(n, rows, len(suspects), folds),
        status="warning" if len(suspects) > 0.01 * n else "note" if suspects else "good",
        advice="Look at the images listed, the surest first: some labels are wrong, some images only hard."
        if suspects
        else ""
        if folds
        else "Labels learned by heart are not contradicted: --cross-validate 5 uses networks that were not trained on them.",
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
        figures=(
            draw(
                images(suspects[:SHOWN]),
                [(classes[int(labels[i])], classes[int(suggested[i])]) for i in suspects[:SHOWN]],
            ),
        )
        if suspects and images is not None
        else (),
        data={
            "images": suspects,
            "keys": [keys[i] if keys is not None else str(i) for i in suspects],
            "suggested": suggested[at].tolist(),
            "of": n,
            "folds": folds,
        },
    )


def verdict_of(n: int, rows: Sequence[tuple[Cell, ...]], count: int, folds: int | None) -> str:
    """How many of `n` labels are contradicted, by whom, and the surest one."""
    by = (
        f"networks that were not trained on them ({folds} folds)" if folds else "the network itself"
    )
    if not rows:
        return f"None of {n:,} labels is contradicted with confidence by {by}."
    key, label, other, sure = rows[0]
    return (
        f"Of {n:,} labels {count:,} ({count / n:.1%}) {'is' if count == 1 else 'are'} contradicted with confidence by {by}; "
        f"the surest is {key}, labelled {label} and {other} by {sure:.0%}."
    )


def draw(images: Tensor, names: Sequence[tuple[str, str]]) -> Figure:
    """Images (n, C, H, W), uint8, each with its label and the class that is suggested."""
    columns = min(8, max(4, len(names)))
    rows = -(-len(names) // columns)
    with style():
        figure = new_figure(0.98 * columns, 1.3 * rows)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid:
            axes.axis("off")
        for axes, image, (label, other) in zip(grid, images, names, strict=False):
            pixels = image.permute(1, 2, 0).numpy()
            axes.imshow(pixels.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_title(
                f"{label[:14]}\n→ {other[:14]}?", fontsize=8, fontweight="normal", loc="center"
            )
        return render(
            figure,
            caption="Above each image its label, and the class that is suggested.",
            alt=f"{len(names)} images with suspected label errors.",
            png=True,
            dpi=110,
        )
