"""Two processes of one thread each against one process of two threads: images a second of a training, by its own steps.

Run on a quiet machine of two cores: `python benchmarks/two_processes.py`. It prints both and the ratio, which is to be 0.9
or more. Nothing else may run beside it.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TRAINING = [
    "-m",
    "striate",
    "train",
    "fashion-mnist",
    "--model",
    "resnet18",
    "--set",
    "limit=4096",
    "--set",
    "batch=256",
]
TRAINING += ["--epochs", "3", "--device", "cpu", "--precision", "fp32"]


def rate(command: list[str], threads: int, folder: Path) -> float:
    """Images a second of the last epoch."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run([*command, *TRAINING, "--out", str(folder)], env=environment, check=True)
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return float(list(csv.DictReader(file))[-1]["images_per_second"])


def main() -> None:
    """Measure both, one after the other."""
    with tempfile.TemporaryDirectory() as place:
        one = rate([sys.executable], 2, Path(place) / "one")
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
        two = rate(torchrun, 1, Path(place) / "two")
    print(
        f"one process, two threads: {one:.0f} images/s; two processes: {two:.0f} images/s; ratio {two / one:.2f}"
    )


if __name__ == "__main__":
    main()
