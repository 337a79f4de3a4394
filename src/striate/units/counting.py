"""Counting: pixels that a unit and a concept share, over all images, in memory that does not grow with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from striate.units.concepts import ConceptSet, Regions
from striate.units.layers import UnitLayer
from striate.units.top_images import LEAST, order_keys, read_keys
from striate.units.upsampling import Upsampling


@dataclass(frozen=True, eq=False)
class Batch:
    """The regions of n images, M at most, with K concepts in G groups.

    number (n, H * W) int64. members (n, M, K), known (n, M, G) float32 of 0 and 1. areas, known_pixels (n, K) float64:
    pixels that show a concept, and that are annotated with it.
    """

    number: Tensor
    members: Tensor
    known: Tensor
    areas: Tensor
    known_pixels: Tensor

    @classmethod
    def of(cls, regions: Sequence[Regions], concepts: ConceptSet) -> Batch:
        """Of the regions of some images of a set."""
        most = max(len(r.members) for r in regions)
        members = torch.zeros(len(regions), most, len(concepts.names))
        known = torch.zeros(len(regions), most, max(concepts.groups) + 1)
        for i, one in enumerate(regions):
            members[i, : len(one.members)] = torch.from_numpy(one.members)
            known[i, : len(one.known)] = torch.from_numpy(one.known)
        number = torch.from_numpy(np.stack([r.number.ravel() for r in regions]).astype(np.int64))
        n = len(regions)
        code = number + torch.arange(n).unsqueeze(1) * most
        counts = torch.bincount(code.view(-1), minlength=n * most).view(n, 1, most).double()
        groups = torch.tensor(concepts.groups)
        return cls(
            number=number, members=members, known=known, areas=(counts @ members.double())[:, 0],
            known_pixels=(counts @ known.double())[:, 0].index_select(1, groups),
        )  # fmt: skip


class Counter:
    """The running sums of one layer: E units (random ones behind), K concepts, G groups, S resamples.

    both (E, K), on (E, G), area (K,): pixels of unit and concept, of the unit, of the concept. The same for S Poisson
    resamples of the images (Hanley and MacGibbon 2006), and for masks of other images.
    """

    def __init__(
        self,
        layer: UnitLayer,
        thresholds: Tensor,
        concepts: ConceptSet,
        size: tuple[int, int],
        *,
        shuffles: int,
        resamples: int,
        top: int,
    ) -> None:
        self.thresholds = thresholds
        self.upsampling = Upsampling(layer, size)
        self.groups = torch.tensor(concepts.groups)
        self.units = layer.units
        entries, names, groups = len(thresholds), len(concepts.names), max(concepts.groups) + 1
        wide = torch.float64
        self.both = torch.zeros(entries, names, dtype=wide)
        self.on = torch.zeros(entries, groups, dtype=wide)
        self.area = torch.zeros(names, dtype=wide)
        self.resampled_both = torch.zeros(resamples, layer.units * names)
        self.resampled_on = torch.zeros(resamples, layer.units * groups)
        self.resampled_area = torch.zeros(resamples, names, dtype=wide)
        self.shuffled_both = torch.zeros(shuffles, layer.units, names, dtype=wide)
        self.shuffled_on = torch.zeros(shuffles, layer.units, groups, dtype=wide)
        self.shuffled_area = torch.zeros(shuffles, names, dtype=wide)
        self.is_shuffled = False
        self.keys = torch.full((top, layer.units), LEAST, dtype=torch.int64)

    def take(
        self, maps: Tensor, batch: Batch, first: int, drawn: Tensor, rolls: Sequence[int]
    ) -> None:
        """Add the maps (n, E, h, w) of the images `first`, ...; drawn (n, S) how often each is resampled.

        rolls: by how many images the masks are moved on, a roll for each shuffle.
        """
        n, entries = maps.shape[:2]
        which, pixel = self.upsampling.above(maps, self.thresholds)
        image = which.div(entries, rounding_mode="floor")
        # In this order one product adds up the images of a unit.
        place = (which - image * entries) * n + image
        at = image * batch.number.shape[1] + pixel
        counts = _histogram(place, at, batch, n, entries).view(entries, n, -1).transpose(0, 1)
        both, on = counts @ batch.members, counts @ batch.known
        self.both += both.sum(0, dtype=torch.float64)
        self.on += on.sum(0, dtype=torch.float64)
        self.area += batch.areas.sum(0)
        weights = drawn.T.float()
        self.resampled_both += weights @ both[:, : self.units].reshape(n, -1)
        self.resampled_on += weights @ on[:, : self.units].reshape(n, -1)
        self.resampled_area += drawn.T.double() @ batch.areas
        peaks = maps[:, : self.units].amax((2, 3))
        keys = torch.cat([self.keys, order_keys(peaks, first)])
        self.keys = keys.topk(len(self.keys), dim=0).values
        for number, roll in enumerate(rolls):
            moved = Batch(*(t.roll(roll, 0) for t in vars(batch).values()))
            of_units = _histogram(place, at, moved, n, entries)[: self.units]
            self.shuffled_both[number] += of_units @ moved.members.flatten(0, 1)
            self.shuffled_on[number] += of_units @ moved.known.flatten(0, 1)
            self.shuffled_area[number] += batch.areas.sum(0)
            self.is_shuffled = True

    def iou(self) -> np.ndarray:
        """(E, K) intersection over union, nan for a concept without pixels."""
        return _ratio(self.both, self.on[:, self.groups], self.area)

    def interval(self, best: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """95 % bounds (U,) of the IoU with concept `best` (U,) of each unit; nan where that is -1."""
        place = torch.from_numpy(np.maximum(best, 0))
        units = torch.arange(self.units)
        resamples = len(self.resampled_both)
        both = self.resampled_both.view(resamples, self.units, -1)[:, units, place]
        on = self.resampled_on.view(resamples, self.units, -1)[:, units, self.groups[place]]
        iou = _ratio(both, on, self.resampled_area[:, place])
        low, high = np.full(self.units, np.nan), np.full(self.units, np.nan)
        known = (best >= 0) & np.isfinite(iou).any(0)
        if known.any():
            low[known], high[known] = np.nanquantile(iou[:, known], [0.025, 0.975], axis=0)
        return low, high

    def shuffled(self, units: int) -> np.ndarray:
        """The best IoU of each unit with the masks of other images, all shuffles together: (S * U,), or none (0,)."""
        used = self.shuffled_area.any(1)
        if not self.is_shuffled:
            return np.zeros(0)
        iou = _ratio(
            self.shuffled_both[used],
            self.shuffled_on[used][..., self.groups],
            self.shuffled_area[used].unsqueeze(1),
        )
        return np.nan_to_num(iou, nan=0.0).max(-1)[:, :units].ravel()

    def images(self, units: int) -> Tensor:
        """(U, T) numbers of the images where each unit responds most, -1 where there are fewer."""
        return read_keys(self.keys)[1].T[:units].contiguous()

    @property
    def bytes(self) -> int:
        """Memory that it holds between images."""
        return sum(t.nbytes for t in vars(self).values() if isinstance(t, Tensor))


def _histogram(place: Tensor, at: Tensor, batch: Batch, n: int, entries: int) -> Tensor:
    """How many pixels of each region of each of n images a unit is on: (E, n * M) float32.

    place (P,): unit times n plus image, of each pixel that is on; at (P,): image times H * W plus pixel. A histogram over
    regions, and then a small product: an image has fewer kinds of pixels than concepts times pixels.
    """
    most = batch.members.shape[1]
    code = batch.number.view(-1).index_select(0, at).add_(place, alpha=most)
    return torch.bincount(code, minlength=n * entries * most).view(entries, n * most).float()


def _ratio(both: Tensor, on: Tensor, area: Tensor) -> np.ndarray:
    union = on + area - both
    iou = both.double() / union.double()
    return torch.where(area.expand_as(iou) > 0, iou, torch.nan).numpy()
