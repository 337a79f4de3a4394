"""Accuracy against multiply-adds and parameters: the zoo's classifiers trained alike (Canziani's figure, lecture 002)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.answer import answer_of
from striate.data import open_source
from striate.errors import StriateError
from striate.findings import Finding
from striate.geometry import trace
from striate.lectures.experiments.architectures.pages import cost_page, left_out_page
from striate.lectures.experiments.learning import learn, seeded
from striate.lectures.experiments.setting import Setting
from striate.models import build, names
from striate.training.machine import choose_precision

BUDGET = 360.0  # seconds
SHARE = 0.75  # of the budget that training is planned to take; tests and the measuring of costs take the rest
PASSES = (2.0, 12.0)  # least and most passes over the training images
MEASURING = 1 / 3  # of the budget at most goes into measuring what networks cost
SEEDS = 3
CHEAP = 0.04  # share of the budget that a network's further seeds may take
RATE, BATCH = 1e-3, 16


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of everything: pixels a side, training and test images at most, networks (all of the zoo's if empty)."""

    side: int = 32
    limit: int | None = None
    networks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A network that takes the images: its costs by its geometry, and the measured seconds that one training image takes."""

    name: str
    macs: int
    parameters: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A candidate with its test accuracy for each seed."""

    candidate: Candidate
    accuracy: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return sum(self.accuracy) / len(self.accuracy)


def make(name: str, sizes: Sizes, seed: int) -> nn.Module:
    """The network as the zoo builds it for these images. Raises UsageError where it does not take them."""
    return seeded(seed, lambda: build(name, in_channels=1, num_classes=10, size=sizes.side))


def measure(name: str, sizes: Sizes, dtype: torch.dtype) -> Candidate:
    """Costs by tracing, and the time of a training step."""
    model = make(name, sizes, 0).eval()
    geometry = trace(model, (1, 1, sizes.side, sizes.side))
    model.train().to(memory_format=torch.channels_last)
    x, y = torch.zeros(BATCH, 1, sizes.side, sizes.side), torch.zeros(BATCH, dtype=torch.long)
    took = []
    for _ in range(2):  # the first one also prepares kernels
        began = time.perf_counter()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            logits = answer_of(model(x))
        F.cross_entropy(logits.float(), y).backward()
        took.append(time.perf_counter() - began)
    return Candidate(
        name=name,
        macs=geometry.known_macs,
        parameters=geometry.total_params,
        seconds=1.15 * min(took) / BATCH,
    )


def choose(
    candidates: Sequence[Candidate], images: int, budget: float, left: float | None = None
) -> tuple[list[Candidate], dict[str, str], int]:
    """Which networks are trained, why others are not, and on how many images each.

    All learn from equally many images: as many as fit into the seconds that are `left` of the budget, at least two
    passes; the costliest are left out until that fits.
    """
    kept = sorted(candidates, key=lambda c: c.seconds)
    out: dict[str, str] = {}
    time_for_training = SHARE * (budget if left is None else left)
    least = int(PASSES[0] * images)
    while len(kept) > 1 and sum(c.seconds for c in kept) * least > time_for_training:
        c = kept.pop()
        out[c.name] = (
            f"{PASSES[0]:g} passes would take about {c.seconds * least:.0f} s of the budget of {budget:.0f} s; "
            "give more with --budget"
        )
    fits = time_for_training / max(sum(c.seconds for c in kept), 1e-9)
    return kept, out, int(min(max(fits, least), PASSES[1] * images))


