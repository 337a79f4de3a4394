"""Faithfulness: does the score fall when what a map marks is taken away, and rise when it is put back?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.answer import answer_of
from striate.attribution.images import output_of
from striate.attribution.targets import Target, labelled, of_bare, scorer
from striate.borrow import borrowed
from striate.inference.apart import Together
from striate.inference.incremental.target import bare

FRACTIONS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.65, 0.85, 1.0)
CELLS = 14  # along the longer side: what is taken away is a cell, not a pixel
FEW = 8  # random orders whose spread means anything
RANDOM = 20  # random orders: their mean is chance, their spread what a map must beat
MOVED = 7  # displaced forms of a map that it must beat: chance for a map of its own smoothness
BATCH = 16
BASELINES = ("random", "edges")
Probability = Callable[[Any], Tensor]


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The score while the marked cells are taken away (deletion) and while they are put back (insertion).

    fractions: of the cells, most marked first. The areas lie under the curves, between 0 and 1 for a probability.
    """

    fractions: tuple[float, ...]
    deletion: tuple[float, ...]
    insertion: tuple[float, ...]

    @property
    def deletion_area(self) -> float:
        """Small when the score falls at once."""
        return _area(self.fractions, self.deletion)

    @property
    def insertion_area(self) -> float:
        """Large when the score is back at once."""
        return _area(self.fractions, self.insertion)

    @property
    def faithfulness(self) -> float:
        """Insertion area minus deletion area: above 0 the marked cells matter more than the others."""
        return self.insertion_area - self.deletion_area


def _area(x: tuple[float, ...], y: tuple[float, ...]) -> float:
    return sum((b - a) * (u + v) / 2 for a, b, u, v in zip(x, x[1:], y, y[1:], strict=False))


def curves(
    module: nn.Module,
    image: Tensor,
    target: Target,
    maps: Mapping[str, Tensor],
    *,
    baseline: Tensor,
    temperature: float = 1.0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Curves]:
    """Deletion and insertion curves of each map (H, W), and of "random" and "edges" (Petsiuk et al. 2018).

    image (1, C, H, W). The image is cut into cells, at most 14 along a side, which are ranked by the map's mean in them
    (Samek et al. 2017): single pixels would reward maps that look like noise, because noise is what fools networks.
    Deletion puts `baseline` (broadcasts to the image) there, insertion begins with a blurred image. The score is the
    probability of the target (logits divided by `temperature`); for a target that is a function, its value, scaled so
    that the image has 1 and the baseline 0. "random" is the mean of `orders` drawn by `seed`; "edges" ranks by the Sobel
    gradient, which knows nothing of the network.
    """
    by_map = each_curve(
        module, image, target, maps, baseline=baseline, temperature=temperature, seed=seed, progress=progress
    )  # fmt: skip
    return {name: mean_curve(several) for name, several in by_map.items()}


def mean_curve(several: Sequence[Curves]) -> Curves:
    """The mean of curves over the same fractions."""
    deletion = np.mean([c.deletion for c in several], axis=0)
    insertion = np.mean([c.insertion for c in several], axis=0)
    return Curves(
        fractions=several[0].fractions, deletion=tuple(deletion.tolist()), insertion=tuple(insertion.tolist())
    )  # fmt: skip


