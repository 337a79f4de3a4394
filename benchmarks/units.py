"""The pass over a data set against one plain forward pass, and a step of activation maximisation against torch-lucent's.

    python benchmarks/units.py [--images 10000] [--rounds 3] [--model compact] [--steps 20] [--json FILE]

Contestants take turns within a round and the ratio is taken within it; the first round is not counted. The pass looks at
every unit of every layer of the network that `striate train fashion-mnist` chooses; the plain forward pass is the module
itself on the same batches under `torch.inference_mode`. torch-lucent is left out, and named, where it is not installed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from collect import write

from striate.data import open_source
from striate.models import build
from striate.units import Network, index_units, maximise

BATCH = 256


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def the_pass(count: int, rounds: int, spec: str, file: Path | None) -> None:
    """Print the ratio of the pass to a forward pass."""
    source = open_source("fashion-mnist")
    split = source.test if len(source.test) >= count else source.train
    images = torch.from_numpy(split.array[:count]).permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(split.labels[:count])
    torch.manual_seed(0)
    model = build(spec, in_channels=1, num_classes=10, size=28).eval()
    model = model.to(memory_format=torch.channels_last)
    network = Network(model, (1, 1, 28, 28), mean=[0.286], std=[0.353])
    batches = list(zip(images.split(BATCH), labels.split(BATCH), strict=True))
    state = 0

    def plain() -> None:
        with torch.inference_mode():
            for some, _ in batches:
                x = (some.float() / 255 - 0.286) / 0.353
                model(x.contiguous(memory_format=torch.channels_last))

    def indexed() -> None:
        nonlocal state
        state = index_units(network, batches, classes=10).state_bytes

    rows = [(timed(plain), timed(indexed)) for _ in range(rounds + 1)][1:]
    ratios = [b / a for a, b in rows]
    units = sum(layer.units for layer in network.layers)
    print(
        f"{spec}, {len(images):,} images, {units} units in {len(network.layers)} layers, {torch.get_num_threads()} threads: "
        f"forward {statistics.median(a for a, _ in rows):.2f} s, pass {statistics.median(b for _, b in rows):.2f} s, "
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); it holds {state / 1e6:.2f} MB"
    )
    if file is not None:
        write(
            file, name="units", ours="striate", work=len(images), unit="images/s",
            rounds=[{"one plain forward pass": a, "striate": b} for a, b in rows],
            what=f"every unit's top crops, statistics and selectivity, {spec}, {len(images):,} images",
        )  # fmt: skip


def synthesis(steps: int, rounds: int) -> None:
    """Print seconds a step for a middle channel of ResNet-18, beside torch-lucent's."""
    torch.manual_seed(0)
    model = build("resnet18", in_channels=3, num_classes=1000, size=224).eval()
    network = Network(model, (1, 3, 224, 224))
    layer = network.layer("layer2.0.conv1")

    def ours() -> None:
        maximise(network, layer, 5, what="channel", steps=steps, seeds=1)

    try:
        from lucent.optvis import objectives, param, render
    except ImportError as error:
        print(f"torch-lucent is not installed ({error}); ours alone")
        seconds = statistics.median(timed(ours) for _ in range(rounds))
        print(f"resnet18 layer2.0.conv1:5, 224 pixels: {seconds / steps * 1000:.0f} ms a step")
        return

    def theirs() -> None:
        render.render_vis(
            model, objectives.channel("layer2_0_conv1", 5), lambda: param.image(224), thresholds=(steps,),
            show_image=False, progress=False, verbose=False,
        )  # fmt: skip

    rows = [(timed(ours), timed(theirs)) for _ in range(rounds + 1)][1:]
    a, b = (statistics.median(column) / steps * 1000 for column in zip(*rows, strict=True))
    print(
        f"resnet18 layer2.0.conv1:5, 224 pixels: ours {a:.0f} ms a step, torch-lucent {b:.0f} ms, {b / a:.2f} times"
    )


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    the_pass(arguments.images, arguments.rounds, arguments.model, arguments.json)
    if arguments.steps:
        synthesis(arguments.steps, arguments.rounds)


if __name__ == "__main__":
    main()
