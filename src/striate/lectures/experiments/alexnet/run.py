"""AlexNet of 2012 learns to tell places of two photographs apart; its 96 first units, and how features evolve."""

from __future__ import annotations

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
    steps: int = 240
    batch: int = 64
    rate: float = 1e-3
    decay: float = 0.1
    first: float = 1e-3
    epochs: tuple[int, ...] = (1, 2, 5, 10, 20, 40, 80)
    tests: int = 4
    units: int = 3


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


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a training leaves: the network, its first kernels before it (96, 3, 11, 11), snapshots, the tiles it learned."""

    model: Small
    before: Tensor
    snapshots: Snapshots
    tiles: Tensor

    @property
    def kernels(self) -> Tensor:
        """The first layer's, (96, 3, 11, 11)."""
        return first_kernels(self.model)


def train(setting: Setting, sizes: Sizes) -> Learned:
    """Train AlexNet's convolutions to tell the places apart."""
    tiles = places()[: sizes.places]
    model = seeded(setting.seed, lambda: small(len(tiles), sizes.first))
    before, snapshots = first_kernels(model), Snapshots(sizes.epochs)
    optimizer = torch.optim.AdamW(model.parameters(), lr=sizes.rate, weight_decay=sizes.decay)
    learn(
        model, tiles, torch.arange(len(tiles)), optimizer, steps=sizes.steps, batch=sizes.batch, seed=setting.seed,
        warmup=0.1, change=Views(), callback=snapshots, what="training", progress=setting.progress,
    )  # fmt: skip
    return Learned(model=model, before=before, snapshots=snapshots, tiles=tiles)


def alexnet(setting: Setting, sizes: Sizes | None = None) -> list[Finding]:
    """Run the experiment; two findings: the 96 units, and the evolution of features."""
    started, sizes = setting.clock(), sizes or Sizes()
    pages = show(train(setting, sizes), setting, sizes)
    return setting.record(pages, started)


def show(learned: Learned, setting: Setting, sizes: Sizes) -> list[Finding]:
    """The two findings of a training."""
    model, tiles = learned.model, learned.tiles
    setting.progress("measuring", 0, 0)
    right = new_views(model, tiles, Views(), sizes.tests, setting.seed)
    evolved = evolve(
        model, learned.snapshots.weights, middles(tiles), list(RECORDS.values()), units=sizes.units, seed=setting.seed,
        progress=lambda done, of: setting.progress("projecting features", done, of),
    )  # fmt: skip
    named = {record: name for name, record in RECORDS.items()}
    evolved = replace(
        evolved,
        features={named[k]: v for k, v in evolved.features.items()},
        peaks={named[k]: v for k, v in evolved.peaks.items()},
    )
    return [
        units_page(learned.kernels, learned.before, right, len(tiles)),
        evolution_finding(evolved, shown=shown_pixels, name="alexnet-evolution"),
    ]


def small(classes: int, first: float) -> Small:
    """The network before it learns; first: see `Sizes`."""
    model = Small(classes)
    with torch.no_grad():
        model.features[0].weight.normal_(0, first)  # type: ignore[index,union-attr,operator]
    return model


def first_kernels(model: Small) -> Tensor:
    """A copy of the first layer's kernels, (96, 3, 11, 11)."""
    return model.features[0].weight.detach().clone()  # type: ignore[index,union-attr,operator,return-value]


def new_views(model: nn.Module, tiles: Tensor, views: Views, count: int, seed: int) -> Tensor:
    """Whether the place of each of `count` new views a tile is named, (count * N,) bool."""
    generator = torch.Generator().manual_seed(seed + 1_000_000)
    parts = []
    for _ in range(count):
        logits = answers(model, views(tiles, generator), batch=64)
        parts.append(logits.argmax(1) == torch.arange(len(tiles)))
    return torch.cat(parts)
