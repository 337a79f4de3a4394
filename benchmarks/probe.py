"""Probes: corruption, shift and PGD of a small network, against a plain loop of torchvision's transforms and torchattacks.

    python benchmarks/probe.py [--images 2000] [--attacked 256] [--rounds 5] [--json]

Corruption and shift: the plain loop transforms each image by torchvision.transforms.v2, in batches of 256, and runs the
network; both do the same eight corruptions at severity 3 (Gaussian noise, Gaussian blur, brightness, darkness, contrast,
JPEG, elastic, pixelate) and the same shifts by 1 to 6 pixels in four directions. Striate's side is what `striate probe`
computes, and is timed without and with the recording of channels. PGD: L-inf, 8/255, ten steps, on the same images;
left out where torchattacks is not installed. The network is Striate's default for 28 x 28 pixels after 60 steps on enlarged
digits. Each round runs all in turns. Printed are the ratio peer / Striate (least, median, most over the
rounds), the cost of recording, and for PGD the accuracies that both leave. Threads: two.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from striate.data import open_source
from striate.models import build
from striate.robustness import Context, Recorder, corrupted
from striate.robustness.attack import pgd
from striate.robustness.transforms import shifted

try:
    import torchattacks
except ImportError:
    torchattacks = None

BATCH = 256
SHIFTS = [(r, c) for d in (1, 2, 3, 4, 6) for r, c in ((0, d), (0, -d), (d, 0), (-d, 0))]
STRENGTH = 8 / 255
# Striate's name, torchvision's transform of the same strength at severity 3 of 28 pixels.
CORRUPTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gaussian noise": v2.GaussianNoise(sigma=0.12),
    "gaussian blur": v2.GaussianBlur(7, 0.84),
    "brightness": v2.Lambda(lambda x: (x + 0.3).clamp(0, 1)),
    "darkness": v2.ColorJitter(brightness=(0.4, 0.4)),
    "contrast": v2.ColorJitter(contrast=(0.35, 0.35)),
    "jpeg": v2.Compose([v2.ToDtype(torch.uint8, scale=True), v2.JPEG(20), v2.ToDtype(torch.float32, scale=True)]),
    "elastic": v2.ElasticTransform(alpha=30.0),
    "pixelate": v2.Compose([v2.Resize(13, antialias=True), v2.Resize(28, v2.InterpolationMode.NEAREST_EXACT)]),
}  # fmt: skip


def plain(model: nn.Module, images: Tensor, labels: Tensor, change: Callable[[Tensor], Tensor]) -> float:  # fmt: skip
    """Accuracy, as a person writes the loop with torchvision: each image is transformed, as a data set does it."""
    right = 0
    with torch.inference_mode():
        for x, y in zip(images.split(BATCH), labels.split(BATCH), strict=True):
            batch = torch.stack([change(image) for image in x])
            right += int((model(batch).argmax(1) == y).sum())
    return right / len(images)


def batched(model: nn.Module, images: Tensor, labels: Tensor, change: Callable[[Tensor], Tensor]) -> float:  # fmt: skip
    """The same with the transform given whole batches, as a careful person writes it."""
    right = 0
    with torch.inference_mode():
        for x, y in zip(images.split(BATCH), labels.split(BATCH), strict=True):
            right += int((model(change(x)).argmax(1) == y).sum())
    return right / len(images)


def moves(loop: Callable[..., float], *given: Any) -> None:
    """All shifts by torchvision's affine transform."""
    for r, c in SHIFTS:
        loop(*given, lambda x, r=r, c=c: v2.functional.affine(x, 0.0, [c, r], 1.0, [0.0]))


def digits(count: int) -> tuple[Tensor, Tensor]:
    """Digits enlarged to 28 pixels, (N, 1, 28, 28) in [0, 1], and labels; repeated where there are not enough."""
    split = open_source("digits", seed=0).train
    small = torch.stack(
        [torch.from_numpy(split.image(i)).float().view(1, 8, 8) for i in range(len(split))]
    )
    large = torch.nn.functional.interpolate(small / small.max(), (28, 28), mode="bilinear")
    at = torch.arange(count) % len(large)
    return large[at], torch.from_numpy(split.labels)[at]


