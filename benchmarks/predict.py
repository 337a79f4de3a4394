"""Prediction from files: Striate, and a plain PyTorch loop as who knows what he does writes it, in turn.

    python benchmarks/predict.py [--images 200] [--rounds 5] [--workers 0 1 2] [--batch 4 8 16] [--json FILE]

EfficientNet-Lite0 with its ImageNet weights on JPEGs of 224 x 224 pixels, end to end: files to named classes. The loop has
bfloat16 where the processor multiplies it, channels-last, kept buffers (the allocator is set for the whole process), and the
fastest of the given batches and numbers of DataLoader workers, tried once before the rounds. Beside both stand the network
alone, on tensors that are ready, as the loop runs it and as Striate does (folded). The images are made: smooth colours with
noise, as large on disk as photographs are. Two threads, as in all benchmarks here. `--json` writes what `collect.py` reads.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from collect import processor, write
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from striate import predict
from striate.memory import keep_large_buffers
from striate.models import build
from striate.runs.opening import open_trained
from striate.tasks.forward import Forward
from striate.training.machine import choose_precision

SIDE, THREADS = 224, 2
KEPT = 0.875  # of the side, as the weights were trained


def make_images(folder: Path, count: int) -> list[str]:
    """JPEGs (SIDE, SIDE) of quality 88."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(count):
        small = rng.integers(0, 256, (12, 12, 3)).astype(np.uint8)
        smooth = np.asarray(Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        noisy = smooth.astype(np.int16) + rng.integers(-12, 13, (SIDE, SIDE, 1))
        paths.append(str(folder / f"{i:05d}.jpg"))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(paths[-1], quality=88)
    return paths


class Files(Dataset):
    """Each file as the network takes it: float32 (3, SIDE, SIDE)."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths
        edge = SIDE * (1 - KEPT) / 2
        self.box = (edge, edge, SIDE - edge, SIDE - edge)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.paths[index]) as file:
            image = file.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=self.box)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        return (pixels.float() - 127) / 128


def network_alone(
    network: torch.nn.Module, batch: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Logits (N, 1000)."""
    x = batch.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        return network(x).float()


def loop(network: torch.nn.Module, paths: list[str], dtype: torch.dtype, batch: int, workers: int) -> list[int]:  # fmt: skip
    """The most likely class of each file."""
    loader = DataLoader(Files(paths), batch_size=batch, num_workers=workers)
    classes: list[int] = []
    for x in loader:
        classes += network_alone(network, x, dtype).argmax(1).tolist()
    return classes


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """How long it took, and what it gave."""
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--batch", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(THREADS)
    keep_large_buffers()
    trained = open_trained("efficientnet-lite0")
    network = build("efficientnet-lite0", num_classes=1000, pretrained=True).eval()
    network = network.to(memory_format=torch.channels_last)
    dtype = choose_precision("auto", torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        paths = make_images(Path(folder), given.images)
        few = paths[: max(32, given.images // 4)]
        loop(network, few, dtype, 8, 0)  # warm
        tried = {
            (b, w): seconds(lambda b=b, w=w: loop(network, few, dtype, b, w))[0]
            for b, w in itertools.product(given.batch, given.workers)
        }
        batch, workers = min(tried, key=lambda pair: tried[pair])
        ready = torch.stack([Files(paths)[i] for i in range(len(paths))])
        forward = Forward(trained, torch.device("cpu"), len(paths))
        pixels = [trained.task.read(trained, Path(p)) for p in paths]
        contestants: dict[str, Callable[[], Any]] = {
            "striate": lambda: [p.rows(1) for p in predict(trained, paths)],
            f"loop, batch {batch}, {workers} workers": lambda: loop(network, paths, dtype, batch, workers),
            f"network alone, batch {batch}": lambda: [
                network_alone(network, part, dtype) for part in ready.split(batch)
            ],
            "folded alone": lambda: list(forward.stream(pixels, lambda image: image)),
        }  # fmt: skip
        rounds: list[dict[str, float]] = []
        for i in range(given.rounds):
            order = list(contestants)[i % 4 :] + list(contestants)[: i % 4]
            rounds.append({name: seconds(contestants[name])[0] for name in order})
            print(", ".join(f"{n} {given.images / s:.1f}/s" for n, s in rounds[-1].items()), flush=True)  # fmt: skip
        classes = loop(network, paths, dtype, batch, workers)
        said = [trained.classes[c] for c in classes]
        ours = [p.rows(1)[0]["class_1"] for p in predict(trained, paths)]
        same = np.mean([a == b for a, b in zip(ours, said, strict=True)])
    print(
        f"{processor()}, torch {torch.__version__}, {dtype}: {same:.1%} of the files have the same class"
    )
    if given.json is not None:
        write(
            given.json, name="predict", ours="striate", work=given.images, unit="images/s", rounds=rounds,
            what=f"EfficientNet-Lite0 from {given.images} JPEGs of 224 pixels, {str(dtype)[6:]}", agreement=float(same),
        )  # fmt: skip


if __name__ == "__main__":
    main()
