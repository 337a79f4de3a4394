"""The fully connected layer and its gradients."""

from __future__ import annotations

from torch import Tensor

from striate.ops.convolution_backward import Gradients


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y_k = sum_i W_ki x_i + b_k: x (N, I), weight (O, I), bias (O,) -> (N, O) (lecture 003, z3 = W z2
    + c)."""
    y = (x[:, None, :] * weight).sum(-1)
    return y if bias is None else y + bias


def linear_backward(dy: Tensor, x: Tensor, weight: Tensor) -> Gradients:
    """dx = dy W, dW = dy^T x, db = the sum of dy over the batch: dy (N, O), x (N, I), weight (O,
    I)."""
    return Gradients(
        (dy[:, :, None] * weight).sum(1), (dy[:, :, None] * x[:, None, :]).sum(0), dy.sum(0)
    )
