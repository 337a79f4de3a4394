"""The shifted seven of lecture 001: who still knows a digit that has moved, and where that comes from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.data import open_source
from striate.findings import Finding
from striate.lectures.experiments.learning import answers, learn, seeded
from striate.lectures.experiments.setting import Setting
from striate.lectures.experiments.shift.networks import NETWORKS
from striate.lectures.experiments.shift.pages import accuracy_page, layer_page, seven_page
from striate.robustness.equivariance import LayerShift, layer_shifts
from striate.robustness.transforms import shifted

SEVEN = 7
DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of everything: pixels a side of the canvas and of the digit on it, passes, images a step, images at most."""

    side: int = 28
    digit: int = 16
    epochs: int = 16
    batch: int = 64
    limit: int | None = None
    rate: float = 3e-3

    @property
    def most(self) -> int:
        """The farthest that a digit moves and stays whole, in pixels."""
        return (self.side - self.digit) // 2


@dataclass(frozen=True, kw_only=True)
class Result:
    """One network: which images (N,) are right after each shift, mean over directions; how often pairs of places agree."""

    model: nn.Module
    right: list[np.ndarray]
    consistency: float
    layers: list[LayerShift]

    @property
    def accuracy(self) -> list[float]:
        """At each shift, from 0 on."""
        return [float(r.mean()) for r in self.right]


def canvas(images: np.ndarray, sizes: Sizes) -> Tensor:
    """Digits (N, 8, 8, 1) uint8 enlarged and in the middle of a black canvas: (N, 1, side, side) in [0, 1]."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    x = F.interpolate(x, size=(sizes.digit, sizes.digit), mode="bilinear", align_corners=False)
    before = (sizes.side - sizes.digit) // 2
    after = sizes.side - sizes.digit - before
    return F.pad(x, (before, after, before, after))


def wandering(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Every image (N, 1, H, W) moved by up to `most` pixels both ways, each by its own draw."""
    moves = torch.randint(-most, most + 1, (len(images), 2), generator=generator)
    moved = torch.empty_like(images)
    for row, column in {(int(r), int(c)) for r, c in moves}:
        chosen = (moves[:, 0] == row) & (moves[:, 1] == column)
        moved[chosen] = shifted(images[chosen], row, column)
    return moved


def shift(setting: Setting, sizes: Sizes | None = None) -> list[Finding]:
    """Run the experiment; three findings: accuracy against shift, one seven, and the layers."""
    sizes = sizes or Sizes()
    started = setting.clock()
    source = open_source("digits", seed=setting.seed, val=0.0, test=0.3)
    assert source.train.array is not None and source.test.array is not None
    train, labels = canvas(source.train.array, sizes), torch.from_numpy(source.train.labels)
    test, truth = canvas(source.test.array, sizes), torch.from_numpy(source.test.labels)
    if sizes.limit is not None:
        train, labels, test, truth = (t[: sizes.limit] for t in (train, labels, test, truth))
    results = {}
    for name, contender in NETWORKS.items():
        model = seeded(setting.seed, lambda: contender.make(sizes.side))  # noqa: B023
        x, y, passes = train, labels, sizes.epochs
        if contender.shifted:
            draw = torch.Generator().manual_seed(setting.seed)
            x = torch.cat([wandering(train, sizes.most, draw) for _ in range(passes)])
            y, passes = labels.repeat(sizes.epochs), 1
        steps = sizes.epochs * max(1, len(train) // sizes.batch)
        optimizer = torch.optim.AdamW(model.parameters(), lr=sizes.rate, weight_decay=0.01)
        learn(
            model, x, y, optimizer, steps=steps, batch=sizes.batch, seed=setting.seed,
            what=f"training: {name}", progress=setting.progress,
        )  # fmt: skip
        results[name] = measure(setting, name, model, test, truth, sizes)
    pages = [
        accuracy_page(results, len(truth)),
        seven_page(results, test, truth, sizes),
        layer_page(results),
    ]
    return setting.record(pages, started)


def measure(
    setting: Setting, name: str, model: nn.Module, images: Tensor, labels: Tensor, sizes: Sizes
) -> Result:
    """Right answers on images (N, 1, H, W) after each shift in four directions, and the layers' equivariance."""
    votes = [answers(model, images).argmax(1)]
    is_correct = [(votes[0] == labels).numpy().astype(float)]
    for d in range(1, sizes.most + 1):
        setting.progress(f"shifting: {name}", d, sizes.most)
        hits = np.zeros(len(labels))
        for row, column in DIRECTIONS:
            votes.append(answers(model, shifted(images, d * row, d * column)).argmax(1))
            hits += (votes[-1] == labels).numpy() / len(DIRECTIONS)
        is_correct.append(hits)
    every = torch.stack(votes)
    pairs = [(every[i] == every[j]).float().mean() for i in range(len(every)) for j in range(i)]
    return Result(
        model=model,
        right=is_correct,
        consistency=float(torch.stack(pairs).mean()),
        layers=layer_shifts(model, images[:64]),
    )
