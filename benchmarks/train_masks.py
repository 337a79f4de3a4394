"""Images a second of the same U-Net in training: a plain PyTorch loop, fastai's Learner, and Striate, in turn.

    python benchmarks/train_masks.py [--rounds 5] [--images 384] [--peers pytorch,fastai]

All train U-Net of width 16 (1.9 million parameters, batch norm) on the same scenes of 96 x 96 pixels with 11 classes, in
batches of 16 on two threads, from images in memory, with random mirroring and turning by up to 10 degrees of image and mask
alike. The plain loop: a DataLoader that stacks the images, torchvision's transforms (v2) on each pair, cross-entropy,
AdamW, fp32. fastai: the same data set in its DataLoaders, its Learner and its default optimiser. Striate: its own loop
with cross-entropy and Dice, Muon, and the precision that it chooses. Each runs in a process of its own and trains one
epoch a turn; the first epoch is not counted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

THREADS, BATCH, SIDE, CLASSES = 2, 16, 96, 11


def scenes(count: int):
    """Images (N, 3, 96, 96) and masks (N, 96, 96), uint8."""
    import torch

    from striate.tasks.segment.data import open_masks

    source = open_masks("scenes", count=count * 3 // 2, size=SIDE)
    split = source.train.take(range(count))
    return (
        split,
        torch.from_numpy(split.images.copy()).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(split.masks.copy()),
    )


def network():
    """The same weights for all."""
    import torch

    import striate

    torch.manual_seed(0)
    return striate.build("unet", in_channels=3, num_classes=CLASSES, width=16)


def pairs(count: int):
    """A data set of transformed pairs, as torchvision's documentation shows it."""
    import torch
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    _, images, masks = scenes(count)
    transform = v2.Compose(
        [
            v2.RandomHorizontalFlip(), v2.RandomRotation(10, fill={tv_tensors.Mask: 255, "others": 0}),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Normalize([0.5] * 3, [0.25] * 3),
        ]
    )  # fmt: skip

    class Scenes(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return count

        def __getitem__(self, i: int):
            image, mask = transform(tv_tensors.Image(images[i]), tv_tensors.Mask(masks[i]))
            return torch.Tensor(image), mask.as_subclass(torch.Tensor).long()

    return Scenes()


def pytorch(count: int):
    """One epoch a call."""
    import torch
    from torch import nn

    loader = torch.utils.data.DataLoader(
        pairs(count), batch_size=BATCH, shuffle=True, drop_last=True
    )
    model = network().train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)

    def epoch() -> None:
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y, ignore_index=255).backward()
            optimizer.step()

    return epoch


def fastai(count: int):
    """One epoch a call."""
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner
    from torch import nn

    data = pairs(count)
    loaders = DataLoaders(
        DataLoader(data, bs=BATCH, shuffle=True, drop_last=True), DataLoader(data, bs=BATCH)
    )
    learner = Learner(loaders, network(), loss_func=nn.CrossEntropyLoss(ignore_index=255))
    learner.remove_cbs(
        [c for c in learner.cbs if type(c).__name__ in ("ProgressCallback", "Recorder")]
    )
    learner.validate = lambda *args, **kwargs: None  # training alone is timed
    learner._do_epoch_validate = lambda *args, **kwargs: None

    def epoch() -> None:
        learner.fit(1, 1e-3)

    return epoch


def striate(count: int):
    """One epoch a call."""
    import torch

    from striate.data import Preprocessing
    from striate.memory import keep_large_buffers
    from striate.tasks.segment.batches import CropBatches, MaskAugmentation, Pairs
    from striate.tasks.segment.loss import PixelCrossEntropy
    from striate.training.averaging import WeightAverage
    from striate.training.loop import Training, fit
    from striate.training.machine import choose_precision
    from striate.training.optimizers import make_optimizer
    from striate.training.recipe import Recipe
    from striate.training.schedule import Pace

    keep_large_buffers()
    split, _, _ = scenes(count)
    device = torch.device("cpu")
    preprocessing = Preprocessing(
        channels=3, height=SIDE, width=SIDE, mean=(0.5,) * 3, std=(0.25,) * 3
    )
    model = network().to(memory_format=torch.channels_last)
    recipe = Recipe(data="scenes", optimizer="muon", lr=0.02, weight_decay=0.01)
    batches = CropBatches(
        pairs=Pairs(split, preprocessing, in_memory=True), preprocessing=preprocessing,
        augmentation=MaskAugmentation(flip=True, rotate=10.0), crop=(SIDE, SIDE), batch=BATCH, foreground=0.5, seed=0,
        device=device,
    )  # fmt: skip
    optimizers = make_optimizer(recipe, [list(model.parameters())])

    def epoch() -> None:
        training = Training(
            model=model, optimizers=optimizers, average=WeightAverage(model, 0.99), pace=Pace(batches.steps_per_epoch),
            warmup=0.1, loss=PixelCrossEntropy(0.5), dtype=choose_precision("auto", device), device=device,
        )  # fmt: skip
        fit(training, batches)

    return epoch


def serve(contestant: Callable[[int], Callable[[], None]], count: int, threads: int) -> None:
    """A contestant: trains one epoch for each line on standard input, answers with its images a second."""
    import torch

    torch.set_num_threads(threads)
    epoch = contestant(count)
    epoch()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        epoch()
        print(count / (time.perf_counter() - start), flush=True)


def compare(
    file: str, about: str, contestants: Mapping[str, Any], *, peers: str, images: int, threads: int
) -> None:
    """Measure and print: `contestants` by name, each a function of the number of images that makes an epoch to call."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=images)
    parser.add_argument("--peers", default=peers)
    parser.add_argument("--serve")
    a = parser.parse_args()
    if a.serve:
        return serve(contestants[a.serve], a.images, threads)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
    running = {}
    for name in ["striate", *a.peers.split(",")]:
        command = [sys.executable, file, "--serve", name, "--images", str(a.images)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment,
        )  # fmt: skip
        assert process.stdout is not None
        if any(line.strip() == "ready" for line in iter(process.stdout.readline, "")):
            running[name] = process
        else:
            assert process.stderr is not None
            last = (process.stderr.read().strip().splitlines() or ["no answer"])[-1]
            print(f"{name}: left out ({last})")
    rates: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(a.rounds):
        for name, process in running.items():
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            rates[name].append(float(process.stdout.readline()))
    for name, found in rates.items():
        line = f"{name:9} {statistics.median(found):6.0f} images/s ({min(found):.0f} - {max(found):.0f})"
        if name != "striate":
            ratios = [ours / theirs for ours, theirs in zip(rates["striate"], found, strict=True)]
            line += f"   Striate is {statistics.median(ratios):.2f} times as fast ({min(ratios):.2f} - {max(ratios):.2f})"
        print(line)
    for process in running.values():
        process.kill()


if __name__ == "__main__":
    compare(__file__, __doc__, globals(), peers="pytorch,fastai", images=384, threads=THREADS)
