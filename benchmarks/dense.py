"""Dense prediction: a batched loop over patches and `striate.dense` in turn, on the same network and image.

    python benchmarks/dense.py [--size 512] [--window 64] [--rounds 5] [--sample 512] [--threads 2]

A small network without padding (three convolutions, two poolings, 16 to 64 channels, a linear layer on the mean) with
random weights; an image of noise; stride 1, so 449 x 449 = 201,601 patches of a 512 x 512 image. The loop runs patches in
batches of the fastest size of 16, 64 and 256, found before the first round, in inference mode; each round it runs a sample
of patches, another one each time, and its seconds are scaled to all patches. Striate's call is timed whole, from module and
image to scores. Ratios are taken within a round; the difference is the largest on the sampled patches, relative to the
largest score. Both keep large buffers.
"""

from __future__ import annotations

import argparse
import time

import torch
from fresh import three
from torch import Tensor, nn

import striate
from striate.memory import keep_large_buffers


def network() -> nn.Module:
    """Window 64: 62, 31, 29, 14, 12 positions a side."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    ).eval()  # fmt: skip


def loop(module: nn.Module, patches: Tensor, batch: int) -> tuple[Tensor, float]:
    """Scores of the patches and seconds."""
    began = time.perf_counter()
    scores = torch.cat([module(part.contiguous()) for part in patches.split(batch)])
    return scores, time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (
        ("size", 512),
        ("window", 64),
        ("rounds", 5),
        ("sample", 512),
        ("threads", 2),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_large_buffers()
    module, image = network(), torch.randn(1, 3, args.size, args.size)
    windows = image.unfold(2, args.window, 1).unfold(3, args.window, 1)[0]
    side = windows.shape[1]
    ratios, ours, theirs, differences = [], [], [], []
    with torch.inference_mode():

        def sample() -> tuple[Tensor, Tensor, Tensor]:
            r, c = torch.randint(side, (2, args.sample))
            return r, c, windows[:, r, c].movedim(1, 0).contiguous()

        patches = sample()[2]
        loop(module, patches, 64)
        batch = min((16, 64, 256), key=lambda n: loop(module, patches, n)[1])
        striate.dense(module, image[..., : 2 * args.window, : 2 * args.window], window=args.window)
        striate.dense(module, image, window=args.window)
        for _ in range(args.rounds):
            r, c, patches = sample()
            expected, seconds = loop(module, patches, batch)
            theirs.append(seconds * side * side / args.sample)
            began = time.perf_counter()
            found = striate.dense(module, image, window=args.window, stride=1)
            ours.append(time.perf_counter() - began)
            ratios.append(theirs[-1] / ours[-1])
            gap = (found[0][:, r, c].t() - expected).abs().max() / expected.abs().max()
            differences.append(float(gap))
    print(
        f"{side * side} patches; loop on {args.sample} of them a round, batches of {batch}, scaled"
    )
    print(f"loop     {three(theirs, '.1f')} s")
    print(f"striate  {three(ours, '.3f')} s")
    print(f"ratio    {three(ratios, '.0f')}, largest relative difference {max(differences):.1e}")


if __name__ == "__main__":
    main()
