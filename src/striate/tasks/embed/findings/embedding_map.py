"""A map of the embedding in two dimensions: principal components, and t-SNE (van der Maaten and Hinton 2008)."""

from __future__ import annotations

import numpy as np

from striate.figures import CYCLE, GRID, any_script, new_figure, render, style
from striate.findings import Figure, Finding
from striate.tasks.embed.findings.held import Held
from striate.wording import percent, short

POINTS = 500  # images drawn, of whole identities
NAMED = 12  # identities with a colour and a mark of their own
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h", "p")
LEAST = 10  # images for t-SNE


def embedding_map(held: Held) -> Finding:
    """Where images lie, by principal components and by t-SNE; some identities have a colour and a mark each."""
    chosen = drawn(held)
    points, share = principal(held.embeddings[chosen])
    figures = [
        scatter(
            held, chosen, points, "Principal components",
            f"The two directions in which embeddings vary most, which hold {percent(share)} of their variance.",
        )
    ]  # fmt: skip
    if len(chosen) >= LEAST:
        figures.append(
            scatter(
                held, chosen, neighbouring(held.embeddings[chosen], held.seed), "t-SNE",
                "Images that are near by cosine stay near; distances between groups, and their sizes, mean nothing.",
            )
        )  # fmt: skip
    some = len(chosen) < len(held)
    return Finding(
        name="embedding-map",
        title="A map of the embedding",
        verdict=(
            f"{len(chosen):,} images of {len(np.unique(held.labels[chosen])):,} identities"
            + (f", drawn from {len(held):,}" if some else "")
            + f"; two dimensions hold {percent(share)} of the variance, so that images which overlap here may be far apart."
        ),
        figures=tuple(figures),
        data={"images": len(chosen), "variance_of_two": share},
        seed=held.seed,
    )


def drawn(held: Held) -> np.ndarray:
    """(M,) indices of the images of whole identities, drawn by the seed, until there are enough."""
    rng = np.random.default_rng(held.seed)
    parts: list[np.ndarray] = []
    for label in rng.permutation(np.unique(held.labels)):
        mine = np.flatnonzero(held.labels == label)
        room = POINTS - sum(map(len, parts))
        if room <= 0:
            break
        parts.append(np.sort(rng.permutation(mine)[:room]))
    return np.concatenate(parts)


def principal(x: np.ndarray) -> tuple[np.ndarray, float]:
    """(N, 2) coordinates of embeddings (N, d) along their first two principal components, and the share of variance."""
    centred = x - x.mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    total = float((s**2).sum())
    points = np.zeros((len(x), 2))
    points[:, : min(2, len(s))] = (u * s)[:, :2]
    return points, float((s[:2] ** 2).sum() / total) if total > 0 else 1.0


def neighbouring(x: np.ndarray, seed: int) -> np.ndarray:
    """(N, 2) coordinates of embeddings (N, d) of length 1 by t-SNE, whose squared distances follow the cosine."""
    from sklearn.manifold import TSNE  # brings half a second that other findings need not wait for

    perplexity = min(30.0, (len(x) - 1) / 3)
    start = principal(x)[0]
    start = start / max(float(start[:, 0].std()), 1e-12) * 1e-4
    made = TSNE(2, perplexity=perplexity, init=start.astype(np.float32), random_state=seed, max_iter=500)  # fmt: skip
    points: np.ndarray = made.fit_transform(x)
    return points


def scatter(held: Held, chosen: np.ndarray, points: np.ndarray, title: str, caption: str) -> Figure:
    """Images, indices chosen (M,), at points (M, 2); identities with most images by colour and mark, the others grey."""
    labels = held.labels[chosen]
    present, counts = np.unique(labels, return_counts=True)
    named = present[np.argsort(-counts, kind="stable")[:NAMED]]
    with style(), any_script():
        figure = new_figure(6.4, 4.2)
        axes = figure.subplots()
        others = ~np.isin(labels, named)
        if others.any():
            axes.scatter(
                points[others, 0], points[others, 1], s=7, color=GRID, linewidths=0, alpha=0.5
            )
        for i, label in enumerate(named):
            at = points[labels == label]
            axes.scatter(
                at[:, 0], at[:, 1], s=22, color=CYCLE[i % len(CYCLE)], marker=MARKS[i % len(MARKS)], linewidths=0,
                alpha=0.75, label=short(str(held.names[int(label)]), 20),
            )  # fmt: skip
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_xticks([])
        axes.set_yticks([])
        for side in axes.spines.values():
            side.set_visible(False)
        axes.set_title(title)
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
        more = f" {NAMED} of {len(present):,} identities have a colour and a mark." if others.any() else ""  # fmt: skip
        return render(
            figure,
            caption=caption + more,
            alt=f"{len(chosen):,} images of {len(present):,} identities as points, by {title}.",
            png=len(chosen) > 2000,
        )
