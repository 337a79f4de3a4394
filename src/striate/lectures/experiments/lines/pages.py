"""The pages of the line experiment: sentences, tables and figures from its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from striate.errors import StriateError
from striate.findings import Finding, Table
from striate.lectures.experiments.drawing import pictures
from striate.lectures.experiments.lines.figures import (
    draw_kernels,
    draw_starts,
    draw_tuning,
)
from striate.lectures.experiments.lines.network import NAMES, LineNetwork
from striate.lectures.experiments.lines.wave_pages import SHORT, TURNED
from striate.statistics.intervals import wilson
from striate.units import Network, Probe, tune_unit
from striate.units.tuning import UnitTuning
from striate.wording import percent

if TYPE_CHECKING:
    from striate.lectures.experiments.lines.run import Sizes, Trained

LECTURE_ERRORS, LECTURE_TESTS = 3, 10_000
LECTURE_W = ((2.83, -2.36), (-0.60, 1.14))


def training_page(trained: Trained, sizes: Sizes) -> Finding:
    """How many of the test lines are missed, and what other starts would have missed."""
    n = len(trained.labels)
    wrong = (trained.predicted != trained.labels).nonzero()[:, 0].tolist()
    low, high = wilson(n - len(wrong), n)
    chosen = [*range(6)]
    rows = [[(NAMES[int(trained.predicted[i])], trained.images[i, 0].numpy()) for i in chosen]]
    names = ["test lines\nand answers"]
    if wrong:
        rows.append(
            [
                (f"“{NAMES[int(trained.predicted[i])]}”", trained.images[i, 0].numpy())
                for i in wrong[:6]
            ]
        )
        names.append("missed")
    others = sorted(e for s, e in enumerate(trained.errors) if s != trained.kept)
    verdict = (
        f"Misses {len(wrong):,} of {n:,} unseen images (the lecture's network: {LECTURE_ERRORS} of {LECTURE_TESTS:,}), "
        f"after {sizes.epochs} passes over {sizes.train:,} images; it is the one of {sizes.starts} starts with the lowest "
        "loss on the images it learned from"
    )
    verdict += f", the others miss {others[0]:,} to {others[-1]:,}." if others else "."
    table = Table(
        columns=("class", "images", "missed"),
        rows=tuple(
            (
                name,
                int((trained.labels == k).sum()),
                sum(int(trained.labels[i]) == k for i in wrong),
            )
            for k, name in enumerate(NAMES)
        ),
        formats=("", ",", ","),
        caption="Test images, two to six lines each, a quarter to all of the side long.",
    )
    return Finding(
        name="lines-training",
        title="Training and evaluation",
        verdict=verdict,
        status="good" if len(wrong) <= 0.002 * n else "warning",
        tables=(table,),
        figures=(
            pictures(
                rows,
                names=names,
                caption="Unseen lines with the network's answers"
                + ("; below, what it misses." if wrong else "."),
                alt=f"Six test images{' and the missed ones' if wrong else ''}.",
            ),
            draw_starts(trained.losses, trained.errors, trained.kept),
        ),
        data={
            "key_figure": {
                "value": 1 - len(wrong) / n,
                "low": low,
                "high": high,
                "label": "of unseen lines right",
                "baseline": 0.5,
                "baseline_label": "guessing",
            },
            "errors": len(wrong),
            "images": n,
            "losses": trained.losses,
            "errors_of_starts": trained.errors,
            "kept": trained.kept,
            "lecture": LECTURE_ERRORS,
        },
    )


def tuning_of(network: LineNetwork, side: int) -> list[UnitTuning] | None:
    """Each kernel's tuning to gratings; None where its weights cannot be measured so."""
    try:
        seen = Network(network, (1, 1, side, side))
        probe = Probe(seen, seen.layers[0])
        return [tune_unit(probe, k) for k in range(len(network.kernels))]
    except StriateError:
        return None


