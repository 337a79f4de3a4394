"""Element-wise activations, and the three rules for going back through a ReLU."""

from __future__ import annotations

import torch
from torch import Tensor

from striate.errors import UsageError


def relu(x: Tensor) -> Tensor:
    """max(0, x) (lecture 000, "A shallow toy ConvNet").

    x of any shape -> the same shape.
    """
    return x * (x > 0)


# What comes back through a ReLU, from the gradient dy above it and the input x below it.
RELU_RULES = {
    "gradient": lambda dy, x: dy * (x > 0),
    "deconvnet": lambda dy, x: dy * (dy > 0),
    "guided": lambda dy, x: dy * (x > 0) * (dy > 0),
}


def relu_backward(dy: Tensor, x: Tensor, rule: str = "gradient") -> Tensor:
    """dL/dx of a ReLU by one of three rules.

    dy, x of the same shape, any -> that shape. "gradient" stops what the forward pass stopped; "deconvnet" stops what
    is negative on the way back, whatever the forward pass did (Zeiler and Fergus 2014); "guided" stops both
    (Springenberg et al. 2015; lecture 002, "Guided Backpropagation"). Only the first is a derivative. Raises UsageError
    for another rule.
    """
    if rule not in RELU_RULES:
        raise UsageError(f"rule must be one of {', '.join(RELU_RULES)}, got {rule!r}")
    return RELU_RULES[rule](dy, x)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), the activation of lecture 001's LeNet.

    x of any shape -> the same shape.
    """
    e = torch.exp(-x.abs())  # never overflows
    return torch.where(x >= 0, 1 / (1 + e), e / (1 + e))


def sigmoid_backward(dy: Tensor, x: Tensor) -> Tensor:
    """dL/dx = dy s (1 - s) with s = sigmoid(x).

    dy, x of the same shape, any -> that shape.
    """
    s = sigmoid(x)
    return dy * s * (1 - s)


def tanh(x: Tensor) -> Tensor:
    """2 sigmoid(2 x) - 1, the activation of lecture 002's LeNet-5.

    x of any shape -> the same shape.
    """
    return 2 * sigmoid(2 * x) - 1


def tanh_backward(dy: Tensor, x: Tensor) -> Tensor:
    """dL/dx = dy (1 - t^2) with t = tanh(x).

    dy, x of the same shape, any -> that shape.
    """
    return dy * (1 - tanh(x).square())
