"""Perceptual distance of pairs against the forward passes that it needs, in turn in one process.

    PYTHONPATH=src python benchmarks/perceptual.py --pairs 200 --rounds 5

Prints the ratio of times with median, min and max; the forward pass is the module's own, channels last, both images.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from striate.memory import keep_large_buffers
from striate.runs.opening import open_trained
from striate.similarity import Comparer


def main() -> None:
    """Run the rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--network", default="efficientnet-lite0")
    given = parser.parse_args()
    keep_large_buffers()
    torch.manual_seed(0)
    trained = open_trained(given.network)
    known = trained.preprocessing
    comparer = Comparer(
        trained.model, (1, 3, given.side, given.side), mean=known.mean, std=known.std
    )
    a = torch.rand(given.pairs, 3, given.side, given.side)
    b = (a + 0.1 * torch.randn_like(a)).clamp(0, 1)
    ratios = []
    for _ in range(given.rounds + 1):
        started = time.perf_counter()
        with torch.inference_mode():
            for x, y in zip(a.split(10), b.split(10), strict=True):
                images = torch.cat((x, y)).contiguous(memory_format=torch.channels_last)
                trained.pixels(images)
        middle = time.perf_counter()
        comparer(a, b)
        ended = time.perf_counter()
        ratios.append((ended - middle) / (middle - started))
        print(
            f"forward {middle - started:.2f} s, distance {ended - middle:.2f} s, ratio {ratios[-1]:.2f}"
        )
    kept = ratios[1:]
    print(
        f"ratio {statistics.median(kept):.2f} ({min(kept):.2f} to {max(kept):.2f}) over {given.rounds} rounds"
    )


if __name__ == "__main__":
    main()
