"""Convicts in disguise (lecture 003): cut an image into patches, treat each alike; what size and place of a patch decide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.data import open_source
from striate.findings import Finding
from striate.geometry import trace
from striate.lectures.experiments.learning import answers, learn, seeded
from striate.lectures.experiments.patches.networks import (
    FAMILIES,
    Design,
    maker,
    orders,
    parameters,
    reorder,
)
from striate.lectures.experiments.patches.pages import order_page, shift_page, size_page
from striate.lectures.experiments.setting import Setting
from striate.robustness.transforms import shifted

RESERVE = 0.7  # of a budget is spent on training; the rest goes to reading, scoring and drawing
DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of everything: images that train and test, pixels a side of the canvas and of the garment on it, passes,
    images a step, trainings of each network, parameters of each network, sides of patches."""

    train: int = 1_500
    test: int = 1_000
    side: int = 32
    garment: int = 24
    epochs: int = 6
    batch: int = 50
    seeds: int = 2
    parameters: int = 30_000
    rate: float = 2e-3
    patches: tuple[int, ...] = (4, 8, 16)

    @property
    def most(self) -> int:
        """The farthest that a garment moves and stays whole, in pixels."""
        return (self.side - self.garment) // 2

    def designs(self) -> list[Design]:
        """Every network of the experiment, the first ones with every size of patch, the others with the smallest."""
        first = self.patches[0]
        families = [Design(f, p, _usual(f)) for f in FAMILIES for p in self.patches]
        return [
            *families,
            Design("transformer", first, "sinusoidal"),
            Design("transformer", first, "none"),
            Design("compact transformer", first, "none"),
            *(Design(f, first, _usual(f), reordered=True) for f in FAMILIES),
        ]


def _usual(family: str) -> str:
    return "learned" if "transformer" in family else "built in"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One design: its parameters and multiply-adds, and which test images are right (T, N), T trainings: as they are,
    and with each one's patches in an order of its own.

    moved: by pixels from 0 on, (T, N) the change of the class probabilities, from 0 to 1, and how many are right.
    """

    parameters: int
    macs: int
    right: np.ndarray
    shuffled: np.ndarray
    change: list[np.ndarray]
    moved: list[np.ndarray]


def canvas(images: np.ndarray, sizes: Sizes) -> Tensor:
    """Garments (N, H, W, 1) uint8 in the middle of a black canvas: (N, 1, side, side), from 0 for black to about 3."""
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
    x = F.interpolate(x, size=(sizes.garment, sizes.garment), mode="bilinear", antialias=True)
    before = sizes.most
    after = sizes.side - sizes.garment - before
    return F.pad(x, (before, after, before, after)) / 0.35


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All that the pages are made from. order (T,): of the patches, in the reordered trainings; own (N, T): of each test
    image, for the shuffled test; both of the smallest patches. epochs: passes of each training."""

    results: dict[Design, Result]
    test: Tensor
    order: Tensor
    own: Tensor
    epochs: int


def patches(setting: Setting, sizes: Sizes | None = None) -> list[Finding]:
    """Run the experiment; three findings: size of the patches, order of the patches, shifts by less than a patch."""
    sizes = sizes or Sizes()
    started = setting.clock()
    found = outcome(setting, sizes)
    pages = [
        size_page(found.results, sizes.train, sizes.test, found.epochs),
        order_page(found.results, found.test, found.order, found.own),
        shift_page(found.results),
    ]
    return setting.record(pages, started)


