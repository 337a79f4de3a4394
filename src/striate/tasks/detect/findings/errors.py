"""What goes wrong: kinds of errors with what each costs, class by class, and what is taken for what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from striate.figures import BLUE, ORANGE, new_figure, render, style
from striate.findings import Cell, Figure, Finding, Table
from striate.tasks.detect.evaluate import Assessed
from striate.tasks.detect.evaluation.average_precision import RECALLS, curves, pool
from striate.tasks.detect.evaluation.kinds import KINDS, ap50
from striate.wording import percent, quoted

CONFUSIONS = 8
ABOUT = {
    "localisation": "the {what} is off: it overlaps its object by less than half",
    "class": "the {what} is right, the class is not",
    "both": "{what} and class are off",
    "duplicate": "a second {what} on an object",
    "background": "a {what} where nothing is",
    "missed": "an object that no {what} comes near",
}


def kinds_of_errors(assessed: Assessed, classes: int, sure: float) -> Finding:
    """How often each kind of error occurs at scores of `sure` and more, and what AP50 would be without it."""
    judged = assessed.judged()
    about = {kind: words.format(what=assessed.what) for kind, words in ABOUT.items()}
    plain = ap50(judged, classes)
    if np.isnan(plain):
        verdict = "No held-out image has an object."
        return Finding(name="error-kinds", title="What goes wrong", verdict=verdict)
    counts = {
        kind: sum(int((j.kinds[j.scores >= sure] == KINDS.index(kind)).sum()) for j in judged)
        for kind in KINDS[1:]
    }
    counts["missed"] = sum(int(j.missed.sum()) for j in judged)
    gains = {kind: ap50(judged, classes, mend=kind) - plain for kind in ABOUT}
    # Where every object is missed none is left without that, and what it costs is no number.
    order = sorted(ABOUT, key=lambda kind: -np.nan_to_num(gains[kind], nan=1.0))
    rows = tuple((kind, about[kind], counts[kind], float(gains[kind])) for kind in order)
    worst = order[0]
    if np.isnan(gains[worst]):
        verdict = (
            f"Every object is missed: no {assessed.what} comes near any of {counts['missed']:,}."
        )
    elif gains[worst] <= 0.001:
        verdict = "No kind of error costs anything."
    else:
        verdict = (
            f"Most is lost by {worst} errors ({about[worst]}): without them AP50 would be {plain + gains[worst]:.3f} "
            f"instead of {plain:.3f}."
        )
    return Finding(
        name="error-kinds",
        title="What goes wrong",
        verdict=verdict,
        tables=(
            Table(
                columns=(
                    "kind",
                    "what it is",
                    f"how often (score {sure:g} and more)",
                    "AP50 it costs",
                ),
                rows=rows,
                formats=("", "", ",", "+.3f"),
                caption="Costs do not add up: an error that is mended alone may hide another.",
            ),
        ),
        figures=(_bars(order, gains),),
        data={"ap50": plain, "counts": counts, "costs": gains},
    )


def _bars(order: Sequence[str], gains: dict[str, float]) -> Figure:
    with style():
        figure = new_figure(6.0, 2.4)
        axes = figure.subplots()
        values = [max(float(np.nan_to_num(gains[k])), 0.0) for k in order]
        axes.barh(range(len(order)), values, color=BLUE, height=0.7)
        axes.set_yticks(range(len(order)), list(order))
        axes.invert_yaxis()
        axes.set(xlabel="AP50 that would be gained", xlim=(0, max(0.02, *values) * 1.1))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="x")
        costs = ", ".join(f"{k} {gains[k]:.3f}" for k in order)
        return render(figure, caption="What each kind of error costs.", alt=f"Bars: {costs}")


def per_class_boxes(assessed: Assessed, classes: tuple[str, ...], sure: float) -> Finding:
    """AP of each class, worst first, precision and recall at a score, and what is taken for what."""
    k = len(classes)
    made = curves(pool(list(assessed.evidence), k))
    judged = assessed.judged()
    taken = np.zeros((k + 1, k + 1), dtype=np.int64)  # the last row and column are "nothing"
    for j in judged:
        at_least = (j.scores >= sure) & ~j.ignored
        hit = np.zeros(len(j.truth), dtype=bool)
        for kind, label, at in zip(
            j.kinds[at_least], j.labels[at_least], j.objects[at_least], strict=True
        ):
            if KINDS[kind] in ("right", "class") and not hit[at]:
                taken[j.truth[at], label] += 1
                hit[at] = True
            elif KINDS[kind] not in ("duplicate", "class"):
                taken[k, label] += 1
        missed = j.counted & ~hit
        taken[:k, k] += np.bincount(j.truth[missed], minlength=k)[:k]
    truth, right, called = taken[:k].sum(1), taken.diagonal()[:k], taken[:, :k].sum(0)
    ap = np.where(made.precision[0, 0, 0] >= 0, made.precision[0].mean((0, 1)), np.nan)
    order = [c for c in np.argsort(np.nan_to_num(ap, nan=2.0), kind="stable").tolist() if truth[c] or called[c]]  # fmt: skip
    rows: list[tuple[Cell, ...]] = [
        (
            classes[c],
            int(truth[c]),
            None if np.isnan(ap[c]) else float(ap[c]),
            float(right[c] / called[c]) if called[c] else None,
            float(right[c] / truth[c]) if truth[c] else None,
        )
        for c in order
    ]
    wrong = taken.copy()
    np.fill_diagonal(wrong, 0)
    names = (*classes, "nothing")
    pairs = [divmod(int(i), k + 1) for i in np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]]  # fmt: skip
    confusions = tuple((names[a], names[b], int(wrong[a, b])) for a, b in pairs if wrong[a, b])
    known = [c for c in order if not np.isnan(ap[c])]
    if known:
        low, high = known[0], known[-1]
        verdict = (
            f"Weakest is {quoted(classes[low])} with an AP of {ap[low]:.3f}, strongest {quoted(classes[high])} with "
            f"{ap[high]:.3f}; at a score of {sure:g}, {percent(right.sum() / max(called.sum(), 1))} of the "
            f"{assessed.many} are right and {percent(right.sum() / max(truth.sum(), 1))} of the objects are found."
        )
    else:
        verdict = "No held-out image has an object."
    tables = [
        Table(
            columns=("class", "objects", "AP", f"precision at {sure:g}", f"recall at {sure:g}"),
            rows=tuple(rows),
            formats=("", ",", ".3f", ".1%", ".1%"),
            caption=(
                f"Worst first. Precision: of the {assessed.many} of the class, those that are right; recall: of its "
                "objects, those that are found."
            ),
        )
    ]
    if confusions:
        tables.append(
            Table(
                columns=("is", "taken for", "how often"),
                rows=confusions,
                formats=("", "", ","),
                caption="The most frequent mistakes; taken for nothing: missed; nothing taken for something: invented.",
            )
        )
    return Finding(
        name="per-class",
        title="Class by class",
        verdict=verdict,
        status="warning" if known and ap[known[0]] < 0.1 else "note",
        tables=tuple(tables),
        figures=(_curve(made.precision),),
        data={"ap": {classes[c]: float(ap[c]) for c in known}, "confusion": taken.tolist() if k <= 63 else []},
    )  # fmt: skip


def _curve(precision: np.ndarray) -> Figure:
    """Precision over recall, the mean over classes, at two overlaps. precision: (S, T, R, K)."""
    with style():
        figure = new_figure(5.4, 3.4)
        axes = figure.subplots()
        for at, colour, line, text in ((0, BLUE, "-", "overlap of 0.50"), (5, ORANGE, "--", "overlap of 0.75")):  # fmt: skip
            known = precision[0, at][:, precision[0, at, 0] >= 0]
            if known.size:
                axes.plot(RECALLS, known.mean(1), line, color=colour, label=text)
        axes.set(
            xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision, mean over classes"
        )
        axes.grid()
        if axes.lines:
            axes.legend(loc="lower left")
        caption = "Precision over recall on the held-out images."
        return render(figure, caption=caption, alt="Curves of precision over recall.")