def each_curve(
    module: nn.Module,
    image: Tensor,
    target: Target,
    maps: Mapping[str, Tensor],
    *,
    baseline: Tensor,
    temperature: float = 1.0,
    seed: int = 0,
    orders: int = RANDOM,
    enough: Callable[[Mapping[str, list[Curves]]], bool] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[Curves]]:
    """As `curves`, with a curve for each random order.

    orders: how many random ones; 0 leaves them and the edge detector out. enough: asked once, when all else and 8 of the
    random orders are done, whether the others are needed; they are made where it is not given.
    """
    cells = Cells.of(image)
    rng = np.random.default_rng(seed)
    ranked: dict[str, list[np.ndarray]] = {
        name: [cells.order(shown, rng)] for name, shown in maps.items()
    }
    if orders:
        ranked["random"] = [rng.permutation(cells.count) for _ in range(orders)]
        ranked["edges"] = [cells.order(edges(image), rng)]
    blank = baseline.expand(image.shape)
    blurred = blur(image)
    first = {name: several[:FEW] for name, several in ranked.items()}
    rest = {name: several[FEW:] for name, several in ranked.items() if several[FEW:]}
    inner = FRACTIONS[1:-1]
    total = 2 * len(inner) * sum(map(len, ranked.values()))
    count = 0
    with borrowed(module), torch.no_grad():
        probability = probability_of(target, output_of(module, image), temperature)
        run = Together(lambda images: probability(output_of(module, images)))
        whole, gone, start = run(torch.cat([image, blank, blurred])).tolist()
        scale = _scale(target, whole, gone)
        ends = [float(scale(np.array(v))) for v in (whole, gone, start)]

        def scores(orders: Sequence[np.ndarray]) -> Iterator[float]:
            """Of all masked images, a batch at a time."""
            nonlocal count
            masked = (
                torch.where(cells.mask(order, f).to(image.device) == marked_stays, image, other)
                for order in orders
                for other, marked_stays in ((blank, False), (blurred, True))
                for f in inner
            )
            while batch := list(islice(masked, BATCH)):
                yield from run(torch.cat(batch)).tolist()
                count += len(batch)
                if progress is not None:
                    progress(count, total)

        def measured(some: Mapping[str, Sequence[np.ndarray]]) -> None:
            flat = [(name, order) for name, several in some.items() for order in several]
            values = np.array(list(scores([order for _, order in flat])))
            for (name, _), mine in zip(flat, scale(values).reshape(-1, 2, len(inner)), strict=True):
                result[name].append(
                    Curves(
                        fractions=FRACTIONS,
                        deletion=(ends[0], *mine[0].tolist(), ends[1]),
                        insertion=(ends[2], *mine[1].tolist(), ends[0]),
                    )
                )

        result: dict[str, list[Curves]] = {name: [] for name in ranked}
        measured(first)
        if rest and (enough is None or not enough(result)):
            measured(rest)
    if progress is not None and count < total:
        progress(total, total)
    return result


