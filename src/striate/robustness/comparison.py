"""Comparison: two networks under the same changes of the same images, with paired intervals."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from striate.errors import DataError, UsageError
from striate.figures import BLUE, GRID, VERMILLION, new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.robustness.amounts import Amounts
from striate.robustness.attack import pgd
from striate.robustness.context import Context
from striate.robustness.corruption import MOVING
from striate.robustness.corruptions import CORRUPTIONS, corrupted
from striate.robustness.spectrum import modulation
from striate.tasks.warp import Warp

ATTACKED = 256
Change = Callable[[Context], tuple[Tensor, Any]]


def conditions(context: Context) -> dict[str, tuple[str, Change]]:
    """{name: (probe, the images and targets of a context, changed)}; what is in pixels is a share of the side, so that sizes
    may differ.

    Where targets move along they lose what leaves the frame, so that shifts and turns are not compared.
    """
    changes: dict[str, tuple[str, Change]] = {"clean": ("clean", lambda c: (c.images, c.targets))}
    if context.moves:
        changes |= {f"scale ×{f}": ("scale", _warping(Warp(scale=f))) for f in (0.8, 1.25)}
    else:
        changes["shift by an eighth"] = (
            "shift",
            lambda c: _warping(Warp(columns=max(1, c.side // 8)))(c),
        )
        changes["rotation by 15°"] = ("rotation", _warping(Warp(degrees=15.0)))
        changes["scale ×0.8"] = ("scale", _warping(Warp(scale=0.8)))
    changes["flip left-right"] = ("flip", _warping(Warp(flip=(-1,))))
    for name in CORRUPTIONS:
        if not (context.moves and name in MOVING):
            changes[f"{name} 3"] = ("corruption", _corrupting(name))
    if context.labelled:
        changes["wave of 1/7"] = (
            "spectrum",
            lambda c: (modulation(c.images, c.side / 7, across=True), c.targets),
        )
        changes["PGD 4/255"] = ("attack", _attacked)
    return changes


def _warping(warp: Warp) -> Change:
    return lambda c: (warp.images(c.images), c.warped_targets(warp))


def _corrupting(name: str) -> Change:
    return lambda c: (corrupted(c.images, name, 3, seed=c.seed), c.targets)


def _attacked(context: Context) -> tuple[Tensor, Any]:
    images = pgd(
        context.model, context.images, context.labels, 4 / 255, generator=context.generator(1)
    )
    return images, context.targets


def compare(
    a: Context, b: Context, names: tuple[str, str], probes: Sequence[str] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> Finding:  # fmt: skip
    """Which of two networks is more robust: scores of both under each change, and b minus a with paired intervals.

    Both contexts hold the same pictures with the same targets in the same order, each prepared for its network. probes:
    only the changes of these. Raises DataError where they are not the same pictures, UsageError where no probe named
    changes images.
    """
    started = time.perf_counter()
    if not _alike(a.targets, b.targets):
        raise DataError(
            f"two runs are compared on the same images; got {len(a)} and {len(b)} with different targets; pass --data"
        )
    known = conditions(a)
    chosen = {k: v for k, v in known.items() if not probes or v[0] in (*probes, "clean")}
    if len(chosen) < 2:
        have = ", ".join(dict.fromkeys(v[0] for k, v in known.items() if k != "clean"))
        raise UsageError(
            f"two runs are compared under changes of images, and {' and '.join(probes)} has none; name some of {have}"
        )
    rows: list[Row] = []
    changed: list[list[np.ndarray]] = []
    for i, (name, (probe, change)) in enumerate(chosen.items()):
        if progress is not None:
            progress(name, i, len(chosen))
        pair = [c.take(ATTACKED) for c in (a, b)] if probe == "attack" else [a, b]
        seen = [c.evidence(*change(c)) for c in pair]
        value, low, high = pair[0].difference(seen[:1], seen[1:])
        rows.append((name, pair[0].score(seen[0]), pair[0].score(seen[1]), value, low, high, len(pair[0])))  # fmt: skip
        if probe not in ("clean", "attack"):
            changed.append(seen)
    mean = None
    if changed:
        mean = (*a.difference([s[0] for s in changed], [s[1] for s in changed]), len(changed))
    return concluded(names, rows, mean, len(a), a.amounts, seed=a.seed, started=started)


def _alike(a: Any, b: Any) -> bool:
    """Whether two targets are the same."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and bool((a == b).all())
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_alike(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_alike, a, b))
    return bool(a == b)


