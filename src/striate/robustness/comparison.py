"""Comparison: two networks under the same changes of the same images, with paired intervals."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from striate.errors import DataError, UsageError
from striate.figures import BLUE, GRID, VERMILLION, new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.robustness.attack import pgd
from striate.robustness.corruptions import CORRUPTIONS, corrupted
from striate.robustness.exam import Exam
from striate.robustness.spectrum import modulation
from striate.robustness.transforms import rotated, scaled, shifted
from striate.statistics.intervals import paired, percent, points

ATTACKED = 256
Change = Callable[[Exam], Tensor]


def conditions() -> dict[str, tuple[str, Change]]:
    """{name: (probe, change of an exam's images)}; what is in pixels is a share of the side, so that sizes may differ."""
    found: dict[str, tuple[str, Change]] = {"clean": ("clean", lambda e: e.images)}
    found["shift by an eighth"] = ("shift", lambda e: shifted(e.images, 0, max(1, e.side // 8)))
    found["rotation by 15°"] = ("rotation", lambda e: rotated(e.images, 15.0))
    found["scale ×0.8"] = ("scale", lambda e: scaled(e.images, 0.8))
    found["flip left-right"] = ("flip", lambda e: e.images.flip(3))
    for name in CORRUPTIONS:
        found[f"{name} 3"] = ("corruption", _corrupting(name))
    found["wave of 1/7"] = ("spectrum", lambda e: modulation(e.images, e.side / 7, across=True))
    found["PGD 4/255"] = (
        "attack",
        lambda e: pgd(e.model, e.images, e.labels, 4 / 255, generator=e.generator(1)),
    )
    return found


def _corrupting(name: str) -> Change:
    return lambda e: corrupted(e.images, name, 3, seed=e.seed)


def compare(
    a: Exam, b: Exam, names: tuple[str, str], probes: Sequence[str] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> Finding:  # fmt: skip
    """Which of two networks is more robust: accuracy of both under each change, and b minus a with paired intervals.

    Both exams hold the same pictures in the same order, each prepared for its network. probes: only the changes of these.
    Raises DataError where they are not the same pictures, UsageError where no probe named changes images.
    """
    started = time.perf_counter()
    if len(a) != len(b) or not bool((a.labels == b.labels).all()):
        raise DataError(
            f"two runs are compared on the same images; got {len(a)} and {len(b)} with different labels; pass --data"
        )
    wanted = {k: v for k, v in conditions().items() if not probes or v[0] in (*probes, "clean")}
    if len(wanted) < 2:
        known = ", ".join(dict.fromkeys(v[0] for k, v in conditions().items() if k != "clean"))
        raise UsageError(
            f"two runs are compared under changes of images, and {' and '.join(probes)} has none; name some of {known}"
        )
    rows: list[Row] = []
    drops_a, drops_b = [], []
    for i, (name, (probe, change)) in enumerate(wanted.items()):
        if progress is not None:
            progress(name, i, len(wanted))
        ea, eb = (a.take(ATTACKED), b.take(ATTACKED)) if probe == "attack" else (a, b)
        ra, rb = ea.right(change(ea)), eb.right(change(eb))
        value, low, high = paired(ra, rb)
        rows.append((name, float(ra.mean()), float(rb.mean()), value, low, high, len(ea)))
        if probe not in ("clean", "attack"):
            drops_a.append(ra)
            drops_b.append(rb)
    averages = (np.mean(drops_a, 0), np.mean(drops_b, 0)) if drops_a else None
    return concluded(
        names, rows, None if averages is None else (*paired(*averages), len(drops_a)), len(a),
        measure="Accuracy", seed=a.seed, started=started,
    )  # fmt: skip


Row = tuple[str, float, float, float, float, float, int]


def concluded(
    names: tuple[str, str], rows: Sequence[Row], mean: tuple[float, float, float, int] | None, count: int, *,
    measure: str, seed: int, started: float,
) -> Finding:  # fmt: skip
    """The finding for rows of (change, a's score, b's, difference, its interval, images).

    mean: the difference over the changes with its interval, and how many they are; None where no change counts.
    """
    changed = [r for r in rows if r[0] != "clean"]
    better = [r for r in changed if r[4] > 0]
    worse = [r for r in changed if r[5] < 0]
    if mean is not None:
        value, low, high, many = mean
        over = f"on average over {many} changes" if many > 1 else f"under {changed[0][0]}"
        winner = names[1] if low > 0 else names[0] if high < 0 else None
        said = (
            f"{winner} is more robust by {points(value)} {over}"
            if winner
            else f"Neither is more robust {over}"
        )
        said += f" ({names[1]} minus {names[0]}: {100 * value:+.1f} points, paired 95 % interval {100 * low:+.1f} to {100 * high:+.1f}, {count:,} images)"  # noqa: E501
    else:
        value = float(np.mean([r[3] for r in changed]))
        said = f"{names[1]} minus {names[0]}: {100 * value:+.1f} points on {rows[-1][6]:,} images"
        low = high = value
    extreme = max(changed, key=lambda r: abs(r[3]))
    verdict = (
        f"{said}; {names[1]} is better under {len(better)}, worse under {len(worse)} of {len(changed)}, most apart under "
        f"{extreme[0]} ({percent(extreme[1])} and {percent(extreme[2])})."
    )
    return Finding(
        name="probe-comparison",
        title=f"{names[0]} against {names[1]}",
        verdict=verdict,
        tables=(
            Table(
                columns=("change", names[0], names[1], "difference", "from", "to", "images"),
                rows=tuple(rows),
                formats=("", ".1%", ".1%", "+.1%", "+.1%", "+.1%", ","),
                caption=f"{measure}; {names[1]} minus {names[0]} with the 95 % interval, paired over the same images.",
            ),
        ),
        figures=(_forest(rows, names, measure),),
        data={"names": list(names), "difference": value, "interval": [low, high],
              "rows": {r[0]: list(r[1:]) for r in rows}, "images": count},
        seed=seed,
        seconds=time.perf_counter() - started,
    )  # fmt: skip


def _forest(rows: Sequence[Row], names: tuple[str, str], measure: str) -> Figure:
    with style():
        figure = new_figure(6.4, 1.0 + 0.24 * len(rows))
        axes = figure.subplots()
        for i, (_, _, _, value, low, high, _) in enumerate(rows):
            y = len(rows) - 1 - i
            colour = BLUE if low > 0 else VERMILLION if high < 0 else GRID
            axes.hlines(y, 100 * low, 100 * high, color=colour, linewidth=2)
            axes.plot([100 * value], [y], "o", color=colour, markersize=5)
        axes.axvline(0, color=GRID, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_yticks(range(len(rows))[::-1], [r[0] for r in rows])
        axes.tick_params(axis="y", length=0)
        axes.set(
            xlabel=f"points; right of 0: {names[1]} is better",
            title=f"Difference of {measure[0].lower()}{measure[1:]}",
        )
        axes.grid(axis="x")
        return render(
            figure,
            caption="Paired differences with 95 % intervals; grey where the interval holds 0.",
            alt=f"Differences of {names[1]} and {names[0]}.",
        )
