"""The neocognitron learns digits without a teacher; what it reads, and what a shift changes, beside LeNet-5."""

from __future__ import annotations

import time
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
    shift_page,
)
from striate.lectures.experiments.setting import Setting
from striate.models import Neocognitron, build, fit_readout, self_organise
from striate.models.neocognitron import Organised

PAPER = "neocognitron, r and q of 1980"
SELF = "neocognitron"
LENET = "lenet5"
SETS = ("digits", "generated")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of everything.

    side, digit: pixels of the canvas and of the digit. copies: generated images a digit. present: images presented to the
    neocognitron. planes, r, learning_r, q: its constants. paper_planes: of the one with the constants of 1980.
    epochs, batch, rate: LeNet-5's, an epoch as long as one over the digits. compared: images whose layers are compared.
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
    """Run the experiment; four findings: accuracy, planes, what a shift changes, simple and complex cells."""
    sizes = sizes or Sizes()
    started = time.perf_counter()
    source = open_source("digits", seed=setting.seed, val=0.0, test=0.3)
    assert source.train.array is not None and source.test.array is not None
    train, labels = canvas(source.train.array, sizes.side, sizes.digit), source.train.labels
    test, truth = canvas(source.test.array, sizes.side, sizes.digit), source.test.labels
    y, z = torch.from_numpy(labels[: sizes.limit]), torch.from_numpy(truth[: sizes.limit])
    train, test = train[: sizes.limit], test[: sizes.limit]
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
                model = seeded(
                    setting.seed,
                    lambda: build("lenet5", in_channels=1, num_classes=10, size=sizes.side),
                )
                train_lenet(model, images, answers, len(train), name, setting, sizes)
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
        planes_page(organised, results[best].learned, copies[: sizes.present], test, z),
        shift_page(results, sizes),
        kinds_page(cells),
    ]
    seconds = time.perf_counter() - started
    return [
        replace(p, seed=setting.seed, seconds=seconds if i == 0 else None)
        for i, p in enumerate(pages)
    ]


def organise(
    kind: str, images: Tensor, labels: Tensor, name: str, setting: Setting, sizes: Sizes
) -> tuple[Neocognitron, list[Organised]]:
    """A neocognitron that has organised itself on images, with a read-out of all of them."""
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


def train_lenet(
    model: nn.Module, images: Tensor, labels: Tensor, digits: int, name: str, setting: Setting, sizes: Sizes
) -> None:  # fmt: skip
    """Train LeNet-5 by backpropagation."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=sizes.rate, weight_decay=0.01)
    learn(
        model, images, labels, optimizer, steps=sizes.epochs * max(1, digits // sizes.batch),
        batch=sizes.batch, seed=setting.seed, what=f"training: {name}", progress=setting.progress,
    )  # fmt: skip
