"""Stamping: does the network read a mark? It is put on images of other classes, and taken from those that bear it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor

from striate.robustness.exam import Exam
from striate.robustness.marks import Mark

PULLED = 0.5  # share of images that a mark must pull to its class, beyond the control
READ = (
    0.25  # the same where the mark has a sharp outline and nearly every image of the class bears it
)
CLEAR = 0.9  # separation of such a mark
BOTH = 0.3  # the same, where it gains as much by being put on as it loses by being taken away
LEVEL = 0.01  # of the test, over all marks that are tried
FEWEST = 4  # images on either side


@dataclass(frozen=True, eq=False)
class Stamped:
    """What a mark does to predictions. All are shares of images predicted as the mark's class.

    stamped: images of other classes with the mark of a bearer; control: with what other images have at that place;
    elsewhere: with the mark at a place drawn at random. kept: bearers as they are, with another bearer's content there;
    removed: with what other images have there. p: of the likelier of both effects by chance (exact sign test).
    """

    mark: Mark
    stamped: float
    control: float
    elsewhere: float
    kept: float
    removed: float
    others: int
    bearers: int
    p: float

    @property
    def effect(self) -> float:
        """The larger of what the mark gains when it is put on and loses when it is taken away."""
        return max(self.stamped - self.control, self.kept - self.removed)

    def read(self, tried: int) -> bool:
        """Whether the network reads the mark, beyond chance over `tried` marks."""
        if self.p * tried >= LEVEL:
            return False
        on, off = self.stamped - self.control, self.kept - self.removed
        clear = self.mark.separation >= CLEAR and self.effect >= READ
        return on >= PULLED or clear or min(on, off) >= BOTH


def stamp(exam: Exam, mark: Mark) -> Stamped | None:
    """Try a mark on the exam's images; None where there are too few."""
    other = torch.nonzero((exam.labels != mark.label) & (exam.said != mark.label)).flatten()
    bearing = torch.nonzero(exam.labels == mark.label).flatten()
    if len(other) < FEWEST or len(bearing) < FEWEST:
        return None
    draw = exam.generator(311)
    plain = exam.images[other]
    own, alien = _drawn(mark.bearers, len(plain), draw), _drawn(mark.others, len(plain), draw)
    on = _says(exam, torch.where(mark.mask, own, plain), mark.label)
    control = _says(exam, torch.where(mark.mask, alien, plain), mark.label)
    away = _says(exam, _moved(plain, own, mark.mask, draw), mark.label)
    bear = exam.images[bearing]
    again, alien = _drawn(mark.bearers, len(bear), draw), _drawn(mark.others, len(bear), draw)
    kept = _says(exam, torch.where(mark.mask, again, bear), mark.label)
    removed = _says(exam, torch.where(mark.mask, alien, bear), mark.label)
    p = min(1.0, 2 * min(_sign(on, control), _sign(kept, removed)))  # two effects are looked at
    return Stamped(
        mark, float(on.mean()), float(control.mean()), float(away.mean()), float(kept.mean()), float(removed.mean()),
        len(other), len(bearing), p,
    )  # fmt: skip


def _says(exam: Exam, images: Tensor, label: int) -> np.ndarray:
    found: np.ndarray = (exam.logits(images).argmax(1) == label).numpy()
    return found


def _sign(more: np.ndarray, less: np.ndarray) -> float:
    """One-sided exact sign test over pairs (N,) bool: how likely chance gives as many more."""
    up, down = int((more & ~less).sum()), int((less & ~more).sum())
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
