"""Two processes of one thread each against one process of two threads: seconds a step of the same training, in turn.

Run on a quiet machine of two cores: `python benchmarks/two_processes.py`. It prints each round and the ratio of images a
second, which is to be 0.9 or more. Only steps are timed: what a command does before and after them, such as the evaluation
that the first process does alone, is not shared.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time

SIDE, IMAGES = 32, 2048


def timed(model: str, batch: int, steps: int) -> None:
    """Train some steps, in one process or as one of several, and print their seconds."""
    import numpy as np
    import torch

    from striate.runs.planning import plan_from
    from striate.runs.preparing import prepare
    from striate.tasks.table import find_task, recipe_for, take_data
    from striate.training.callbacks import Listener
    from striate.training.launch import launched
    from striate.training.loop import fit
    from striate.training.world import joined

    device, task = torch.device("cpu"), find_task("classify")
    rng = np.random.default_rng(0)
    data = rng.integers(0, 255, (IMAGES, SIDE, SIDE, 3)).astype(np.uint8), np.arange(IMAGES) % 10
    settings = {
        "model": model,
        "batch": batch,
        "optimizer": "sgd",
        "lr": 0.01,
        "precision": "fp32",
        "device": "cpu",
    }
    with joined(launched(), device) as world:
        source = take_data(
            data, recipe_for(task, {**settings, "data": "x"}), task, lambda done, of: None
        )
        plan = plan_from(
            task, recipe_for(task, {**settings, "data": "x"}), device, Listener(), source
        )
        job = prepare(plan, device, Listener())
        job.training.pace.total = steps
        times = [time.perf_counter()]
        fit(job.training, job.batches, on_step=lambda moment: times.append(time.perf_counter()))
        if world.leads:
            print(json.dumps([b - a for a, b in itertools.pairwise(times)]))


def seconds(processes: int, arguments: argparse.Namespace) -> float:
    """Median seconds of a step, of the whole batch, without the first."""
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    command += [
        __file__,
        "--timed",
        "--model",
        arguments.model,
        "--batch",
        str(arguments.batch),
        "--steps",
        str(arguments.steps),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": str(2 // processes)}
    made = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return statistics.median(json.loads(made.stdout.splitlines()[-1])[1:])


def main() -> None:
    """Measure both, one after the other, some rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timed", action="store_true", help="be one of the processes")
    arguments = parser.parse_args()
    if arguments.timed:
        timed(arguments.model, arguments.batch, arguments.steps)
        return
    ratios = []
    for _ in range(arguments.rounds):
        one, two = (seconds(n, arguments) for n in (1, 2))
        ratios.append(one / two)
        print(
            f"{arguments.model}: one process {one:.3f} s a step, two {two:.3f} s, ratio {one / two:.2f}",
            flush=True,
        )
    low, mid, high = min(ratios), statistics.median(ratios), max(ratios)
    print(
        f"{arguments.model}: ratio {mid:.2f} ({low:.2f} to {high:.2f}) of {len(ratios)} rounds",
        flush=True,
    )


if __name__ == "__main__":
    main()
