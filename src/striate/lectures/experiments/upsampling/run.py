"""Max-unpooling, transposed convolution and interpolation as decoders of the same network: scores, and checkerboards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from striate.findings import Finding
from striate.lectures.experiments.learning import answers, learn, seeded
from striate.lectures.experiments.setting import Setting
from striate.lectures.experiments.upsampling.pages import cause_page, checkerboard_page, score_page
from striate.lectures.experiments.upsampling.upsamplers import WAYS, Segmenter, pattern_strength
from striate.tasks.segment.data import open_masks
from striate.tasks.segment.data.source import ArrayMaskSplit
from striate.tasks.segment.loss import PixelCrossEntropy
from striate.tasks.segment.metrics import MaskScores, boundary_hits, confusion_matrix

CLASSES = ("ground", "digit")
PERIOD = 4  # pixels after which the network, of two strides of 2, is the same again


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of everything: scenes that train and test, pixels a side, passes, images a step, smooth images."""

    train: int = 600
    test: int = 200
    side: int = 64
    epochs: int = 7
    batch: int = 16
    smooth: int = 24
    rate: float = 4e-3


@dataclass(frozen=True, kw_only=True)
class Result:
    """One decoder: scores, parameters, and the strength of its pattern on constant and on smooth images, before and after
    training, over the spread of its map on scenes; (N,), one number an image.
    """

    model: Segmenter
    scores: MaskScores
    parameters: int
    maps: Tensor
    untrained: dict[str, Tensor]
    trained: dict[str, Tensor]
    loss: float


def scenes(split: ArrayMaskSplit) -> tuple[Tensor, Tensor]:
    """Images (N, 3, H, W) in [-1, 1] and masks (N, H, W), 1 where a digit is."""
    x = torch.from_numpy(split.images).permute(0, 3, 1, 2).float() / 127.5 - 1
    return x.contiguous(), (torch.from_numpy(split.masks) > 0).long()


def plain_images(count: int, side: int, seed: int) -> dict[str, Tensor]:
    """Images without any detail, (N, 3, H, W) in [-1, 1]: of one colour, and a ramp from one colour to another."""
    g = torch.Generator().manual_seed(seed)
    first, last = (torch.rand(count, 3, 1, 1, generator=g) * 2 - 1 for _ in range(2))
    angle = torch.rand(count, 1, 1, generator=g) * 2 * torch.pi
    at = torch.linspace(-0.5, 0.5, side)
    along = at[:, None] * torch.sin(angle) + at * torch.cos(angle)
    share = (along / 1.5 + 0.5)[:, None]
    constant = first.expand(-1, -1, side, side).contiguous()
    return {"constant": constant, "smooth": first + (last - first) * share}


def difference(logits: Tensor) -> Tensor:
    """(N, H, W) how far the logit of a digit lies above that of the ground."""
    return logits[:, 1] - logits[:, 0]


def patterns(model: Segmenter, images: dict[str, Tensor], spread: float) -> dict[str, Tensor]:
    """Strength of the pattern (N,) for each kind of plain image, in the spread of the map on scenes; borders left out."""
    margin = 3 * PERIOD
    patterns = {}
    for kind, x in images.items():
        y = difference(answers(model, x))[:, margin:-margin, margin:-margin]
        patterns[kind] = pattern_strength(y, PERIOD) / max(spread, 1e-9)
    return patterns


def score(predicted: Tensor, truth: Tensor) -> MaskScores:
    """Counts of predicted masks (N, H, W) against true ones."""
    counts = [confusion_matrix(p, t, 2) for p, t in zip(predicted, truth, strict=True)]
    edges = [boundary_hits(p.numpy(), t.numpy(), 2) for p, t in zip(predicted, truth, strict=True)]
    return MaskScores(
        counts=np.stack(counts),
        near=np.stack([e[0] for e in edges]),
        total=np.stack([e[1] for e in edges]),
        classes=CLASSES,
        keys=tuple(str(i) for i in range(len(predicted))),
    )


def upsampling(setting: Setting, sizes: Sizes | None = None) -> list[Finding]:
    """Run the experiment; three findings: scores, checkerboards, and their cause in the overlap."""
    sizes = sizes or Sizes()
    started = setting.clock()
    setting.progress("drawing scenes", 0, 0)
    count = sizes.train + sizes.test
    source = open_masks(
        "scenes", seed=setting.seed, count=count, size=sizes.side, val=0.0, test=sizes.test / count
    )
    assert isinstance(source.train, ArrayMaskSplit) and isinstance(source.test, ArrayMaskSplit)
    x, y = scenes(source.train)
    test, truth = scenes(source.test)
    plain = plain_images(sizes.smooth, sizes.side, setting.seed)
    results = {}
    for name, way in WAYS.items():
        model = seeded(setting.seed, lambda: Segmenter(way)).eval()  # noqa: B023
        settle(model, x[:64])
        before = patterns(model, plain, float(difference(answers(model, test[:64])).std()))
        optimizer = torch.optim.AdamW(model.parameters(), lr=sizes.rate, weight_decay=0.01)
        history = learn(
            model, x, y, optimizer, steps=sizes.epochs * max(1, len(x) // sizes.batch), batch=sizes.batch,
            seed=setting.seed, loss=PixelCrossEntropy(), what=f"training: {name}", progress=setting.progress,
        )  # fmt: skip
        maps = difference(answers(model, test, batch=50))
        setting.progress(f"scoring: {name}", 0, 0)
        results[name] = Result(
            model=model,
            scores=score((maps > 0).byte(), truth.byte()),
            parameters=sum(p.numel() for p in model.parameters()),
            maps=maps,
            untrained=before,
            trained=patterns(model, plain, float(maps.std())),
            loss=history[-1].train["loss"],
        )
    pages = [
        score_page(results, test, truth, setting.seed),
        checkerboard_page(results, plain),
        cause_page(results, setting.seed),
    ]
    return setting.record(pages, started)


def settle(model: Segmenter, images: Tensor) -> None:
    """Give the batch norms the statistics of images (N, 3, H, W), so that an untrained network can be looked at."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    usual = norms[0].momentum
    for norm in norms:
        norm.momentum = 1.0
    model.train()
    with torch.no_grad():
        model(images)
    model.eval()
    for norm in norms:
        norm.momentum = usual
