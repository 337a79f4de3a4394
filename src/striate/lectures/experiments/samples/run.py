"""Accuracy against the number of training images: what has to be shown where less is known in advance (lecture 004)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from striate.data.subsets import sample_sizes
from striate.errors import UsageError
from striate.findings import Finding
from striate.lectures.experiments.learning import answers, learn
from striate.lectures.experiments.samples.contenders import (
    BATCH,
    Contender,
    contenders,
    optimizer_of,
)
from striate.lectures.experiments.samples.images import Images, load, opened
from striate.lectures.experiments.samples.pages import labels_page, left_out_page, samples_page
from striate.lectures.experiments.setting import Setting
from striate.statistics.learning_curve import Trial

BUDGET = 240.0  # seconds
SHARE = (
    0.75  # of the budget that trainings are planned to take; images, tests and pages take the rest
)
LEAST = 5  # images
# Numbers of images and seeds, the best first: what does not fit into the budget has fewer seeds, then fewer sizes.
GRIDS = ((9, 5), (9, 4), (9, 3), (7, 3), (7, 2), (6, 2), (5, 2))
COARSE = ((4, 2), (3, 2), (2, 2))  # where the fewest steps still take too long
PASSES, STEPS = 12.0, 200  # passes over all images, and steps at least
FEWEST = 50  # steps at least where the budget leaves no more
LARGEST = 20_000  # training images that are read at most
MEASURED = 6  # steps


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much of everything: training images at most, sizes and seeds that are tried, steps at least, contenders."""

    limit: int = LARGEST
    grids: tuple[tuple[int, int], ...] = GRIDS
    steps: int = STEPS
    only: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which numbers of images are learned from, by how many seeds each, in how many steps at least, and the seconds."""

    sizes: tuple[int, ...]
    seeds: int
    steps: int
    seconds: float


def steps_for(images: int, least: int = STEPS) -> int:
    """Steps of a training on so many images."""
    return max(least, round(PASSES * images / BATCH))


def plan(images: int, classes: int, seconds_per_step: float, seconds: float, scale: Scale) -> Plan:
    """The best grid of sizes and seeds that fits into the time; where none does, half the images, and so on; then shorter
    trainings, down to `FEWEST` steps; then coarser grids of those.

    seconds_per_step: of all networks together. Where nothing fits, what is fastest.
    """
    steps = scale.steps
    while True:
        planned = _within(images, classes, seconds_per_step, seconds, scale.grids, steps)
        if planned.seconds <= seconds:
            return planned
        if steps <= FEWEST:
            break
        steps = max(FEWEST, steps // 2)
    fewer = tuple(g for g in COARSE if g[0] < scale.grids[-1][0])
    if not fewer:
        return planned
    return _within(images, classes, seconds_per_step, seconds, fewer, steps)


def _within(
    images: int, classes: int, seconds_per_step: float, seconds: float, grids: Sequence[tuple[int, int]], steps: int
) -> Plan:  # fmt: skip
    """The best of these grids, of as many images as fit, with trainings of `steps` at least."""
    most, fewest = images, LEAST if classes <= 2 * LEAST else classes
    while True:
        for count, seeds in grids:
            sizes = tuple(sample_sizes(min(fewest, most), most, count))
            took = seeds * sum(steps_for(n, steps) for n in sizes) * seconds_per_step
            planned = Plan(sizes=sizes, seeds=seeds, steps=steps, seconds=took)
            if took <= seconds:
                return planned
        # Fewer images than this take as many steps as these: it would be no faster.
        if steps_for(most // 2, steps) == steps_for(most, steps):
            return planned
        most //= 2


def measure(contender: Contender, labels: torch.Tensor) -> float:
    """Seconds a training step takes on images with labels (N,), the first of which prepares kernels and is not counted."""
    took: list[float] = []

    def note(what: str, done: int, of: int) -> None:
        took.append(time.perf_counter())

    model = contender.make(0)
    n = min(BATCH, len(contender.train))
    learn(
        model, contender.train[:n], labels[:n], optimizer_of(model, contender.rate), steps=MEASURED, batch=BATCH, seed=0,
        change=contender.change, fine_tuning=contender.tuned, progress=note,
    )  # fmt: skip
    return (took[-1] - took[0]) / max(1, len(took) - 1)


def train(
    contender: Contender, images: Images, count: int, seed: int, setting: Setting, steps: int, what: str
) -> Trial:  # fmt: skip
    """One training on the first `count` images in the seed's order, and its test."""
    chosen = torch.from_numpy(images.order(seed)[:count].copy())
    model = contender.make(seed)
    learn(
        model, contender.train[chosen], images.labels[chosen], optimizer_of(model, contender.rate), steps=steps, batch=BATCH,
        seed=seed, change=contender.change, fine_tuning=contender.tuned, what=what, progress=setting.progress,
    )  # fmt: skip
    right = int((answers(model, contender.test).argmax(1) == images.truth).sum())
    return Trial(count, right, len(images.truth), seed)


