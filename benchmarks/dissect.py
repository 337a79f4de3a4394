"""Dissection against the unit pass, the pass over the same images that keeps what every unit prefers.

    python benchmarks/dissect.py [--images 2000] [--rounds 3] [--model resnet18] [--size 112] [--units 1000] [--concepts 40]

Contestants take turns within a round and the ratio is taken within it, of processor time; the first round is not counted.
Layers are taken from the last on until there are as many units. Images and masks are made before, so that both measure the
network and what is done with its maps.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from striate.data import Preprocessing
from striate.models import build
from striate.tasks.concepts import generated
from striate.units import Network, index_units
from striate.units.concepts import ConceptSet
from striate.units.dissection import dissect_units, mapped_layers
from striate.units.top_images import batch_of


def timed(work: Callable[[], object]) -> float:
    """Seconds of processor time."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--concepts", type=int, default=40)
    given = parser.parse_args()
    torch.manual_seed(0)
    size = (given.size, given.size)
    module = build(given.model, in_channels=3, num_classes=10, size=size).eval()
    module = module.to(memory_format=torch.channels_last)
    network = Network(module, (1, 3, *size))
    layers, count = [], 0
    for layer in reversed(mapped_layers(network)):
        if count < given.units:
            layers.insert(0, layer)
            count += layer.units
    seen = Preprocessing(channels=3, height=size[0], width=size[1])
    scenes = generated(seen, count=given.images)
    images = np.stack([scenes.image(i) for i in range(given.images)])
    regions = [scenes.regions(i) for i in range(given.images)]
    kept = [type(r)(r.number, r.members[:, : given.concepts], r.known) for r in regions]
    concepts = ConceptSet(
        names=scenes.names[: given.concepts], kinds=scenes.kinds[: given.concepts],
        groups=scenes.groups[: given.concepts], count=given.images, image=lambda i: images[i],
        regions=lambda i: kept[i], where="scenes",
    )  # fmt: skip
    state = 0
    at_once = batch_of(network, [x.response for x in layers])  # as `striate units` takes them

    def indexed() -> None:
        index_units(network, torch.from_numpy(images).split(at_once), layers=layers)

    def dissected() -> None:
        nonlocal state
        state = dissect_units(network, concepts, layers=layers).state_bytes

    rows = [(timed(indexed), timed(dissected)) for _ in range(given.rounds + 1)][1:]
    ratios = [b / a for a, b in rows]
    print(
        f"{given.model}, {given.images:,} images of {given.size}, {count:,} units in {len(layers)} layers, "
        f"{len(concepts.names)} concepts, {torch.get_num_threads()} threads: unit pass "
        f"{statistics.median(a for a, _ in rows):.2f} s, dissection "
        f"{statistics.median(b for _, b in rows):.2f} s, ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to "
        f"{max(ratios):.2f}); it holds {state / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    main()
