"""The neocognitron learns digits without a teacher; what it reads, and what a shift changes, beside LeNet-5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.data import open_source
from striate.findings import Finding
from striate.lectures.experiments.learning import learn, seeded
from striate.lectures.experiments.neocognitron.images import canvas, generated
from striate.lectures.experiments.neocognitron.measuring import (
    Kinds,
    Share,
    kinds,
    right_after,
    unchanged,
)
from striate.lectures.experiments.neocognitron.pages import (
    accuracy_page,
    kinds_page,
    planes_page,
    seeds_page,
    shift_page,
)
from striate.lectures.experiments.setting import Setting
from striate.models import Neocognitron, build, fit_readout, self_organise
from striate.models.neocognitron import Organised

PAPER = "neocognitron, r and q of 1980"
SELF = "neocognitron"
LENET = "lenet5"
BUDGET = 240.0  # seconds, after which no other seed begins


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of everything.

    side, digit: pixels of the canvas and of the digit. copies: generated images a digit. present: images presented to the
    neocognitron. planes, r, learning_r, q: its constants. paper_planes: of the one with the constants of 1980.
    epochs, batch, rate: LeNet-5's, an epoch as long as one over the digits. compared: images whose layers are compared.
    seeds: trainings on digits in the middle, each with its own split of the digits, as far as there is time.
    """

    side: int = 20
    digit: int = 12
    copies: int = 4
    present: int = 1_300
    planes: tuple[int, int, int] = (48, 120, 240)
    r: tuple[float, float, float] = (4.0, 2.0, 2.0)
    learning_r: tuple[float, float, float] = (8.0, 4.0, 8.0)
    q: tuple[float, float, float] = (4.0, 1e3, 1e4)
    epochs: int = 160
    batch: int = 64
    rate: float = 4e-3
    compared: int = 120
    seeds: int = 5
    limit: int | None = None

    @property
    def most(self) -> int:
        """The farthest that a digit moves and stays whole, in pixels."""
        return (self.side - self.digit) // 2


@dataclass(frozen=True, kw_only=True)
class Result:
    """One network after one training set: which images (N,) are right after each shift, and of the generated test set;
    what a shift leaves of every layer, by pixels; for a neocognitron, what its layers learned.
    """

    model: nn.Module
    right: list[np.ndarray]
    varied: np.ndarray
    left: dict[int, dict[str, Share]]
    learned: list[Organised]


def neocognitron(setting: Setting, sizes: Sizes | None = None) -> list[Finding]:
    """Run the experiment; five findings: accuracy, other seeds, planes, what a shift changes, simple and complex cells."""
    sizes = sizes or Sizes()
    started = setting.clock()
    train, y, test, z = split(setting.seed, sizes)
    draw = torch.Generator().manual_seed(setting.seed)
    copies = torch.cat([generated(train, sizes.most, draw) for _ in range(sizes.copies)])
    varied = generated(test, sizes.most, draw)
    sets = {"digits": (train, y), "generated": (copies, y.repeat(sizes.copies))}

    results: dict[str, Result] = {}
    for data, (images, answers) in sets.items():
        for kind in (SELF, LENET) if data == "generated" else (PAPER, SELF, LENET):
            name = f"{kind}, {data}"
            learned: list[Organised] = []
            model: nn.Module
            if kind == LENET:
                model = lenet(images, answers, len(train), name, setting, sizes)
            else:
                model, learned = organise(kind, images, answers, name, setting, sizes)
            setting.progress(f"measuring: {name}", 0, 0)
            shifts = range(sizes.most + 1)
            results[name] = Result(
                model=model,
                learned=learned,
                right=[right_after(model, test, z, d) for d in shifts],
                varied=right_after(model, varied, z, 0),
                left={d: unchanged(model, test[: sizes.compared], d) for d in shifts if d},
            )
    setting.progress("showing gratings", 0, 0)
    best = f"{SELF}, generated"
    organised = results[best].model
    assert isinstance(organised, Neocognitron)
    cells: dict[str, Kinds] = kinds(organised, sizes.side)
    pages = [
        accuracy_page(results, len(z), sizes),
        seeds_page(over_seeds(results, setting, sizes, started), len(z), sizes),
        planes_page(organised, results[best].learned, copies[: sizes.present], test, z),
        shift_page(results, sizes),
        kinds_page(cells),
    ]
    return setting.record(pages, started)


