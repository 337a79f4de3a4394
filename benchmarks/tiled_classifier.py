"""Logits of a gigapixel image: ResNet-50 by Striate's tiles, against the speed of a plain 1024 x 1024 forward pass.

    python benchmarks/tiled_classifier.py [--size 8192] [--memory 2GB] [--rounds 5] [--append FILE]

The whole image cannot run as one, so the reference is the time that its multiply-adds take at the plain module's speed
on a 1024 x 1024 image (the median of five passes after one, with an allocator that keeps its memory, so that the
reference is as fast as torch is). The image is a tiled TIFF of 8-bit RGB on disk, not compressed. Each run is a process
of its own; the peak of memory is above the loaded model. The difference is that of the certificate: sampled crops of the
last feature map, computed again by the plain module's operations. Threads: two. `--prefix 'nice -n -20'` goes before
each run. With `--append` each round adds a line to a file, and the table holds all rounds of that file; `--rounds 0`
prints it alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fresh import child, three, watched

SMALL = 1024
TILE = 512


def network() -> Any:
    """torchvision's ResNet-50 in evaluation mode."""
    import torch
    from torchvision.models import resnet50

    torch.set_num_threads(2)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    return resnet50().eval()


def write_image(path: Path, size: int) -> None:
    """A tiled TIFF of noise on gradients."""
    import numpy as np
    import tifffile

    def tiles() -> Iterator[Any]:
        rng = np.random.default_rng(0)
        for row in range(0, size, TILE):
            for column in range(0, size, TILE):
                noise = rng.integers(0, 128, (TILE, TILE, 3), dtype=np.uint8)
                yield noise + np.uint8(64 * (row + column) // size)

    tifffile.imwrite(
        path, tiles(), shape=(size, size, 3), dtype=np.uint8, tile=(TILE, TILE), photometric="rgb"
    )


def plain() -> dict[str, Any]:
    """Multiply-adds a second of plain forward passes."""
    import torch

    from striate.geometry import trace
    from striate.memory import keep_large_buffers

    keep_large_buffers()
    module = network().to(memory_format=torch.channels_last)
    image = torch.rand(1, 3, SMALL, SMALL).contiguous(memory_format=torch.channels_last)
    macs = trace(module, image.shape).total_macs
    seconds = []
    for _ in range(6):
        began = time.perf_counter()
        module(image)
        seconds.append(time.perf_counter() - began)
    middle = statistics.median(seconds[1:])
    return {"seconds": middle, "macs": macs, "speed": macs / middle}


def striate(path: Path, memory: str) -> dict[str, Any]:
    """One run over the whole image."""
    import torch

    from striate.inference.tiled import Tiled, tiled

    module = network()
    tiled(module, torch.rand(1, 3, 256, 256), tile=128)
    found: dict[str, Any] = {}

    def work() -> Any:
        job = Tiled(module, path, memory=memory)
        found["plan"], found["macs"] = str(job.plan), job.geometry.total_macs
        logits = job.run(certificate=True)
        found["difference"], found["run"] = job.certificate.difference, job.certificate.seconds
        return logits

    _, figures = watched(work)
    return found | figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=8192)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prefix", default="")
    parser.add_argument("--append", type=Path)
    parser.add_argument("--run", choices=("plain", "striate"), help=argparse.SUPPRESS)
    parser.add_argument("--image", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        print(json.dumps(plain() if args.run == "plain" else striate(args.image, args.memory)))
        return
    kept = args.append.read_text().splitlines() if args.append and args.append.exists() else []
    rounds = [json.loads(line) for line in kept]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.tif"
        if args.rounds:
            write_image(path, args.size)
        for _ in range(args.rounds):
            reference = child(["--run", "plain"], args.prefix)
            ours = child(
                ["--run", "striate", "--image", str(path), "--memory", args.memory], args.prefix
            )
            assert reference is not None
            assert ours is not None
            ideal = ours["macs"] / reference["speed"]
            rounds.append(
                {"plain": reference, "striate": ours, "ideal": ideal, "ratio": ours["seconds"] / ideal}
            )  # fmt: skip
            if args.append:
                with args.append.open("a") as file:
                    file.write(json.dumps(rounds[-1]) + "\n")
    ours = [r["striate"] for r in rounds]
    print(
        f"{args.size} x {args.size} pixels, {ours[0]['macs'] / 1e12:.2f} T multiply-adds: {ours[0]['plan']}"
    )
    print(
        f"plain 1024 x 1024          {three([r['plain']['seconds'] for r in rounds], '.3f')} s, "
        f"{three([r['plain']['speed'] / 1e9 for r in rounds], '.0f')} G multiply-adds a second"
    )
    print(f"at that speed              {three([r['ideal'] for r in rounds], '.1f')} s")
    print(
        f"striate                    {three([o['seconds'] for o in ours], '.1f')} s, planning and certificate included"
    )
    print(f"ratio                      {three([r['ratio'] for r in rounds], '.2f')}")
    print(f"memory above the model     {three([o['bytes'] / 1e6 for o in ours], ',.0f')} MB")
    print(f"largest difference         {max(o['difference'] for o in ours):.1e}")


if __name__ == "__main__":
    main()
