"""The pages of the patches experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from striate.figures import CYCLE, GRID, new_figure, style
from striate.findings import Finding, Table
from striate.lectures.experiments.drawing import chart, per_cent, pictures
from striate.lectures.experiments.patches.networks import FAMILIES, Design, reorder
from striate.statistics.intervals import paired, wilson
from striate.wording import percent

if TYPE_CHECKING:
    from striate.lectures.experiments.patches.run import Result

MARKS = dict(zip(FAMILIES, "os^D", strict=True))
COLOURS = dict(zip(FAMILIES, CYCLE, strict=False))
GUESSING = 0.1
EXACT = 1e-6  # a change of the probabilities that is rounding alone


def signed(change: float) -> str:
    """A change of a share in points, with its sign."""
    return f"{100 * change:+.1f}".replace("-", "−")


def share(right: np.ndarray) -> tuple[float, float, float]:
    """The mean over the trainings and images of (T, N), with a 95 % interval over the images."""
    each = right.mean(0)
    return float(each.mean()), *wilson(each.sum(), len(each))


def size_page(results: Mapping[Design, Result], trained: int, tested: int, epochs: int) -> Finding:
    """Accuracy against the side of a patch, at about equal parameters."""
    main = {d: r for d, r in results.items() if d.positions in ("built in", "learned") and not d.reordered}  # fmt: skip
    sides = sorted({d.patch for d in main})
    least, most = sides[0], sides[-1]
    by_family = {f: {d.patch: r for d, r in main.items() if d.family == f} for f in FAMILIES}
    small = {f: share(r[least].right) for f, r in by_family.items()}
    order = sorted(small, key=lambda f: -small[f][0])
    gain = paired(by_family[order[1]][least].right.mean(0), by_family[order[0]][least].right.mean(0))  # fmt: skip
    loss = {f: paired(r[least].right.mean(0), r[most].right.mean(0)) for f, r in by_family.items()}
    hurt = min(loss, key=lambda f: loss[f][0])
    spared = max(loss, key=lambda f: loss[f][0])
    counts = [r.parameters for r in main.values()]
    verdict = (
        f"With patches of {least} pixels and {min(counts):,} to {max(counts):,} parameters the {order[0]} is best, "
        f"{percent(small[order[0]][0])} of {tested:,} unseen garments after {trained:,}"
    )
    verdict += (
        f", {signed(gain[0])} points to the {order[1]} ({signed(gain[1])} to {signed(gain[2])})."
        if gain[1] > 0
        else f"; its lead over the {order[1]} is within the error ({signed(gain[1])} to {signed(gain[2])} points)."
    )
    verdict += (
        f" Patches of {most} pixels in place of {least} change accuracy by {signed(loss[hurt][0])} points ({hurt}) to "
        f"{signed(loss[spared][0])} ({spared})."
    )
    with style():
        figure = new_figure(7.4, 3.6)
        axes = figure.subplots()
        for i, (family, found) in enumerate(by_family.items()):
            x = [s * 2 ** (0.05 * (i - 1.5)) for s in sides]
            y = [share(found[s].right) for s in sides]
            colour, mark = COLOURS[family], MARKS[family]
            axes.plot(x, [v[0] for v in y], color=colour, marker=mark, markersize=5, label=family)
            axes.vlines(x, [v[1] for v in y], [v[2] for v in y], color=colour, linewidth=1)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sides, [str(s) for s in sides])
        axes.minorticks_off()
        axes.locator_params(axis="y", steps=[1, 2, 5, 10])
        axes.set(
            title="Accuracy against the side of a patch",
            xlabel="side of a patch in pixels (compact transformer: stride of its convolutions)",
        )
        per_cent(axes.yaxis)
        axes.grid(axis="y")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        drawn = chart(
            figure,
            caption="Bars: 95 % intervals over the test images; that another training gives another network is left out.",
            alt=f"Four lines of accuracy, as patches grow from {least} to {most} pixels.",
        )
    trainings = len(next(iter(main.values())).right)
    return Finding(
        name="patches-size",
        title="How large a patch may be",
        verdict=verdict,
        tables=(
            Table(
                columns=("network", "patch", "parameters", "multiply-adds", "accuracy", "from", "to", "trainings"),
                rows=tuple(
                    (
                        d.name, d.patch, r.parameters, r.macs, *share(r.right),
                        " / ".join(percent(float(v)) for v in r.right.mean(1)),
                    )
                    for d, r in results.items() if not d.reordered
                ),
                formats=("", "d", ",", ",", ".1%", ".1%", ".1%", ""),
                caption=f"Fashion-MNIST at 24 pixels on a canvas of 32; {trained:,} training images, {epochs} passes, "
                f"{trainings} trainings each, AdamW, no augmentation. Widths are chosen so that all have about as many "
                "parameters.",
            ),
        ),
        figures=(drawn,),
        data={
            "accuracy": [
                {"family": d.family, "patch": d.patch, "positions": d.positions, "reordered": d.reordered,
                 "parameters": r.parameters, "macs": r.macs, "accuracy": list(share(r.right)),
                 "trainings": r.right.mean(1).tolist()}
                for d, r in results.items()
            ],
            "epochs": epochs,
            "key_figure": {
                "value": small[order[0]][0], "low": small[order[0]][1], "high": small[order[0]][2],
                "label": f"{order[0]}, patches of {least}", "baseline": small[order[-1]][0], "baseline_label": order[-1],
            },
        },
    )  # fmt: skip


def order_page(
    results: Mapping[Design, Result], test: Tensor, order: Tensor, own: Tensor
) -> Finding:
    """What the order of the patches of images (N, 1, H, W) is worth: shuffled when tested, and in one other order all
    along.
    """
    least = min(d.patch for d in results)
    here = {d: r for d, r in results.items() if d.patch == least and not d.reordered}
    blind = [d.name for d, r in here.items() if np.array_equal(r.right, r.shuffled)]
    lost = {d: paired(r.right.mean(0), r.shuffled.mean(0)) for d, r in here.items()}
    other = {
        d.family: paired(results[Design(d.family, least, d.positions)].right.mean(0), r.right.mean(0))
        for d, r in results.items() if d.reordered
    }  # fmt: skip
    worst = min(other, key=lambda f: other[f][0])
    untouched = [f for f, v in other.items() if v[1] <= 0 <= v[2]]
    verdict = (
        f"The {' and the '.join(blind)} predicts the same whatever the order of the patches: it sees a bag of them. "
        if blind
        else "Every network looks at where patches are. "
    )
    sighted = [d for d in here if d.name not in blind]
    falls = [share(here[d].shuffled)[0] for d in sighted]
    verdict += (
        f"All others fall to {percent(min(falls))} to {percent(max(falls))} when each test image's patches are shuffled. "
        f"Trained on patches in one other order, the {worst} loses most ({signed(other[worst][0])} points)"
    )
    verdict += f"; no loss is shown for the {' and the '.join(untouched)}." if untouched else "."
    names = list(here)
    with style():
        figure = new_figure(7.4, 0.42 * len(names) + 1.4)
        axes = figure.subplots()
        at = np.arange(len(names))[::-1]
        series = [("in order", [share(here[d].right) for d in names], CYCLE[0], "o", 0.2),
                  ("shuffled when tested", [share(here[d].shuffled) for d in names], CYCLE[3], "s", 0.0)]  # fmt: skip
        for label, values, colour, mark, up in series:
            axes.hlines(at + up, [v[1] for v in values], [v[2] for v in values], color=colour)
            axes.plot(
                [v[0] for v in values], at + up, mark, color=colour, label=label, markersize=5
            )
        for place, d in zip(at, names, strict=True):
            twin = results.get(Design(d.family, d.patch, d.positions, reordered=True))
            if twin is not None:
                value, low, high = share(twin.right)
                axes.hlines(place - 0.2, low, high, color=CYCLE[2])
                axes.plot(value, place - 0.2, "^", color=CYCLE[2], markersize=5,
                          label="one other order, trained and tested" if d is names[0] else None)  # fmt: skip
        axes.axvline(GUESSING, color=GRID, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_yticks(at, [d.name for d in names])
        axes.tick_params(axis="y", length=0)
        axes.set(title=f"What the order of patches of {least} pixels is worth", xlim=(0, 1))
        axes.set_ylim(-0.6, len(names) - 0.4)
        per_cent(axes.xaxis)
        axes.grid(axis="x")
        axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.12), ncols=3)
        drawn = chart(
            figure, caption="95 % intervals over the test images; dashed: guessing.",
            alt=f"Up to three marks for each of {len(names)} networks.",
        )  # fmt: skip
    image = test[:1]
    others = {"shuffled": own[:1], "the one other order": order}
    shown = {"in order": image, **{name: reorder(image, least, o) for name, o in others.items()}}
    row = [(name, (x[0, 0] / x.max()).numpy()) for name, x in shown.items()]
    return Finding(
        name="patches-order",
        title="Whether the order of patches matters",
        verdict=verdict,
        tables=(
            Table(
                columns=("network", "in order", "shuffled", "lost", "from", "to"),
                rows=tuple(
                    (d.name, share(r.right)[0], share(r.shuffled)[0], *lost[d]) for d, r in here.items()
                ),
                formats=("", ".1%", ".1%", "+.1%", "+.1%", "+.1%"),
                caption="Each test image's patches in a random order of its own; differences over the same images.",
            ),
            Table(
                columns=("network", "in order", "one other order", "lost", "from", "to"),
                rows=tuple(
                    (d.name, share(results[Design(d.family, least, d.positions)].right)[0], share(r.right)[0],
                     *other[d.family])
                    for d, r in results.items() if d.reordered
                ),
                formats=("", ".1%", ".1%", "+.1%", "+.1%", "+.1%"),
                caption="Trained and tested on images whose patches all stand in the same other order.",
            ),
        ),
        figures=(
            drawn,
            pictures(
                [row], side=1.7, caption="A test image, and its patches in another order.",
                alt="Three images of the same patches.",
            ),
        ),
        data={
            "blind": blind,
            "shuffled": {d.name: list(lost[d]) for d in here},
            "reordered": {f: list(v) for f, v in other.items()},
        },
    )  # fmt: skip


def shift_page(results: Mapping[Design, Result]) -> Finding:
    """How far predictions change when the image moves by less than a patch, and by a whole one."""
    here = {d: r for d, r in results.items() if r.change}
    patch = next(iter(here)).patch
    most = len(next(iter(here.values())).change) - 1
    change = {d: [float(c.mean()) for c in r.change] for d, r in here.items()}
    whole = min(patch, most)
    exact = [d for d in here if most >= patch and change[d][patch] < EXACT]
    verdict = ""
    if exact:
        names = " and the ".join(d.name for d in exact)
        between = max(max(change[d][1:patch]) for d in exact)
        verdict = (
            f"Moved by a whole patch of {patch} pixels the {names} predicts the same to rounding, moved by less its "
            f"probabilities change by up to {percent(between)}: its equivariance is that of the grid of patches, and ends "
            "below it. "
        )
    rest = sorted((d for d in here if d not in exact), key=lambda d: change[d][whole])
    verdict += (
        f"By {whole} pixels, the {rest[0].name} changes least of {'the others' if exact else 'all'} "
        f"({percent(change[rest[0]][whole])}) and the {rest[-1].name} most ({percent(change[rest[-1]][whole])})."
    )
    x = list(range(most + 1))
    styles = {"none": (0, (2, 2)), "sinusoidal": (0, (6, 2))}
    with style():
        figure = new_figure(7.4, 3.6)
        axes = figure.subplots()
        for d in here:
            axes.plot(x, change[d], color=COLOURS[d.family], marker=MARKS[d.family], markersize=4.5,
                      linestyle=styles.get(d.positions, "-"), label=d.name)  # fmt: skip
        axes.axvline(patch, color=GRID, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate("a whole patch", (patch, 1), xycoords=("data", "axes fraction"), ha="right", va="top", fontsize=8,
                      color=GRID, rotation=90, xytext=(-3, -3), textcoords="offset points")  # fmt: skip
        axes.set_xticks(x)
        axes.set(title=f"Moved by less than a patch of {patch} pixels", xlabel="shift in pixels")
        axes.set_ylabel("change of the probabilities")
        axes.locator_params(axis="y", steps=[1, 2, 5, 10])
        per_cent(axes.yaxis)
        axes.grid(axis="y")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        drawn = chart(
            figure,
            caption="Half the sum of the absolute changes of the ten probabilities, mean over images and four "
            f"directions. The garment stays whole up to {most} pixels.",
            alt=f"A line for each of {len(here)} networks, from 0 to {most} pixels.",
        )
    return Finding(
        name="patches-shift",
        title="Where equivariance ends",
        verdict=verdict,
        tables=(
            Table(
                columns=("network", *(f"{d} px" for d in x[1:]), *(f"right at {d} px" for d in x)),
                rows=tuple(
                    (d.name, *change[d][1:], *(float(m.mean()) for m in r.moved)) for d, r in here.items()
                ),
                formats=("", *[".2%"] * most, *[".1%"] * (most + 1)),
                caption="Change of the probabilities, and share of the test images right, at each shift.",
            ),
        ),
        figures=(drawn,),
        data={"change": {d.name: v for d, v in change.items()}, "exact": [d.name for d in exact]},
    )  # fmt: skip
