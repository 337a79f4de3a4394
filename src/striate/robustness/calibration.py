"""Calibration: expected calibration error, before and after a temperature fitted on validation images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from striate.findings import Finding
from striate.robustness.context import Context
from striate.statistics.temperature import LEAST, temperature_effect


def calibration(
    context: Context, validation: tuple[Tensor, Any] | None = None, *, current: float = 1.0
) -> Finding:
    """ECE and reliability at the temperature in use, and at one fitted on validation images, measured on the context's.

    validation: images (N, C, H, W) and targets that were not tested on; half of the context's own, the other half being
    measured, if not given. current: what the logits are divided by now. `data["temperature"]` is the fitted one.
    """
    noun = context.task.offers["choices"]
    logits, labels = context.choices(context.images, context.targets)
    if validation is not None and len(validation[0]):
        others = context.choices(*validation)
        if len(others[1]) >= LEAST:
            return temperature_effect(
                logits, labels, *others, current=current, seed=context.seed, noun=noun, halved=False
            )
    # Several choices of one image are alike: then whole images are halved, in their order.
    n = len(labels)
    order = torch.randperm(n, generator=context.generator(40)) if n == len(context) else torch.arange(n)  # fmt: skip
    fit, test = order[: n // 2], order[n // 2 :]
    return temperature_effect(
        logits[test], labels[test], logits[fit], labels[fit], current=current, seed=context.seed, noun=noun,
        halved=True,
    )  # fmt: skip
