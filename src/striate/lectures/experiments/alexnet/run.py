"""AlexNet of 2012 learns to tell places of two photographs apart; its 96 first units, and how features evolve."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from striate.findings import Finding
from striate.lectures.experiments.alexnet.images import Views, middles, places
from striate.lectures.experiments.alexnet.pages import shown as shown_pixels
from striate.lectures.experiments.alexnet.pages import units_page
from striate.lectures.experiments.learning import answers, learn, seeded
from striate.lectures.experiments.setting import Setting
from striate.models import build
from striate.training.snapshots import Snapshots
from striate.units import evolution_finding, evolve

LAYERS = ("conv1", "conv2", "conv3", "conv5")  # behind their ReLU, as the evolution shows them
RECORDS = dict(zip(LAYERS, ("features.1", "features.5", "features.9", "features.13"), strict=True))


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How long it learns.

    places: classes, None for all 208. steps, batch, rate, decay: AdamW's. first: standard deviation of the first weights of
    the first layer, small beside what is learned, so that little noise is left in the kernels. epochs: whose features
    are shown. tests: new views of each place. units: shown a layer.
    """

    places: int | None = None
    steps: int = 660
    batch: int = 64
    rate: float = 1e-3
    decay: float = 0.1
    first: float = 1e-3
    epochs: tuple[int, ...] = (1, 5, 10, 20, 50, 100, 150, 220)
    tests: int = 4
    units: int = 3


def alexnet(setting: Setting, sizes: Sizes | None = None) -> list[Finding]:
    """Run the experiment; two findings: the 96 units, and the evolution of features."""
    sizes = sizes or Sizes()
    started = time.perf_counter()
    tiles = places()[: sizes.places]
    labels = torch.arange(len(tiles))
    model = seeded(setting.seed, lambda: small(len(tiles), sizes.first))
    before = model.features[0].weight.detach().clone()  # type: ignore[index,union-attr]
    snapshots = Snapshots(sizes.epochs)
    optimizer = torch.optim.AdamW(model.parameters(), lr=sizes.rate, weight_decay=sizes.decay)
    views = Views()
    learn(
        model, tiles, labels, optimizer, steps=sizes.steps, batch=sizes.batch, seed=setting.seed, warmup=0.1,
        change=views, callback=snapshots, what="training", progress=setting.progress,
    )  # fmt: skip
    setting.progress("measuring", 0, 0)
    right = new_views(model, tiles, views, sizes.tests, setting.seed)
    evolved = evolve(
        model, snapshots.weights, middles(tiles), list(RECORDS.values()), units=sizes.units, seed=setting.seed,
        progress=lambda done, of: setting.progress("projecting features", done, of),
    )  # fmt: skip
    named = {record: name for name, record in RECORDS.items()}
    evolved = replace(
        evolved,
        features={named[k]: v for k, v in evolved.features.items()},
        peaks={named[k]: v for k, v in evolved.peaks.items()},
    )
    kernels = model.features[0].weight.detach()  # type: ignore[index,union-attr]
    pages = [
        units_page(kernels, before, right, len(tiles)),
        evolution_finding(evolved, shown=shown_pixels, name="alexnet-evolution"),
    ]
    seconds = time.perf_counter() - started
    return [
        replace(p, seed=setting.seed, seconds=seconds if i == 0 else None)
        for i, p in enumerate(pages)
    ]


class Small(nn.Module):
    """The five convolutions of the paper, two groups and response norms and all, and one linear layer for its three."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        whole = build("alexnet-2012", in_channels=3, num_classes=2, size=(224, 224))
        assert isinstance(whole, nn.Sequential)
        self.features = whole.features
        self.head = nn.Linear(256, classes)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, 3, 67, 67) -> (N, classes)."""
        return self.head(self.features(x).flatten(1))  # type: ignore[no-any-return,operator]


def small(classes: int, first: float) -> Small:
    """The network before it learns; first: see `Sizes`."""
    model = Small(classes)
    with torch.no_grad():
        model.features[0].weight.normal_(0, first)  # type: ignore[index,union-attr,operator]
    return model


def new_views(model: nn.Module, tiles: Tensor, views: Views, count: int, seed: int) -> Tensor:
    """Whether the place of each of `count` new views a tile is named, (count * N,) bool."""
    generator = torch.Generator().manual_seed(seed + 1_000_000)
    parts = []
    for _ in range(count):
        logits = answers(model, views(tiles, generator), batch=64)
        parts.append(logits.argmax(1) == torch.arange(len(tiles)))
    return torch.cat(parts)
