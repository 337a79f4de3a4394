"""Images a second that a training loop gets through: the same network, data, batch and threads for everyone.

    python benchmarks/train_step.py [--rounds 5] [--images 6144] [--peers tuned,pytorch,fastai,keras] [--json FILE]

The network is that of PyTorch's MNIST example (conv 32 3x3, conv 64 3x3, max pool 2, dropout, fc 128, dropout, fc 10),
the images are Fashion-MNIST's, the batch is 256, two threads. Each contestant is a process of its own that stays alive;
they take turns, one epoch over `--images` images each a round, and the ratio is taken within a round. The first epoch
of each is not counted. A peer that is not installed is left out and named.

tuned: the loop of who knows what he does: images stay bytes in memory, shifted and mirrored a batch at a time,
    channels-last, bfloat16 where the processor multiplies it, kept buffers, SGD with Nesterov's momentum.
pytorch: the loop of PyTorch's MNIST example (DataLoader with ToTensor and Normalize, Adadelta, StepLR).
fastai: DataBlock-free `Learner.fit` on the same tensors, Adam, no callbacks beyond its own.
keras: `model.fit` on float arrays, Adadelta, with the backend in KERAS_BACKEND (torch unless set).
striate: `striate.training.loop.fit` on uint8 images with shift, flip and normalisation on the fly.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from collect import write

THREADS = 2
BATCH = 256


def images(count: int):
    """Fashion-MNIST's first `count` training images (N, 28, 28) uint8, and labels."""
    from striate.data import open_source

    source = open_source("fashion-mnist", val=0.05)
    return source.train.array[:count, :, :, 0], source.train.labels[:count]


def example_net():
    """The example's network."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10),
    )  # fmt: skip


def pytorch(count: int):
    """One epoch a call."""
    import torch
    import torch.nn.functional as F
    from PIL import Image
    from torchvision import transforms

    x, y = images(count)
    transform = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
    )

    class Set(torch.utils.data.Dataset):  # as torchvision.datasets.MNIST gives its images
        def __len__(self) -> int:
            return len(x)

        def __getitem__(self, i):
            return transform(Image.fromarray(x[i], mode=None)), int(y[i])

    loader = torch.utils.data.DataLoader(Set(), batch_size=BATCH, shuffle=True)
    model = example_net()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    model.train()

    def epoch() -> None:
        for data, target in loader:
            optimizer.zero_grad()
            loss = F.nll_loss(F.log_softmax(model(data), dim=1), target)
            loss.backward()
            optimizer.step()

    return epoch


def tuned(count: int):
    """One epoch a call."""
    import torch
    import torch.nn.functional as F

    from striate.memory import keep_large_buffers
    from striate.training.machine import choose_precision

    keep_large_buffers()
    x, y = images(count)
    x, y = torch.from_numpy(x.copy())[:, None], torch.from_numpy(y.copy())
    dtype = choose_precision("auto", torch.device("cpu"))
    model = example_net().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4, foreach=True
    )

    def epoch() -> None:
        order = torch.randperm(len(x))
        for start in range(0, len(x) - BATCH + 1, BATCH):
            picked = order[start : start + BATCH]
            batch = F.pad(x[picked], (2, 2, 2, 2))
            dy, dx = torch.randint(0, 5, (2,)).tolist()  # one shift a batch is the cheapest
            batch = batch[..., dy : dy + 28, dx : dx + 28]
            batch = torch.where(torch.rand(BATCH, 1, 1, 1) < 0.5, batch.flip(-1), batch)
            batch = (batch.float() / 255 - 0.286) / 0.353
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                logits = model(batch.contiguous(memory_format=torch.channels_last))
            F.cross_entropy(logits.float(), y[picked], label_smoothing=0.1).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return epoch


def fastai(count: int):
    """One epoch a call."""
    import torch
    from fastai.vision.all import CrossEntropyLossFlat, DataLoader, DataLoaders, Learner

    x, y = images(count)
    tensors = (torch.from_numpy(x.copy()).float()[:, None] / 255 - 0.286) / 0.353
    labels = torch.from_numpy(y.copy())
    loader = DataLoader(
        list(zip(tensors, labels, strict=True)), bs=BATCH, shuffle=True, num_workers=0
    )
    learner = Learner(DataLoaders(loader, loader), example_net(), loss_func=CrossEntropyLossFlat())
    learner.validate = lambda *a, **k: None
    learner._do_epoch_validate = lambda *a, **k: None

    def epoch() -> None:
        with learner.no_bar(), learner.no_logging():
            learner.fit(1, lr=1e-3)

    return epoch


def keras(count: int):
    """One epoch a call."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras
    from keras import layers

    x, y = images(count)
    x = x[..., None].astype("float32") / 255
    model = keras.Sequential(
        [
            layers.Input((28, 28, 1)), layers.Conv2D(32, 3, activation="relu"), layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2), layers.Dropout(0.25), layers.Flatten(), layers.Dense(128, activation="relu"),
            layers.Dropout(0.5), layers.Dense(10, activation="softmax"),
        ]
    )  # fmt: skip
    model.compile(loss="sparse_categorical_crossentropy", optimizer=keras.optimizers.Adadelta(1.0))

    def epoch() -> None:
        model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0)

    return epoch


