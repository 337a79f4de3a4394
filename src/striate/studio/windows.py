"""Windows: one small layer with every product shown, and a whole network from a pattern with what its layers see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate import ops
from striate.errors import UsageError
from striate.geometry import Geometry, trace, utilisation
from striate.models import build
from striate.studio.describing import axis
from striate.studio.desk import Part
from striate.studio.numbers import text_in, whole_in

SIZE = 12  # of the picture, at most: every number of it is shown
KERNEL = 7
SIDE = 512  # of a pattern's image, at most
LAYERS = 400
CLASSES = 10
X3, K2 = [[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[0, 1], [2, 3]]
I6 = [
    [0.5, 1.0, 0.55, 0.12, 0.1, 1.0],
    [0.3, 0.34, 0.3, 0.99, 0, 0],
    [0, 0, 0.1, 0.05, 0.1, 1.0],
    [1.0, 0.1, 0.1, 0.3, 0.4, 0.43],
    [0, 1.0, 0.4, 0.4, 0.3, 0.33],
    [0.1, 0.1, 0.13, 0.44, 0.54, 0],
]
FOUR = [[4, 5, 8, 7], [1, 8, 8, 8], [3, 6, 6, 4], [6, 5, 7, 8]]
K3 = [[1, 4, 1], [1, 4, 3], [3, 3, 1]]
POOLED = [[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]
EDGE = ops.FILTERS["vertical edge"].tolist()
OPS = {
    "convolution": "Convolution", "transposed": "Transposed convolution", "max": "Max pooling", "mean": "Mean pooling",
}  # fmt: skip

# The lectures' worked examples: what each is, the layer, and its numbers.
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "sliding": ("The sliding window (lecture 000)", {"op": "convolution", "image": I6, "weights": EDGE}),
    "convolution": ("Convolution of 3 × 3 by 2 × 2 (001)", {"op": "convolution", "image": X3, "weights": K2}),
    "padding": ("Padding (001)", {"op": "convolution", "image": X3, "weights": K2, "padding": 1}),
    "stride": (
        "Stride 3 down, 2 across (001)",
        {"op": "convolution", "image": X3, "weights": K2, "padding": 1, "stride": (3, 2)},
    ),
    "matrix": ("The 4 × 16 matrix (004)", {"op": "convolution", "image": FOUR, "weights": K3}),
    "transposed": ("Transposed convolution (001)", {"op": "transposed", "image": K2, "weights": K2}),
    "stamps": ("Transposed, stride 2 (001)", {"op": "transposed", "image": K2, "weights": K2, "stride": 2}),
    "max": ("Max pooling and its backward (004)", {"op": "max", "image": POOLED, "kernel": 2, "stride": 2}),
    "mean": ("Mean pooling and its backward (004)", {"op": "mean", "image": POOLED, "kernel": 2, "stride": 2}),
}  # fmt: skip


def presets() -> Part:
    """The names of the worked examples, and of the operations."""
    return {"presets": {n: words for n, (words, _) in PRESETS.items()}, "ops": OPS}, {}


def window(question: Mapping[str, Any]) -> Part:
    """One layer on one small picture: what it reads, which weight or share goes where, what it gives, and what it costs.

    Arrays: x (H, W), weights (k, k), y (h, w) and their gradient: dy (h, w), all ones or 10, 20, ... of the lecture, and
    dx (H, W). numbers (h * w, H * W) uint8: which weight, counted from 1, joins an input to an output, 0 for none; of
    a maximum the chosen input alone. Raises UsageError for what is no such layer, in the words of its definition.
    """
    given = preset_of(question)
    op = given.get("op", "convolution")
    if not isinstance(op, str) or op not in OPS:
        raise UsageError(f"there is no operation {op!r}; load the page again")
    stride = given.get("stride", 1)
    if not isinstance(stride, tuple):  # which only a worked example has
        whole_in({"stride": stride}, "stride", 1, SIZE)
        stride = (stride, stride)
    padding = whole_in({"padding": 0, **given}, "padding", 0, SIZE)
    dilation = whole_in({"dilation": 1, **given}, "dilation", 1, SIZE)
    x, weights = _plane(given, "image", "size", SIZE), _plane(given, "weights", "kernel", KERNEL)
    if op in ("max", "mean"):
        weights, dilation = torch.ones_like(weights), 1
    size, kernel = list(x.shape), weights.shape[-1]
    counted = torch.arange(1.0, kernel * kernel + 1, dtype=torch.float64).reshape(
        1, 1, kernel, kernel
    )
    plane, w = x[None, None], weights[None, None]
    how = {"stride": stride, "padding": padding, "dilation": dilation}
    pool = {"stride": stride, "padding": padding}
    if op == "transposed":
        y = ops.conv_transpose(plane, w, **how)
        # From this layer's output back to its input is a convolution; its matrix, transposed, is this layer's.
        matrix = ops.conv_transpose_matrix(counted, y.shape[2:], **how)
    else:
        matrix = ops.conv_matrix(counted, size, **(pool if op in ("max", "mean") else how))
        if op == "convolution":
            y = ops.conv(plane, w, **how)
        elif op == "mean":
            y = ops.mean_pool(plane, kernel, **pool)
        else:
            y = ops.max_pool(plane, kernel, **pool).y
    numbers = matrix.toarray().round().astype(np.uint8)
    dy = (torch.arange(1.0, y.numel() + 1, dtype=torch.float64) * 10).reshape(y.shape)
    if op == "max":
        indices = ops.max_pool(plane, kernel, **pool).indices
        dx = ops.max_pool_backward(dy, indices, tuple(size))
        chosen = np.zeros_like(numbers)
        at = indices.flatten().numpy()
        chosen[np.arange(len(at)), at] = 1
        arrays = {"chosen": chosen}
    elif op == "mean":
        dx, arrays = ops.mean_pool_backward(dy, tuple(size), kernel, **pool), {}
    elif op == "transposed":
        dx, arrays = ops.conv_transpose_backward(dy, plane, w, **how).x, {}
    else:
        dx, arrays = ops.conv_backward(dy, plane, w, **how).x, {}
    out = list(y.shape[2:])
    reach = (kernel - 1) * dilation + 1
    header = {
        "op": op, "size": size, "kernel": kernel, **how, "out": out, "reach": reach,
        "parameters": kernel * kernel if op in ("convolution", "transposed") else 0,
        "products": int(np.count_nonzero(numbers)), "full": numbers.size,
        "formula": [formula(op, size[k], kernel, stride[k], padding, dilation, out[k]) for k in (0, 1)],
        "used": int(np.count_nonzero(numbers.any(0))),
    }  # fmt: skip
    planes = {"x": x, "weights": weights, "y": y[0, 0], "dy": dy[0, 0], "dx": dx[0, 0]}
    return header, {
        **{n: t.numpy().astype(np.float32) for n, t in planes.items()},
        "numbers": numbers,
        "reads": np.count_nonzero(numbers, 0).reshape(size).astype(np.uint8),
        **arrays,
    }


def preset_of(question: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked, with a worked example's numbers where one is named. Raises UsageError for none of that name."""
    name = question.get("preset")
    if name is None:
        return dict(question)
    if not isinstance(name, str) or name not in PRESETS:
        raise UsageError(f"there is no worked example {name!r}; load the page again")
    return {**question, **PRESETS[name][1]}


