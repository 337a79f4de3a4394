"""A U-Net on a large image: whole, MONAI's sliding windows, and Striate's tiles, in turn.

    python benchmarks/tiled_unet.py [--network small|large|zoo] [--size 4096] [--memory 2GB] [--rounds 5] [--append F]

small: MONAI's U-Net with batch norm in evaluation mode. large: the U-Net of 2015 with padded convolutions, 31 million
parameters. zoo: the U-Net that `striate train scenes --model unet` trains. Each run is a process of its own: it makes
the network and the image, runs a small image once, notes its memory, and times one run. Whole-image inference has two
figures: as it runs, and tuned, which is channels-last and run for the second time with an allocator that keeps its memory
(`striate.memory`). Printed are seconds, the
peak of memory above the loaded model and image, the largest difference from whole-image inference divided by the
largest value of it, and the ratio of times, round by round.
Threads: two, as in all benchmarks here. A peer that is not installed is left out; `--prefix 'nice -n -20'` goes before
each run. With `--append` each round adds a line to a file, and the table holds all rounds of that file; `--rounds 0`
prints it alone. `--json F` writes what `collect.py` reads.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from collect import write
from fresh import child, three, watched

CONTESTANTS = (
    "whole", "whole, tuned", "monai", "striate", "striate to a file",
)  # fmt: skip
SMALL, LARGE, ZOO = "small", "large", "zoo"
CHANNELS = {SMALL: 1, LARGE: 1, ZOO: 3}
WHAT = {SMALL: "MONAI's U-Net", LARGE: "U-Net of 31 million parameters", ZOO: "U-Net of our zoo"}


def small() -> Any:
    """MONAI's U-Net as its tutorials make it, without residual units."""
    from monai.networks.nets import UNet

    return UNet(
        spatial_dims=2, in_channels=1, out_channels=1, channels=(16, 32, 64, 128), strides=(2, 2, 2), norm="batch"
    )  # fmt: skip


def large() -> Any:
    """Ronneberger, Fischer and Brox's network, its convolutions padded: 31,031,745 parameters. In place where it can be."""
    import torch
    from torch import nn

    def double(a: int, b: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(a, b, 3, padding=1), nn.ReLU(True), nn.Conv2d(b, b, 3, padding=1), nn.ReLU(True)
        )  # fmt: skip

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = (64, 128, 256, 512, 1024)
            self.left = nn.ModuleList(
                double(a, b) for a, b in zip((1, *widths), widths, strict=False)
            )
            self.up = nn.ModuleList(
                nn.ConvTranspose2d(2 * w, w, 2, 2) for w in reversed(widths[:-1])
            )
            self.right = nn.ModuleList(double(2 * w, w) for w in reversed(widths[:-1]))
            self.out = nn.Conv2d(64, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            bridges = []
            for block in self.left[:-1]:
                x = block(x)
                bridges.append(x)
                x = nn.functional.max_pool2d(x, 2)
            x = self.left[-1](x)
            for up, block in zip(self.up, self.right, strict=True):
                x = torch.cat((bridges.pop(), up(x)), 1)
                x = block(x)
            return self.out(x)

    return UNet()


def zoo() -> Any:
    """The zoo's U-Net for the classes of `scenes`."""
    import torch

    from striate.models import build

    module = build("unet", num_classes=11, in_channels=3)
    module(torch.rand(1, 3, 64, 64))
    return module


def settled(module: Any) -> Any:
    """In evaluation mode, with statistics in the batch norms as after training."""
    import torch

    generator = torch.Generator().manual_seed(1)
    for m in module.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.1, generator=generator)
            m.running_var.uniform_(0.5, 2, generator=generator)
    return module.eval()


