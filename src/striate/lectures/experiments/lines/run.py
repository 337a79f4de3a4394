"""The line experiment of lecture 003, whole: training, the network inside, strange lines, the wave, and why it breaks it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from striate.findings import Finding
from striate.lectures.experiments.learning import answers
from striate.lectures.experiments.lines.images import WAVES, plain_lines, waved, wide_lines
from striate.lectures.experiments.lines.network import (
    EPOCHS,
    STARTS,
    LineNetwork,
    count_errors,
    train_starts,
)
from striate.lectures.experiments.lines.pages import (
    domain_page,
    lecture_page,
    network_page,
    training_page,
)
from striate.lectures.experiments.lines.spectra import Reader
from striate.lectures.experiments.lines.wave_pages import spectrum_page, wave_page
from striate.lectures.experiments.setting import Setting
from striate.robustness import KINDS
from striate.robustness import lines as strange_lines

PERIODS = (2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0, 16.0)
WIDTHS = (1, 3, 5, 7, 9)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of everything: images that train and test, of each strange kind and each width and period; pixels a side."""

    train: int = 3_000
    test: int = 10_000
    strange: int = 1_000
    waved: int = 200
    side: int = 64
    starts: int = STARTS
    epochs: int = EPOCHS
    periods: tuple[float, ...] = PERIODS
    widths: tuple[int, ...] = WIDTHS


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What the training left, with images (N, 1, H, W) and labels (N,): the network kept, each start's training loss
    and errors in the test images.
    """

    network: LineNetwork
    losses: list[float]
    errors: list[int]
    kept: int
    images: Tensor
    labels: Tensor
    predicted: Tensor


def lines(setting: Setting, sizes: Sizes | None = None) -> list[Finding]:
    """Run the experiment; six findings: training, the network, strange lines, waves, spectra, and against the lecture."""
    sizes = sizes or Sizes()
    started = setting.clock()
    trained = train(setting, sizes)
    pages = [training_page(trained, sizes)]
    setting.progress("looking inside", 0, 0)
    pages.append(network_page(trained.network, trained.images, trained.labels))
    strange = {}
    for i, kind in enumerate(KINDS[1:]):
        setting.progress("strange lines", i, len(KINDS) - 1)
        images, labels = strange_lines(kind, sizes.strange, size=sizes.side, seed=setting.seed)
        x, y = torch.from_numpy(images)[:, None], torch.from_numpy(labels)
        strange[kind] = (x, y, answers(trained.network, x).argmax(1))
    pages.append(domain_page(strange))
    reader = Reader.of(trained.network, trained.images, trained.labels)
    cells = sweep(setting, sizes, trained.network, reader)
    pages += [wave_page(cells, sizes), spectrum_page(trained.network, reader, cells, sizes)]
    pages.append(lecture_page(pages))
    return setting.record(pages, started)


def train(setting: Setting, sizes: Sizes) -> Trained:
    """Train from several starts; keep the network with the lowest loss on the images that it was trained on."""
    setting.progress("drawing lines", 0, 0)
    x, y = plain_lines(sizes.train, size=sizes.side, seed=setting.seed)
    networks, losses = train_starts(
        x, y, seed=setting.seed, starts=sizes.starts, epochs=sizes.epochs, progress=setting.progress
    )
    setting.progress("drawing lines that test", 0, 0)
    images, labels = plain_lines(sizes.test, size=sizes.side, seed=setting.seed, first=sizes.train)
    setting.progress("testing", 0, 0)
    errors = count_errors(networks, images, labels)
    kept = min(range(len(losses)), key=losses.__getitem__)
    predicted = answers(networks[kept], images).argmax(1)
    return Trained(
        network=networks[kept],
        losses=losses,
        errors=errors,
        kept=kept,
        images=images,
        labels=labels,
        predicted=predicted,
    )


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Lines of one width under one wave: shares answered right, of vertical and of horizontal lines, and how often the
    spectra alone give the network's answer. period 0: no wave, wave "none".
    """

    width: int
    period: float
    wave: str
    right: float
    vertical: float
    horizontal: float
    explained: float


def sweep(setting: Setting, sizes: Sizes, network: LineNetwork, reader: Reader) -> list[Cell]:
    """Every width under no wave and under each wave of each period."""
    rows = []
    for w, width in enumerate(sizes.widths):
        setting.progress("waves", w, len(sizes.widths))
        images, labels = wide_lines(width, sizes.waved, size=sizes.side, seed=setting.seed)
        y = torch.from_numpy(labels)
        plain = torch.from_numpy(images)[:, None]
        conditions = [(plain, 0.0, "none")]
        conditions += [
            (waved(images, labels, period=p, wave=wave), p, wave)
            for wave in WAVES
            for p in sizes.periods
        ]
        for x, period, wave in conditions:
            predicted = answers(network, x).argmax(1)
            correct = (predicted == y).float()
            rows.append(
                Cell(
                    width=width,
                    period=period,
                    wave=wave,
                    right=float(correct.mean()),
                    vertical=float(correct[y == 0].mean()),
                    horizontal=float(correct[y == 1].mean()),
                    explained=float((reader.answers(x) == predicted).float().mean()),
                )
            )
    return rows
