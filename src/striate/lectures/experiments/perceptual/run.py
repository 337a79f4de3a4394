"""Which measure of distance agrees with what is known: features, random weights, SSIM, MS-SSIM, PSNR."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from striate.findings import Finding
from striate.lectures.experiments.perceptual.pages import agreement_page, stability_page
from striate.lectures.experiments.perceptual.triplets import Triplet, triplets
from striate.lectures.experiments.setting import Setting
from striate.memory import keep_large_buffers
from striate.models import build
from striate.models import preprocessing as preprocessing_of
from striate.similarity import Comparer, pixel_scores
from striate.similarity.stability import stability

SPEC = "efficientnet-lite0"
BENDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # pixels, root mean square


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of everything: pixels a side of a crop (MS-SSIM needs 176), crops, triplets of each kind for each crop."""

    side: int = 192
    crops: int = 12
    each: int = 4


def crops(side: int) -> Tensor:
    """Square pieces, side by side, of the two photographs that scikit-learn carries: (N, 3, H, W) in [0, 1]."""
    from sklearn.datasets import load_sample_image

    found = []
    for name in ("china.jpg", "flower.jpg"):
        image = torch.tensor(load_sample_image(name)).permute(2, 0, 1).float() / 255
        rows, columns = image.shape[1] // side, image.shape[2] // side
        found += [
            image[:, r * side : (r + 1) * side, c * side : (c + 1) * side]
            for r in range(rows)
            for c in range(columns)
        ]
    return torch.stack(found)


def comparers(shape: tuple[int, ...], seed: int) -> dict[str, Comparer]:
    """The network's features with ImageNet weights and with the random weights that training begins with."""
    known = preprocessing_of(SPEC)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        blank = build(SPEC, in_channels=3, num_classes=10, size=known.size).eval()
    settled = build(SPEC, in_channels=3, num_classes=1000, size=known.size, pretrained=True).eval()
    for module in (settled, blank):
        module.to(memory_format=torch.channels_last)
    return {
        name: Comparer(module, (1, *shape), mean=known.mean, std=known.std)
        for name, module in (("deep features", settled), ("random weights", blank))
    }


def agreement(chosen: list[Triplet], measures: dict[str, Comparer], setting: Setting) -> dict[str, np.ndarray]:  # fmt: skip
    """For each measure which triplets (T,) it orders as they were made, 1 or 0; a half where it sees no difference."""
    found = {name: np.zeros(len(chosen)) for name in (*measures, "SSIM", "MS-SSIM", "PSNR")}
    tell = setting.progress
    for name, comparer in measures.items():
        tell(f"judging by {name}", 0, 0)
        images = torch.stack([t.image for t in chosen])
        sides = ([t.nearer for t in chosen], [t.farther for t in chosen])
        first, second = (comparer(images, torch.stack(side)).distance.numpy() for side in sides)
        found[name] = _order(first, second)
    for i, t in enumerate(chosen):
        near_scores, far_scores = pixel_scores(t.image, t.nearer), pixel_scores(t.image, t.farther)
        for name in ("SSIM", "MS-SSIM", "PSNR"):
            a, b = (scores[name.lower()] for scores in (near_scores, far_scores))
            far, near = (float("inf") if s is None else s for s in (b, a))  # PSNR of equal images
            found[name][i] = _order(np.array(-near), np.array(-far))
        tell("judging by pixels", i + 1, len(chosen))
    return found


def _order(near: np.ndarray, far: np.ndarray) -> np.ndarray:
    return np.where(near == far, 0.5, near < far).astype(float)


def perceptual(setting: Setting, sizes: Sizes | None = None) -> list[Finding]:
    """Run the experiment; two findings: agreement on triplets, and stability to deformations."""
    sizes = sizes or Sizes()
    keep_large_buffers()  # many passes of large maps follow
    started = setting.clock()
    images = crops(sizes.side)[: sizes.crops]
    measures = comparers(tuple(images.shape[1:]), setting.seed)
    chosen = triplets(images, sizes.each, setting.seed)
    agreed = agreement(chosen, measures, setting)
    setting.progress("bending images", 0, 0)
    stable = {name: stability(c, images, BENDS, seed=setting.seed) for name, c in measures.items()}
    pages = [
        agreement_page(agreed, chosen, setting.seed),
        stability_page(stable, images, setting.seed),
    ]
    return setting.record(pages, started)
