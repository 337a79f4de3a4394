"""How long short commands take from process start to end, in turn with Python itself and with `import torch`.

    python benchmarks/start.py [--rounds 5]

A process each. Wall time, and processor time (user and system) in brackets: median (least - most). A run of
EfficientNet-Lite0 is made first, on ten made images, for `predict` of one image.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from collect import processor, three
from PIL import Image


def make_run(folder: Path) -> tuple[str, str]:
    """A run, and an image for it."""
    rng = np.random.default_rng(0)
    for kind, level in (("dark", 40), ("light", 200)):
        (folder / "photos" / kind).mkdir(parents=True)
        for i in range(5):
            pixels = rng.integers(level - 30, level + 30, (64, 64, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / kind / f"{i}.jpg")
    run = str(folder / "run")
    model = ["--model", "efficientnet-lite0", "--size", "64", "--epochs", "1"]
    command = [sys.executable, "-m", "striate", "train", str(folder / "photos"), *model]
    subprocess.run([*command, "--out", run], check=True, capture_output=True)
    return run, str(folder / "photos" / "dark" / "0.jpg")


def seconds(command: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of a process."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    after = os.times()
    used = after.children_user + after.children_system
    return time.perf_counter() - start, used - before.children_user - before.children_system


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run, image = make_run(Path(folder))
        striate = [sys.executable, "-m", "striate"]
        commands = {
            "python": [sys.executable, "-c", ""],
            "import torch": [sys.executable, "-c", "import torch"],
            "striate models": [*striate, "models"],
            "striate data": [*striate, "data"],
            "striate summary resnet50": [*striate, "summary", "resnet50"],
            "striate predict, one image": [*striate, "predict", run, image],
        }
        for command in commands.values():  # so that all of it is compiled, and in the disk's cache
            seconds(command)
        rounds = [
            {name: seconds(command) for name, command in commands.items()}
            for _ in range(given.rounds)
        ]
    print(processor())
    for name in commands:
        wall, used = ([r[name][k] for r in rounds] for k in (0, 1))
        over = [r[name][1] - r["import torch"][1] for r in rounds]
        print(
            f"{name}: {three(wall, '.2f')} s [{three(used, '.2f')}], over import torch [{three(over, '+.2f')}]"
        )


if __name__ == "__main__":
    main()
