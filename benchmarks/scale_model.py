"""What grows how: constants measured on this machine, and what they come to for up to a billion images on many workers.

Run: `python benchmarks/scale_model.py [--images 3000] [--workers 100] [--json FILE]`. It makes small images, a small network
and a large image in a temporary folder, measures what an image and a pixel cost in seconds, bytes on the disk and bytes of
memory, and prints a table: for each size of a job how long each stage takes, what it holds, and which one is the first that
more workers do not make shorter.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
import tracemalloc
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import striate
from striate import api
from striate.data import Preprocessing

SIDE = 64  # pixels of an image
LARGE = 2048  # pixels of a side of the image that is tiled
SIZES = (10**4, 10**6, 10**7, 10**8, 10**9)
HOUR = 3600.0


@dataclass(frozen=True)
class Constants:
    """Seconds, bytes on the disk and bytes of memory of one image or pixel.

    listed: seconds to find an image, held: bytes of memory of its name; predicted: seconds to read and predict it; kept:
    bytes of its row in a shard; merged: seconds to read a row again and print it. tiled: seconds of a pixel, piece: bytes of
    it in a shard, joined: seconds to put it into the result.
    """

    listed: float
    held: float
    predicted: float
    kept: float
    merged: float
    tiled: float
    piece: float
    joined: float
    peak: float


def measured(images: int, folder: Path) -> Constants:
    """The constants, by doing it."""
    rng = np.random.default_rng(0)
    some = [rng.integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8) for _ in range(16)]
    for i in range(images):
        place = folder / "images" / f"{i % 100:02}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(some[i % 16]).save(place / f"{i:07}.jpg")
    torch.manual_seed(0)
    how = Preprocessing(channels=3, height=32, width=32)
    network = striate.build(
        "[conv8-relu-pool]*2-gap-fc", in_channels=3, num_classes=10, size=(32, 32)
    )
    trained = striate.wrap(network, classes=[str(i) for i in range(10)], preprocessing=how)
    tracemalloc.start()
    began = time.perf_counter()
    found = api.find_files(str(folder / "images"))
    listed = time.perf_counter() - began
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    began = time.perf_counter()
    api.find_files(str(folder / "images"))
    listed = min(listed, time.perf_counter() - began)
    parts = folder / "parts"
    began = time.perf_counter()
    api.predict_shard(trained, found, parts, shard="1/1")
    predicted = time.perf_counter() - began
    kept = sum(p.stat().st_size for p in parts.rglob("block-*"))
    began = time.perf_counter()
    rows = sum(len(p.rows(1)) for p in api.merge(parts))  # type: ignore[union-attr]
    merged = time.perf_counter() - began
    assert rows == images
    segmenter = striate.build("unet", in_channels=3, num_classes=3, width=8)
    trained = striate.wrap(segmenter, classes=["a", "b", "c"], preprocessing=how, task="segment")
    large, pixels = folder / "large.npy", LARGE * LARGE
    np.save(large, rng.integers(0, 255, (3, LARGE, LARGE)).astype(np.uint8))
    began = time.perf_counter()
    tiles = folder / "tiles"
    api.tile_shard(trained, large, folder / "mask.npy", shard="1/1", parts=tiles, check=False)
    tiled = time.perf_counter() - began
    piece = sum(p.stat().st_size for p in tiles.rglob("band-*"))
    began = time.perf_counter()
    api.merge(tiles, run=trained)
    joined = time.perf_counter() - began
    return Constants(
        listed / images, held / images, predicted / images, kept / images, merged / images, tiled / pixels, piece / pixels,
        joined / pixels, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )  # fmt: skip


def stages(c: Constants, images: int, workers: int) -> dict[str, float]:
    """Seconds of each stage of predicting `images` by `workers`: those that are shared out, and those that are not."""
    return {
        "list (each)": c.listed * images,
        "predict (shared)": c.predicted * images / workers,
        "merge (one)": c.merged * images,
    }


def first_bottleneck(c: Constants, images: int, workers: int, memory: float) -> str:
    """What stands in the way first: memory for the list, or the longest of the stages that more workers do not shorten."""
    if c.held * images > memory:
        return f"memory of the list: {c.held * images / 1e9:.0f} GB in each worker"
    times = stages(c, images, workers)
    alone = {name: s for name, s in times.items() if "shared" not in name}
    name = max(alone, key=lambda n: alone[n])
    if alone[name] <= times["predict (shared)"]:
        return "none: predicting is longest, and more workers help"
    return f"{name.split(' (')[0]}: {alone[name] / HOUR:.1f} h beside {times['predict (shared)'] / HOUR:.1f} h of predicting"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--memory", type=float, default=16e9, help="bytes of a worker")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        c = measured(given.images, Path(place))
    million, giga = 1e6, 1e9
    print("a million images, one worker of one thread:")
    print(
        f"  list {c.listed * million:8.1f} s, {c.held * million / 1e6:8.0f} MB of memory in every worker"
    )
    print(
        f"  predict {c.predicted * million / HOUR:5.2f} h, {c.kept * million / 1e6:8.0f} MB in the parts folder"
    )
    print(f"  merge {c.merged * million:7.1f} s")
    print("a gigapixel (U-Net of width 8), one worker of one thread:")
    print(
        f"  tile {c.tiled * giga / HOUR:8.2f} h, {c.piece * giga / 1e9:.2f} GB of parts; merge {c.joined * giga:.0f} s"
    )
    print(f"most memory of all this: {c.peak / 1e9:.2f} GB")
    print(f"\n{given.workers} workers of {given.memory / 1e9:g} GB:")
    print(
        f"{'images':>14} {'list':>10} {'predict':>10} {'merge':>10} {'list holds':>11} {'parts':>9}  first bottleneck"
    )
    for images in SIZES:
        listed, predicted, merged = stages(c, images, given.workers).values()
        print(
            f"{images:14,} {listed / HOUR:8.2f} h {predicted / HOUR:8.2f} h {merged / HOUR:8.2f} h "
            f"{c.held * images / 1e9:8.2f} GB {c.kept * images / 1e9:6.1f} GB  "
            f"{first_bottleneck(c, images, given.workers, given.memory)}"
        )
    if given.json is not None:
        given.json.write_text(json.dumps(asdict(c), indent=1))


if __name__ == "__main__":
    sys.exit(main())
