"""What is measured: accuracy against shift, how much of each layer's response a shift leaves, simple and complex cells."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from striate.lectures.experiments.learning import answers
from striate.lectures.experiments.neocognitron.images import moved
from striate.models import Neocognitron
from striate.statistics.bootstrap import bootstrap
from striate.units import Network, Probe, tune_layer
from striate.units.tuning import SIMPLE, STILL

DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))
ANGLES, PLACES = 12, 21  # bars that are shown to each cell
WIDTH, LENGTH = 3, 9  # of a bar, in pixels


class Share(NamedTuple):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


@torch.inference_mode()
def layers_of(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Responses of every layer of cells to images (N, C, H, W): s1 to c3, or LeNet-5's behind activations and poolings."""
    if isinstance(model, Neocognitron):
        return dict(model.maps(images))
    assert isinstance(model, nn.Sequential)
    found: OrderedDict[str, Tensor] = OrderedDict()
    x = images
    for stage, part in model.named_children():
        pieces = part.named_children() if isinstance(part, nn.Sequential) else [(stage, part)]
        for name, piece in pieces:
            x = piece(x)
            if name.startswith("act"):
                found[f"conv{name[3:]}" if stage == "features" else f"fc{name[3:]}"] = x
            elif name.startswith("pool"):
                found[name] = x
    return found


def right_after(model: nn.Module, images: Tensor, labels: Tensor, pixels: int) -> np.ndarray:
    """How often each image (N,) is right after a shift in one of four directions."""
    ways = DIRECTIONS if pixels else DIRECTIONS[:1]
    hits = [
        answers(model, moved(images, pixels * row, pixels * column)).argmax(1) == labels
        for row, column in ways
    ]
    return torch.stack(hits).double().mean(0).numpy()


def unchanged(model: nn.Module, images: Tensor, pixels: int, *, seed: int = 0) -> dict[str, Share]:
    """Correlation of every layer's response before and after a shift: 1 unchanged, 0 nothing in common.

    Responses at the same places, about the mean response m to all images (N, C, H, W) where they were:
    sum <f(x) - m, f(shifted x) - m> / sqrt(sum |f(x) - m|^2 sum |f(shifted x) - m|^2), over images and four directions. The
    interval is a bootstrap over images.
    """
    still = layers_of(model, images)
    away = [layers_of(model, moved(images, pixels * r, pixels * c)) for r, c in DIRECTIONS]
    left = {}
    for name, maps in still.items():
        f = maps.flatten(1).double()
        f, mean = f - f.mean(0), f.mean(0)
        g = [a[name].flatten(1).double() - mean for a in away]
        sums = np.stack(
            [
                sum((f * x).sum(1) for x in g) / len(g),
                f.square().sum(1),
                sum(x.square().sum(1) for x in g) / len(g),
            ]
        )

        def correlation(index: np.ndarray, sums: np.ndarray = sums) -> np.ndarray:
            both, before, after = sums[:, index].mean(-1)
            # A layer that never responds keeps nothing.
            power = before * after
            return np.where(power > 0, both / np.sqrt(np.where(power > 0, power, 1)), 0)

        left[name] = Share(*map(float, bootstrap(correlation, len(f), seed=seed, resamples=500)))
    return left


@dataclass(frozen=True)
class Kinds:
    """Cells of a layer by what drifting gratings do to them; modulation F1 / F0 (K,), nan where none drives the cell.

    places (K,): at how many of 21 places, a pixel apart, a bar of the best of 12 orientations drives the cell to more than
    half its largest response; nan where no bar does.
    """

    modulation: np.ndarray
    places: np.ndarray

    @property
    def simple(self) -> int:
        """F1 / F0 above 1: the response follows the phase (Skottun et al. 1991)."""
        return int((self.modulation > SIMPLE).sum())

    @property
    def complex(self) -> int:
        """F1 / F0 up to 1."""
        return int((self.modulation <= SIMPLE).sum())

    @property
    def silent(self) -> int:
        """No grating drives the cell above its response to grey."""
        return int(np.isnan(self.modulation).sum())


def bar_places(probe: Probe) -> np.ndarray:
    """Places (K,) at which a white bar on black drives each cell of a layer, as lecture 004 counts them; see `Kinds`."""
    rows, columns = probe.grid()
    patterns = []
    for angle in torch.arange(ANGLES) * torch.pi / ANGLES:
        along = rows * torch.cos(angle) - columns * torch.sin(angle)
        across = columns * torch.cos(angle) + rows * torch.sin(angle)
        for place in torch.arange(PLACES) - PLACES // 2:
            patterns.append(((across - place).abs() < WIDTH / 2) & (along.abs() < LENGTH / 2))
    responses = probe.respond(probe.grey(torch.stack(patterns).float())).T
    responses = responses.reshape(-1, ANGLES, PLACES)
    unit = torch.arange(len(responses))
    best = responses[unit, responses.amax(2).argmax(1)]
    most = best.amax(1, keepdim=True)
    wide = (best > most / 2).sum(1).double()
    return torch.where(most[:, 0] > STILL, wide, torch.nan).numpy()


def kinds(model: Neocognitron, side: int) -> dict[str, Kinds]:
    """Simple and complex cells of every layer, one cell a plane, as `striate units` classifies them, and by bars."""
    network = Network(model, (1, 1, side, side))
    found = {}
    for i in range(1, len(model.modules_of_cells) + 1):
        for name in (f"s{i}", f"c{i}"):
            probe = Probe(network, network.layer(name))
            found[name] = Kinds(tune_layer(probe).modulation.numpy(), bar_places(probe))
    return found
