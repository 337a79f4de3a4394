"""Engines behind `striate predict`: images a second end to end from JPEG files, beside each engine's rate on tensors.

    python benchmarks/engines.py [--rounds 5] [--threads 2] [--images 128] [--models resnet50,timm/convnext_tiny,unet]

U-Net takes images of 224 x 224 pixels as they are. With STRIATE_CACHE the proofs of a former call are taken again.

Engines take turns, round by round. End to end: files are read, decoded, resized, run and named, in one process that has the
engine ready, as the second `striate predict` of a session has it. Three
numbers are least, median and most of the rounds. Then the seconds of one `striate export` with its proof.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import striate
from striate import api
from striate.data import Preprocessing
from striate.errors import StriateError
from striate.export import fast
from striate.models import is_segmenter
from striate.tasks.table import find_task
from striate.tasks.trained import Trained

SIDE = (375, 500)


def network(spec: str) -> Trained:
    """Fresh weights at 224 pixels: speed does not depend on what was learned."""
    torch.manual_seed(0)
    how = Preprocessing(
        channels=3, height=224, width=224, fit="squash" if is_segmenter(spec) else "crop",
        mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225),
    )  # fmt: skip
    model = striate.build(spec, num_classes=10).eval().to(memory_format=torch.channels_last)
    names = tuple(f"class {i}" for i in range(10))
    return Trained(
        name=spec, model=model, preprocessing=how, classes=names, precision="fp32",
        task=find_task("segment" if is_segmenter(spec) else "classify"),
    )  # fmt: skip


def files(folder: Path, count: int, side: tuple[int, int] = SIDE) -> list[Path]:
    """JPEGs, of 500 x 375 pixels if nothing is said, with the spectrum of photographs, roughly."""
    rng, paths = np.random.default_rng(0), []
    for i in range(count):
        small = Image.fromarray(rng.integers(0, 256, (12, 16, 3)).astype(np.uint8))
        pixels = np.asarray(small.resize(side[::-1], Image.Resampling.BICUBIC)).astype(int)
        noisy = (pixels + rng.integers(-12, 13, (*side, 1))).clip(0, 255).astype(np.uint8)
        paths.append(folder / f"{i:04}-{side[0]}.jpg")
        Image.fromarray(noisy).save(paths[-1], quality=90)
    return paths


def three(values: np.ndarray, form: str) -> str:
    """Least, median and most of the rounds; ratios are of the same round."""
    return " / ".join(format(float(v), form) for v in np.quantile(values, (0, 0.5, 1)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--models", default="efficientnet-lite0,resnet50")
    parser.add_argument("--export", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.setdefault("STRIATE_CACHE", str(folder / "cache"))
        for spec in arguments.models.split(","):
            side = (224, 224) if is_segmenter(spec) else SIDE
            paths = files(folder, arguments.images, side)
            trained = network(spec)
            ready = {"torch": trained}
            for engine in fast.ENGINES:
                if fast.there(fast.package_of(engine)):
                    try:
                        ready[engine] = fast.on_engine(trained, engine)
                    except StriateError as error:  # such as bfloat16 where the processor has none
                        print(f"{spec} {engine}: left out, {error.sentence}", flush=True)
            rates: dict[str, list[float]] = {engine: [] for engine in ready}
            memory: dict[str, list[float]] = {engine: [] for engine in ready}
            for _ in range(arguments.rounds):
                for engine, made in ready.items():
                    begun = time.perf_counter()
                    assert all(p.error is None for p in api.predict(made, paths, engine="torch"))
                    rates[engine].append(len(paths) / (time.perf_counter() - begun))
                    memory[engine].append(fast.rate(made))
            for engine in ready:
                own = np.array(rates[engine])
                of_memory, of_torch = own / memory[engine], own / rates["torch"]
                print(
                    f"{spec} {engine}: {three(own, '.0f')} images/s from files, {three(np.array(memory[engine]), '.0f')} on "
                    f"tensors; {three(of_memory, '.2f')} of the latter, {three(of_torch, '.2f')} times torch's", flush=True,
                )  # fmt: skip
            if not arguments.export:
                continue
            begun = time.perf_counter()
            api.export(trained, folder / f"{spec}.onnx", force=True)
            print(f"{spec}: export with proof {time.perf_counter() - begun:.1f} s", flush=True)


if __name__ == "__main__":
    main()
