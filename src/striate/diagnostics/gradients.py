"""Gradient check: backpropagation against finite differences, parameter by parameter."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.answer import answer_of
from striate.borrow import borrowed, forward
from striate.diagnostics.soundness import require_images, require_parameters
from striate.errors import UsageError
from striate.findings import Finding, Table
from striate.training.batch import mapped

Loss = Callable[[Any, Any], Tensor]
STEP = 1e-6  # of a central difference in float64
RELATIVE, ABSOLUTE = 1e-4, 1e-7  # how far the two may differ, the second in units of the loss


def cross_entropy(output: Any, targets: Tensor) -> Tensor:
    """Mean cross-entropy of the prediction (N, K) for labels (N,)."""
    return F.cross_entropy(answer_of(output), targets)


def check_gradients(
    model: nn.Module,
    inputs: Tensor,
    targets: Any,
    loss: Loss = cross_entropy,
    *,
    entries: int = 3,
    seconds: float = 60.0,
    seed: int = 0,
) -> Finding:
    """Compare each parameter's gradient with central differences, in float64, in evaluation form.

    inputs: (N, ...). targets: what `loss` takes beside the module's output to give a scalar. entries: how many of each
    parameter's numbers are moved: the one of largest gradient and others drawn by `seed`. A number at a kink (as of ReLU)
    is left out.
    seconds: after which no further parameter is begun; they are taken from all over the network.
    Raises UsageError where the loss is no finite scalar or no parameter can be learned.
    """
    if entries < 1:
        raise UsageError(f"entries must be 1 or more, got {entries}")
    require_parameters(model)
    require_images(inputs)
    done: dict[int, tuple[str, int, int, float | None, bool]] = {}
    with borrowed(model, dtype=torch.float64):
        learned = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        if not learned:
            raise UsageError("the module has no parameter that requires a gradient")
        x = inputs.double() if inputs.is_floating_point() else inputs
        y = mapped(targets, lambda t: t.double() if t.is_floating_point() else t)
        value = loss(forward(model, x), y)
        if value.numel() != 1 or not torch.isfinite(value).all():
            raise UsageError("the loss must be one finite number; check the loss and the images")
        given = torch.autograd.grad(value, [p for _, p in learned], allow_unused=True)
        here = float(value.detach())
        generator = torch.Generator().manual_seed(seed)
        until = time.perf_counter() + seconds
        with torch.no_grad():
            for turn in spread(len(learned)):
                (name, parameter), own = learned[turn], given[turn]
                if done and time.perf_counter() > until:
                    break
                gradient = torch.zeros_like(parameter) if own is None else own
                flat = gradient.flatten()
                drawn = torch.randperm(flat.numel(), generator=generator)[: entries - 1].tolist()
                compared, worst, agrees = 0, 0.0, True
                # A number of no slope is compared with what rounding alone makes of one.
                largest = max(float(flat.abs().max()), ABSOLUTE * max(1.0, abs(here)))
                for at in dict.fromkeys([int(flat.abs().argmax()), *drawn]):
                    place = tuple(
                        int(i) for i in torch.unravel_index(torch.tensor(at), gradient.shape)
                    )
                    before = parameter[place].clone()
                    parameter[place] = before + STEP
                    up = (float(loss(forward(model, x), y)) - here) / STEP
                    parameter[place] = before - STEP
                    down = (here - float(loss(forward(model, x), y))) / STEP
                    parameter[place] = before
                    numeric, ours = (up + down) / 2, float(flat[at])
                    size = max(abs(numeric), abs(ours))
                    if abs(up - down) > 1e-3 * size + ABSOLUTE * max(1.0, abs(here)):
                        continue  # the slopes to the left and right differ: a kink
                    gap = abs(numeric - ours)
                    wrong_by = gap - RELATIVE * size - ABSOLUTE * max(1.0, abs(here))
                    if wrong_by > 0 and abs(up - down) >= gap / 2:
                        continue  # a kink of few pixels among many: one slope is as far from the other as from ours
                    compared += 1
                    worst = max(worst, gap / max(largest, abs(numeric)))
                    agrees &= wrong_by <= 0
                done[turn] = name, parameter.numel(), compared, worst if compared else None, agrees
    rows = [done[turn] for turn in sorted(done)]
    wrong = [name for name, *_, agrees in rows if not agrees]
    left = [name for name, _, compared, *_ in rows if not compared]
    if wrong:
        verdict = f"The gradient of {wrong[-1]} disagrees with finite differences" + (
            f", and so do {len(wrong) - 1} parameters before it." if len(wrong) > 1 else "."
        )
    else:
        verdict = (
            f"The gradients of {len(rows) - len(left)} parameters agree with finite differences."
        )
        if left:
            verdict += f" {len(left)} could not be compared: they lie at kinks."
    if len(rows) < len(learned):
        verdict += f" The other {len(learned) - len(rows)} were left out for want of time."
    return Finding(
        name="diagnose-gradients",
        title="Gradients",
        verdict=verdict,
        status="problem" if wrong else "note" if left else "good",
        advice=f"Correct the backward of the layer that holds {wrong[-1]}, or of the one after it."
        if wrong
        else "",
        tables=(
            Table(
                columns=("parameter", "numbers", "compared", "largest relative error", "agrees"),
                rows=tuple(rows),
                formats=("", ",", ",", ".1e", ""),
                caption="Error: what backpropagation and finite differences differ by, relative to the parameter's largest "
                "gradient.",
            ),
        ),
        data={
            "wrong": wrong,
            "not_compared": left,
            "errors": {name: worst for name, _, _, worst, _ in rows},
        },
        seed=seed,
    )


def spread(n: int) -> list[int]:
    """0 to n - 1: the last, the first, then here and there, so that any beginning of it covers the network."""
    return sorted(range(n), key=lambda i: (i != n - 1, i != 0, i * 0.618034 % 1))
