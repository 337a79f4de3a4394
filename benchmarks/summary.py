"""Summaries: Striate's trace and table against torchinfo, ptflops and fvcore, in turn.

    python benchmarks/summary.py [--rounds 7] [--network NAME]... [--json]

Each round runs every tool once on the same module, in an order that rotates, so that a disturbance meets all of them.
Printed are the median time of each, the ratio peer / Striate (least, median, most over the rounds), and the multiply-adds
that each reports. A peer that is not installed is skipped. Threads: two, as in all benchmarks here.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import timm
import torch
from torch import nn
from torchvision import models

from striate.geometry import summary_rows, trace

SHAPE = (1, 3, 224, 224)
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "ResNet-152": models.resnet152,
    "DenseNet-201": models.densenet201,
    "EfficientNet-Lite0": lambda: timm.create_model("efficientnet_lite0"),
}


def ours(module: nn.Module) -> int | None:
    """Trace and the rows of the whole table."""
    geometry = trace(module, SHAPE)
    summary_rows(geometry)
    return geometry.total_macs


def torchinfo(module: nn.Module) -> int:
    from torchinfo import summary

    return summary(module, input_size=SHAPE, verbose=0, depth=10).total_mult_adds


def ptflops(module: nn.Module) -> int:
    from ptflops import get_model_complexity_info

    return get_model_complexity_info(
        module, SHAPE[1:], as_strings=False, print_per_layer_stat=False, verbose=False
    )[0]


def fvcore(module: nn.Module) -> int:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(module, torch.zeros(SHAPE))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return int(analysis.total())


PEERS: dict[str, Callable[[nn.Module], int | None]] = {
    "torchinfo": torchinfo,
    "ptflops": ptflops,
    "fvcore": fvcore,
}


def installed() -> dict[str, Callable[[nn.Module], int | None]]:
    """Striate and the peers that can be imported, each tried once on a small module."""
    found: dict[str, Callable[[nn.Module], int | None]] = {"striate": ours}
    for name, run in PEERS.items():
        try:
            quietly(run, nn.Sequential(nn.Conv2d(3, 1, 1), nn.ReLU()).eval())
            found[name] = run
        except ImportError:
            print(f"{name}: not installed, skipped")
    return found


def quietly(run: Callable[[nn.Module], int | None], module: nn.Module) -> tuple[float, int | None]:
    """(seconds, multiply-adds) of one run."""
    gc.collect()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        count = run(module)
        return time.perf_counter() - start, count


def measure(module: nn.Module, tools: dict[str, Any], rounds: int) -> dict[str, dict[str, Any]]:
    """Times and counts of every tool on one module."""
    names = list(tools)
    times: dict[str, list[float]] = {name: [] for name in names}
    counts: dict[str, int | None] = {}
    for name in names:
        quietly(tools[name], module)  # imports and caches
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            seconds, counts[name] = quietly(tools[name], module)
            times[name].append(seconds)
    found = {}
    for name in names:
        ratios = [t / o for t, o in zip(times[name], times["striate"], strict=True)]
        found[name] = {
            "milliseconds": round(1e3 * statistics.median(times[name]), 1),
            "ratio": [round(r, 2) for r in (min(ratios), statistics.median(ratios), max(ratios))],
            "multiply_adds": counts[name],
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--network", choices=NETWORKS, action="append", help="all if not given")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.rounds < 5:
        parser.error("five rounds or more, so that a disturbed one does not decide")
    torch.set_num_threads(2)
    tools = installed()
    found = {}
    for network in args.network or NETWORKS:
        found[network] = measure(NETWORKS[network]().eval(), tools, args.rounds)
        if args.json:
            continue
        print(
            f"\n{network}\n{'':12}{'median':>10}  {'peer / striate (least, median, most)':38}{'multiply-adds':>16}"
        )
        for name, row in found[network].items():
            least, median, most = row["ratio"]
            ratio = "" if name == "striate" else f"{least:>8.2f} {median:>8.2f} {most:>8.2f}"
            print(f"{name:12}{row['milliseconds']:>7.1f} ms  {ratio:38}{row['multiply_adds']:>16,}")
    if args.json:
        print(
            json.dumps(
                {"torch": torch.__version__, "rounds": args.rounds, "results": found}, indent=1
            )
        )


if __name__ == "__main__":
    main()
