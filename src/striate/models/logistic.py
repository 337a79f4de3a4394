"""Multinomial logistic regression on features: a linear layer fitted to labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

DECAY = 1e-3  # weight of the squared coefficients against the mean loss


def fit_logistic(x: Tensor, labels: Tensor, classes: int, *, steps: int) -> tuple[Tensor, Tensor]:
    """Weights (K, D) and biases (K,) of K = `classes` that make the mean cross entropy of labels (N,) least.

    x: features (N, D), standardised. The squared weights count too, `DECAY` times. At most `steps` steps of L-BFGS (Liu and
    Nocedal, 1989) with a line search. Also in inference mode.
    """
    with torch.inference_mode(False), torch.enable_grad():
        weight = torch.zeros(classes, x.shape[1], dtype=x.dtype, requires_grad=True)
        bias = torch.zeros(classes, dtype=x.dtype, requires_grad=True)
        solver = torch.optim.LBFGS([weight, bias], max_iter=steps, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            solver.zero_grad()
            value = F.cross_entropy(F.linear(x, weight, bias), labels)
            value = value + DECAY * weight.square().sum()
            value.backward()
            return value

        solver.step(loss)
    return weight.detach(), bias.detach()
