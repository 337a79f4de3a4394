"""Answer: which tensor of what a network returns is its prediction, and which number is asked about; for every room."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
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


Part = tuple[slice, slice]  # rows and columns of an image


@dataclass(frozen=True, kw_only=True, eq=False)
class Aim:
    """A number of a network's output that is asked about: called with the output (N, ...) it gives the number, (N,).

    number: that function. words: what it is. region: the part of the image that it speaks of, such as an object's box.
    cone: the part outside which no pixel has any influence on it, exactly; None where the network sees everything. crop:
    the part of the image that is enough to ask about it, in which region and cone then lie; None for all of it.
    either: whether a change counts that makes the number larger as well as one that makes it smaller, as of where an edge
    lies. kept: output -> (N,), how far the number is what it was, from 1 for the same down to 0; None where the number says
    so itself. detected: output -> (N,) in [0, 1], how much of the detection is left (D-RISE's similarity). beside: other
    numbers of the same prediction by name, such as the edges of its box.
    """

    number: Callable[[Any], Tensor]
    words: str
    region: Part | None = None
    cone: Part | None = None
    crop: Part | None = None
    either: bool = False
    kept: Callable[[Any], Tensor] | None = None
    detected: Callable[[Any], Tensor] | None = None
    beside: Mapping[str, Aim] = field(default_factory=dict)

    def __call__(self, output: Any) -> Tensor:
        return self.number(output)


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
