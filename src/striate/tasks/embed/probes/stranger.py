"""The probe `stranger`: what would let somebody in who is not known: nothing at all, invisible changes, a sticker.

An attacker whose similarity to the one attacked is below the threshold changes the own image until the network takes it for
that of the other: by projected gradient ascent of the cosine (Madry et al. 2018) on the whole image, within a few grey
levels, or on a square patch without any bound, as of glasses or a badge (Sharif et al. 2016, "Accessorize to a Crime").
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from striate.borrow import forward
from striate.figures import BLUE, VERMILLION, new_figure, render, style
from striate.findings import Figure, Finding, Status, Table
from striate.statistics.clusters import Share, share_of_clusters
from striate.tasks.embed.findings.sheet import Tile, sheet
from striate.tasks.embed.likeness import similarity_to
from striate.tasks.embed.probes.changes import squares
from striate.tasks.embed.probes.similarities import Gallery, embeddings_of
from striate.wording import counted, percent

ATTACKERS = 64  # at most, each of an image of its own
LEVELS = (1, 2, 4, 8)  # of 255 grey levels by which a pixel may change
STICKERS = (0.2, 0.3, 0.4)  # sides of the patch, of the image's shorter side
STEPS = 20
PATCH_STEPS = 40
BATCH = 64
SHOWN = 4
INVISIBLE = 4  # grey levels that nobody sees


class Attempt(NamedTuple):
    """What attackers tried: name, how similar they get (M,), and how many of them reach the threshold."""

    name: str
    similarity: np.ndarray
    let_in: Share


def stranger(context: Any) -> Finding:
    """Which share of attackers is accepted as the one whom they attack: as they are, within grey levels, with a sticker.

    Each attacker is an image of one identity, and whom it attacks an image of another, both drawn by the seed, no two
    attackers of one identity as far as they go. Beside them images of nothing: black, grey, white, noise. Intervals are over
    attacking identities. context: the probe context.
    """
    started = time.perf_counter()
    gallery = Gallery.of(context)
    mine, theirs = drawn(gallery, context.seed)
    images = context.images[mine]
    wanted = torch.from_numpy(gallery.embeddings[theirs])
    who = gallery.identity[mine]
    attempts = [attempt("as they are", gallery, gallery.embeddings[mine], theirs, who)]
    noise = torch.rand(images.shape, generator=context.generator(3)).sub(0.5).sign()
    made = (images + INVISIBLE / 255 * noise).clamp(0, 1)
    attempts.append(
        attempt(f"random ±{INVISIBLE} levels", gallery, embeddings_of(context, made), theirs, who)
    )
    shown: dict[str, Tensor] = {"as they are": images}
    for level in LEVELS:
        pushed = ascended(context.model, images, wanted, bound=level / 255)
        name = f"within {counted(level, 'grey level')}"
        attempts.append(attempt(name, gallery, embeddings_of(context, pushed), theirs, who))
        if level == INVISIBLE:
            shown[name] = pushed
    sides = {
        round(part * context.side): part for part in reversed(STICKERS)
    }  # of tiny images some are one
    for part in sorted(part for side, part in sides.items() if side):
        stuck = ascended(context.model, images, wanted, mask=masks(context.model, images, wanted, part))  # fmt: skip
        name = f"sticker of {100 * part:.0f} % of the side"
        attempts.append(attempt(name, gallery, embeddings_of(context, stuck), theirs, who))
        shown[name] = stuck
    nothing = of_nothing(context, gallery)
    verdict, status, advice = judged(attempts, nothing, gallery)
    return Finding(
        name="probe-stranger",
        title="What would let a stranger in",
        verdict=verdict,
        status=status,
        advice=advice,
        tables=(
            Table(
                columns=("attackers", "let in", "from", "to", "median similarity", "most"),
                rows=tuple(
                    (a.name, *a.let_in[:3], float(np.median(a.similarity)), float(a.similarity.max())) for a in attempts
                ),
                formats=("", ".1%", ".1%", ".1%", ".3f", ".3f"),
                caption=f"{len(mine)} attackers, each against one image of another identity, at a threshold of "
                f"{gallery.threshold:.3f}, chosen for {100 * gallery.rate:.0f} % of false accepts among these images. They "
                f"know the network. {STEPS} steps on the whole image, {PATCH_STEPS} on a sticker, which lies where the "
                "similarity depends most on the pixels. 95 % intervals over attacking identities.",
            ),
            Table(
                columns=("image of nothing", "most similar to", "similarity", "let in"),
                rows=tuple(nothing),
                formats=("", "", ".3f", ""),
                caption="Images that show nobody, and the image that each resembles most.",
            ),
        ),
        figures=(chart(attempts), examples(context, gallery, mine, theirs, shown)),
        data={
            "threshold": gallery.threshold, "rate": gallery.rate, "attackers": len(mine),
            "attempts": [a.name for a in attempts], "let_in": [a.let_in.value for a in attempts],
            "interval": [[a.let_in.low, a.let_in.high] for a in attempts],
            "nothing_let_in": [row[0] for row in nothing if row[3] == "yes"],
        },
        seed=context.seed,
        seconds=time.perf_counter() - started,
    )  # fmt: skip


def drawn(gallery: Gallery, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (M,) of attackers and of whom each attacks, of another identity, drawn by the seed, whom the threshold keeps
    out as they are."""
    rng = np.random.default_rng((seed, 5))
    order = rng.permutation(len(gallery.labels))
    turn = np.zeros(len(order), dtype=np.int64)  # the how-manieth image of its identity each is
    seen: dict[int, int] = {}
    for i in order.tolist():
        turn[i] = seen.get(int(gallery.labels[i]), 0)
        seen[int(gallery.labels[i])] = turn[i] + 1
    mine, theirs = [], []
    for i in order[np.argsort(turn[order], kind="stable")].tolist():
        others = np.flatnonzero(gallery.labels != gallery.labels[i])
        j = int(others[rng.integers(len(others))])
        if float(gallery.embeddings[i] @ gallery.embeddings[j]) < gallery.threshold:
            mine.append(i)
            theirs.append(j)
        if len(mine) == ATTACKERS:
            break
    return np.array(mine), np.array(theirs)


