"""Rating: the learning-rate range test of a training, with its own optimizer, batches, augmentation and loss."""

from __future__ import annotations

from dataclasses import replace

import torch

from striate.diagnostics import rates
from striate.findings import Finding
from striate.training.loop import Batches, Training, gradient

STEPS, LEAST = 150, 40
SECONDS = 60.0  # that a test may take; fewer steps where they are slow


def rates_of(
    training: Training, batches: Batches, *, used: float | None, seconds_per_step: float = 0.0
) -> Finding:
    """Run the range test on a training whose learning rate is 1; its model is spent afterwards.

    used: the rate of the recipe, judged. seconds_per_step: as measured.

    Layer groups, and parts that another optimizer steps, keep their proportions.
    """
    t, stream = training, batches.from_step(0)
    t.enter_step()
    with torch.random.fork_rng(devices=[t.device] if t.device.type == "cuda" else []):

        def step(rate: float) -> float:
            # The first step's loss throughout: one that changes as the training goes on, as a margin that rises, would rise
            # by itself, and look like a rate that is too high.
            loss = gradient(t, replace(next(stream), step=0)).mean
            t.optimizers.step(rate)
            t.optimizers.zero_grad()
            return float(loss)

        steps = min(STEPS, max(LEAST, int(SECONDS / max(seconds_per_step, 1e-9))))
        return rates(step, steps=steps, used=used)
