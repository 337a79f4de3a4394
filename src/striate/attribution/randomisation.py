"""Parameter randomisation: a map that survives shuffled weights did not come from them (Adebayo et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from striate.borrow import borrowed, forward, random_states
from striate.geometry import Geometry

STAGES = ("upper half", "all")
SIDE = 28  # maps are compared at this resolution, so that a shift by a pixel is no difference
SAME = 0.5  # a rank correlation from which a map counts as unchanged


@dataclass(frozen=True, kw_only=True)
class Shuffled:
    """The network with the weights of some layers shuffled. stage: which; layers: how many."""

    stage: str
    module: nn.Module
    layers: int


@contextmanager
def shuffled(
    module: nn.Module, image: Tensor, geometry: Geometry | None, stage: str, *, seed: int = 0
) -> Iterator[Shuffled]:
    """For the duration of a `with`, a network whose weights lost their meaning but not their spread.

    stage: of `STAGES`, the upper half of the layers or all. The entries of each weight tensor change places; batch norms
    of those layers take the statistics of the new values, of image (1, C, H, W) turned and moved, so that the signal
    neither dies nor explodes. Afterwards the module is as before.
    """
    order = weights_in_order(module, geometry)
    names = order if stage == STAGES[1] else order[len(order) // 2 :]
    with borrowed(module, own=True):
        _shuffle(module, set(names), seed)
        _settle(module, image, {n.rpartition(".")[0] for n in names})
        yield Shuffled(stage=stage, module=module, layers=len(names))


def weights_in_order(module: nn.Module, geometry: Geometry | None) -> list[str]:
    """Names of the weights (two dimensions or more), from the image to the score; as registered without a geometry."""
    sizes = {n: p.dim() for n, p in module.named_parameters()}
    names = [n for n, dim in sizes.items() if dim >= 2]
    if geometry is None:
        return names
    used = [
        geometry.values[i].name for r in geometry.records for i in r.inputs
        if geometry.values[i].source == "parameter"
    ]  # fmt: skip
    return [n for n in dict.fromkeys(used) if sizes.get(n, 0) >= 2] or names


def _shuffle(module: nn.Module, names: set[str], seed: int) -> None:
    """Shuffle the weights called `names`, and all numbers that stand beside them or in a norm after them."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name in names:
                order = torch.randperm(parameter.numel(), generator=generator)
                flat = parameter.detach().reshape(-1)[order.to(parameter.device)]
                parameter.copy_(flat.view(parameter.shape))


def _settle(module: nn.Module, image: Tensor, owners: set[str]) -> None:
    """Let each batch norm behind a shuffled layer measure its new input."""
    passed = False
    norms = []
    for name, sub in module.named_modules():
        passed = passed or name in owners
        if passed and isinstance(sub, _BatchNorm) and sub.track_running_stats:
            norms.append(sub)
    if not norms:
        return
    flipped = torch.cat([image, image.flip(3), image.flip(2), image.transpose(2, 3).contiguous()]
                        if image.shape[2] == image.shape[3] else [image, image.flip(3), image.flip(2)])  # fmt: skip
    moved = torch.cat([flipped, flipped.roll((image.shape[2] // 3, image.shape[3] // 4), (2, 3))])
    momenta = [n.momentum for n in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    try:
        with random_states(), torch.no_grad():
            forward(module, moved)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval()
            norm.momentum = momentum


def similarity(a: Tensor, b: Tensor) -> float:
    """Spearman's rank correlation of two maps (H, W), at most 28 places a side; 0 where one of them is flat."""
    x, y = (_coarse(m).flatten().numpy() for m in (a, b))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    ranks = np.corrcoef(_ranks(x), _ranks(y))
    return float(ranks[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, the mean rank where values are equal; scipy.stats has them, and takes most of a second to import."""
    _, place, times = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(times)
    return (last - (times - 1) / 2)[place]


def _coarse(shown: Tensor) -> Tensor:
    size = (min(SIDE, shown.shape[0]), min(SIDE, shown.shape[1]))
    return F.adaptive_avg_pool2d(shown.detach().cpu().double()[None], size)[0]