Row = tuple[str, float, float, float, float, float, int]


def concluded(
    names: tuple[str, str], rows: Sequence[Row], mean: tuple[float, float, float, int] | None, count: int,
    amounts: Amounts, *, seed: int, started: float,
) -> Finding:  # fmt: skip
    """The finding for rows of (change, a's score, b's, difference, its interval, images).

    mean: the difference over the changes with its interval, and how many they are; None where no change counts.
    """
    measure = amounts.name[0].upper() + amounts.name[1:]
    value_format, change_format = amounts.cells
    changed = [r for r in rows if r[0] != "clean"]
    better = [r for r in changed if r[4] > 0]
    worse = [r for r in changed if r[5] < 0]
    if mean is not None:
        value, low, high, many = mean
        over = f"on average over {many} changes" if many > 1 else f"under {changed[0][0]}"
        winner = names[1] if low > 0 else names[0] if high < 0 else None
        conclusion = (
            f"{winner} is more robust by {amounts.size(value)} {over}"
            if winner
            else f"Neither is more robust {over}"
        )
        conclusion += (
            f" ({names[1]} minus {names[0]}: {amounts.signed(value)}{amounts.points}, paired 95 % interval "
            f"{amounts.signed(low)} to {amounts.signed(high)}, {count:,} images)"
        )
    else:
        value = float(np.mean([r[3] for r in changed]))
        conclusion = f"{names[1]} minus {names[0]}: {amounts.signed(value)}{amounts.points} on {rows[-1][6]:,} images"
        low = high = value
    extreme = max(changed, key=lambda r: abs(r[3]))
    verdict = (
        f"{conclusion}; {names[1]} is better under {len(better)}, worse under {len(worse)} of {len(changed)}, most apart "
        f"under {extreme[0]} ({amounts.value(extreme[1])} and {amounts.value(extreme[2])})."
    )
    return Finding(
        name="probe-comparison",
        title=f"{names[0]} against {names[1]}",
        verdict=verdict,
        tables=(
            Table(
                columns=("change", names[0], names[1], "difference", "from", "to", "images"),
                rows=tuple(rows),
                formats=("", value_format, value_format, *[change_format] * 3, ","),
                caption=f"{measure}; {names[1]} minus {names[0]} with the 95 % interval, paired over the same images.",
            ),
        ),
        figures=(_forest(rows, names, amounts),),
        data={"names": list(names), "difference": value, "interval": [low, high],
              "rows": {r[0]: list(r[1:]) for r in rows}, "images": count},
        seed=seed,
        seconds=time.perf_counter() - started,
    )  # fmt: skip


def _forest(rows: Sequence[Row], names: tuple[str, str], amounts: Amounts) -> Figure:
    factor = 100 if amounts.share else 1
    with style():
        figure = new_figure(6.4, 1.0 + 0.24 * len(rows))
        axes = figure.subplots()
        for i, (_, _, _, value, low, high, _) in enumerate(rows):
            y = len(rows) - 1 - i
            colour = BLUE if low > 0 else VERMILLION if high < 0 else GRID
            axes.hlines(y, factor * low, factor * high, color=colour, linewidth=2)
            axes.plot([factor * value], [y], "o", color=colour, markersize=5)
        axes.axvline(0, color=GRID, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_yticks(range(len(rows))[::-1], [r[0] for r in rows])
        axes.tick_params(axis="y", length=0)
        axes.set(
            xlabel=f"{'points' if amounts.share else amounts.name}; right of 0: {names[1]} is better",
            title=f"Difference of {amounts.name}",
        )
        axes.grid(axis="x")
        return render(
            figure,
            caption="Paired differences with 95 % intervals; grey where the interval holds 0.",
            alt=f"Differences of {names[1]} and {names[0]}.",
        )