def outcome(setting: Setting, sizes: Sizes) -> Outcome:
    """Train and measure every design."""
    setting.progress("opening fashion-mnist", 0, 0)
    source = open_source("fashion-mnist", seed=setting.seed)
    assert source.train.array is not None and source.test.array is not None
    draw = np.random.default_rng(setting.seed)
    some, other = (
        draw.choice(len(split.labels), min(n, len(split.labels)), replace=False)
        for split, n in ((source.train, sizes.train), (source.test, sizes.test))
    )
    train, test = canvas(source.train.array[some], sizes), canvas(source.test.array[other], sizes)
    labels = torch.from_numpy(np.asarray(source.train.labels)[some])
    truth = torch.from_numpy(np.asarray(source.test.labels)[other])
    designs = sizes.designs()
    epochs = sizes.epochs
    if setting.budget is not None:
        epochs = _affordable(setting, designs, train, labels, sizes)
    fixed = {p: orders(1, (sizes.side // p) ** 2, setting.seed + 1)[0] for p in sizes.patches}
    own = {p: orders(len(test), (sizes.side // p) ** 2, setting.seed + 2) for p in sizes.patches}
    results = {}
    for i, design in enumerate(designs):
        x, seen = train, test
        if design.reordered:
            x, seen = (reorder(t, design.patch, fixed[design.patch]) for t in (train, test))
        place = f"{i + 1} of {len(designs)}"
        models = [
            _trained(setting, design, x, labels, sizes, epochs, s, place)
            for s in range(sizes.seeds)
        ]
        results[design] = measure(design, models, seen, truth, own[design.patch], sizes)
    first = sizes.patches[0]
    return Outcome(results=results, test=test, order=fixed[first], own=own[first], epochs=epochs)


def _trained(
    setting: Setting,
    design: Design,
    images: Tensor,
    labels: Tensor,
    sizes: Sizes,
    epochs: int,
    number: int,
    place: str,
) -> nn.Module:
    """One training of a design; everything random follows from the seed and the training's number."""
    seed = 1000 * setting.seed + number
    model = seeded(seed, maker(design, sizes.side, sizes.parameters))
    optimizer = torch.optim.AdamW(model.parameters(), lr=sizes.rate, weight_decay=0.05)
    learn(
        model, images, labels, optimizer, steps=epochs * max(1, len(images) // sizes.batch), batch=sizes.batch, seed=seed,
        what=f"training {place}: {design.name}, patches of {design.patch}", progress=setting.progress,
    )  # fmt: skip
    return model


def _affordable(
    setting: Setting, designs: list[Design], images: Tensor, labels: Tensor, sizes: Sizes
) -> int:
    """Passes that fit into the budget, from the time that one step of each network takes: 1 at least."""
    assert setting.budget is not None
    began = setting.clock()
    for design in designs:
        model = seeded(0, maker(design, sizes.side, sizes.parameters)).train()
        F.cross_entropy(model(images[: sizes.batch]), labels[: sizes.batch]).backward()
    step = setting.clock() - began
    once = sizes.seeds * step * max(1, len(images) // sizes.batch)
    return int(min(sizes.epochs, max(1, RESERVE * setting.budget / max(once, 1e-9))))


@torch.no_grad()
def measure(
    design: Design,
    models: list[nn.Module],
    test: Tensor,
    truth: Tensor,
    order: Tensor,
    sizes: Sizes,
) -> Result:
    """What the trainings of one design do with test images (N, 1, H, W)."""
    other = reorder(test, design.patch, order)
    logits = [answers(m, test) for m in models]

    def right(given: list[Tensor]) -> np.ndarray:
        return np.stack([(y.argmax(1) == truth).numpy() for y in given])

    change, moved = [], []
    if design.patch == sizes.patches[0] and not design.reordered:
        shares = [y.double().softmax(1) for y in logits]
        for d in range(sizes.most + 1):
            changes, hits = [], []
            for row, column in DIRECTIONS if d else DIRECTIONS[:1]:
                given = [answers(m, shifted(test, row * d, column * d)) for m in models]
                hits.append(right(given))
                changes.append(
                    np.stack([
                        ((y.double().softmax(1) - p).abs().sum(1) / 2).numpy()
                        for y, p in zip(given, shares, strict=True)
                    ])
                )  # fmt: skip
            change.append(np.mean(changes, 0))
            moved.append(np.mean(hits, 0))
    macs = trace(models[0], (1, 1, sizes.side, sizes.side)).total_macs
    return Result(
        parameters=parameters(models[0]), macs=macs or 0, right=right(logits),
        shuffled=right([answers(m, other) for m in models]), change=change, moved=moved,
    )  # fmt: skip
