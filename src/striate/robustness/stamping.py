"""Stamping: whether the network uses a mark, which is put on images of other classes and taken from those that bear it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from striate.robustness.context import Context
from striate.robustness.marks import Mark

PULLED = 0.5  # share of images that a mark must pull to its class, beyond the control
READ = (
    0.25  # the same where the mark has a sharp outline and nearly every image of the class bears it
)
CLEAR = 0.9  # separation of such a mark
BOTH = 0.3  # the same, where it gains as much by being put on as it loses by being taken away
LEVEL = 0.01  # of the test, over all marks that are tried
FEWEST = 4  # images on either side


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What something that a class has does to predictions. All are shares of images predicted as that class.

    stamped: images of other classes that were given it; control: that were given what other images have instead. kept:
    images of the class that got it from another one of theirs; removed: that got what other images have. p: of the
    likelier of both effects by chance (exact sign test).
    """

    stamped: float
    control: float
    kept: float
    removed: float
    others: int
    bearers: int
    p: float

    @property
    def effect(self) -> float:
        """The larger of what is gained when it is put on and lost when it is taken away."""
        return max(self.stamped - self.control, self.kept - self.removed)

    def read(self, tried: int, separation: float) -> bool:
        """Whether the network uses it, beyond chance over `tried` of them. separation: how well it predicts the class."""
        if self.p * tried >= LEVEL:
            return False
        on, off = self.stamped - self.control, self.kept - self.removed
        clear = separation >= CLEAR and self.effect >= READ
        return on >= PULLED or clear or min(on, off) >= BOTH


@dataclass(frozen=True, eq=False)
class Stamped:
    """What a mark does to predictions. elsewhere: share of other images that become the class with the mark at a place
    drawn at random.
    """

    mark: Mark
    effect: Effect
    elsewhere: float

    def read(self, tried: int) -> bool:
        """Whether the network uses the mark, beyond chance over `tried` marks."""
        return self.effect.read(tried, self.mark.separation)


def effect_of(
    context: Context, label: int, give: Callable[[Tensor, bool], Tensor]
) -> Effect | None:
    """Try `give(images, bear)`, images with what the class has (`bear`) or with what others have; None for too few."""
    other = torch.nonzero((context.labels != label) & (context.predictions != label)).flatten()
    bearing = torch.nonzero(context.labels == label).flatten()
    if len(other) < FEWEST or len(bearing) < FEWEST:
        return None
    # Both ways in pairs of the same images, with and without, so that the sign test is exact.
    plain, own = context.images[other], context.images[bearing]
    on, control, kept, removed = (
        _predicted_as(context, give(x, bear), label) for x in (plain, own) for bear in (True, False)
    )
    p = min(1.0, 2 * min(_sign(on, control), _sign(kept, removed)))  # two effects are looked at
    return Effect(
        stamped=float(on.mean()), control=float(control.mean()), kept=float(kept.mean()), removed=float(removed.mean()),
        others=len(other), bearers=len(bearing), p=p,
    )  # fmt: skip


def stamp(context: Context, mark: Mark) -> Stamped | None:
    """Try a mark on the context's images; None where there are too few."""
    draw = context.generator(311)

    def give(x: Tensor, bear: bool) -> Tensor:
        return torch.where(
            mark.mask, _drawn(mark.bearers if bear else mark.others, len(x), draw), x
        )

    effect = effect_of(context, mark.label, give)
    if effect is None:
        return None
    plain = context.images[(context.labels != mark.label) & (context.predictions != mark.label)]
    own = _drawn(mark.bearers, len(plain), draw)
    away = _predicted_as(context, _moved(plain, own, mark.mask, draw), mark.label)
    return Stamped(mark, effect, float(away.mean()))


def _predicted_as(context: Context, images: Tensor, label: int) -> np.ndarray:
    return np.asarray(context.logits(images).argmax(1) == label)


def _sign(more: np.ndarray, less: np.ndarray) -> float:
    """One-sided exact sign test over pairs (N,) bool: how likely chance gives as many more."""
    up, down = int((more & ~less).sum()), int((less & ~more).sum())
    from scipy.stats import binomtest  # takes a moment

    return 1.0 if up + down == 0 else float(binomtest(up, up + down, alternative="greater").pvalue)


def _drawn(images: Tensor, count: int, draw: torch.Generator) -> Tensor:
    return images[torch.randint(0, len(images), (count,), generator=draw)]


def _moved(plain: Tensor, own: Tensor, mask: Tensor, draw: torch.Generator) -> Tensor:
    """The mark of `own` on `plain`, its box rolled to a place of its own in each image."""
    h, w = mask.shape
    out = []
    for image, bearer in zip(plain, own, strict=True):
        dy, dx = int(torch.randint(h, (1,), generator=draw)), int(torch.randint(w, (1,), generator=draw))  # fmt: skip
        there = mask.roll((dy, dx), (0, 1))
        out.append(torch.where(there, bearer.roll((dy, dx), (1, 2)), image))
    return torch.stack(out)