def displaced(shown: Tensor, count: int, seed: int) -> dict[str, Tensor]:
    """A map (H, W) moved around by a quarter of the image or more, and mirrored: as smooth, and in the wrong place."""
    rng = np.random.default_rng(seed)
    h, w = shown.shape
    moved = {}
    for i in range(count):
        move = (
            int(rng.integers(h // 4, h - h // 4 + 1)),
            int(rng.integers(w // 4, w - w // 4 + 1)),
        )
        flips = [d for d in (0, 1) if rng.random() < 0.5]
        moved[f"moved {i}"] = shown.roll(move, (0, 1)).flip(flips)
    return moved


def likelihood(value: float, chance: Sequence[float], tried: int) -> float:
    """How likely the best of `tried` random orders is as faithful as `value`, given those of some (t-test, Bonferroni).

    Each faithfulness is a mean over many masks, so that those of random orders are close to normal in the middle of
    [-1, 1]; towards 1, where they crowd, after the arcsine. Of a confident network's digits chance alone reaches 0.6, and
    without it no map could be beyond that; the best of 10 random orders passes 0.05 in 3 of 100 (measured).
    """
    from scipy.special import stdtr  # takes a moment

    n = len(chance)
    if n < 3:
        return 1.0
    values = np.array([*chance, value])
    if float(np.abs(values).max()) <= 1:  # of a target that is no probability there is no bound
        values = np.arcsin(values)
    others, mine = values[:-1], float(values[-1])
    spread = float(np.std(others, ddof=1)) * math.sqrt(1 + 1 / n)
    if spread < 1e-9:
        return 0.0 if mine - float(np.mean(others)) > 1e-6 else 1.0
    t = (mine - float(np.mean(others))) / spread
    return min(1.0, tried * float(stdtr(n - 1, -t)))


def probability_of(target: Target, clean: Any, temperature: float) -> Probability:
    """A function from the output to the target's probability, one an image."""
    if not callable(target) and not isinstance(clean, Tensor):
        of_answer = probability_of(target, answer_of(clean), temperature)
        return lambda output: of_answer(answer_of(output))
    if bare(clean) and not callable(target):
        return of_bare(clean, lambda output: probability_of(target, output, temperature))
    if callable(target) or not isinstance(clean, Tensor) or clean.shape[1] < 2:
        return scorer(target, clean)

    def shares(output: Any) -> Tensor:
        return torch.softmax(output.float() / temperature, 1)

    if clean.dim() == 4 and isinstance(target, int):
        here, index = labelled(target, clean), target
        weight = here / here.sum((1, 2), keepdim=True)
        return lambda output: (shares(output)[:, index] * weight).sum((1, 2))
    if isinstance(target, Tensor):
        target = int(target)
    inner = scorer(target, clean)
    return lambda output: inner(shares(output))


def _scale(target: Target, whole: float, gone: float) -> Callable[[np.ndarray], np.ndarray]:
    if not callable(target):
        return lambda values: values
    spread = whole - gone
    return lambda values: (values - gone) / spread if spread else np.zeros_like(values)


@dataclass(frozen=True)
class Cells:
    """A grid over an image; `label` (H, W) numbers the cell of each pixel."""

    label: Tensor
    count: int

    @classmethod
    def of(cls, image: Tensor) -> Cells:
        """Square cells, at most CELLS along the longer side of image (1, C, H, W)."""
        height, width = image.shape[2:]
        side = -(-max(height, width) // CELLS)
        rows, columns = -(-height // side), -(-width // side)
        row = torch.arange(height) // side
        column = torch.arange(width) // side
        return cls(row[:, None] * columns + column, rows * columns)

    def order(self, shown: Tensor, rng: np.random.Generator) -> np.ndarray:
        """Cells by the mean of a map (H, W) in them, largest first; equals in random order."""
        flat = self.label.flatten()
        sums = torch.zeros(self.count, dtype=torch.float64)
        sums.index_add_(0, flat, shown.detach().cpu().double().flatten())
        means = (sums / torch.bincount(flat, minlength=self.count)).numpy()
        return np.lexsort((rng.random(self.count), -means))

    def mask(self, order: np.ndarray, fraction: float) -> Tensor:
        """Where the first `fraction` of the cells are: (H, W)."""
        inside = torch.zeros(self.count, dtype=torch.bool)
        inside[torch.from_numpy(order[: max(1, round(fraction * self.count))].copy())] = True
        return inside[self.label]


def edges(image: Tensor) -> Tensor:
    """The Sobel gradient's magnitude of the mean of the channels: (1, C, H, W) -> (H, W)."""
    grey = F.pad(image.detach().float().mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    kernel = grey.new_tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
    both = F.conv2d(grey, torch.stack([kernel, kernel.T])[:, None])
    return both.pow(2).sum(1).sqrt()[0]


def blur(image: Tensor) -> Tensor:
    """A Gaussian blur of a fourteenth of the longer side, which leaves colours and no shapes: (1, C, H, W)."""
    sigma = max(1.0, max(image.shape[2:]) / 14)
    radius = int(2.5 * sigma)
    at = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    channels = image.shape[1]
    x = F.pad(image, (radius, radius, 0, 0), mode="replicate")
    x = F.conv2d(x, kernel.expand(channels, 1, 1, -1), groups=channels)
    x = F.pad(x, (0, 0, radius, radius), mode="replicate")
    return F.conv2d(x, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
