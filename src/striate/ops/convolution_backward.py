"""The gradients of a convolutional layer: for its input, its weights and its bias."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from striate.errors import UsageError
from striate.ops.convolution import ConvPlan
from striate.ops.padding import Padding, pad, pad_backward
from striate.ops.windows import PerAxis


class Gradients(NamedTuple):
    """dL/dx, dL/dweight and dL/dbias, each in the shape of what it belongs to.

    x: dL/dx (N, C, *size), or (N, F) of a linear layer. weight, bias: those of the parameters, (O, C / groups, *kernel)
    and (O,) of a convolution.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor


def conv_backward(
    dy: Tensor,
    x: Tensor,
    weight: Tensor,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    average: bool = False,
) -> Gradients:
    """The gradients of `conv`, by the chain rule at one window after the other (lecture 004, section
    3.4).

    dy (N, O, *windows) is dL/dy; the other arguments are those of the forward pass. At each window
    the output is a weighted sum, so the input under the window receives weight * dy and the weight
    receives input * dy. A weight is used at every window: its gradient is the sum over all of them
    (lecture 002, "Backpropagation in CNNs"), or their mean with `average=True`, the option that lecture
    002 mentions; torch sums. Raises UsageError if dy has not the shape of the output.
    """
    plan = ConvPlan.of(x, weight, stride, padding, dilation, groups)
    expected = (x.shape[0], weight.shape[0], *plan.windows.shape)
    if dy.shape != expected:
        raise UsageError(
            f"dy must have the shape of conv's output, got {tuple(dy.shape)}, expected {expected}"
        )
    x_NGC = pad(x, plan.widths, padding_mode).unflatten(1, (groups, -1))
    w_GOC = weight.unflatten(0, (groups, -1))
    dx, dw, db = torch.zeros_like(x_NGC), torch.zeros_like(w_GOC), weight.new_zeros(weight.shape[0])
    dy_NGO = dy.flatten(2).unflatten(1, (groups, -1))
    for place, window in enumerate(plan.windows):
        d = dy_NGO[..., place]  # (N, G, O)
        d_NGOC = d.reshape(*d.shape, *[1] * (weight.ndim - 1))
        dx[window] += (d_NGOC * w_GOC).sum(2)
        dw += (d_NGOC * x_NGC[window].unsqueeze(2)).sum(0)
        db += d.sum(0).flatten()
    used = dy_NGO.shape[-1] if average else 1
    return Gradients(
        pad_backward(dx.flatten(1, 2), plan.widths, padding_mode),
        dw.flatten(0, 1) / used,
        db / used,
    )


def shared_gradient(gradients: list[Tensor], *, average: bool = False) -> Tensor:
    """The gradient of a weight that stands at several places: the sum of theirs (lecture 002).

    gradients of the same shape, any -> that shape. With `average` their mean, as in lecture 002's w := w - rate * 1/2
    (dL/dw1 + dL/dw2): that is the summed gradient with the learning rate divided by the number of places. Raises
    UsageError for an empty list.
    """
    if not gradients:
        raise UsageError("shared_gradient needs the gradient of at least one place, got none")
    total = torch.stack(gradients).sum(0)
    return total / len(gradients) if average else total


def written_out(X: Tensor, W: Tensor, dh: Tensor) -> tuple[Tensor, Tensor]:
    """Lecture 004, section 3.4, line by line: a 3x3 input, a 2x2 kernel, a 2x2 output.

    X (3, 3), W (2, 2), dh (2, 2) = dL/dh -> (dW, dX).

    One line of the lecture is misprinted. It reads dW21 = X21 dh11 + X21 dh12 + X31 dh21 + X32
    dh22. The second term must be X22 dh12, since h12 contains W21 X22, as the lecture's own forward
    equation has it; numerical gradients confirm it. The other twelve lines are right.
    """
    (X11, X12, X13), (X21, X22, X23), (X31, X32, X33) = X
    (W11, W12), (W21, W22) = W
    (dh11, dh12), (dh21, dh22) = dh

    dW11 = X11 * dh11 + X12 * dh12 + X21 * dh21 + X22 * dh22
    dW12 = X12 * dh11 + X13 * dh12 + X22 * dh21 + X23 * dh22
    dW21 = X21 * dh11 + X22 * dh12 + X31 * dh21 + X32 * dh22  # printed: X21 * dh12
    dW22 = X22 * dh11 + X23 * dh12 + X32 * dh21 + X33 * dh22

    dX11 = W11 * dh11
    dX12 = W12 * dh11 + W11 * dh12
    dX13 = W12 * dh12
    dX21 = W21 * dh11 + W11 * dh21
    dX22 = W22 * dh11 + W21 * dh12 + W12 * dh21 + W11 * dh22
    dX23 = W22 * dh12 + W12 * dh22
    dX31 = W21 * dh21
    dX32 = W22 * dh21 + W21 * dh22
    dX33 = W22 * dh22
    return (
        torch.stack([dW11, dW12, dW21, dW22]).reshape(2, 2),
        torch.stack([dX11, dX12, dX13, dX21, dX22, dX23, dX31, dX32, dX33]).reshape(3, 3),
    )
