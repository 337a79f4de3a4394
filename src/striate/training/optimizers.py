"""The three optimizers, and which of them steps which parameter."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from striate.errors import UsageError
from striate.training.parts import cut, cut_memory, whole
from striate.training.recipe import Recipe

# Quintic whose fifth iterate sends singular values of (0, 1] near 1; Jordan et al., "Muon" (2024).
A, B, C = 3.4445, -4.7750, 2.0315


def orthogonalise(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The nearest semi-orthogonal matrix to `matrix` (rows, columns), roughly, in bfloat16 (Newton-Schulz)."""
    x = matrix.bfloat16()
    wide = x if x.shape[0] <= x.shape[1] else x.T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(steps):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=B, alpha=C), wide, beta=A)
    return (wide if x.shape[0] <= x.shape[1] else wide.T).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: each filter bank, as a matrix (out, in*kh*kw), moves by a semi-orthogonal step.

    Source: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024); what it
    gives here stands in docs/training.md.
    """

    def __init__(
        self, params: Iterable[Any], lr: float, momentum: float = 0.9, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(p)
                buffer = state["momentum"].mul_(group["momentum"]).add_(p.grad)
                update = whole(p.grad.add(buffer, alpha=group["momentum"])).flatten(1)
                update = cut(orthogonalise(update).view(p.shape), p)
                gain = max(1.0, p.shape[0] / math.prod(p.shape[1:])) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * gain)


class Optimizers:
    """One or two optimizers that act as one; `factor` scales every group's own peak learning rate."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self.parts = list(parts)
        self.peaks = [[g["lr"] for g in part.param_groups] for part in self.parts]

    def step(self, factor: float) -> None:
        """One update at `factor` times the peak learning rates."""
        for part, peaks in zip(self.parts, self.peaks, strict=True):
            for group, peak in zip(part.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            part.step()

    def scale(self, by: float) -> None:
        """Multiply every group's peak learning rate."""
        self.peaks = [[peak * by for peak in peaks] for peaks in self.peaks]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        """The state of each part, in order."""
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """The opposite of `state_dict`."""
        for part, state in zip(self.parts, states, strict=True):
            numbered = [p for group in part.param_groups for p in group["params"]]
            part.load_state_dict(cut_memory(state, numbered))


def make_optimizer(recipe: Recipe, groups: Sequence[Sequence[nn.Parameter]]) -> Optimizers:
    """The optimizer of a resolved recipe for parameters in `groups`, ordered from the input to the head.

    The learning rate of a group is `layer_decay` times that of the next; biases and the gains of normalisations
    are not decayed. With Muon, filters of hidden layers move by Muon; the first layer, the head, biases and gains
    move by SGD with Nesterov's momentum.
    """
    assert recipe.lr is not None and recipe.weight_decay is not None, "resolve the recipe first"
    decay = recipe.layer_decay or 1.0
    rates = [recipe.lr * decay ** (len(groups) - 1 - i) for i in range(len(groups))]
    if recipe.optimizer == "muon":
        flat = [p for group in groups for p in group]
        hidden = [p for p in flat if p.ndim == 4 and p.shape[1] > 3 and p.shape[0] > 1]
        chosen = {id(p) for p in hidden}
        rest = [p for p in flat if id(p) not in chosen]
        sgd = torch.optim.SGD(
            rest, lr=2.5 * recipe.lr, momentum=0.85, nesterov=True, weight_decay=1e-4, foreach=True
        )
        if not hidden:
            return Optimizers([sgd])
        return Optimizers([Muon(hidden, lr=recipe.lr, weight_decay=recipe.weight_decay), sgd])
    settings: list[dict[str, Any]] = []
    for rate, group in zip(rates, groups, strict=True):
        matrices = [p for p in group if p.ndim > 1]
        vectors = [p for p in group if p.ndim <= 1]
        if matrices:
            settings.append({"params": matrices, "lr": rate, "weight_decay": recipe.weight_decay})
        if vectors:
            settings.append({"params": vectors, "lr": rate, "weight_decay": 0.0})
    if not settings:
        raise UsageError("the model has no parameters to train; choose another model")
    if recipe.optimizer == "adamw":
        return Optimizers([torch.optim.AdamW(settings, lr=recipe.lr, foreach=True)])
    return Optimizers(
        [torch.optim.SGD(settings, lr=recipe.lr, momentum=0.9, nesterov=True, foreach=True)]
    )
