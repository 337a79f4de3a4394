"""Dense prediction: the a-trous form of a network by hand, a batched loop over patches and `striate.dense` in turn.

    python benchmarks/dense.py [--size 512] [--window 64] [--rounds 5] [--sample 512] [--threads 2] [--json FILE]

A small network without padding (three convolutions, two poolings, 16 to 64 channels, a linear layer on the mean) with
random weights; an image of noise; stride 1, so 449 x 449 = 201,601 patches of a 512 x 512 image. The loop runs patches in
batches of the fastest size of 16, 64 and 256, found before the first round, in inference mode; each round it runs a sample
of patches, another one each time, and its seconds are scaled to all patches. Striate's call is timed whole, from module and
image to scores. Ratios are taken within a round; the difference is the largest on the sampled patches, relative to the
largest score. All keep large buffers.

The a-trous form is what a person who knows the network writes for it: every stride is made 1 and every later layer dilated,
images and weights lie channels last, activations are changed in place, the linear layer comes before the mean over
positions, which is two depthwise convolutions.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from collect import write
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


def a_trous(module: nn.Sequential, image: Tensor, count: int) -> Tensor:
    """Scores (1, 10, count, count) of every patch, by dilated layers."""
    last = torch.channels_last
    first, second, third, linear = module[0], module[3], module[6], module[10]
    x = image.contiguous(memory_format=last)
    x = F.relu_(F.conv2d(x, first.weight.contiguous(memory_format=last), first.bias))
    x = F.max_pool2d(x, 2, 1)
    x = F.relu_(F.conv2d(x, second.weight.contiguous(memory_format=last), second.bias, dilation=2))
    x = F.max_pool2d(x, 2, 1, dilation=2)
    x = F.relu_(F.conv2d(x, third.weight.contiguous(memory_format=last), third.bias, dilation=4))
    x = F.conv2d(x, linear.weight[:, :, None, None].contiguous(memory_format=last))
    mean = torch.full((10, 1, 12, 1), 1 / 12)
    x = F.conv2d(x, mean, dilation=(4, 1), groups=10)
    x = F.conv2d(x, mean.transpose(2, 3), linear.bias, dilation=(1, 4), groups=10)
    return x[..., :count, :count]


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
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_large_buffers()
    module, image = network(), torch.randn(1, 3, args.size, args.size)
    windows = image.unfold(2, args.window, 1).unfold(3, args.window, 1)[0]
    side = windows.shape[1]
    ratios, ours, theirs, differences = [], [], [], []
    by_hand, against_hand = [], []
    with torch.inference_mode():

        def sample() -> tuple[Tensor, Tensor, Tensor]:
            r, c = torch.randint(side, (2, args.sample))
            return r, c, windows[:, r, c].movedim(1, 0).contiguous()

        patches = sample()[2]
        loop(module, patches, 64)
        batch = min((16, 64, 256), key=lambda n: loop(module, patches, n)[1])
        striate.dense(module, image[..., : 2 * args.window, : 2 * args.window], window=args.window)
        striate.dense(module, image, window=args.window)
        a_trous(module, image, side)
        for _ in range(args.rounds):
            r, c, patches = sample()
            began = time.perf_counter()
            written = a_trous(module, image, side)
            by_hand.append(time.perf_counter() - began)
            expected, seconds = loop(module, patches, batch)
            theirs.append(seconds * side * side / args.sample)
            began = time.perf_counter()
            found = striate.dense(module, image, window=args.window, stride=1)
            ours.append(time.perf_counter() - began)
            ratios.append(theirs[-1] / ours[-1])
            gap = (found[0][:, r, c].t() - expected).abs().max() / expected.abs().max()
            differences.append(float(gap))
            against_hand.append(by_hand[-1] / ours[-1])
            assert torch.allclose(written, found, atol=1e-5)
    print(
        f"{side * side} patches; loop on {args.sample} of them a round, batches of {batch}, scaled"
    )
    print(f"a-trous  {three(by_hand, '.3f')} s")
    print(f"loop     {three(theirs, '.1f')} s")
    print(f"striate  {three(ours, '.3f')} s")
    print(f"ratio    {three(against_hand, '.2f')} of the a-trous form")
    print(
        f"ratio    {three(ratios, '.0f')} of the loop, largest relative difference {max(differences):.1e}"
    )
    if args.json is not None:
        columns = {"striate": ours, "a-trous form by hand": by_hand, "batched loop": theirs}
        rounds = [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
        write(
            args.json, name="dense", ours="striate", work=side * side, unit="patches/s", rounds=rounds,
            what=f"scores of a 64 x 64 patch classifier around every pixel of {args.size} x {args.size}",
        )  # fmt: skip


if __name__ == "__main__":
    main()
