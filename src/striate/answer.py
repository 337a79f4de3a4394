"""Answer: which tensor of what a network returns is its prediction; decided here for every room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from striate.errors import UsageError

# As torchvision ("out"), Hugging Face ("logits") and others call it; the first that is there is taken.
NAMES = ("logits", "out", "output", "pred", "prediction", "predictions", "scores", "y")
"""Names under which a dict or a dataclass may hold its prediction, the likeliest first."""


def answer_of(output: Any) -> Tensor:
    """The prediction (N, ...) of a network's output.

    output: a tensor; a tuple or list, whose first tensor it is (GoogLeNet's and DeepLab's other heads follow it); a dict or
    a dataclass, where it is called `logits`, `out` or the like, or is the only tensor. Raises UsageError for anything else.
    """
    if isinstance(output, Tensor):
        return output
    if isinstance(output, tuple | list):
        named = getattr(output, "_fields", ())
        for name in NAMES:
            if name in named:
                return answer_of(getattr(output, name))
        for part in output:
            if part is not None and not isinstance(part, int | float | str):
                return answer_of(part)
    parts = _named(output)
    for name in NAMES:
        if parts.get(name) is not None:
            return answer_of(parts[name])
    tensors = [part for part in parts.values() if isinstance(part, Tensor)]
    if len(tensors) == 1:
        return tensors[0]
    held = f" with {', '.join(map(str, parts))}" if parts else ""
    raise UsageError(
        f"the network returns {type(output).__name__}{held}, and which of it is the prediction is not known; return one "
        f"tensor, or call it {NAMES[0]!r} or {NAMES[1]!r}"
    )


def in_single(prediction: Tensor) -> Tensor:
    """A prediction of any shape in float32 where it came in half precision: losses need the digits. Double precision
    stays.
    """
    return prediction if prediction.dtype == torch.float64 else prediction.float()


def _named(output: Any) -> dict[str, Any]:
    if isinstance(output, Mapping):
        return dict(output)
    if is_dataclass(output) and not isinstance(output, type):
        return {f.name: getattr(output, f.name, None) for f in fields(output)}
    return {}