def attempt(
    name: str, gallery: Gallery, embeddings: np.ndarray, theirs: np.ndarray, who: np.ndarray
) -> Attempt:
    """What attackers with embeddings (M, d) reach against images theirs (M,). who: (M,) the attackers' identities."""
    similarity = (embeddings * gallery.embeddings[theirs]).sum(1)
    _, inverse, of = np.unique(who, return_inverse=True, return_counts=True)
    hits = np.bincount(inverse, similarity >= np.float32(gallery.threshold), len(of))
    return Attempt(name, similarity, share_of_clusters(hits, of))


def ascended(
    model: torch.nn.Module, images: Tensor, wanted: Tensor, *, bound: float | None = None, mask: Tensor | None = None
) -> Tensor:  # fmt: skip
    """Images (M, C, H, W) after ascent of the cosine with embeddings wanted (M, d): the most similar of all steps.

    bound: how far a pixel may go from where it was, on the whole image. mask: (M, 1, H, W) the pixels that may be anything;
    they begin as grey.
    """
    results = []
    for at in range(0, len(images), BATCH):
        part = slice(at, at + BATCH)
        clean = images[part]
        number = similarity_to(wanted[part])
        patch = None if mask is None else mask[part]
        x = clean.clone() if patch is None else torch.where(patch, torch.full_like(clean, 0.5), clean)  # fmt: skip
        steps, step = (STEPS, 2.5 * (bound or 0) / STEPS) if patch is None else (PATCH_STEPS, 0.1)
        best, most = x.clone(), torch.full((len(x),), -np.inf)
        for i in range(steps + 1):
            value, slope = climbed(model, x, number)
            better = value > most
            most = torch.where(better, value, most)
            best[better] = x[better]
            if i == steps:
                break
            if patch is None:
                moved = clean + (x + step * slope.sign() - clean).clamp(-bound, bound)  # type: ignore[operator,type-var]
            else:  # ever smaller steps, so that the last ones find the best
                moved = torch.where(patch, x + step * (1 - i / steps) * slope.sign(), x)
            x = moved.clamp(0, 1)
        results.append(best)
    return torch.cat(results)


def climbed(
    model: torch.nn.Module, x: Tensor, number: Callable[[Any], Tensor]
) -> tuple[Tensor, Tensor]:
    """(M,) a number of the network's output for images x (M, C, H, W), and its gradient by them, of the same shape as x."""
    at = x.clone().requires_grad_(True)
    with torch.enable_grad():
        value = number(forward(model, at))
        (slope,) = torch.autograd.grad(value.sum(), at)
    return value.detach().float(), slope


def masks(model: torch.nn.Module, images: Tensor, wanted: Tensor, part: float) -> Tensor:
    """(M, 1, H, W) bool: the square of `part` of the shorter side over which the cosine's gradient is largest."""
    side = max(1, round(part * min(images.shape[-2:])))
    made = []
    for at in range(0, len(images), BATCH):
        x = images[at : at + BATCH]
        _, slope = climbed(model, x, similarity_to(wanted[at : at + BATCH]))
        weight = torch.nn.functional.avg_pool2d(slope.abs().sum(1, keepdim=True), side, 1)
        best = weight.flatten(1).argmax(1)
        top, left = best // weight.shape[-1], best % weight.shape[-1]
        made.append(squares(top, left, side, (x.shape[-2], x.shape[-1])))
    return torch.cat(made)


