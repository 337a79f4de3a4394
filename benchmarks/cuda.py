"""Every command once on a CUDA device, and Fashion-MNIST there over several seeds: a table in Markdown.

    python benchmarks/cuda.py [--seeds 5] [--epochs 16] [--only NAME ...] [--device cpu] > cuda.md

Without a device it says so and ends with status 1. Commands that take a device are given it; the others run as they are, so
that what they read of a run that was trained there is tried too. A row has the exit status, seconds, and the last line of
what went wrong. The accuracies of Fashion-MNIST are those of `run.toml`, with the seconds of the whole process and of the
training's steps.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tomllib
import torch

STRIATE = [sys.executable, "-m", "striate"]


def commands(folder: Path, device: str) -> dict[str, list[str]]:
    """Name -> arguments, in an order in which each finds what those before it made."""
    run, digits = str(folder / "digits"), str(folder / "images")
    cuda, image = ["--device", device], str(folder / "images" / "0.png")
    scenes, people, glyphs = (str(folder / name) for name in ("scenes", "gallery", "glyphs"))
    return {
        "train digits": ["train", "digits", "--out", run, "--epochs", "3", *cuda],
        "train scenes": ["train", "scenes", "--out", scenes, "--epochs", "1", *cuda],
        "train lines": ["train", "lines", "--out", str(folder / "lines"), "--epochs", "1", *cuda],
        "train glyphs": ["train", "glyphs", "--out", glyphs, "--epochs", "1", *cuda],
        "predict": ["predict", run, digits, *cuda],
        "predict --format json": ["predict", run, image, "--format", "json", *cuda],
        "predict scenes": ["predict", scenes, digits, "-o", str(folder / "masks"), *cuda],
        "report": ["report", run],
        "explain": ["explain", run, image, "-o", str(folder / "maps.png")],
        "units": ["units", run, "-o", str(folder / "units.html")],
        "probe": ["probe", run],
        "diagnose": ["diagnose", run],
        "summary": ["summary", run],
        "tile": ["tile", run, image],
        "gallery enrol": ["gallery", "enrol", people, glyphs, image, "--name", "zero", *cuda],
        "gallery identify": ["gallery", "identify", people, digits, *cuda],
    }  # fmt: skip


def run(arguments: list[str]) -> tuple[int, float, str]:
    """Exit status, seconds, and the last line on standard error of a command that failed."""
    start = time.perf_counter()
    done = subprocess.run([*STRIATE, *arguments], capture_output=True, text=True)
    lines = done.stderr.strip().splitlines() or [""]
    return done.returncode, time.perf_counter() - start, lines[-1] if done.returncode else ""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--device", default="cuda", help="cpu tries the commands themselves")
    parser.add_argument("--only", nargs="*", default=[])
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        print(f"torch {torch.__version__} sees no CUDA device; nothing was run", file=sys.stderr)
        return 1
    name = torch.cuda.get_device_name() if given.device == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}\n")
    print("| command | status | seconds | |\n|---|---|---|---|")
    failed = False
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_images(folder / "images")
        for name, arguments in commands(folder, given.device).items():
            if given.only and name not in given.only:
                continue
            status, seconds, wrong = run(arguments)
            failed |= status != 0
            print(f"| {name} | {status} | {seconds:.1f} | {wrong.replace('|', '/')} |", flush=True)
        accuracies, took, steps = [], [], []
        for seed in range(given.seeds):
            out = folder / f"fashion-{seed}"
            status, seconds, wrong = run(
                ["train", "fashion-mnist", "--epochs", str(given.epochs), "--seed", str(seed), "--out", str(out),
                 "--device", given.device]
            )  # fmt: skip
            if status:
                print(f"\nFashion-MNIST, seed {seed}: status {status}: {wrong}")
                return 1
            accuracies.append(float(tomllib.loads((out / "run.toml").read_text())["results"]["accuracy"]))  # fmt: skip
            last = (out / "metrics.csv").read_text().splitlines()
            steps.append(float(last[-1].split(",")[last[0].split(",").index("seconds")]))
            took.append(seconds)
    if accuracies:
        print(
            f"\nFashion-MNIST, {given.epochs} epochs, {given.seeds} seeds: {statistics.mean(accuracies):.2%} "
            f"({min(accuracies):.2%} - {max(accuracies):.2%}); training {statistics.median(steps):.1f} s "
            f"({min(steps):.1f} - {max(steps):.1f}), process {statistics.median(took):.1f} s"
        )
    return int(failed)


def make_images(folder: Path) -> None:
    """Four small grey images."""
    import numpy as np
    from PIL import Image

    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 256, (16, 16)).astype(np.uint8)).save(folder / f"{i}.png")


if __name__ == "__main__":
    sys.exit(main())
