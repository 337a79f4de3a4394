"""Shuffled batches of small JPEGs from tars: Striate's reader by index, a folder of the same files, and webdataset.

    python benchmarks/tars.py [--images 20000] [--side 96] [--workers 2] [--rounds 5] [--json FILE]

All give uint8 batches (256, 3, side, side) in an order that differs from epoch to epoch, decoded by as many worker
processes. webdataset is set as its guide says: shards and a buffer of 1,000 samples shuffled, batches made in the workers,
no second collation. Striate and the folder shuffle over all images; webdataset over its buffer. The images are made, of
smooth colours, 1,000 a shard; the disk's own cache is warm for all.
"""

from __future__ import annotations

import argparse
import io
import os
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from collect import write
from PIL import Image

import striate
from striate.data import Preprocessing, SplitDataset
from striate.training.batches import DiskImages

A_SHARD, BATCH, CLASSES = 1000, 256, 10


def make(root: Path, count: int, side: int) -> int:
    """Write a folder of classes and tars of the same JPEGs; the number of tars."""
    rng = np.random.default_rng(0)
    shards = -(-count // A_SHARD)
    for s in range(shards):
        with tarfile.open(root / f"photos-{s:03d}.tar", "w") as archive:
            for i in range(s * A_SHARD, min(count, (s + 1) * A_SHARD)):
                small = rng.integers(0, 256, (6, 6, 3)).astype(np.uint8)
                buffer = io.BytesIO()
                large = Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)
                large.save(buffer, "JPEG", quality=88)
                folder = root / "folder" / f"c{i % CLASSES}"
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{i:06d}.jpg").write_bytes(buffer.getvalue())
                for ending, data in (("jpg", buffer.getvalue()), ("cls", b"%d" % (i % CLASSES))):
                    info = tarfile.TarInfo(f"{i:06d}.{ending}")
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
    return shards


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    import webdataset as wds

    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        os.environ["STRIATE_CACHE"] = str(root / "cache")
        shards = make(root, given.images, given.side)
        pattern = f"{root}/photos-{{000..{shards - 1:03d}}}.tar"
        preprocessing = Preprocessing(channels=3, height=given.side, width=given.side)

        def ours(data: str) -> Callable[[], int]:
            split = striate.open_source(data, val=0.0, test=0.0).train
            labels = torch.from_numpy(np.asarray(split.labels))
            images = DiskImages(SplitDataset(split, preprocessing), labels, given.workers)

            def epoch() -> int:
                order = torch.randperm(len(split)).split(BATCH)
                return sum(len(batch) for batch in images.stream(order))

            return epoch

        def chw(pair: Any) -> Any:
            return np.ascontiguousarray(pair.transpose(2, 0, 1))

        dataset = (
            wds.WebDataset(pattern, shardshuffle=shards)
            .shuffle(1000)
            .decode("rgb8")
            .to_tuple("jpg", "cls")
            .map_tuple(chw, int)
            .batched(BATCH, partial=True)
        )
        loader = wds.WebLoader(
            dataset, batch_size=None, num_workers=given.workers, prefetch_factor=4
        )

        def peer() -> int:
            return sum(len(torch.as_tensor(batch[0])) for batch in loader)

        contestants = {
            "striate": ours(f"wds:{pattern}"),
            "webdataset": peer,
            "folder": ours(str(root / "folder")),
        }
        for name, epoch in contestants.items():
            assert epoch() == given.images, name
        rounds: list[dict[str, float]] = []
        for i in range(given.rounds):
            took = {}
            for name in list(contestants)[i % 3 :] + list(contestants)[: i % 3]:
                start = time.perf_counter()
                contestants[name]()
                took[name] = time.perf_counter() - start
            rounds.append(took)
            print(", ".join(f"{n} {given.images / s:,.0f}/s" for n, s in took.items()), flush=True)
        ratios = sorted(r["webdataset"] / r["striate"] for r in rounds)
        print(
            f"webdataset / striate: {ratios[0]:.2f}, {ratios[len(ratios) // 2]:.2f}, {ratios[-1]:.2f}"
        )
    if given.json is not None:
        what = f"{given.images:,} JPEGs of {given.side} pixels from tars, {given.workers} workers"
        write(
            given.json,
            name="tars",
            ours="striate",
            work=given.images,
            unit="images/s",
            rounds=rounds,
            what=what,
        )


if __name__ == "__main__":
    main()