def network_page(network: LineNetwork, images: Tensor, labels: Tensor) -> Finding:
    """The learned kernels, their tuning, their maps of one of the images (N, 1, H, W) of each class, and W."""
    votes = network.votes.tolist()
    side = images.shape[-1]
    with torch.inference_mode():
        maps = network.relu(network.conv(images))
    means = torch.stack([maps.mean((2, 3))[labels == k].mean(0) for k in (0, 1)])  # (class, kernel)
    prefer = [int(means[:, k].argmax()) for k in range(2)]
    tuned = tuning_of(network, side)
    sentences = [
        f"kernel {k + 1} answers {means[prefer[k], k] / means[1 - prefer[k], k].clamp(min=1e-9):.1f} times as much to "
        f"{NAMES[prefer[k]]} lines and votes for {NAMES[0 if votes[k] > 0 else 1]}"
        for k in range(2)
    ]
    split = votes[0] * votes[1] < 0
    verdict = "; ".join(sentences).capitalize()
    verdict += (
        ": one kernel for each class, as W in the lecture has it."
        if split
        else ": both vote the same way, unlike in the lecture, where W gives each class a kernel."
    )
    W = network.linear.weight.detach()
    rows = [
        (
            f"kernel {k + 1}",
            float(means[0, k]),
            float(means[1, k]),
            float(W[0, k]),
            float(W[1, k]),
            tuned[k].orientation if tuned and tuned[k].driven else None,
        )
        for k in range(2)
    ]
    both = [int((labels == k).nonzero()[0]) for k in (0, 1)]
    top = float(maps[both].max())
    pair = [
        [
            (NAMES[k], images[i, 0].numpy()),
            *((f"map of kernel {j + 1}", (maps[i, j] / top).numpy()) for j in range(2)),
        ]
        for k, i in enumerate(both)
    ]
    figures = [
        draw_kernels(network.kernels.numpy(), W.numpy(), votes),
        pictures(
            pair,
            side=1.7,
            caption="A test image of each class and what is left of it behind each kernel and the ReLU; the mean "
            "of a map is all that the answer sees.",
            alt="Two images with two maps each.",
        ),
    ]
    if tuned is not None:
        figures.append(draw_tuning(tuned))
    return Finding(
        name="lines-network",
        title="Inside: two kernels and W",
        verdict=verdict,
        status="good" if split else "note",
        tables=(
            Table(
                columns=(
                    "",
                    "mean on vertical",
                    "mean on horizontal",
                    "W, vertical",
                    "W, horizontal",
                    "best grating",
                ),
                rows=tuple(rows),
                formats=("", ".4f", ".4f", "+.2f", "+.2f", ".0f"),
                caption="Mean of the map over the test images of each class; W, whose smaller row wins, since "
                "the lecture's softmax "
                f"is exp(-tau z) (its W: {LECTURE_W[0][0]:g}, {LECTURE_W[0][1]:g} and {LECTURE_W[1][0]:g}, "
                f"{LECTURE_W[1][1]:g}); "
                "stripes of the best grating in degrees, 0 horizontal, 90 vertical.",
            ),
        ),
        figures=tuple(figures),
        data={
            "kernels": network.kernels.tolist(),
            "W": W.tolist(),
            "votes": votes,
            "means": means.tolist(),
            "split": split,
        },
    )


