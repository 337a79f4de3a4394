"""The pages of the shift experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from striate.figures import CYCLE, GRID, new_figure, style
from striate.findings import Finding, Table
from striate.lectures.experiments.drawing import Chart, chart, per_cent, pictures
from striate.lectures.experiments.learning import answers
from striate.lectures.experiments.shift.networks import NETWORKS
from striate.robustness.transforms import shifted
from striate.statistics.intervals import paired, wilson
from striate.wording import percent, points

if TYPE_CHECKING:
    from striate.lectures.experiments.shift.run import Result, Sizes

MARKS = "osD^vP"
LEAST = 5  # positions a side: of smaller maps the border is most
COLOURS = dict(zip(NETWORKS, CYCLE, strict=True))
STEPS = (  # from, to, what was changed, in words
    ("mlp", "conv, flattened", "sharing weights over places"),
    ("conv, flattened", "conv, global mean", "the mean over all places"),
    ("conv, global mean", "conv, blurred pooling", "a blur before each stride"),
    ("conv, global mean", "conv, no stride", "leaving the strides out"),
    ("mlp", "mlp, shifted training", "shifted training images, in the mlp"),
)


def plot(
    x: list[int], series: Mapping[str, list[float]], *, title: str, xlabel: str, ylabel: str, caption: str, alt: str,
    bands: Mapping[str, list[tuple[float, float]]] | None = None, guessing: bool = False,
) -> Chart:  # fmt: skip
    """One line of shares a network, in the colour and mark that it has on every page."""
    with style():
        figure = new_figure(7.4, 3.8)
        axes = figure.subplots()
        for name, y in series.items():
            i = list(NETWORKS).index(name)
            axes.plot(x, y, color=COLOURS[name], marker=MARKS[i], markersize=4.5, label=name)
            if bands:
                low, high = zip(*bands[name], strict=True)
                axes.fill_between(x, low, high, color=COLOURS[name], alpha=0.12, linewidth=0)
        if guessing:
            axes.axhline(0.1, color=GRID, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(
                "guessing", (1, 0.1), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8, color=GRID
            )  # fmt: skip
        axes.set(xlabel=xlabel, ylabel=ylabel, title=title, ylim=(-0.02, 1.03))
        axes.set_xticks(x)
        per_cent(axes.yaxis)
        axes.grid(axis="y")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        return chart(figure, caption=caption, alt=alt)


def accuracy_page(results: Mapping[str, Result], count: int) -> Finding:
    """Accuracy against shift, and what each change of the network is worth at the largest one."""
    most = len(next(iter(results.values())).right) - 1
    far = {name: r.accuracy[-1] for name, r in results.items()}
    near = {name: r.accuracy[0] for name, r in results.items()}
    steps = []
    for before, after, what in STEPS:
        value, low, high = paired(results[before].right[-1], results[after].right[-1])
        steps.append((what, f"{before} → {after}", value, low, high))
    best = max(far, key=far.__getitem__)
    mlp = "mlp"
    verdict = (
        f"Moved by {most} pixels, the mlp knows {percent(far[mlp])} of {count:,} unseen digits "
        f"({percent(near[mlp])} where it "
        f"learned them), a convolutional one with a weight for every place {percent(far['conv, flattened'])}, "
        f"one with the mean over all places {percent(far['conv, global mean'])}; best is {best} with {percent(far[best])}."
    )
    gains = sorted(steps[:4], key=lambda s: -s[2])
    verdict += (
        f" Of the four changes to the network {gains[0][0]} is worth most ({points(gains[0][2])} "
        f"{'more' if gains[0][2] >= 0 else 'less'}), "
        f"{gains[1][0]} next ({points(gains[1][2])} {'more' if gains[1][2] >= 0 else 'less'})."
    )
    low, high = wilson(results[best].right[-1].sum(), count)
    return Finding(
        name="shift-accuracy",
        title="Digits that have moved",
        verdict=verdict,
        status="note",
        advice="Where objects may lie anywhere, take a network that ends in a mean over places; a head with a "
        "weight for each place needs "
        "shifted training images.",
        tables=(
            Table(
                columns=(
                    "network",
                    "in place",
                    *(f"{d} px" for d in range(1, most + 1)),
                    "pairs agree",
                ),
                rows=tuple((n, *r.accuracy, r.consistency) for n, r in results.items()),
                formats=("", *[".1%"] * (most + 2)),
                caption=f"Share of {count:,} unseen digits right, mean over four directions, and how often two "
                f"of the {4 * most + 1} places get "
                "the same answer. All networks learned the same centred digits in the same order, but for the "
                "one with shifted training.",
            ),
            Table(
                columns=("what changes", "networks", f"points at {most} px", "from", "to"),
                rows=tuple((a, b, 100 * v, 100 * lo, 100 * hi) for a, b, v, lo, hi in steps),
                formats=("", "", "+.1f", "+.1f", "+.1f"),
                caption="What one change is worth at the largest shift, with 95 % intervals, paired over the same digits.",
            ),
        ),
        figures=(
            plot(
                list(range(most + 1)),
                {n: r.accuracy for n, r in results.items()},
                title="Accuracy against shift",
                xlabel="shift (pixels)",
                ylabel="right",
                guessing=True,
                bands={n: [wilson(h.sum(), count) for h in r.right] for n, r in results.items()},
                caption="Share answered right (95 % bands) as the digits move away from where they were in training.",
                alt=f"Six falling curves; the mlp falls to {percent(far[mlp])}.",
            ),
        ),
        data={
            "key_figure": {
                "value": far[best],
                "low": low,
                "high": high,
                "label": f"right {most} pixels away",
                "baseline": far[mlp],
                "baseline_label": "mlp",
                "network": best,
            },
            "accuracy": {n: r.accuracy for n, r in results.items()},
            "consistency": {n: r.consistency for n, r in results.items()},
            "steps": [list(s) for s in steps],
            "networks": {n: c.about for n, c in NETWORKS.items()},
            "images": count,
        },
    )


def seven_page(
    results: Mapping[str, Result], images: Tensor, labels: Tensor, sizes: Sizes
) -> Finding:
    """One seven of images (N, 1, H, W) as it moves: every network's score of it, and the answers of the first two kinds."""
    moves = list(range(-sizes.most, sizes.most + 1))
    is_correct = torch.stack([torch.from_numpy(r.right[0] == 1) for r in results.values()]).all(0)
    sevens = ((labels == 7) & is_correct).nonzero()[:, 0]
    if not len(sevens):
        sevens = (labels == 7).nonzero()[:, 0]

    def scores(name: str, image: Tensor) -> Tensor:
        batch = torch.cat([shifted(image[None], 0, d) for d in moves])
        return answers(results[name].model, batch).softmax(1)

    # The one of which the mlp is least sure as it moves: there is most to see.
    hard = min(sevens.tolist(), key=lambda i: float(scores("mlp", images[i])[:, 7].mean()))
    logits = {name: scores(name, images[hard]) for name in results}
    predicted = {name: s.argmax(1).tolist() for name, s in logits.items()}
    kept = {name: sum(a == 7 for a in answer) for name, answer in predicted.items()}
    others = sorted({a for a in predicted["mlp"] if a != 7})
    mlp_words = (
        f"The mlp calls it a 7 at {kept['mlp']} of {len(moves)} places and elsewhere {', '.join(map(str, others))}"
        if others
        else f"The mlp calls it a 7 at all {len(moves)} places"
    )
    rest = ", ".join(f"{name} at {kept[name]}" for name in results if name != "mlp")
    shown = [d for d in moves if d % 2 == 0 or len(moves) < 8]
    rows = [
        [
            (str(predicted[name][moves.index(d)]), shifted(images[hard][None], 0, d)[0, 0].numpy())
            for d in shown
        ]
        for name in ("mlp", "conv, flattened", "conv, global mean")
    ]
    return Finding(
        name="shift-seven",
        title="The shifted seven",
        verdict=f"{mlp_words}; {rest}.",
        status="note",
        tables=(
            Table(
                columns=("network", *(f"{d:+d}" if d else "0" for d in moves)),
                rows=tuple((name, *map(str, predicted[name])) for name in results),
                caption="What each network says as the seven moves to the right (pixels).",
            ),
        ),
        figures=(
            pictures(
                rows,
                names=("mlp", "conv,\nflattened", "conv,\nglobal mean"),
                side=1.05,
                caption="A seven, moved from left to right, and above each picture what the network says (seed "
                "001: the mlp says 7, then 2, then 8).",
                alt="Three rows of shifted sevens with answers.",
            ),
            plot(
                moves,
                {n: s[:, 7].tolist() for n, s in logits.items()},
                title="Score of “7”",
                xlabel="pixels to the right",
                ylabel="softmax score",
                caption=f"Of {len(sevens)} sevens that every network knows in place, the one of which the mlp "
                "is least sure as it moves.",
                alt="Six curves of the score of seven.",
            ),
        ),
        data={
            "moves": moves,
            "said": predicted,
            "kept": kept,
            "image": hard,
            "scores": {n: s[:, 7].tolist() for n, s in logits.items()},
        },
    )


