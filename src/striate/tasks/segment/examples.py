"""What analyses look at of a segmentation: the middle of its images, some of their pixels, and whether it learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from striate.data.preprocessing import Preprocessing
from striate.errors import DataError
from striate.tasks.examples import Examples
from striate.tasks.segment.data import IGNORE
from striate.tasks.segment.data.source import MaskSplit
from striate.tasks.segment.metric import MeanIoU

CUT = 256  # pixels of an image's side that are looked at
SAMPLED = 400  # pixels an image that count for calibration
BETTER = 0.02  # of mean IoU than the commonest class everywhere


def cut_examples(
    split: MaskSplit, preprocessing: Preprocessing, limit: int | None, seed: int
) -> Examples:
    """The middle of images, uint8 (N, C, H, W), and of their masks (N, H, W), all of the smallest one's size.

    Raises DataError where masks hold no pixel that counts.
    """
    order = np.sort(np.random.default_rng(seed).permutation(len(split))[:limit])
    size = np.minimum(split.sizes[order].min(0), CUT)
    images, masks = [], []
    for i in order.tolist():
        top, left = (np.asarray(split.sizes[i]) - size) // 2
        rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
        images.append(preprocessing.colours(split.image(i))[:, rows, columns])
        masks.append(split.mask(i)[rows, columns])
    targets = torch.from_numpy(np.stack(masks)).long()
    if bool((targets == IGNORE).all()):
        raise DataError("the masks hold only pixels that do not count; give other images and masks")
    keys = tuple(str(split.keys[i]) for i in order)
    return Examples(torch.from_numpy(np.stack(images)), targets, keys)


def sampled_pixels(
    logits: Tensor, masks: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Logits (M, K) and classes (M,) of some pixels of each image, in the images' order.

    logits: (N, K, H, W). masks: (N, H, W); pixels of IGNORE are left out.
    """
    rows, labels = [], []
    for image, mask in zip(logits.flatten(2), masks.flatten(1), strict=True):
        valid = (mask != IGNORE).nonzero().flatten()
        at = valid[torch.randperm(len(valid), generator=generator)[:SAMPLED]]
        rows.append(image[:, at].T)
        labels.append(mask[at].long())
    return torch.cat(rows), torch.cat(labels)


def no_better(evidence: np.ndarray, classes: Sequence[str]) -> str | None:
    """See Task.guessing; evidence (N, K, K) are pixels by true and predicted class."""
    total, score = evidence.sum(0), MeanIoU(len(classes)).score
    blank = np.zeros_like(total)
    commonest = int(total.sum(1).argmax())
    blank[:, commonest] = total.sum(1)
    value = float(score(evidence)["iou"])
    if value > float(score(blank[None])["iou"]) + BETTER:
        return None
    pixels = max(1, total.sum())
    return (
        f"its mean IoU is {value:.2f} on {len(evidence):,} images ({100 * total.trace() / pixels:.1f} % of pixels), no "
        f"better than predicting “{classes[commonest]}” everywhere ({100 * total.sum(1).max() / pixels:.1f} %)"
    )
