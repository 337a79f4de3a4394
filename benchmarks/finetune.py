"""Fine-tuning EfficientNet-Lite0 on a folder of photographs: Striate, and a loop of timm's parts as its best user writes it.

    python benchmarks/finetune.py FOLDER [--seeds 3] [--epochs 6] [--size 224] [--batch 16 32] [--json FILE]

FOLDER holds `train` and `test`, a folder a class in each. Both start from the same packaged ImageNet weights and see each
training image once an epoch, cropped (at least 0.35 of it) and mirrored. Everything counts: start, reading, training, the
test images, and Striate's report. The loop: channels-last, kept buffers, bfloat16
where the processor multiplies it, two workers that decode, AdamW at 1e-3 with timm's layer decay 0.8, warm-up and cosine,
label smoothing 0.1, batch norm as it was trained, and the fastest of the given batches, tried once before. A process each,
in turn, two threads.
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

from collect import write

THREADS = "2"


def peer(folder: Path, epochs: int, size: int, batch: int, seed: int, most: int) -> None:
    """The loop; one line of JSON: images a second of training, and the share of test images that are right."""
    import timm
    import torch
    from timm.optim import create_optimizer_v2
    from timm.scheduler import CosineLRScheduler
    from torchvision import datasets, transforms

    from striate.memory import keep_large_buffers
    from striate.models.lite0 import packaged_weights
    from striate.training.machine import choose_precision

    keep_large_buffers()
    torch.manual_seed(seed)
    dtype = choose_precision("auto", torch.device("cpu"))
    normal = transforms.Normalize((127 / 255,) * 3, (128 / 255,) * 3)
    seen = transforms.Compose([
        transforms.RandomResizedCrop(size, scale=(0.35, 1.0), interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.RandomHorizontalFlip(), transforms.ToTensor(), normal,
    ])  # fmt: skip
    asked = transforms.Compose([
        transforms.Resize((size, size), interpolation=transforms.InterpolationMode.BICUBIC), transforms.ToTensor(), normal,
    ])  # fmt: skip
    train = datasets.ImageFolder(folder / "train", seen)
    test = datasets.ImageFolder(folder / "test", asked)
    loader = torch.utils.data.DataLoader(
        train, batch, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True
    )
    network = timm.create_model("tf_efficientnet_lite0", num_classes=1000)
    keys = tuple(network.state_dict())
    network.load_state_dict(packaged_weights(keys))
    network.reset_classifier(len(train.classes))
    network = network.to(memory_format=torch.channels_last).train()
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.eval()
    optimizer = create_optimizer_v2(network, "adamw", lr=1e-3, weight_decay=0.05, layer_decay=0.8)
    steps = epochs * len(loader)
    schedule = CosineLRScheduler(optimizer, steps, warmup_t=round(0.15 * steps), warmup_prefix=True)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    done, began, step = 0, 0.0, 0
    for _ in range(epochs):
        for x, y in loader:
            schedule.step_update(step)
            schedule.step(step)
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                logits = network(x.contiguous(memory_format=torch.channels_last))
            loss_of(logits.float(), y).backward()
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            if step == 2:  # warm
                began = time.perf_counter()
            elif step > 2:
                done += len(x)
            if most and step >= most:
                print(json.dumps({"rate": done / (time.perf_counter() - began)}))
                return
    rate = done / (time.perf_counter() - began)
    network.eval()
    right = 0
    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        for x, y in torch.utils.data.DataLoader(test, 16, num_workers=2):
            right += int(
                (network(x.contiguous(memory_format=torch.channels_last)).argmax(1) == y).sum()
            )
    print(json.dumps({"rate": rate, "accuracy": right / len(test)}))


def loop(folder: Path, *, most: int = 0, **given: int) -> tuple[float, dict[str, float]]:
    """Seconds of the loop's process, and what it printed."""
    numbers = [part for name, value in given.items() for part in (f"--{name}", str(value))]
    return run([__file__, str(folder), "--peer", "--most", str(most), *numbers])


def run(arguments: list[str]) -> tuple[float, dict[str, float]]:
    """Seconds of a process of Python, and the JSON of its last line, if it printed one."""
    start = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": THREADS}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)  # fmt: skip
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stderr)
    last = (done.stdout.splitlines() or [""])[-1]
    return seconds, json.loads(last) if last.startswith("{") else {}


def striate(
    folder: Path, place: Path, seed: int, epochs: int, size: int, more: list[str]
) -> tuple[float, dict[str, float]]:
    """As `loop`."""
    settings = [part for pair in more for part in ("--set", pair)]
    seconds, _ = run(
        [
            "-m", "striate", "train", str(folder), "--out", str(place), "--seed", str(seed), "--epochs", str(epochs),
            "--size", str(size), "--set", "pretrained=true", *settings,
        ]
    )  # fmt: skip
    lines = (place / "metrics.csv").read_text().splitlines()
    rate = lines[0].split(",").index("images_per_second")
    accuracy = float((place / "run.toml").read_text().split("\naccuracy = ")[1].split()[0])
    rates = [float(line.split(",")[rate]) for line in lines[2:]]  # behind the head's own epoch
    return seconds, {"rate": statistics.median(rates), "accuracy": accuracy}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=0)
    a = parser.parse_args()
    if a.peer:
        peer(a.folder, a.epochs, a.size, a.batch[0], a.seed, a.most)
        return
    images = sum(1 for p in (a.folder / "train").rglob("*") if p.is_file())
    tried = {
        b: loop(a.folder, most=8, epochs=a.epochs, size=a.size, batch=b)[1]["rate"] for b in a.batch
    }
    batch = max(tried, key=lambda b: tried[b])
    rounds: list[dict[str, float]] = []
    accuracies: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as place:
        for seed in range(a.seeds):
            found = {
                "striate": striate(a.folder, Path(place) / str(seed), seed, a.epochs, a.size, a.set),
                f"timm's loop, batch {batch}": loop(a.folder, epochs=a.epochs, size=a.size, batch=batch, seed=seed),
            }  # fmt: skip
            rounds.append({name: seconds for name, (seconds, _) in found.items()})
            for name, (seconds, said) in found.items():
                accuracies.setdefault(name, []).append(said["accuracy"])
                print(
                    f"seed {seed}, {name}: {said['accuracy']:.1%} after {seconds:.0f} s, {said['rate']:.1f} images/s in "
                    "training",
                    flush=True,
                )
    for name, shares in accuracies.items():
        print(
            f"{name}: {statistics.mean(shares):.1%} ({min(shares):.1%} - {max(shares):.1%}) of the test images"
        )
    if a.json is not None:
        write(
            a.json, name="finetune", ours="striate", work=images * a.epochs, unit="images/s, all of it", rounds=rounds,
            what=f"EfficientNet-Lite0 fine-tuned, {images} photographs, {a.epochs} epochs, {a.size} pixels",
            accuracies=accuracies,
        )  # fmt: skip


if __name__ == "__main__":
    main()