def striate(count: int):
    """One epoch a call."""
    import torch

    from striate.data import Preprocessing
    from striate.data.augment import Augmentation
    from striate.memory import keep_large_buffers
    from striate.tasks.classify.loss import CrossEntropy
    from striate.training.averaging import WeightAverage
    from striate.training.batches import MemoryImages, TrainingBatches
    from striate.training.loop import Training, fit
    from striate.training.machine import choose_precision
    from striate.training.optimizers import make_optimizer
    from striate.training.recipe import Recipe
    from striate.training.schedule import Pace

    keep_large_buffers()
    x, y = images(count)
    device = torch.device("cpu")
    preprocessing = Preprocessing(channels=1, height=28, width=28, mean=(0.286,), std=(0.353,))
    model = example_net().to(memory_format=torch.channels_last)
    recipe = Recipe(data="fashion-mnist", optimizer="sgd", lr=0.05, weight_decay=5e-4)
    batches = TrainingBatches(
        images=MemoryImages(torch.from_numpy(x.copy())[:, None], torch.from_numpy(y.copy())),
        preprocessing=preprocessing, augmentation=Augmentation(shift=2, flip=True), classes=10, batch=BATCH, seed=0,
        device=device,
    )  # fmt: skip
    optimizers = make_optimizer(recipe, [list(model.parameters())])

    def epoch() -> None:
        training = Training(
            model=model, optimizers=optimizers, average=WeightAverage(model, 0.99), pace=Pace(batches.steps_per_epoch),
            warmup=0.15, loss=CrossEntropy(0.1), dtype=choose_precision("auto", device), device=device,
        )  # fmt: skip
        fit(training, batches)

    return epoch


def serve(name: str, count: int) -> None:
    """A contestant: trains one epoch for each line on standard input, answers with its images a second."""
    import torch

    torch.set_num_threads(THREADS)
    epoch = globals()[name](count)
    epoch()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        epoch()
        print(count / (time.perf_counter() - start), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=6144)
    parser.add_argument("--peers", default="tuned,pytorch,fastai,keras")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve")
    a = parser.parse_args()
    if a.serve:
        return serve(a.serve, a.images)
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "PYTHONWARNINGS": "ignore"}
    running = {}
    for name in ["striate", *a.peers.split(",")]:
        command = [sys.executable, __file__, "--serve", name, "--images", str(a.images)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert process.stdout is not None
        if any(line.strip() == "ready" for line in iter(process.stdout.readline, "")):
            running[name] = process
        else:
            assert process.stderr is not None
            print(
                f"{name}: left out ({(process.stderr.read().strip().splitlines() or ['no answer'])[-1]})"
            )
    rates: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(a.rounds):
        for name, process in running.items():
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            rates[name].append(float(process.stdout.readline()))
    print(
        f"{'':10}{'images/s':>10}   striate's ratio over it: median (min - max), {a.rounds} rounds"
    )
    for name, values in rates.items():
        ratios = [ours / theirs for ours, theirs in zip(rates["striate"], values, strict=True)]
        print(
            f"{name:10}{statistics.median(values):10,.0f}   "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})"
        )
    for process in running.values():
        process.kill()
    if a.json is not None:
        taken = {name: [a.images / rate for rate in values] for name, values in rates.items()}
        rows = [dict(zip(taken, row, strict=True)) for row in zip(*taken.values(), strict=True)]
        write(
            a.json, name="train_step", ours="striate", work=a.images, unit="images/s", rounds=rows,
            what=f"training conv 32, conv 64, pool, fc 128, fc 10 on Fashion-MNIST, batch {BATCH}",
        )  # fmt: skip


if __name__ == "__main__":
    main()
