"""Activation maximisation: the image that drives a unit, a channel, a layer or a class most (lecture 004)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.errors import UsageError
from striate.units.fields import Span
from striate.units.fourier_image import Painting
from striate.units.layers import UnitLayer, find_unit
from striate.units.network import Network, evaluating
from striate.units.probe import Probe

What = Literal["unit", "channel", "layer", "class"]
STEPS = 128
SEEDS = 4
RATE = 0.05
JITTER = 1 / 16  # of the side, either way
TURN = 5.0  # degrees, either way
SCALE = 0.05  # either way
LEAK = 0.1  # of a gradient that a rectifier lets through while it is off, when nothing else moves the image
GREY = 0.02  # standard deviation of the pixels below which an image counts as grey


@dataclass(frozen=True, eq=False)
class Synthesis:
    """Images made to drive something.

    images (S, C, h, w) in [0, 1], the best first. start, end (S,): what was driven before and after, measured on the
    images as they are, without jitter. box: the pixels of the network's image that they stand for. grey: whether none
    of them has a contrast.
    """

    what: What
    images: Tensor
    start: Tensor
    end: Tensor
    box: tuple[Span, Span]
    steps: int

    @property
    def grey(self) -> bool:
        """Whether nothing came of it."""
        return bool((self.images.flatten(1).std(1) < GREY).all())


def maximise(
    network: Network,
    layer: UnitLayer,
    unit: int | None = None,
    *,
    what: What = "unit",
    steps: int = STEPS,
    seeds: int = SEEDS,
    rate: float = RATE,
    robust: bool = True,
    diversity: float = 0.0,
    colours: Tensor | None = None,
    seed: int = 0,
) -> Synthesis:
    """Paint images that drive a unit as much as they can, by gradient ascent.

    what: "unit" drives one position and paints its receptive field; "channel" the mean over all positions; "layer" the
    mean square of all units (DeepDream); "class" one logit of the head. What is driven is the value before the
    activation, so that a unit that is off at the start, or saturated, has a gradient; where rectifiers further down stop
    it, they let a part of it through. seeds: how many images, from different starts; diversity: how much they are pushed
    apart. robust: turn, shift and scale the images a little at every step. colours (C, C): see `Painting`. The images
    that come out are (seeds, C, h, w), in [0, 1].
    Raises UsageError for a unit that does not exist and for steps or seeds below 1.
    """
    return list(
        forming(
            network, layer, unit, what=what, steps=steps, seeds=seeds, rate=rate, robust=robust, diversity=diversity,
            colours=colours, seed=seed, every=max(steps, 1),
        )
    )[-1]  # fmt: skip


def forming(
    network: Network,
    layer: UnitLayer,
    unit: int | None = None,
    *,
    what: What = "unit",
    steps: int = STEPS,
    seeds: int = SEEDS,
    rate: float = RATE,
    robust: bool = True,
    diversity: float = 0.0,
    colours: Tensor | None = None,
    seed: int = 0,
    every: int = 8,
) -> Iterator[Synthesis]:
    """As `maximise`, the images after every `every` steps and at the end, while they form.

    Between two of them the network is as it was: others may use it.
    """
    if steps < 1 or seeds < 1:
        raise UsageError(f"steps and seeds are at least 1, got {steps} and {seeds}")
    if what == "class":
        layer = network.head
    if what != "layer":
        if unit is None:
            raise UsageError(f"which unit of {layer.name} should be driven? give its number")
        find_unit(layer, unit)
    goal = _Goal(network, layer, unit, what)
    height, width = goal.shape
    painting = Painting(
        seeds, network.channels, height, width, seed=seed, colours=colours, device=network.device
    )
    optimizer = torch.optim.Adam([painting.spectrum], lr=rate)
    generator = torch.Generator().manual_seed(seed)
    leaking = False
    with evaluating(network.module), torch.enable_grad():
        start = goal.measure(painting.pixels().detach())
    for first in range(0, steps, every):
        step, last = first, min(first + every, steps)
        with evaluating(network.module), torch.enable_grad():
            while step < last:
                pixels = painting.pixels()
                shown = wobbled(pixels, generator) if robust and min(height, width) >= 4 else pixels
                score, deep = goal(shown, leaking)
                loss = -score.sum()
                if diversity and seeds > 1:
                    loss = loss + diversity * alike(deep) * score.detach().abs().mean()
                (gradient,) = torch.autograd.grad(loss, painting.spectrum)
                if not bool(torch.isfinite(gradient).all()):
                    raise UsageError(
                        f"the gradient of {layer.name} is not finite; check the weights, or train again"
                    )
                stuck = gradient.flatten(1).abs().amax(1) == 0
                if bool(stuck.any()) and not leaking:
                    leaking = True  # nothing moves an image: the rectifiers below are off
                    continue
                painting.spectrum.grad = gradient
                optimizer.step()
                step += 1
            images = painting.pixels().detach()
            end = goal.measure(images)
        order = end.argsort(descending=True)
        yield Synthesis(what, images[order].cpu(), start[order], end[order], goal.box, last)


class _Goal:
    """What is driven, as a function of pixel images."""

    def __init__(self, network: Network, layer: UnitLayer, unit: int | None, what: What) -> None:
        self.network, self.layer, self.unit, self.what = network, layer, unit, what
        self.probe: Probe | None = Probe(network, layer) if what == "unit" and layer.grid else None
        rows, cols = network.size
        self.box: tuple[Span, Span] = ((0, rows), (0, cols))
        self.wanted = layer.drive
        if self.probe is not None:
            self.box = self.probe.box
            if not self.probe.same_grid:
                self.wanted = layer.response

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the painted images."""
        return self.box[0][1] - self.box[0][0], self.box[1][1] - self.box[1][0]

    def __call__(self, pixels: Tensor, leaking: bool) -> tuple[Tensor, Tensor]:
        """What is driven (S,) and all units (S, U * positions) of the layer."""
        leak = LEAK if leaking else 0.0
        if self.probe is not None:
            responses = self.probe.values(pixels, [self.wanted], leak=leak)[0]
            assert self.unit is not None
            return responses[:, self.unit], responses
        value = self.network.forward(pixels, [self.wanted], leak=leak)[self.wanted]
        maps = self.network.maps(self.wanted, value, len(pixels))
        maps = maps.reshape(len(pixels), self.layer.units, -1)
        if self.what == "layer":
            return maps.square().mean((1, 2)), maps.flatten(1)
        assert self.unit is not None
        return maps[:, self.unit].mean(1), maps.flatten(1)

    def measure(self, pixels: Tensor) -> Tensor:
        """What is driven (S,), without a gradient."""
        with torch.inference_mode():
            return self(pixels, False)[0].cpu().clone()


def wobbled(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Images turned, scaled and shifted a little, each on its own, in one resampling; the border is repeated."""
    n, _, height, width = pixels.shape

    def either_way(most: float) -> Tensor:
        return (2 * torch.rand(n, generator=generator) - 1) * most

    angle, scale = torch.deg2rad(either_way(TURN)), 1 + either_way(SCALE)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    ratio = height / width
    down, right = either_way(2 * JITTER), either_way(2 * JITTER)  # the grid runs from -1 to 1
    top = torch.stack([cos, -sin * ratio, right], 1)
    bottom = torch.stack([sin / ratio, cos, down], 1)
    matrix = torch.stack([top, bottom], 1).to(pixels)
    grid = F.affine_grid(matrix, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


def alike(units: Tensor) -> Tensor:
    """Mean cosine between the responses (S, D) of a layer to different images."""
    unit = F.normalize(units, dim=1)
    count = len(units)
    return ((unit @ unit.T).sum() - count) / max(count * (count - 1), 1)