def samples(setting: Setting, scale: Scale | None = None) -> list[Finding]:
    """Run the experiment; its findings: accuracy against images, how many more labels, who is left out and why."""
    scale = scale or Scale()
    budget = setting.budget or BUDGET
    began = setting.clock()
    source = opened(setting)
    images = load(source, setting, limit=scale.limit)
    every, left_out = contenders(images, setting, scale.only)
    if len(images.train) < LEAST:
        raise UsageError(
            f"a learning curve needs at least {LEAST} training images, got {len(images.train)}; give more images"
        )
    pace = {}
    for i, contender in enumerate(every):
        setting.progress(f"measuring: {contender.name}", i, len(every))
        pace[contender.name] = measure(contender, images.labels)
    ready = setting.clock() - began
    left = max(0.0, SHARE * (budget - ready))
    planned = plan(len(images.train), images.classes, sum(pace.values()), left, scale)
    trials, dropped = trained(every, images, planned, pace, setting, began + 0.92 * budget)
    if planned.steps < scale.steps:
        left_out["steps"] = (
            f"trainings took at least {planned.steps} steps, not {scale.steps}, to fit into the budget of {budget:.0f} s, "
            "so that networks may be less right than they would be; give more with --budget"
        )
    if dropped:
        left_out["sizes"] = (
            f"{', '.join(f'{n:,}' for n in dropped)} images did not fit into the budget of {budget:.0f} s; give more with "
            "--budget"
        )
    if planned.sizes[-1] < len(source.train):
        left_out["images"] = (
            f"at most {planned.sizes[-1]:,} of {len(source.train):,} training images fit into the budget of {budget:.0f} s; "
            "give more with --budget"
        )
    least = images.classes
    pages = [
        samples_page(every, trials, images, least, setting.seed, (planned.steps, scale.steps)),
        labels_page(every, trials, images, least, setting.seed),
        left_out_page(left_out),
    ]
    return setting.record(pages, began)


def trained(
    every: Sequence[Contender],
    images: Images,
    planned: Plan,
    pace: dict[str, float],
    setting: Setting,
    deadline: float,
) -> tuple[dict[str, list[Trial]], list[int]]:
    """All trainings, size by size, and the sizes that no longer fitted before the deadline of the setting's clock.

    A size is learned by all networks or by none, so that each is compared on the same images.
    """
    trials: dict[str, list[Trial]] = {c.name: [] for c in every}
    slower, dropped = 1.0, []
    for i, count in enumerate(planned.sizes):
        steps = steps_for(count, planned.steps)
        expected = planned.seeds * steps * sum(pace.values())
        now = setting.clock()
        if i and now + slower * expected > deadline:
            dropped.append(count)
            continue
        for k in range(planned.seeds):
            seed = setting.seed + 1000 * k
            for contender in every:
                what = f"{count:,} images, seed {k + 1} of {planned.seeds}: {contender.name}"
                trials[contender.name].append(
                    train(contender, images, count, seed, setting, steps, what)
                )
        slower = max(0.5, (setting.clock() - now) / max(expected, 1e-9))
    return trials, dropped
