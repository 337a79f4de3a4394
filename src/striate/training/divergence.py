"""When the loss stops being a number: find where, and say what helps."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from striate.borrow import forward
from striate.errors import TrainingError
from striate.training.parts import whole


def explain_divergence(
    model: nn.Module, x: torch.Tensor, step: int, loss: float, lr: float
) -> TrainingError:
    """The error for a loss that is not finite, or far above its start, at `step`: names the layer that broke first.

    x: the batch (N, C, H, W) that gave the loss.
    """
    advice = f"lower the learning rate (--set lr={lr / 4:.2g}) or use --precision fp32"
    word = "is not a number" if not math.isfinite(loss) else f"grew to {loss:.3g}"
    if not torch.isfinite(x).all():
        return TrainingError(
            f"training stopped at step {step}: the images hold values that are not finite; check the data"
        )
    for name, parameter in model.named_parameters():
        if not torch.isfinite(whole(parameter)).all():
            return TrainingError(
                f"training stopped at step {step}: the loss {word}, and the weights {name} are no longer finite; {advice}"
            )
    layer = first_non_finite_layer(model, x)
    where = f" in layer {layer}" if layer else ""
    return TrainingError(f"training stopped at step {step}: the loss {word}{where}; {advice}")


@torch.no_grad()
def first_non_finite_layer(model: nn.Module, x: torch.Tensor) -> str | None:
    """Name of the first layer whose output for x (N, C, H, W) is not finite; None if all are."""
    layers: list[str] = []

    def look(name: str) -> Any:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor) and not layers and not torch.isfinite(output).all():
                layers.append(name)

        return hook

    leaves = [(n, m) for n, m in model.named_modules() if not list(m.children())]
    handles = [m.register_forward_hook(look(n)) for n, m in leaves]
    try:
        forward(model, x)
    finally:
        for handle in handles:
            handle.remove()
    return layers[0] if layers else None