def digits(setting: Setting, sizes: Sizes) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and test images (N, 1, H, W) of the digits, enlarged and normalised, with labels (N,)."""
    source = open_source("digits", seed=setting.seed, val=0.0, test=0.3)
    tensors = []
    for split in (source.train, source.test):
        assert split.array is not None
        x = torch.from_numpy(split.array).permute(0, 3, 1, 2).float() / 255
        x = F.interpolate(x, size=(sizes.side, sizes.side), mode="bilinear", align_corners=False)
        tensors += [
            ((x - 0.3) / 0.35)[: sizes.limit],
            torch.from_numpy(split.labels)[: sizes.limit],
        ]
    return tensors[0], tensors[1], tensors[2], tensors[3]


def share_right(model: nn.Module, x: Tensor, y: Tensor, dtype: torch.dtype) -> float:
    """Share of images (N, 1, H, W) answered right."""
    model.eval()
    correct = 0
    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        for part, labels in zip(x.split(64), y.split(64), strict=True):
            part = part.contiguous(memory_format=torch.channels_last)
            correct += int((answer_of(model(part)).argmax(1) == labels).sum())
    return correct / len(y)


def measured(
    sizes: Sizes,
    dtype: torch.dtype,
    setting: Setting,
    images: int,
    budget: float,
    started: float,
    left_out: dict[str, str],
) -> tuple[list[Candidate], dict[str, str]]:
    """Candidates with their costs, the fewest multiply-adds first, until a third of the budget is spent or a network alone
    would take the rest; then why the others were not measured. left_out: gets what does not take the images.
    """
    specs = sizes.networks or names()
    cost = {}
    for name in specs:
        try:
            with torch.device("meta"):
                cost[name] = trace(
                    make(name, sizes, 0).eval(), (1, 1, sizes.side, sizes.side)
                ).known_macs
        except StriateError as error:
            left_out[name] = str(error)
    order = sorted(cost, key=lambda name: cost[name])
    candidates: list[Candidate] = []
    for i, name in enumerate(order):
        setting.progress(f"measuring: {name}", i, len(order))
        spent = setting.clock() - started
        alone = sum(c.seconds for c in candidates) * PASSES[0] * images
        if candidates and (spent > MEASURING * budget or alone > SHARE * (budget - spent)):
            why = f"cheaper networks fill the budget of {budget:.0f} s; give more with --budget"
            return candidates, dict.fromkeys(order[i:], why)
        try:
            candidates.append(measure(name, sizes, dtype))
        except StriateError as error:
            left_out[name] = str(error)
    return candidates, {}


def architectures(setting: Setting, sizes: Sizes | None = None) -> list[Finding]:
    """Run the experiment; two findings: accuracy against costs, and which networks are not there and why."""
    sizes = sizes or Sizes()
    budget = setting.budget or BUDGET
    started = setting.clock()
    x, y, test, truth = digits(setting, sizes)
    dtype = choose_precision("auto", torch.device("cpu"))
    left_out: dict[str, str] = {}
    candidates, unmeasured = measured(sizes, dtype, setting, len(x), budget, started, left_out)
    left = budget - (setting.clock() - started)
    kept, dropped, images = choose(candidates, len(x), budget, left)
    left_out |= dropped | unmeasured
    trained: list[Trained] = []
    slower = 1.0  # what training really takes over what was measured
    for candidate in kept:
        now = setting.clock()
        expected = slower * candidate.seconds * images
        # The cheapest are trained first, and always one; what no longer fits is left out, and said.
        if trained and now + expected > started + 0.95 * budget:
            left_out[candidate.name] = (
                f"the budget of {budget:.0f} s was spent by cheaper networks; give more with --budget"
            )
            continue
        cheap = (SEEDS - 1) * candidate.seconds * images < CHEAP * budget
        accuracy = []
        for k in range(SEEDS if cheap else 1):
            if k and setting.clock() + expected > started + 0.9 * budget:
                break
            seed = setting.seed + 1000 * k
            model = make(candidate.name, sizes, seed).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            optimizer = torch.optim.AdamW(
                model.parameters(), lr=RATE, weight_decay=0.01, foreach=True
            )
            learn(
                model, x, y, optimizer, steps=max(1, images // BATCH), batch=BATCH, seed=seed, warmup=0.2, dtype=dtype,
                what=f"training: {candidate.name}", progress=setting.progress,
            )  # fmt: skip
            accuracy.append(share_right(model, test, truth, dtype))
        took = (setting.clock() - now) / len(accuracy)
        slower = max(0.5, took / max(candidate.seconds * images, 1e-9))
        trained.append(Trained(candidate=candidate, accuracy=tuple(accuracy)))
    pages = [
        cost_page(trained, images, len(x), len(truth), sizes.side),
        left_out_page(left_out, len(sizes.networks or names())),
    ]
    return setting.record(pages, started)
