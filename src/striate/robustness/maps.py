"""MapExam: a network that labels every pixel, the images that it is examined on, and scores of its maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from striate.borrow import forward
from striate.errors import DataError, UsageError

IGNORE = 255  # the label of pixels that do not count
PIXELS = 2**18  # of a batch
RESAMPLES = 500


@dataclass(frozen=True, eq=False)
class MapExam:
    """A network from pixels in [0, 1] (N, C, H, W) to logits (N, K, H, W), with images, masks and a seed.

    images: float in [0, 1] or uint8, (N, C, H, W). masks: (N, H, W), a class index or 255, which does not count. stride:
    pixels between positions of the network's coarsest map. Raises DataError for images and masks that do not fit, and,
    once asked, for outputs that are not finite.
    """

    model: nn.Module
    images: Tensor
    masks: Tensor
    classes: Sequence[str]
    stride: int = 1
    seed: int = 0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        n, _, h, w = self.images.shape
        if not n or tuple(self.masks.shape) != (n, h, w):
            raise DataError(
                f"a probe needs a mask for each image, of its size; got {tuple(self.images.shape)} and "
                f"{tuple(self.masks.shape)}"
            )
        if self.images.dtype == torch.uint8:
            object.__setattr__(self, "images", self.images.float() / 255)
        if self.model.training:
            raise UsageError("a probe takes a module in evaluation mode; call .eval() first")

    def __len__(self) -> int:
        return len(self.images)

    def generator(self, stream: int = 0) -> torch.Generator:
        """Random numbers that depend on the seed and the stream's number alone."""
        return torch.Generator().manual_seed(1_000_003 * self.seed + stream)

    def logits(self, images: Tensor, *, note: str = "") -> Tensor:
        """What the network says of each pixel, (N, K, H, W) float32. Raises DataError where a number is not finite."""
        batch = max(1, PIXELS // (images.shape[-1] * images.shape[-2]))
        with torch.inference_mode():
            found = torch.cat(
                [forward(self.model, part).float() for part in images.split(batch)]
            ).clone()
        if found.dim() != 4 or found.shape[1] != len(self.classes):
            raise DataError(
                f"a probe needs logits (N, {len(self.classes)}, H, W); the network gives {tuple(found.shape)}"
            )
        bad = int((~torch.isfinite(found)).flatten(1).any(1).sum())
        if bad:
            raise DataError(
                f"the network's output is not finite for {bad} of {len(images)} images{' under ' + note if note else ''}; "
                "train it again with a smaller learning rate"
            )
        return found

    def maps(self, images: Tensor, *, note: str = "") -> Tensor:
        """The class of each pixel, (N, H, W) int64."""
        batch = max(1, PIXELS // (images.shape[-1] * images.shape[-2]))
        return torch.cat([self.logits(p, note=note).argmax(1) for p in images.split(batch)])

    def counts(self, maps: Tensor, masks: Tensor | None = None) -> np.ndarray:
        """Pixels by true and said class in each image, (N, K, K) int64; pixels of 255 are left out."""
        k, masks = len(self.classes), self.masks if masks is None else masks
        masks = masks.long()
        place = torch.where(masks == IGNORE, k * k, masks * k + maps)
        place = place.flatten(1) + torch.arange(len(maps))[:, None] * (k * k + 1)
        found = place.flatten().bincount(minlength=len(maps) * (k * k + 1))
        return found.view(len(maps), -1)[:, : k * k].reshape(-1, k, k).numpy()

    @cached_property
    def clean_maps(self) -> Tensor:
        """Maps of the images as they are."""
        return self.maps(self.images)

    @cached_property
    def clean(self) -> np.ndarray:
        """Counts of the images as they are."""
        return self.counts(self.clean_maps)

    @cached_property
    def draws(self) -> np.ndarray:
        """How often each image counts in each resample, (RESAMPLES, N)."""
        rng = np.random.default_rng(self.seed)
        n = len(self)
        return rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES)

    def iou(self, counts: np.ndarray) -> float:
        """Mean IoU of all images together over the classes that are present in the truth."""
        return float(mean_iou(counts.sum(0)))

    def resampled(self, counts: np.ndarray) -> np.ndarray:
        """Mean IoU (RESAMPLES,) of the same resamples of the images each time."""
        k = counts.shape[-1]
        return mean_iou((self.draws @ counts.reshape(len(counts), -1)).reshape(-1, k, k))

    def against_clean(self, counts: np.ndarray) -> tuple[float, float, float]:
        """Change of mean IoU with its 95 % interval, from resampling images (the same ones of both)."""
        change = self.resampled(counts) - self.resampled(self.clean)
        low, high = np.nanquantile(change, (0.025, 0.975))
        return self.iou(counts) - self.iou(self.clean), float(low), float(high)


def mean_iou(counts: np.ndarray) -> np.ndarray:
    """Mean intersection over union (...) of confusion counts (..., K, K) over the classes that the truth holds."""
    hit = np.diagonal(counts, axis1=-2, axis2=-1)
    truth = counts.sum(-1)
    union = truth + counts.sum(-2) - hit
    share = np.divide(hit, union, out=np.zeros(hit.shape), where=union > 0)
    present = truth > 0
    return np.where(present, share, 0).sum(-1) / np.maximum(present.sum(-1), 1)


def maps_at_chance(exam: MapExam) -> str | None:
    """Why nothing can be learned from probes: it is no better than the commonest class everywhere; None if it is."""
    total = exam.clean.sum(0)
    right, common = total.trace() / max(1, total.sum()), total.sum(1).max() / max(1, total.sum())
    blank = np.zeros_like(total)
    blank[:, int(total.sum(1).argmax())] = total.sum(1)
    if exam.iou(exam.clean) > float(mean_iou(blank)) + 0.02:
        return None
    return (
        f"Nothing was probed: its mean IoU is {exam.iou(exam.clean):.2f} on {len(exam):,} images ({100 * right:.1f} % of "
        f"pixels), no better than saying “{exam.classes[int(total.sum(1).argmax())]}” everywhere ({100 * common:.1f} %)."
    )
