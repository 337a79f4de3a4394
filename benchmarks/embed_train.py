"""Images a second of a training of embeddings: the same network, images, batch, loss and threads for everyone.

    python benchmarks/embed_train.py [--rounds 5] [--images 1024] [--size 32] [--threads 2] [--model compact]

Images are those of the source glyphs, reduced to `--size` pixels; the loss is ArcFace with m = 0.5 and s = 16 over 64
identities, the batch 64, SGD with momentum. Contestants take turns in one process, an epoch each a round; the ratio is taken
within a round, and the first epoch of each is not counted. A peer that is not installed is left out and named.

striate: `striate.training.loop.fit` as `striate train --task embed` calls it, with shift and crop on the fly.
classify: the same for the network as a classifier of the identities, by cross-entropy.
pml: as the examples of pytorch-metric-learning: `ArcFaceLoss`, a DataLoader of Pillow images with RandomCrop, ToTensor and
Normalize, an optimizer for the network and one for the loss.
pml-tuned: the same loss with all that its user can put around it: normalised float tensors in memory, batches by index,
channels last, no augmentation at all, the faster precision of the machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

BATCH, DIMENSIONS, SCALE, MARGIN = 64, 128, 16.0, 0.5
Epoch = Callable[[], None]


def images(count: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N, 3, size, size) uint8, and identities (N,)."""
    import numpy as np
    from PIL import Image

    from striate.tasks.embed.glyphs import EACH, card, glyph_image

    drawn = [
        glyph_image(0, i, s, drawn=made)
        for i in range(count // EACH) for made in [card(0, i)] for s in range(EACH)
    ]  # fmt: skip
    small = [np.asarray(Image.fromarray(image).resize((size, size))) for image in drawn]
    labels = torch.arange(len(small)) // EACH
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).contiguous(), labels


def network(model: str, size: int, outputs: int) -> nn.Module:
    """The network of every contestant, channels last."""
    import striate

    torch.manual_seed(0)
    made = striate.build(model, in_channels=3, num_classes=outputs, size=size)
    return made.train().to(memory_format=torch.channels_last)


def ours(x: torch.Tensor, y: torch.Tensor, model: str, *, classify: bool) -> Epoch:
    """Our loop, an epoch a call."""
    from striate.data import Preprocessing
    from striate.data.augment import Augmentation
    from striate.memory import keep_large_buffers
    from striate.models import layer_groups
    from striate.tasks.classify.loss import CrossEntropy
    from striate.tasks.embed.losses import CosineSoftmax
    from striate.tasks.embed.network import CentredNetwork
    from striate.training.averaging import WeightAverage
    from striate.training.batches import MemoryImages, TrainingBatches
    from striate.training.loop import Training, fit
    from striate.training.machine import choose_precision
    from striate.training.optimizers import make_optimizer
    from striate.training.recipe import Recipe
    from striate.training.schedule import Pace

    keep_large_buffers()
    size, device, k = x.shape[-1], torch.device("cpu"), int(y.max()) + 1
    net = network(model, size, k if classify else DIMENSIONS)
    loss: Any = CrossEntropy(0.1)
    if not classify:
        net, loss = CentredNetwork(net, k, DIMENSIONS), CosineSoftmax(scale=SCALE, margin=MARGIN)
    batches = TrainingBatches(
        images=MemoryImages(x, y), preprocessing=Preprocessing(channels=3, height=size, width=size),
        augmentation=Augmentation(shift=2, scale=0.8), classes=k, batch=BATCH, seed=0, device=device,
    )  # fmt: skip
    recipe = Recipe(data="glyphs", optimizer="sgd", lr=0.05, weight_decay=5e-4)
    optimizers = make_optimizer(recipe, layer_groups(net))

    def epoch() -> None:
        training = Training(
            model=net, optimizers=optimizers, average=WeightAverage(net, 0.99), pace=Pace(batches.steps_per_epoch),
            warmup=0.15, loss=loss, dtype=choose_precision("auto", device), device=device,
        )  # fmt: skip
        fit(training, batches)

    return epoch


def theirs(x: torch.Tensor, y: torch.Tensor, model: str, *, tuned: bool) -> Epoch:
    """The loop around pytorch-metric-learning's loss, an epoch a call."""
    import math

    from pytorch_metric_learning import losses
    from torchvision import transforms

    from striate.training.machine import choose_precision

    size, dtype = x.shape[-1], choose_precision("auto", torch.device("cpu"))
    net = network(model, size, DIMENSIONS)
    if not tuned:
        net = net.to(memory_format=torch.contiguous_format)
    loss_function = losses.ArcFaceLoss(
        int(y.max()) + 1, DIMENSIONS, margin=math.degrees(MARGIN), scale=SCALE
    )
    rates = {"lr": 0.05, "momentum": 0.9, "nesterov": True}
    optimizers = [
        torch.optim.SGD(m.parameters(), weight_decay=5e-4, **rates) for m in (net, loss_function)
    ]
    normalised = ((x / 255 - 0.5) / 0.5).contiguous(memory_format=torch.channels_last)
    to_pillow = transforms.ToPILImage()
    transform = transforms.Compose([
        transforms.RandomCrop(size, padding=2), transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)
    ])  # fmt: skip
    pictures = [to_pillow(image) for image in x]

    class Set(torch.utils.data.Dataset):  # as an ImageFolder gives its images
        def __len__(self) -> int:
            return len(y)

        def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
            return transform(pictures[i]), int(y[i])

    def loader() -> Any:
        if not tuned:
            return torch.utils.data.DataLoader(Set(), batch_size=BATCH, shuffle=True, drop_last=True)  # fmt: skip
        order = torch.randperm(len(y))[: len(y) // BATCH * BATCH].split(BATCH)
        return ((normalised[index], y[index]) for index in order)

    def epoch() -> None:
        for data, labels in loader():
            for optimizer in optimizers:
                optimizer.zero_grad()
            with torch.autocast("cpu", dtype, enabled=tuned and dtype != torch.float32):
                embeddings = net(data)
            loss_function(embeddings.float(), labels).backward()
            for optimizer in optimizers:
                optimizer.step()

    return epoch


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", default="compact")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    x, y = images(a.images, a.size)
    contestants: dict[str, Epoch] = {
        "striate": ours(x, y, a.model, classify=False),
        "classify": ours(x, y, a.model, classify=True),
    }
    try:
        contestants["pml"] = theirs(x, y, a.model, tuned=False)
        contestants["pml-tuned"] = theirs(x, y, a.model, tuned=True)
    except ImportError as error:
        print(f"pytorch-metric-learning: left out ({error})")
    for epoch in contestants.values():
        epoch()
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(a.rounds):
        for name, epoch in contestants.items():
            start = time.perf_counter()
            epoch()
            rates[name].append(len(y) // BATCH * BATCH / (time.perf_counter() - start))
    print(
        f"{'':10}{'images/s':>10}   striate's ratio over it: median (min - max), {a.rounds} rounds"
    )
    for name, values in rates.items():
        ratios = [mine / other for mine, other in zip(rates["striate"], values, strict=True)]
        print(
            f"{name:10}{statistics.median(values):10,.0f}   {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} - {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