def domain_page(strange: Mapping[str, tuple[Tensor, Tensor, Tensor]]) -> Finding:
    """Lines that no training image showed: of each kind images (N, 1, H, W), labels and answers (N,)."""
    rows, shown, shares = [], [], {}
    for kind, (images, labels, predicted) in strange.items():
        correct = int((predicted == labels).sum())
        low, high = wilson(correct, len(labels))
        shares[kind] = correct / len(labels)
        rows.append((f"{kind} lines", len(labels), len(labels) - correct, shares[kind], low, high))
        for k in (0, 1):
            i = int((labels == k).nonzero()[0])
            mark = "right" if int(predicted[i]) == k else f"“{NAMES[int(predicted[i])]}”"
            shown.append((k, (f"{kind}: {mark}", images[i, 0].numpy())))
    worst, best = min(shares, key=shares.__getitem__), max(shares.values())
    least = shares[worst]
    missed = sum(int(r[2]) for r in rows)
    verdict = (
        f"All {sum(int(r[1]) for r in rows):,} strange lines are right, as in the lecture."
        if not missed
        else f"Strange lines are {percent(least)} to {percent(best)} right, the {worst} ones least; the "
        "lecture finds all right."
    )
    return Finding(
        name="lines-domains",
        title="Lines out of domain",
        verdict=verdict,
        status="good" if least >= 0.98 else "note" if least >= 0.9 else "warning",
        tables=(
            Table(
                columns=("kind", "images", "missed", "right", "from", "to"),
                rows=tuple(rows),
                formats=("", ",", ",", ".1%", ".1%", ".1%"),
                caption="With 95 % intervals. Thicker: three to five pixels; thinner: half as bright, as half "
                "a pixel is; shorter: "
                "an eighth to a fifth of the side; noisy: normal noise of 0.15; curved: bent by up to an "
                "eighth of the side.",
            ),
        ),
        figures=(
            pictures(
                [[p for k, p in shown if k == row] for row in (0, 1)],
                names=NAMES,
                caption="One line image of each kind and class, with whether the network is right about it.",
                alt="Ten images of strange lines.",
            ),
        ),
        data={"right": shares, "missed": missed},
    )


def lecture_page(pages: Sequence[Finding]) -> Finding:
    """What the lecture found against what was found here."""
    by = {p.name: p.data for p in pages}
    errors, n = by["lines-training"]["errors"], by["lines-training"]["images"]
    correct = by["lines-domains"]["right"]
    missed = by["lines-domains"]["missed"]
    waves = by["lines-waves"]
    thin, wide = waves["worst_thin_raised"], waves["worst_wide_raised"]
    turned, cases = waves["turned_by_pure"]
    agree = by["lines-spectra"]["agree"]

    def word(held: bool, partly: bool = False) -> str:
        return "yes" if held else "in part" if partly else "no"

    rows = (
        (
            "Training and evaluation",
            "3 of 10,000 misclassified",
            f"{errors:,} of {n:,}",
            word(errors / n <= 0.002),
        ),
        (
            "Visualise and understand",
            "each class has its kernel, by W",
            "so here" if by["lines-network"]["split"] else "both kernels vote alike",
            word(by["lines-network"]["split"]),
        ),
        (
            "Out of domain",
            "classified correctly",
            f"{percent(min(correct.values()))} to {percent(max(correct.values()))} right, {missed:,} missed",
            word(not missed, min(correct.values()) >= 0.95),
        ),
        (
            "Vulnerability: a pure sinusoid",
            "all lines misclassified",
            f"at most {percent(TURNED)} right in {turned} of {cases} cases of widths and periods up to {SHORT} px",
            word(turned == cases, turned > cases / 2),
        ),
        (
            "Vulnerability: half the light stays",
            "not told apart from a pure one",
            f"{thin['width']} px lines {percent(thin['right'])} right at worst, {wide['width']} px lines "
            f"{percent(wide['right'])}",
            "–",
        ),
        (
            "Why",
            "a wave moves spectral content",
            f"spectra alone give {percent(agree)} of the answers",
            word(agree >= 0.9, agree >= 0.75),
        ),
    )
    held = sum(r[3] == "yes" for r in rows)
    judged = sum(r[3] != "–" for r in rows)
    departs = [r[0] for r in rows if r[3] in ("no", "in part")]
    verdict = f"{held} of {judged} of the lecture's statements hold here as they stand"
    verdict += f"; not quite: {', '.join(departs).lower()}. " if departs else ". "
    if thin["right"] >= 0.9:
        verdict += (
            "“All lines with sinusoidal texture are misclassified” does not hold for thin lines under a wave "
            "that can be seen as an image: half of their light stays where it was."
        )
    return Finding(
        name="lines-lecture",
        title="Against the lecture",
        verdict=verdict.strip(),
        status="good" if held == judged else "note",
        tables=(
            Table(
                columns=("step", "lecture", "here", "holds"),
                rows=rows,
                caption="Lecture 003, “Analysis to run when training a large system”.",
            ),
        ),
        data={"rows": [list(r) for r in rows], "held": held},
    )