def formula(
    op: str, size: int, kernel: int, stride: int, padding: int, dilation: int, out: int
) -> str:
    """How the output's side follows, with the numbers in their places."""
    if op == "transposed":
        return f"({size} − 1) × {stride} + {dilation} × ({kernel} − 1) + 1 − 2 × {padding} = {out}"
    return f"⌊({size} + 2 × {padding} − {dilation} × ({kernel} − 1) − 1) / {stride}⌋ + 1 = {out}"


def _plane(given: Mapping[str, Any], name: str, side: str, most: int) -> Tensor:
    """A square of numbers that is given, or of a side that is given: counted from 0 for a picture, ones for weights."""
    rows = given.get(name)
    if rows is None:
        n = whole_in(given, side, 1, most)
        counted = torch.arange(float(n * n), dtype=torch.float64).reshape(n, n)
        return counted % 10 if name == "image" else torch.ones(n, n, dtype=torch.float64)
    try:
        made = torch.tensor(rows, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        made = torch.zeros(0)
    square = made.dim() == 2 and made.shape[0] == made.shape[1] and 1 <= made.shape[0] <= most
    if not square or not bool(torch.isfinite(made).all()) or float(made.abs().max()) > 1e6:
        raise UsageError(
            f"{name} is a square of numbers, {most} a side at most, none beyond a million"
        )
    return made


def pattern(question: Mapping[str, Any]) -> Part:
    """The layers of a network from its spec: sizes, what each sees, parameters and multiply-adds; and how often the last
    layer with positions reads each pixel, the array `used` (H, W). Raises UsageError or PatternError for no such network."""
    spec = text_in(question, "spec")
    side = whole_in(question, "side", 1, SIDE)
    channels = whole_in({"channels": 3, **question}, "channels", 1, 16)
    if any(
        c in spec for c in "/\\"
    ):  # no published weights, and never a folder: the page names no path
        raise UsageError("write a layer pattern or the name of one of Striate's own networks")
    shape = (channels, side, side)
    with torch.device("meta"):
        module = build(spec, in_channels=channels, num_classes=CLASSES, size=side, check=True)
    geometry = trace(module.eval(), (1, *shape))
    layers = [
        {
            "name": layer.name, "op": layer.op, "shape": list(layer.out_shape[1:]), "window": list(layer.window),
            "stride": list(layer.stride), "parameters": layer.params, "macs": layer.macs,
            "field": [axis(a) for a in layer.receptive_field],
        }
        for layer in geometry.layers[:LAYERS]
    ]  # fmt: skip
    header = {
        "spec": spec, "input": list(shape), "layers": layers, "left": max(0, len(geometry.layers) - LAYERS),
        "parameters": geometry.total_params, "macs": geometry.total_macs,
    }  # fmt: skip
    return header, used(geometry)


def used(geometry: Geometry) -> dict[str, np.ndarray]:
    """How often each pixel is read, `used` (H, W); nothing where no layer has positions."""
    try:
        return {"used": utilisation(geometry).astype(np.float32)}
    except UsageError:
        return {}
