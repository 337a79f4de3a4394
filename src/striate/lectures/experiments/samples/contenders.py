"""What is compared: the matched networks, one of them with augmentation, and one whose weights were learned elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from striate.data.fashion import find as find_fashion
from striate.errors import StriateError
from striate.lectures.experiments.learning import Change, learn, seeded
from striate.lectures.experiments.samples.images import Images, as_channels, load, opened
from striate.lectures.experiments.samples.networks import matched
from striate.lectures.experiments.setting import Setting
from striate.models import build, preprocessing

RATE, BATCH = 3e-3, 32
TUNED = 0.3  # of the rate, for the backbone
ELSEWHERE = 6000  # images that the small network learns from before
BEFORE = 900  # steps of it
SIDE = 96  # pixels a side of photographs for the backbone: a sixth of the work of its own 224
FROZEN = 6  # of its 7 stages, which stay as they are
AT_ONCE = 64


@dataclass(frozen=True)
class Contender:
    """A network with the images as it takes them.

    make: a new one by seed. train, test: (N, ...) what it is given. change: what happens to a training batch. tuned: it
    keeps the statistics of batch norm. own: parameters that learn.
    """

    name: str
    about: str
    make: Callable[[int], nn.Module]
    train: Tensor
    test: Tensor
    own: int
    change: Change | None = None
    tuned: bool = False
    rate: float = RATE


def optimizer_of(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    """AdamW for what learns."""
    learning = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.AdamW(learning, lr=rate, weight_decay=0.01, foreach=True)


def learning_parameters(model: nn.Module) -> int:
    """How many parameters learn."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def contenders(
    images: Images, setting: Setting, only: tuple[str, ...] = ()
) -> tuple[list[Contender], dict[str, str]]:
    """All of them, or those of some names, and why others are left out. Raises UsageError for images that are too small."""
    channels, side = images.train.shape[1], images.train.shape[-1]
    networks = matched(channels, side, images.classes)
    train, test = images.normalised(images.train), images.normalised(images.test)
    about = {
        "mlp": "a weight from every pixel to every hidden unit",
        "locally connected": "3 x 3 windows, weights for every place",
        "convolution": "3 x 3 windows, the same weights at every place",
    }
    made = [
        Contender(
            name, about[name], lambda seed, make=make: seeded(seed, make), train, test,  # type: ignore[misc]
            learning_parameters(make()),
        )
        for name, make in networks.items()
    ]  # fmt: skip
    augment = images.augmentation

    def changed(x: Tensor, generator: torch.Generator) -> Tensor:
        return images.normalised(augment(x, generator))

    moved = f", shifted by up to {augment.shift} px" if augment.shift else ""
    mirrored = ", mirrored" if augment.flip else ""
    made.append(
        replace(
            made[-1],
            name="augmented convolution",
            about=f"the same, its images turned by up to {augment.rotate:g}°, cropped{moved}{mirrored}",
            train=images.train,
            change=changed,
        )
    )
    left_out: dict[str, str] = {}
    if only:
        made = [c for c in made if c.name in only]
    if only and "pretrained" not in only:
        return made, left_out
    try:
        last = (
            photographs(images, setting)
            if images.source.photographs
            else elsewhere(images, setting)
        )
        made.append(last)
    except StriateError as error:
        left_out["pretrained"] = str(error)
    return made, left_out


def elsewhere(images: Images, setting: Setting) -> Contender:
    """The convolution with windows learned from other small images, fine-tuned. Raises StriateError without those."""
    name = next(
        (n for n in ("fashion-mnist", "digits") if n != images.source.name and usable(n)), None
    )
    if name is None:
        raise StriateError(
            "no weights fit images this small, and fashion-mnist, from which they could be learned, is not on this machine"
        )
    channels, side = images.train.shape[1], images.train.shape[-1]
    quiet = replace(setting, data=name)
    other = load(opened(quiet), quiet, limit=ELSEWHERE, side=side)
    x = other.normalised(other.train)
    x = x.mean(1, keepdim=True).expand(-1, channels, -1, -1).contiguous()
    make = matched(channels, side, images.classes)["convolution"]
    model: Any = seeded(setting.seed, make)
    model.fc = seeded(setting.seed, lambda: nn.Linear(model.fc.in_features, other.classes))
    learn(
        model, x, other.labels, optimizer_of(model, RATE), steps=BEFORE, batch=BATCH, seed=setting.seed,
        what=f"learning from {name} before", progress=setting.progress,
    )  # fmt: skip
    learned = {k: v for k, v in model.state_dict().items() if not k.startswith("fc.")}

    def begun(seed: int) -> nn.Module:
        network = seeded(seed, make)
        network.load_state_dict({**network.state_dict(), **learned})
        return network

    return Contender(
        "pretrained", f"the convolution, begun with windows that it learned from {len(x):,} images of {name}", begun,
        images.normalised(images.train), images.normalised(images.test), learning_parameters(begun(0)),
    )  # fmt: skip


def usable(name: str) -> bool:
    """Whether a source opens without fetching anything."""
    return name != "fashion-mnist" or find_fashion() is not None


def photographs(images: Images, setting: Setting) -> Contender:
    """EfficientNet-Lite0 with ImageNet's weights; its last stage and its head learn, from the maps of the others.

    Raises StriateError where the packaged weights are missing.
    """
    known = preprocessing("efficientnet-lite0")
    network: Any = build(
        "efficientnet-lite0", in_channels=3, num_classes=images.classes, size=SIDE, pretrained=True
    ).eval()
    trunk = nn.Sequential(network.conv_stem, network.bn1, *network.blocks[:FROZEN])
    maps = []
    larger = load(images.source, setting, limit=len(images.train), side=SIDE)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (known.mean, known.std))
    every = torch.cat([larger.train, larger.test])
    with torch.inference_mode():
        for i in range(0, len(every), AT_ONCE):
            setting.progress("maps of the backbone", i, len(every))
            part = as_channels(every[i : i + AT_ONCE], 3)
            maps.append(trunk((part.float() / 255 - mean) / std))
    found = torch.cat(maps).clone()
    begin = {k: v.clone() for k, v in network.state_dict().items()}

    def begun(seed: int) -> nn.Module:
        made: Any = seeded(
            seed,
            lambda: build(
                "efficientnet-lite0", in_channels=3, num_classes=images.classes, size=SIDE
            ),
        )
        made.load_state_dict(begin)
        return nn.Sequential(
            made.blocks[FROZEN], made.conv_head, made.bn2, made.global_pool, made.classifier
        )

    return Contender(
        "pretrained",
        f"EfficientNet-Lite0 with ImageNet's weights at {SIDE} x {SIDE} pixels, the last stage and head fine-tuned",
        begun, found[: len(larger.train)], found[len(larger.train) :], learning_parameters(begun(0)), tuned=True,
        rate=TUNED * RATE,
    )  # fmt: skip