def layer_page(results: Mapping[str, Result]) -> Finding:
    """How far each layer's map of a shifted image is from its shifted map."""
    with_maps = {
        n: [x for x in r.layers if x.size >= LEAST and x.name.startswith(("conv", "pool"))]
        for n, r in results.items()
    }
    with_maps = {n: layers for n, layers in with_maps.items() if layers}
    rows = [
        (name, x.name, f"{x.size} x {x.size}", x.stride, x.at_stride, x.at_one, x.aliased)
        for name, layers in with_maps.items()
        for x in layers
    ]
    last = {
        n: next(x for x in reversed(layers) if x.name.startswith("conv"))
        for n, layers in with_maps.items()
    }
    order = sorted(last, key=lambda n: last[n].at_one)
    plain, blurred = last.get("conv, global mean"), last.get("conv, blurred pooling")
    verdict = (
        f"After a shift of one pixel the map of the last convolution is {last[order[-1]].at_one:.2g} of its "
        "variance away from its moved self in "
        f"“{order[-1]}” and {last[order[0]].at_one:.2g} in “{order[0]}”"
    )
    if plain and blurred:
        verdict += (
            f"; in “conv, global mean” a shift by the whole stride of {plain.stride} pixels is followed "
            f"({plain.at_stride:.2g}) and one by a pixel is not "
            f"({plain.at_one:.2g}): the strides lose it; the blur brings {plain.at_one:.2g} to {blurred.at_one:.2g}"
            if plain.at_stride < 0.5 * plain.at_one
            else f"; the blur brings {plain.at_one:.2g} to {blurred.at_one:.2g}"
        )
    verdict += ". The maps move along with the digit; that the answer does not change is the work of the mean over places."
    with style():
        figure = new_figure(7.4, 3.6)
        axes = figure.subplots()
        for name, layers in with_maps.items():
            i = list(NETWORKS).index(name)
            axes.plot(
                range(len(layers)),
                [x.at_one for x in layers],
                color=COLOURS[name],
                marker=MARKS[i],
                markersize=5,
                label=name,
            )
        longest = max(with_maps.values(), key=len)
        axes.set_xticks(range(len(longest)), [x.name for x in longest])
        axes.set(
            ylabel="error over the map's variance",
            title="Equivariance error, layer by layer",
            ylim=(0, None),
        )
        axes.grid(axis="y")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        drawn = chart(
            figure,
            caption="Mean squared difference between the map of an image shifted by one pixel and the map "
            "shifted by as much, in the map's "
            "variance; 0 moves along exactly, 2 is unrelated.",
            alt="Curves of the equivariance error over six layers.",
        )
    return Finding(
        name="shift-layers",
        title="Where it comes from, layer by layer",
        verdict=verdict,
        status="note",
        tables=(
            Table(
                columns=(
                    "network",
                    "layer",
                    "map",
                    "stride",
                    "error at its stride",
                    "error at one pixel",
                    "aliased",
                ),
                rows=tuple(rows),
                formats=("", "", "", "d", ".3f", ".3f", ".1%"),
                caption="Borders left out. Aliased: the share of energy that a stride folds into wrong frequencies.",
            ),
        ),
        figures=(drawn,),
        data={"layers": [list(r) for r in rows]},
    )
