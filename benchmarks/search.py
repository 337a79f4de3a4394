"""Exact search of a query among a million vectors, against the bound that memory sets, NumPy and FAISS, in turn in a
process.

    PYTHONPATH=src python benchmarks/search.py                          # 1,000,000 x 256, two threads, five rounds
    PYTHONPATH=src python benchmarks/search.py --rows 200000 --size 512

The vectors lie in the parts of a gallery in a temporary folder, mapped as a search maps them, and have been read once. The
bound is the time in which as many threads read the same mapped bytes once and do the least with them that can be done, a
sum. Contestants: `nearest` (float32, mapped); NumPy's `X @ q` with argpartition on an array in memory; where `faiss-cpu` is
installed, its IndexFlatIP, which answers a single query with one thread, and a shard of it for each thread; and torch's
product of vectors stored as bfloat16 and as float16, with the share of the ten nearest that the rounding of storage changes.
A round runs each once; the table has the least, the median and the most of the rounds, and of the ratio to `nearest` in a
round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from striate.gallery import Gallery, nearest
from striate.gallery.changing import changing
from striate.gallery.part import Rows

TOP = 10
EMPTY = {
    "rate": 0.01, "source": None, "images": 0, "names": 0, "seed": 0, "identify": None, "compare": None, "why": "",
    "impostors": None, "groups": [],
}  # fmt: skip


def made(path: Path, rows: int, size: int) -> Gallery:
    """A gallery of random unit vectors (rows, size)."""
    rng = np.random.default_rng(0)
    with changing(path, new=True) as change:
        for start in range(0, rows, 10_000):
            x = rng.standard_normal((min(10_000, rows - start), size), dtype=np.float32)
            x /= np.linalg.norm(x, axis=1, keepdims=True)
            n = len(x)
            change.add(
                Rows(
                    vectors=x, contents=[i.to_bytes(16, "big") for i in range(start, start + n)],
                    names=[f"n{i % 1000}" for i in range(n)], paths=[""] * n, groups=[""] * n,
                )
            )  # fmt: skip
        change.flush()
        change.commit({
            "format": 1, "created": "now", "parts": change.parts, "faces": False, "consent": "", "striate": "0",
            "threshold": EMPTY,
            "network": {
                "name": "none", "where": None, "layer": "", "size": size, "model": "0" * 64, "preprocessing": "0" * 64,
                "pattern": [1.0],
            },
        })  # fmt: skip
    return Gallery.open(path)


def bound(gallery: Gallery, threads: int) -> Callable[[], Any]:
    """Every byte of the vectors is read once."""
    pieces = [piece.view(np.ndarray) for _, piece in gallery.blocks(8192)]

    def read(some: list[np.ndarray]) -> float:
        return sum(float(np.add.reduce(piece, axis=None)) for piece in some)

    shares = [pieces[i::threads] for i in range(threads)]

    def all_of_it() -> float:
        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(read, shares))

    return all_of_it


def plain(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    """NumPy's product with argpartition; the rows, the most similar first."""
    scores = x @ q
    some = np.argpartition(scores, -TOP)[-TOP:]
    return some[np.argsort(-scores[some])]


def halves(x: torch.Tensor, q: torch.Tensor) -> np.ndarray:
    """torch's product in the type of storage."""
    return torch.topk((x @ q).float(), TOP).indices.numpy()


def main() -> None:
    """Run the rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--halves", action="store_true", help="also bfloat16 and float16")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory(prefix="striate-search-") as folder:
        began = time.perf_counter()
        gallery = made(Path(folder) / "g", given.rows, given.size)
        print(f"made and opened in {time.perf_counter() - began:.1f} s, {len(gallery.parts)} parts")
        rng = np.random.default_rng(1)
        q = rng.standard_normal((1, given.size)).astype(np.float32)
        q /= np.linalg.norm(q)
        memory = np.concatenate([part.vectors for part in gallery.parts])
        exact = np.argsort(-(memory.astype(np.float64) @ q[0]), kind="stable")[:TOP]
        contestants: dict[str, Callable[[], Any]] = {
            "bound": bound(gallery, given.threads),
            "striate": lambda: nearest(gallery, q, TOP, threads=given.threads)[1][0],
            "numpy": lambda: plain(memory, q[0]),
        }
        try:
            import faiss

            faiss.omp_set_num_threads(given.threads)
            index = faiss.IndexFlatIP(given.size)
            index.add(memory)
            contestants["faiss"] = lambda: index.search(q, TOP)[1][0]
            shards = faiss.IndexShards(given.size, True, True)
            shares = [faiss.IndexFlatIP(given.size) for _ in range(given.threads)]
            for share, rows in zip(shares, np.array_split(memory, given.threads), strict=True):
                share.add(rows)
                shards.add_shard(share)
            contestants["faiss, shards"] = lambda: shards.search(q, TOP)[1][0]
        except ImportError:
            print("faiss-cpu is not installed")
        if given.halves:
            for kind in (torch.bfloat16, torch.float16):
                x, y = torch.from_numpy(memory).to(kind), torch.from_numpy(q[0]).to(kind)
                contestants[str(kind).removeprefix("torch.")] = lambda x=x, y=y: halves(x, y)
        took: dict[str, list[float]] = {name: [] for name in contestants}
        found: dict[str, Any] = {}
        for again in range(given.rounds + 1):
            for name, run in contestants.items():
                began = time.perf_counter()
                found[name] = run()
                if again:  # the first maps pages and warms up
                    took[name].append(1000 * (time.perf_counter() - began))
        size = given.rows * given.size * 4
        print(
            f"{given.rows:,} x {given.size}, {given.threads} threads of {os.cpu_count()}, {given.rounds} rounds; ms"
        )
        for name, times in took.items():
            reached = statistics.median(b / t for b, t in zip(took["bound"], times, strict=True))
            same = (
                ""
                if name == "bound"
                else f", {len(set(found[name].tolist()) & set(exact.tolist()))} of {TOP} nearest exact"
            )
            ratios = [t / own for t, own in zip(times, took["striate"], strict=True)]
            print(
                f"{name:13} least {min(times):6.1f}  median {statistics.median(times):6.1f}  most {max(times):6.1f}  "
                f"{size / min(times) / 1e6:5.1f} GB/s  {reached:.2f} of the bound, "
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f}) of striate's time{same}"
            )


if __name__ == "__main__":
    main()
