"""Describing a folder of small JPEGs: Striate for the first time and again, and Pillow alone on one and on two processes.

    python benchmarks/reading.py [--images 20000] [--side 64] [--rounds 5] [--json FILE]

Striate gives of each file its size, channels, depth, colours, whether it is blank, a digest and what is wrong with it; the
loops open and decode it and keep its size. "Again" is with the records of the first time, which hold as long as no file
changes. The images are made, of smooth colours, a folder of 1,000 each; the disk's own cache is warm for all.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from collect import write
from PIL import Image

from striate.data import described
from striate.data.scanning import scan

A_FOLDER = 1000


def make_images(folder: Path, count: int, side: int) -> list[str]:
    """JPEGs (side, side) of quality 88; their names below `folder`."""
    rng = np.random.default_rng(0)
    keys = []
    for i in range(count):
        name = f"{i // A_FOLDER:03d}/{i:06d}.jpg"
        (folder / name).parent.mkdir(exist_ok=True)
        small = rng.integers(0, 256, (6, 6, 3)).astype(np.uint8)
        Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(
            folder / name, quality=88
        )
        keys.append(name)
    return keys


def bare(path: str) -> tuple[int, int]:
    """Width and height of a file, decoded."""
    with Image.open(path) as file:
        return np.asarray(file.convert("RGB")).shape[:2]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    described.SETTLED = 0.0  # the images were made just now
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "images"
        root.mkdir()
        keys = make_images(root, given.images, given.side)
        paths = [str(root / key) for key in keys]
        time.sleep(1)

        def striate(cache: str) -> Any:
            os.environ["STRIATE_CACHE"] = cache
            return scan(root, keys)

        def two() -> None:
            with multiprocessing.Pool(2) as pool:
                pool.map(bare, paths, chunksize=64)

        cache = str(Path(place) / "cache")
        first = striate(cache)
        contestants: dict[str, Callable[[], Any]] = {
            "striate": lambda: striate("off"),
            "striate again": lambda: striate(cache),
            "Pillow": lambda: [bare(path) for path in paths],
            "Pillow, 2 processes": two,
        }
        rounds: list[dict[str, float]] = []
        for i in range(given.rounds):
            order = list(contestants)[i % 4 :] + list(contestants)[: i % 4]
            took = {}
            for name in order:
                start = time.perf_counter()
                found = contestants[name]()
                took[name] = time.perf_counter() - start
                assert not name.startswith("striate") or found == first
            rounds.append(took)
            print(", ".join(f"{n} {given.images / s:,.0f}/s" for n, s in took.items()), flush=True)
    if given.json is not None:
        write(
            given.json, name="reading", ours="striate", work=given.images, unit="images/s", rounds=rounds,
            what=f"describing {given.images:,} JPEGs of {given.side} pixels",
        )  # fmt: skip


if __name__ == "__main__":
    main()