def run(args: argparse.Namespace) -> None:
    """One run, in this process."""
    import numpy as np
    import torch

    torch.set_num_threads(2)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    module = settled({SMALL: small, LARGE: large, ZOO: zoo}[args.network]())
    image = torch.rand(1, CHANNELS[args.network], args.size, args.size)
    crop = image[..., :256, :256].contiguous()
    reference, folder = Path(args.folder) / "whole.npy", Path(args.folder)
    found: dict[str, Any] = {}
    work: Callable[[], Any] = lambda: module(image)  # noqa: E731
    if args.run == "whole, tuned":
        module, image = (t.to(memory_format=torch.channels_last) for t in (module, image))
        crop = crop.to(memory_format=torch.channels_last)
    if args.run == "monai":
        from monai.inferers import sliding_window_inference

        def work() -> Any:
            return sliding_window_inference(image, 512, 4, module, overlap=0.25)

        sliding_window_inference(crop, 128, 4, module, overlap=0.25)
    elif args.run.startswith("striate"):
        from striate.inference.tiled import Tiled, tiled

        out = folder / "tiled.npy" if args.run == "striate to a file" else None
        tiled(module, crop, tile=128)

        def work() -> Any:
            job = Tiled(module, image, memory=args.memory, out=out)
            found["plan"] = str(job.plan)
            return job.run(force=True)
    elif args.run == "whole, tuned":
        from striate.memory import keep_large_buffers

        keep_large_buffers()
        module(image)
    else:
        module(crop)
    result, figures = watched(work)
    array = np.load(result, mmap_mode="r")[None] if isinstance(result, Path) else result.numpy()
    if not reference.exists():
        assert args.run == "whole"
        np.save(reference, array)
    whole = np.load(reference, mmap_mode="r")
    rows = range(0, args.size, 256)
    off = max(
        float(np.abs(array[:, :, r : r + 256] - whole[:, :, r : r + 256]).max()) for r in rows
    )
    top = max(float(np.abs(whole[:, :, r : r + 256]).max()) for r in rows)
    found |= figures | {"difference": off / top, "absolute": off, "deviation": float(whole.std())}
    print(json.dumps(found))


def measure(args: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """What each contestant's runs printed, in rounds."""
    names = [n for n in CONTESTANTS if n not in args.without]
    try:
        import monai  # noqa: F401
    except ImportError:
        if args.network == SMALL:
            sys.exit("the small network is MONAI's: pip install monai")
        names.remove("monai")
    kept = args.append.read_text().splitlines() if args.append and args.append.exists() else []
    rounds = [json.loads(line) for line in kept]
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(args.rounds):
            rounds.append({})
            for name in names:  # whole first: its result is what the others are compared with
                same = [
                    "--network",
                    args.network,
                    "--size",
                    str(args.size),
                    "--memory",
                    args.memory,
                ]
                figures = child([*same, "--run", name, "--folder", folder], args.prefix)
                if figures is None:
                    sys.exit(f"{name}: not enough memory in this machine; choose a smaller --size")
                rounds[-1][name] = figures
            if args.append:
                with args.append.open("a") as file:
                    file.write(json.dumps(rounds[-1]) + "\n")
    return {n: [r[n] for r in rounds] for n in rounds[0]}


def show(found: dict[str, list[dict[str, Any]]]) -> None:
    """A table for people."""
    print(
        f"{'':20}{'seconds':>22}{'MB above the model':>22}{'difference':>12}  Striate's time / this (striate, to a file)"
    )
    for name, rounds in found.items():
        seconds = three([r["seconds"] for r in rounds], ".2f")
        size = three([r["bytes"] / 1e6 for r in rounds], ",.0f")
        worst = max(r["difference"] for r in rounds)
        ratios = "   ".join(
            three([s["seconds"] / r["seconds"] for s, r in zip(found[ours], rounds, strict=True)], ".2f")
            for ours in found if ours.startswith("striate") and not name.startswith("striate")
        )  # fmt: skip
        print(f"{name:20}{seconds:>22}{size:>22}{worst:>12.1e}  {ratios}")
    first = next(iter(found.values()))[0]
    print(f"standard deviation of the output: {first['deviation']:.3g}")
    for name, rounds in found.items():
        if "plan" in rounds[0]:
            print(f"{name}: {rounds[0]['plan']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=tuple(CHANNELS), default=SMALL)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without", nargs="*", default=[], choices=CONTESTANTS)
    parser.add_argument("--prefix", default="")
    parser.add_argument("--append", type=Path)
    parser.add_argument("--run", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.run:
        run(args)
        return
    found = measure(args)
    show(found)
    if args.json is not None:
        seconds = {name: [r["seconds"] for r in rounds] for name, rounds in found.items()}
        write(
            args.json, name="tiled_unet", ours="striate", work=args.size**2 / 1e6, unit="megapixels/s",
            rounds=[dict(zip(seconds, row, strict=True)) for row in zip(*seconds.values(), strict=True)],
            what=f"{WHAT[args.network]}, {args.size} x {args.size}, {args.memory} allowed",
        )  # fmt: skip


if __name__ == "__main__":
    main()
