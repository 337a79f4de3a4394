"""Nearest neighbours: some images, and what a search with them finds first (as lecture 002 shows AlexNet's)."""

from __future__ import annotations

import numpy as np

from striate.figures import BLUE, GRID, new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.tasks.embed.findings.headline import chance_recall
from striate.tasks.embed.findings.held import Held
from striate.tasks.embed.findings.sheet import Tile, sheet
from striate.wording import percent, quoted

QUERIES, NEAREST = 8, 6
KS = (1, 2, 3, 5, 10, 20, 50, 100)


def neighbours(held: Held) -> Finding:
    """Recall at k, and the nearest of some images: half of them drawn from all, half from those whose nearest is wrong."""
    found = held.retrieval
    n = len(held)
    ks = [k for k in KS if k < n]
    shares = [found.recall(k) for k in ks]
    spans = rising([(s.low, s.high) for s in shares])
    wrong = found.first > 1
    chosen = queries(held)
    similarities = held.embeddings[chosen] @ held.embeddings.T
    similarities[np.arange(len(chosen)), chosen] = -np.inf
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :NEAREST]
    rows, listed = [], []
    for q, i in enumerate(chosen.tolist()):
        near = [j for j in order[q].tolist() if j != i]
        tiles = [Tile(held.image(i), (held.name(i), "searched for"))]
        for j in near:
            s = float(similarities[q, j])
            right = bool(held.labels[j] == held.labels[i])
            tiles.append(Tile(held.image(j), (held.name(j), f"{s:.3f}"), right))
        rows.append(tiles)
        missing = [None] * (NEAREST - len(near))
        listed.append((str(held.keys[i]), held.name(i), *map(held.name, near), *missing))
    worst = int(np.argmax(found.first))
    far = int(found.queries[worst])
    share = percent(float(wrong.mean()))
    verdict = f"The nearest other image is of another identity for {share} of {len(wrong):,} images"
    verdict += (
        f"; furthest is {held.keys[far]} ({quoted(held.name(far))}), whose first right one comes at rank "
        f"{found.first[worst]:,}."
        if wrong.any()
        else "."
    )
    return Finding(
        name="neighbours",
        title="What a search finds",
        verdict=verdict,
        status="note" if wrong.any() else "good",
        tables=(
            Table(
                columns=("k", "recall at k", "from", "to"),
                rows=tuple((k, s.value, *span) for k, s, span in zip(ks, shares, spans, strict=True)),
                formats=(",", ".1%", ".1%", ".1%"),
                caption="The share of images with one of their identity among the k nearest others; 95 % intervals over "
                "identities. An image of another identity that is just as similar comes first.",
            ),
            Table(
                columns=("searched for", "identity", *[f"nearest {k}" for k in range(1, NEAREST + 1)]),
                rows=tuple(listed),
                caption="In the order of the pictures.",
            ),
        ),
        figures=(
            sheet(
                rows,
                caption="Left: what is searched for. Right: the most similar other images, the nearest first, with their "
                "similarity. Tick and blue: the same identity; cross and vermillion: another. "
                + ("The first rows are drawn from all images, the others from those whose nearest is wrong." if wrong.any()
                   else "Drawn from all images."),
                alt=f"{len(chosen)} images with their {NEAREST} nearest neighbours.",
            ),
            recall_curve(held, ks, [s.value for s in shares], spans),
        ),
        data={"k": ks, "recall": [s.value for s in shares], "wrong": int(wrong.sum()), "queries": len(wrong)},
        seed=held.seed,
    )  # fmt: skip


def rising(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Intervals of recall at rising k: what is surely found among few is found among more."""
    low = np.maximum.accumulate([span[0] for span in spans])
    return [(float(a), span[1]) for a, span in zip(low, spans, strict=True)]


def queries(held: Held) -> np.ndarray:
    """(Q,) indices of the images shown: of different identities as far as they go, drawn by the seed."""
    found = held.retrieval
    rng = np.random.default_rng(held.seed)

    def some(pool: np.ndarray, count: int, taken: list[int]) -> list[int]:
        drawn = rng.permutation(pool).tolist()
        used = {int(held.labels[i]) for i in taken}
        picked: list[int] = []
        for fresh in (True, False):  # one of each identity first
            for i in drawn:
                if len(picked) == count:
                    break
                if i in picked or i in taken or (fresh and int(held.labels[i]) in used):
                    continue
                picked.append(i)
                used.add(int(held.labels[i]))
        return picked

    failing = found.queries[found.first > 1]
    any_of_all = some(found.queries, QUERIES - min(len(failing), QUERIES // 2), [])
    return np.array(any_of_all + some(failing, QUERIES - len(any_of_all), any_of_all))


def recall_curve(
    held: Held, ks: list[int], values: list[float], spans: list[tuple[float, float]]
) -> Figure:
    """Recall against k with its band, and the first by chance."""
    chance = chance_recall(held.embedded.counts)
    with style():
        figure = new_figure(5.2, 3.2)
        axes = figure.subplots()
        axes.plot(ks, values, "o-", color=BLUE, markersize=4)
        low, high = np.array(spans).T
        axes.fill_between(ks, low, high, color=BLUE, alpha=0.15, linewidth=0)
        # Of draws without replacement, about independent: 1 - (1 - p)^k.
        by_chance = 1 - (1 - chance) ** np.array(ks)
        axes.plot(ks, by_chance, color=GRID, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate("by chance", (ks[0], by_chance[0]), color=GRID, fontsize=8, va="bottom")
        axes.set_xscale("log")
        axes.set_xticks(ks, [str(k) for k in ks])
        axes.minorticks_off()
        axes.set(xlabel="k nearest images", ylabel="recall at k", ylim=(-0.02, 1.03))
        axes.set_title("Found among the k nearest")
        axes.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
        axes.grid(axis="y")
        return render(
            figure,
            caption="The share of images with one of their identity among the k nearest (95 % band over identities).",
            alt=f"Recall from {percent(values[0])} at {ks[0]} to {percent(values[-1])} at {ks[-1]}.",
        )  # fmt: skip