def of_nothing(context: Any, gallery: Gallery) -> list[tuple[str, str | None, float | None, str]]:
    """Rows of images of nothing, with the image that each resembles most, and whether it would be let in as that."""
    shape = context.images[:1].shape
    pictures = {
        "black": torch.zeros(shape), "grey": torch.full(shape, 0.5), "white": torch.ones(shape),
        "noise": torch.rand(shape, generator=context.generator(4)),
        "the mean image": context.images.mean(0, keepdim=True),
    }  # fmt: skip
    found = embeddings_of(context, torch.cat(list(pictures.values()))) @ gallery.embeddings.T
    rows: list[tuple[str, str | None, float | None, str]] = []
    for name, s in zip(pictures, found, strict=True):
        i = int(s.argmax())
        rows.append((name, f"image {i}", float(s[i]), "yes" if s[i] >= np.float32(gallery.threshold) else "no"))  # fmt: skip
    return rows


def judged(
    attempts: list[Attempt], nothing: list[Any], gallery: Gallery
) -> tuple[str, Status, str]:
    """The sentence, the status and the advice."""
    unseen = next(a for a in attempts if a.name == f"within {counted(INVISIBLE, 'grey level')}")
    small = next((a for a in attempts if a.name.startswith("sticker")), unseen)
    verdict = (
        f"Of attackers that the threshold of {gallery.threshold:.3f} keeps out, {percent(unseen.let_in.value)} are accepted "
        f"as somebody of their choice after changes within {INVISIBLE} grey levels of 255, which nobody sees (95 % interval "
        f"over identities {percent(unseen.let_in.low)} to {percent(unseen.let_in.high)}), and {percent(small.let_in.value)} "
        f"with a {small.name} ({percent(small.let_in.low)} to {percent(small.let_in.high)})."
    )
    empty = [row[0] for row in nothing if row[3] == "yes"]
    if empty:
        verdict += f" Images of nothing are accepted as somebody too: {', '.join(empty)}."
    bad = unseen.let_in.value > 0.1 or small.let_in.value > 0.1 or bool(empty)
    return (
        verdict,
        "warning" if bad else "note" if unseen.let_in.value or small.let_in.value else "good",
        "Do not let a similarity alone open a door: whoever has the network can make such an image. A higher threshold "
        "helps little; a person who looks on, or a second factor, helps."
        if bad
        else "",
    )


def chart(attempts: list[Attempt]) -> Figure:
    """The share of attackers that each attempt lets in, with its interval."""
    with style():
        figure = new_figure(6.4, 0.9 + 0.32 * len(attempts))
        axes = figure.subplots()
        for i, one in enumerate(attempts):
            y = len(attempts) - 1 - i
            colour = VERMILLION if one.name.startswith("sticker") else BLUE
            axes.barh(y, one.let_in.value, color=colour, height=0.62)
            axes.hlines(y, one.let_in.low, one.let_in.high, color="#1f2328", linewidth=1.2)
            axes.annotate(
                percent(one.let_in.value, 0), (max(one.let_in.high, one.let_in.value), y), xytext=(5, 0),
                textcoords="offset points", va="center", fontsize=8,
            )  # fmt: skip
        axes.set_yticks(range(len(attempts))[::-1], [a.name for a in attempts])
        axes.tick_params(axis="y", length=0)
        axes.set(xlim=(0, 1.12), title="Attackers let in")
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        axes.xaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
        return render(
            figure,
            caption="The share of attackers who are accepted as the one whom they attack (95 % intervals over identities).",
            alt="; ".join(f"{a.name}: {percent(a.let_in.value, 0)}" for a in attempts),
        )


def examples(
    context: Any, gallery: Gallery, mine: np.ndarray, theirs: np.ndarray, shown: dict[str, Tensor]
) -> Figure:
    """Some attackers: whom they attack, how they are, and what they become. mine, theirs: (M,) indices of images."""
    rows = []
    for k in range(min(SHOWN, len(mine))):
        tiles = [Tile(eight_bits(context.images[theirs[k]]), ("attacked", ""))]
        for name, images in shown.items():
            own = embeddings_of(context, images[k : k + 1])[0]
            s = float(own @ gallery.embeddings[theirs[k]])
            lines = name.replace(" of the side", "").removeprefix("within "), f"{s:.3f}"
            tiles.append(Tile(eight_bits(images[k]), lines, s < gallery.threshold))
        rows.append(tiles)
    return sheet(
        rows,
        caption="Left: who is attacked. Right: an attacker, and what it becomes, with its similarity to the left. Cross and "
        f"vermillion: accepted from {gallery.threshold:.3f} on; tick and blue: kept out.",
        alt=f"{len(rows)} attackers.",
    )


def eight_bits(image: Tensor) -> np.ndarray:
    """An image (C, H, W) in [0, 1] as uint8."""
    made: np.ndarray = (image.clamp(0, 1) * 255).round().byte().cpu().numpy()
    return made