def organise(
    kind: str, images: Tensor, labels: Tensor, name: str, setting: Setting, sizes: Sizes
) -> tuple[Neocognitron, list[Organised]]:
    """A neocognitron that has organised itself on images (N, 1, H, W), with a read-out of all of them."""
    own: dict[str, Any] = {"r": sizes.r, "learning_r": sizes.learning_r, "q": sizes.q}
    model = seeded(
        setting.seed,
        lambda: Neocognitron(
            size=(sizes.side, sizes.side), planes=sizes.planes, **({} if kind == PAPER else own)
        ),
    ).eval()
    learned = self_organise(
        model, images[: sizes.present], passes=1, seed=setting.seed,
        progress=lambda layer, done, of: setting.progress(f"organising: {name}, {layer}", done, of),
    )  # fmt: skip
    fit_readout(model, images, labels)
    return model, learned


def split(seed: int, sizes: Sizes) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Digits in the middle of their canvas, to learn from and to be read: images (N, 1, H, W) and labels (N,) of both."""
    source = open_source("digits", seed=seed, val=0.0, test=0.3)
    found: list[Tensor] = []
    for part in (source.train, source.test):
        assert part.array is not None
        found.append(canvas(part.array, sizes.side, sizes.digit)[: sizes.limit])
        found.append(torch.from_numpy(part.labels[: sizes.limit]))
    return found[0], found[1], found[2], found[3]


def over_seeds(
    results: Mapping[str, Result], setting: Setting, sizes: Sizes, started: float
) -> dict[str, list[tuple[float, float]]]:
    """Shares right in place and farthest moved after digits in the middle, seed by seed, as far as the time suffices.

    Every seed has its own split of the digits, first weights and order of images. Both networks learn with a seed, or none.
    """
    found = {kind: [ends(results[f"{kind}, digits"].right)] for kind in (SELF, LENET)}
    longest = 0.0
    for k in range(1, sizes.seeds):
        now = setting.clock()
        if now - started + longest > (setting.budget or BUDGET):
            break
        again = replace(setting, seed=setting.seed + 1000 * k)
        train, y, test, z = split(again.seed, sizes)
        for kind in (SELF, LENET):
            name = f"seed {k + 1} of {sizes.seeds}: {kind}"
            model: nn.Module
            if kind == LENET:
                model = lenet(train, y, len(train), name, again, sizes)
            else:
                model, _ = organise(kind, train, y, name, again, sizes)
            found[kind].append(ends([right_after(model, test, z, d) for d in (0, sizes.most)]))
        longest = max(longest, setting.clock() - now)
    return found


def ends(right: Sequence[np.ndarray]) -> tuple[float, float]:
    """The shares right at the first and the last shift, of arrays (N,)."""
    return float(right[0].mean()), float(right[-1].mean())


def lenet(
    images: Tensor, labels: Tensor, digits: int, name: str, setting: Setting, sizes: Sizes
) -> nn.Module:
    """LeNet-5, trained by backpropagation on images (N, 1, H, W) with labels (N,)."""
    model = seeded(
        setting.seed, lambda: build("lenet5", in_channels=1, num_classes=10, size=sizes.side)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=sizes.rate, weight_decay=0.01)
    learn(
        model, images, labels, optimizer, steps=sizes.epochs * max(1, digits // sizes.batch),
        batch=sizes.batch, seed=setting.seed, what=f"training: {name}", progress=setting.progress,
    )  # fmt: skip
    return model
