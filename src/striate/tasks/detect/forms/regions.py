"""Regions: maps that propose regions, each of which a second pass looks at again (Faster and Mask R-CNN)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from striate.errors import UsageError
from striate.geometry import Box
from striate.inference.tiled import Certificate
from striate.models import Regions
from striate.tasks.detect.forms.form import Spot
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.peaks import LEAST
from striate.tasks.detect.reach import Sight, overlapped
from striate.tasks.detect.region_loss import TAUGHT, aligned_in_each, loss_of_regions
from striate.tasks.detect.regions import (
    AT_ONCE,
    OVERLAP,
    RATIOS,
    SCALE,
    WEIGHTS,
    features_of,
    found_in,
    level_of,
    masks_of,
    propose,
)
from striate.tasks.task import refuse_shape
from striate.tasks.tiling import TileJob
from striate.training.batch import Batch, Loss


class RegionForm:
    """See Form; `Regions`."""

    kind: ClassVar[type] = Regions
    whole: ClassVar[bool] = False

    def refuse(self, output: Regions, images: Tensor, classes: int) -> None:
        """See Form."""
        n, channels = len(images), output.features[0].shape[1]
        maps = [(m, channels, "numbers") for m in output.features]
        maps += [
            (m, 5 * len(RATIOS), f"numbers for {len(RATIOS)} anchors") for m in output.proposals
        ]
        strides = (*output.strides[: len(output.features)], *output.strides)
        for (made, count, words), stride in zip(maps, strides, strict=True):
            cells = [-(-side // stride) for side in images.shape[-2:]]
            refuse_shape(made, (n, count, *cells), f"{count} {words} a cell of {stride} x {stride} pixels")  # fmt: skip
        with torch.no_grad():
            logits = output.box(output.features[0].new_zeros(1, channels, 7, 7))[0]
        if logits.shape[1] != classes + 1:
            raise UsageError(
                f"the second pass gives {logits.shape[1]} logits a region, and {classes} classes need {classes + 1}, the "
                "first for no object; name as many classes, or change its last layer"
            )

    def extent(self, output: Regions) -> tuple[int, int]:
        """See Form."""
        rows, columns = output.features[0].shape[-2:]
        return rows * output.strides[0], columns * output.strides[0]

    def loss(
        self, output: Regions, batch: Batch, classes: int, edges: float, regions: int = TAUGHT
    ) -> Loss:
        """See Form and `loss_of_regions`; raises UsageError where masks are to be learned from boxes."""
        if output.mask is not None and any(isinstance(t, Tensor) for t in batch.targets):
            raise UsageError(
                "mask-rcnn learns from the mask of each object: take --task instances, or for boxes faster-rcnn, which is "
                "the same without masks"
            )
        return loss_of_regions(output, batch, edges, regions=regions)

    def decode(
        self, output: Regions, classes: int, size: tuple[int, int] | None = None, *, least: float = LEAST
    ) -> list[Objects]:  # fmt: skip
        """See Form; both passes."""
        size = size or self.extent(output)
        made = []
        for i in range(len(output.features[0])):
            features, proposals = _sources(output, i)
            made.append(second_pass(features, proposals, output, size, least))
        return made

    def spots(
        self, output: Regions, classes: int, size: tuple[int, int]
    ) -> tuple[Objects, list[Spot]]:  # fmt: skip
        """See Form; the proposed region of each object is held where it is."""
        features, proposals = _sources(output, 0)
        with torch.no_grad():
            found = found_in(
                features,
                proposals,
                output.strides,
                output.box,
                size,
                least=LEAST,
                device=_device(output),
                anchor=output.anchor,
            )
        objects = Objects.of(found.boxes, found.labels, scores=found.scores)
        return objects, [
            spot_of(output, k, region) for k, region in zip(found.labels.tolist(), found.regions, strict=True)
        ]  # fmt: skip

    def nearest(
        self, output: Regions, classes: int, label: int | None, point: tuple[float, float] | None
    ) -> Spot:
        """See Form; of the regions that hold the point, and of all where none does."""
        features, proposals = _sources(output, 0)
        regions = propose(proposals, output.strides, self.extent(output), output.anchor)
        if point is not None:
            over = ((regions[:, :2] <= point) & (np.array(point) < regions[:, 2:])).all(1)
            regions = regions[over] if over.any() else regions
        scores = []
        for first in range(0, len(regions), AT_ONCE):
            some = regions[first : first + AT_ONCE]
            with torch.no_grad():
                part = features_of(
                    features, output.strides, some, 7, _device(output), output.anchor
                )
                scores.append(output.box(part)[0].softmax(1)[:, 1:].cpu())
        table = torch.cat(scores) if label is None else torch.cat(scores)[:, label : label + 1]
        which, k = divmod(int(table.flatten().argmax()), table.shape[1])
        return spot_of(output, k if label is None else label, regions[which])

    def read(self, output: Regions, classes: int, spot: Spot) -> Tensor:
        """See Form; the raw score is the logit of the class, from the region's features."""
        region = np.array(spot.region)
        logits, numbers = output.box(aligned_in_each(output, region, 7))
        score = logits.softmax(1)[:, 1 + spot.label]
        moved = numbers[:, 1 + spot.label] / numbers.new_tensor(WEIGHTS)
        width, height = region[2:] - region[:2]
        across, down = moved[:, 0] * width, moved[:, 1] * height
        wide, high = (moved[:, 2 + i].clamp(max=SCALE).exp() * (v / 2) for i, v in enumerate((width, height)))  # fmt: skip
        raw = logits[:, 1 + spot.label]
        return torch.stack([raw, score, wide - across, high - down, wide + across, high + down], 1)

    def sight(self, output: Regions, fields: Sequence[int | None]) -> Sight:
        """See Form."""
        return Sight(
            (
                (
                    output.strides[0],
                    fields[len(output.features) + len(output.proposals) - 1],
                    math.inf,
                ),
            ),
            lambda images: overlapped(images, OVERLAP),
            "overlapped",
            f"overlap another one of their class by more than {OVERLAP:.0%}",
            f"Of objects of a class that overlap by more than {OVERLAP:.0%}, one is listed.",
        )

    def tile(
        self, job: TileJob, output: Regions, classes: int, *, least: float = LEAST
    ) -> tuple[Objects, Certificate]:  # fmt: skip
        """See Form; the maps of the first pass are made by tiles and kept on the disk, and the second reads from there."""
        height, width = job.image.shape[1:]
        maps = [*output.features, *output.proposals]
        strides = (*output.strides[: len(output.features)], *output.strides)
        with TemporaryDirectory(prefix="striate-") as folder:
            stored = [
                np.lib.format.open_memmap(
                    Path(folder) / f"{i}.npy", mode="w+", dtype=np.float32,
                    shape=(m.shape[1], -(-height // stride), -(-width // stride)),
                )
                for i, (m, stride) in enumerate(zip(maps, strides, strict=True))
            ]  # fmt: skip

            def take(place: int, box: Box, piece: Tensor) -> None:
                (top, bottom), (left, right) = box  # type: ignore[misc]
                part = piece.reshape(-1, *piece.shape[-2:]).float().cpu()
                stored[place][:, top:bottom, left:right] = part.numpy()

            _, certificate = job.run(take=take)
            count = len(output.features)
            objects = second_pass(stored[:count], stored[count:], output, (height, width), least)
            stored.clear()
        return objects, certificate


def spot_of(output: Regions, label: int, region: np.ndarray) -> Spot:
    """Where a region (4,) is looked at: the cells of its level from which RoIAlign draws, four around each sample."""
    level = int(level_of(region[None], len(output.features), output.anchor)[0])
    stride, sides = output.strides[level], output.features[level].shape[-2:]
    # Of a region that is smaller than a cell RoIAlign takes a whole one.
    last = np.maximum(region[2:] / stride, region[:2] / stride + 1)
    low = np.floor(region[:2] / stride).astype(int)
    high = np.minimum(np.floor(last).astype(int) + 1, [sides[1] - 1, sides[0] - 1])
    low = np.minimum(low, high)
    wide, tall = (high - low + 1).tolist()
    column, row = low.tolist()
    return Spot(
        level, label, row, column, stride, region=tuple(region.tolist()), tall=tall, wide=wide
    )


def second_pass(
    features: Sequence[np.ndarray], proposals: Sequence[np.ndarray], output: Regions, size: tuple[int, int], least: float
) -> Objects:  # fmt: skip
    """The objects of an image (height, width) from the maps of the first pass; with their pixels where it has masks."""
    device, masks = _device(output), None
    with torch.no_grad():
        found = found_in(
            features, proposals, output.strides, output.box, size, least=least, device=device, anchor=output.anchor
        )  # fmt: skip
        if output.mask is not None:
            masks = masks_of(
                features, output.strides, output.mask, found.boxes, found.labels, size, device, output.anchor
            )  # fmt: skip
    return Objects.of(found.boxes, found.labels, scores=found.scores, regions=masks)


def _sources(output: Regions, at: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The features and the proposals of image `at`, as the second pass reads them."""
    features, proposals = (
        [m[at].detach().float().cpu().numpy() for m in maps]
        for maps in (output.features, output.proposals)
    )
    return features, proposals


def _device(output: Regions) -> torch.device:
    """Where the second pass has its weights."""
    heads = getattr(output.box, "__self__", None)
    if isinstance(heads, torch.nn.Module):
        return next(heads.parameters()).device
    return output.features[0].device