def learned(images: Tensor, labels: Tensor) -> nn.Module:
    """Striate's default network for 28 x 28 pixels after 60 steps on the images: enough for an attack to mean something."""
    model = build("compact", in_channels=1, num_classes=10, size=(28, 28))
    step = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(60):
        at = torch.randint(len(images), (64,))
        step.zero_grad()
        torch.nn.functional.cross_entropy(model(images[at]), labels[at]).backward()
        step.step()
    return model.eval().to(memory_format=torch.channels_last)


def calls(count: int, attacked: int) -> dict[str, dict[str, Callable[[], Any]]]:
    """Task -> tool -> what does it."""
    torch.manual_seed(0)
    images, labels = digits(count)
    model = learned(images, labels)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    names = [str(i) for i in range(10)]
    context = Context(model, images, labels, names)
    heard = Context(model, images, labels, names, recorder=Recorder(model))
    some, theirs = images[:attacked], labels[:attacked]

    def corruption(e: Context) -> None:
        for name in CORRUPTIONS:
            e.is_correct(corrupted(e.images, name, 3), note=name)

    def shift(e: Context) -> None:
        for r, c in SHIFTS:
            e.is_correct(shifted(e.images, r, c), note="shift")

    def ours() -> float:
        g = torch.Generator().manual_seed(0)
        found = pgd(model, some, theirs, STRENGTH, steps=10, generator=g)
        return float((model(found).argmax(1) == theirs).float().mean())

    given = (model, images, labels)
    table: dict[str, dict[str, Callable[[], Any]]] = {
        "corruption": {
            "striate": lambda: corruption(context),
            "striate, recording": lambda: corruption(heard),
            "loop over images": lambda: [plain(*given, c) for c in CORRUPTIONS.values()],
            "loop over batches": lambda: [batched(*given, c) for c in CORRUPTIONS.values()],
        },
        "shift": {
            "striate": lambda: shift(context),
            "striate, recording": lambda: shift(heard),
            "loop over images": lambda: moves(plain, *given),
            "loop over batches": lambda: moves(batched, *given),
        },
        "PGD": {"striate": ours},
    }
    if torchattacks is not None:
        attack = torchattacks.PGD(model, eps=STRENGTH, alpha=STRENGTH / 4, steps=10)

        def peer() -> float:
            parts = zip(some.split(BATCH), theirs.split(BATCH), strict=True)
            found = torch.cat([attack(x, y) for x, y in parts])
            return float((model(found).argmax(1) == theirs).float().mean())

        table["PGD"]["torchattacks"] = peer
    return table


def measure(rounds: int, count: int, attacked: int) -> dict[str, Any]:
    """Seconds of each tool in each round, and what PGD leaves."""
    table = calls(count, attacked)
    for tools in table.values():  # warm: kernels and memory
        tools["striate"]()
    times: dict[str, dict[str, list[float]]] = {t: {n: [] for n in tools} for t, tools in table.items()}  # fmt: skip
    left: dict[str, float] = {}
    for i in range(rounds):
        for task, tools in table.items():
            names = list(tools) if i % 2 else list(tools)[::-1]
            for name in names:
                began = time.perf_counter()
                found = tools[name]()
                times[task][name].append(time.perf_counter() - began)
                if task == "PGD":
                    left[name] = found
    return {"times": times, "left": left, "images": count, "attacked": attacked}


def main() -> None:
    """Run the rounds and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--attacked", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(2)
    result = measure(given.rounds, given.images, given.attacked)
    if given.json:
        print(json.dumps(result, indent=1))
        return
    for task, tools in result["times"].items():
        ours = tools["striate"]
        for name, seconds in tools.items():
            ratios = sorted(t / o for t, o in zip(seconds, ours, strict=True))
            print(
                f"{task:12} {name:20} {statistics.median(seconds):7.2f} s   "
                f"{ratios[0]:5.2f} {statistics.median(ratios):5.2f} {ratios[-1]:5.2f} x striate"
            )
    print(f"accuracy that PGD leaves: {result['left']}")
    if torchattacks is None:
        print("torchattacks is not installed: PGD has no peer here")


if __name__ == "__main__":
    main()
