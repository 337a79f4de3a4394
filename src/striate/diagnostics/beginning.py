"""Before training: the loss at initialisation, and whether one batch can be learned by heart."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from striate.errors import UsageError
from striate.findings import Finding

FAR = 0.5  # nats above ln(classes) from which on the first steps are wasted


def initial_loss(model: nn.Module, inputs: Tensor, labels: Tensor, classes: int) -> Finding:
    """Cross-entropy of an untrained network against ln(classes), what guessing evenly costs.

    inputs: (N, ...); labels: (N,) int64. Raises UsageError where there are fewer than 2 classes.
    """
    if classes < 2:
        raise UsageError(f"classes must be 2 or more, got {classes}")
    twin = copy.deepcopy(model).eval()
    with torch.no_grad():
        loss = float(cross_entropy(twin(inputs).float(), labels))
    even = math.log(classes)
    bad = not math.isfinite(loss) or loss - even > FAR
    return Finding(
        name="diagnose-initial-loss",
        title="Loss at initialisation",
        verdict=f"The untrained network's loss is {loss:.3f}; guessing evenly costs ln({classes}) = {even:.3f}.",
        status="warning" if bad else "good",
        advice="Make the last layer's first weights smaller, and check the images' normalisation."
        if bad
        else "",
        data={"loss": loss, "expected": even, "classes": classes},
    )


def overfit_batch(
    model: nn.Module, inputs: Tensor, labels: Tensor, *, steps: int = 100, rate: float = 1e-3
) -> Finding:
    """Train a copy on one batch alone with Adam: a network and a loss that work learn it by heart.

    inputs: (N, ...), labels: (N,). Stops when every image is right and the loss is under 0.05.
    Raises UsageError for fewer than one step.
    """
    if steps < 1:
        raise UsageError(f"steps must be 1 or more, got {steps}")
    twin = copy.deepcopy(model).train()
    for parameter in twin.parameters():
        parameter.requires_grad_(True)
    optimiser = torch.optim.Adam(twin.parameters(), lr=rate)
    losses: list[float] = []
    right = 0.0
    for _ in range(steps):
        logits = twin(inputs)
        loss = cross_entropy(logits, labels)
        losses.append(float(loss.detach()))
        right = float((logits.argmax(1) == labels).float().mean())
        if (right == 1 and losses[-1] < 0.05) or not math.isfinite(losses[-1]):
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    good = right >= 0.99
    return Finding(
        name="diagnose-one-batch",
        title="One batch by heart",
        verdict=f"After {len(losses)} steps on {len(labels)} images alone {right:.0%} are right; the loss went from "
        f"{losses[0]:.3f} to {losses[-1]:.3f}.",
        status="good" if good else "warning",
        advice="" if good else "Check labels, loss and gradients before training on more images.",
        data={"accuracy": right, "losses": losses},
    )
