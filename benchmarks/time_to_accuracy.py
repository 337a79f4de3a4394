"""Wall-clock time from process start to a saved Fashion-MNIST network, and its accuracy on the 10,000 test images.

    python benchmarks/time_to_accuracy.py [--seeds 5] [--budget 66s] [--example-epochs 5] [--set KEY=VALUE ...]

striate: `striate train fashion-mnist --budget ...`, a process a seed; everything counts: start, reading, training,
evaluation, report. example: PyTorch's MNIST example with Fashion-MNIST's images (two convolutions, Adadelta, StepLR,
batch 256, all 60,000 training images), a process; time and accuracy after each epoch. Two threads each, in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS = "2"


def example(epochs: int) -> None:
    """The example's training, one JSON line an epoch."""
    import torch
    import torch.nn.functional as F
    from torchvision import datasets, transforms  # noqa: F401  (what the example imports)
    from train_step import example_net

    from striate.data import open_source

    source = open_source("fashion-mnist", val=0)
    transform = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
    )

    class Images(torch.utils.data.Dataset):
        def __init__(self, split):
            self.x, self.y = split.array[:, :, :, 0], split.labels

        def __len__(self) -> int:
            return len(self.x)

        def __getitem__(self, i):
            from PIL import Image

            return transform(Image.fromarray(self.x[i])), int(self.y[i])

    train = torch.utils.data.DataLoader(Images(source.train), batch_size=256, shuffle=True)
    test = torch.utils.data.DataLoader(Images(source.test), batch_size=1000)
    model = example_net()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    for epoch in range(epochs):
        model.train()
        for x, y in train:
            optimizer.zero_grad()
            F.nll_loss(F.log_softmax(model(x), 1), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            right = sum(int((model(x).argmax(1) == y).sum()) for x, y in test)
        scheduler.step()
        print(json.dumps({"epoch": epoch + 1, "accuracy": right / len(source.test)}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budget", default="66s")
    parser.add_argument("--example-epochs", type=int, default=5)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--example", action="store_true")
    a = parser.parse_args()
    if a.example:
        return example(a.example_epochs)
    environment = {**os.environ, "OMP_NUM_THREADS": THREADS}
    times, accuracies = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(a.seeds):
            settings = [part for pair in a.set for part in ("--set", pair)]
            run = Path(folder) / str(seed)
            command = [
                sys.executable, "-m", "striate", "train", "fashion-mnist", "--budget", a.budget,
                "--seed", str(seed), "--out", str(run), *settings,
            ]  # fmt: skip
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=environment)
            times.append(time.perf_counter() - start)
            text = (run / "run.toml").read_text()
            accuracies.append(float(text.split("\naccuracy = ")[1].split()[0]))
            print(f"striate seed {seed}: {accuracies[-1]:.2%} after {times[-1]:.1f} s", flush=True)
    print(
        f"striate: accuracy {statistics.mean(accuracies):.2%} ({min(accuracies):.2%} - {max(accuracies):.2%}), "
        f"time {statistics.median(times):.1f} s ({min(times):.1f} - {max(times):.1f}), {a.seeds} seeds"
    )
    if a.example_epochs:
        command = [sys.executable, __file__, "--example", "--example-epochs", str(a.example_epochs)]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        for line in process.stdout:
            row = json.loads(line)
            seconds = time.perf_counter() - start
            print(
                f"example epoch {row['epoch']}: {row['accuracy']:.2%} after {seconds:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
