"""The confusion matrix, and which two classes are taken for each other most often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate.figures import BLUE, INK, VERMILLION, any_script, new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.statistics.scores import ArrayLike, Scores
from striate.wording import percent, quoted, short

READABLE = 30  # classes up to which every cell gets its number
CELLS = 120  # rows of the picture for more classes
LISTED = 15  # confusions in the table


def confusion(probabilities: ArrayLike, labels: ArrayLike, classes: Sequence[str]) -> Finding:
    """Counts of true against predicted class from probabilities (N, K) and labels (N,), and the
    commonest confusions.

    Raises DataError if the inputs do not fit together.
    """
    # Here, since torchmetrics takes a second to import, which a prediction need not wait for.
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    scores = Scores.of(probabilities, labels, classes)
    k = len(scores.classes)
    _, predicted, y = scores.tensors
    counts = multiclass_confusion_matrix(predicted, y, k).numpy()
    support = counts.sum(axis=1)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    pairs = np.argwhere(wrong)
    pairs = pairs[np.argsort(-wrong[tuple(pairs.T)], kind="stable")][:LISTED]
    total = int(wrong.sum())
    rows = tuple(
        (
            scores.classes[a],
            scores.classes[b],
            int(wrong[a, b]),
            float(wrong[a, b] / support[a]),
            float(wrong[a, b] / total),
        )
        for a, b in pairs
    )
    if not total:
        verdict = f"No class is taken for another in {len(scores):,} held-out images."
    elif wrong.max() == 1:
        verdict = (
            f"Its {total:,} mistake{'s are' if total > 1 else ' is'} scattered: "
            "no class was taken for the same other one twice."
        )
    else:
        a, b = pairs[0]
        both = int(wrong[a, b] + wrong[b, a])
        verdict = (
            f"The commonest mistake is {quoted(scores.classes[a])} taken for "
            f"{quoted(scores.classes[b])}: "
            f"{int(wrong[a, b]):,} of {int(support[a]):,} such images "
            f"({percent(wrong[a, b] / support[a])})"
        )
        verdict += (
            f"; the two of them, either way, make up {percent(both / total)} of all {total:,} "
            "mistakes."
        )
    figure = _matrix(counts, scores.classes) if k <= READABLE else _image(counts)
    return Finding(
        name="confusion",
        title="What it confuses with what",
        verdict=verdict,
        status="note" if total else "good",
        tables=(
            Table(
                columns=(
                    "true class",
                    "taken for",
                    "images",
                    "of the true class",
                    "of all mistakes",
                ),
                rows=rows,
                formats=("", "", ",", ".1%", ".1%"),
                caption=f"The commonest confusions, at most {LISTED}.",
            ),
        )
        if total
        else (),
        figures=(figure,),
        data={
            "classes": list(scores.classes),
            # A thousand classes make a million cells, nearly all zero.
            "counts": counts.tolist() if k <= 100 else None,
            "nonzero": None
            if k <= 100
            else [[int(a), int(b), int(counts[a, b])] for a, b in np.argwhere(counts)],
            "mistakes": total,
        },
    )


def _shares(counts: np.ndarray) -> np.ndarray:
    """Each row as fractions of its class; zeros where a class has no images."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _opacity(counts: np.ndarray) -> np.ndarray:
    """How strongly a cell is coloured: its share of the row, mistakes on a scale of their own.

    The square root keeps a mistake of one per cent visible beside a diagonal of ninety-nine.
    """
    shares = _shares(counts)
    hits = np.eye(len(counts), dtype=bool)
    largest = max(float(shares[~hits].max(initial=0)), 0.1)
    alpha = np.where(hits, shares**2, np.sqrt(shares / largest))
    return np.where(counts > 0, 0.08 + 0.92 * alpha, 0)


def _matrix(counts: np.ndarray, names: tuple[str, ...]) -> Figure:
    from matplotlib.collections import PatchCollection  # takes a moment
    from matplotlib.patches import Rectangle

    k = len(names)
    alpha = _opacity(counts)
    with style(), any_script():
        side = 1.6 + 0.42 * max(k, 5) if k <= 12 else 2.2 + 0.26 * k
        figure = new_figure(side + 0.5, side)
        ax = figure.subplots()
        cells, colours = [], []
        for a, b in np.argwhere(counts):
            cells.append(Rectangle((b - 0.47, a - 0.47), 0.94, 0.94))
            colours.append(_with_alpha(BLUE if a == b else VERMILLION, alpha[a, b]))
            strong = alpha[a, b] > 0.85
            number = f"{counts[a, b]}" if counts[a, b] < 10_000 else f"{counts[a, b] / 1000:.0f}k"
            ax.text(
                b,
                a,
                number,
                ha="center",
                va="center_baseline",
                color="white" if strong else INK,
                fontsize=9 if k <= 12 else 7,
                fontweight="bold" if a == b else "normal",
            )
        ax.add_collection(
            PatchCollection(cells, facecolors=colours, edgecolors="none"), autolim=False
        )
        ax.set(xlim=(-0.5, k - 0.5), ylim=(k - 0.5, -0.5), aspect="equal")
        shown = [short(name) for name in names]
        ax.set_xticks(
            range(k), shown, rotation=90 if max(map(len, shown)) > 3 else 0, parse_math=False
        )
        ax.set_yticks(range(k), shown, parse_math=False)
        ax.set(xlabel="predicted", ylabel="true")
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
        return render(
            figure,
            caption=(
                "Rows are true classes, columns predicted ones. Blue on the diagonal is "
                "correct, orange off it is "
                "wrong; stronger colour, larger share of the row (mistakes on a scale of their "
                "own)."
            ),
            alt=_describe(counts),
        )


def _image(counts: np.ndarray) -> Figure:
    """Too many classes for numbers: a cell is a block of neighbouring classes, as many as fit
    the eye.
    """
    k = len(counts)
    block = -(-k // CELLS)
    edges = np.arange(0, k, block)
    coarse = np.add.reduceat(np.add.reduceat(counts, edges, axis=0), edges, axis=1)
    pixels = np.zeros((*coarse.shape, 4))
    hits = np.eye(len(coarse), dtype=bool)
    for where, colour in ((hits, BLUE), (~hits, VERMILLION)):
        pixels[where, :3] = _with_alpha(colour, 1)[:3]
    pixels[..., 3] = _opacity(coarse)
    each = "class" if block == 1 else f"block of {block} neighbouring classes"
    with style():
        figure = new_figure(6.2, 5.8)
        ax = figure.subplots()
        end = len(coarse) * block - 0.5
        ax.imshow(pixels, interpolation="none", extent=(-0.5, end, end, -0.5))
        ax.set(xlabel="predicted class, by number", ylabel="true class, by number")
        return render(
            figure,
            caption=(
                f"{k:,} classes in the order of the per-class table, a row and a column for each "
                f"{each}. "
                "Blue on the diagonal, orange off it; stronger colour, larger share of the row "
                "(off the diagonal on a scale of its own)."
            ),
            alt=_describe(counts),
        )


def _describe(counts: np.ndarray) -> str:
    correct = int(np.trace(counts))
    return (
        f"Confusion matrix of {len(counts)} classes: {correct:,} of {int(counts.sum()):,} images lie "
        "on the diagonal, "
        f"{int(counts.sum()) - correct:,} off it."
    )


def _with_alpha(colour: str, alpha: float) -> tuple[float, float, float, float]:
    r, g, b = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return r, g, b, float(alpha)
