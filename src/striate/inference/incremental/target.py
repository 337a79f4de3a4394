"""Target: which number of a network's output is watched."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from striate.errors import UsageError

Place = int | slice | tuple[int, int]
Target = int | Sequence[Place] | Callable[[Any], Tensor]
Score = Callable[[Any], Tensor]


def score_of(target: Target, clean: Any) -> Score:
    """A function from the network's output to one number an image (N,).

    target: a class of a classifier (N, classes); (class, row, column) of a segmenter (N, classes, H, W), where row and
    column may be (start, stop) and the mean over that region is taken; or any function of the network's output.
    clean: the output for the clean image, against which the target is checked. Raises UsageError.
    """
    if callable(target):
        return _called(target)
    places = _places(target)
    if not isinstance(clean, Tensor):
        raise UsageError(
            f"the network returns {type(clean).__name__}, so a class alone does not name a number; give a function of "
            "its output, such as lambda out: out['out'][:, 3].mean((1, 2))"
        )
    shape = tuple(clean.shape[1:])
    if len(places) != len(shape):
        what = "one class" if len(shape) == 1 else f"{len(shape)} indices: class and position"
        size = "x".join(map(str, shape)) or "no"
        raise UsageError(
            f"the network gives {size} numbers an image; the target is {what}, got {target!r}; a function of the output "
            f"names any other number, such as {_example(len(shape))}"
        )
    index: list[slice] = []
    for axis, (place, n) in enumerate(zip(places, shape, strict=True)):
        start, stop = span(place, n)
        if isinstance(place, bool) or not 0 <= start < stop <= n:
            if axis == 0:
                raise UsageError(
                    f"target {place!r} is out of range: the network has {n} classes, 0 to {n - 1}"
                )
            raise UsageError(
                f"target position {place!r} is out of range: the output has {n} positions along axis {axis - 1}"
            )
        index.append(slice(start, stop))
    at = tuple(index)

    def score(output: Tensor) -> Tensor:
        return output[(slice(None), *at)].flatten(1).mean(1)

    return score


def score_of_one(target: Target, clean: Any) -> Score:
    """`score_of` for one image at a time, also where the network drops the dimension of a batch of one (`squeeze()`)."""
    if not bare(clean) or callable(target):
        return score_of(target, clean)
    inner = score_of(target, batched(clean))
    return lambda output: inner(batched(output))


def bare(output: Any) -> bool:
    """Whether the output of one image lacks the dimension of images."""
    return isinstance(output, Tensor) and (output.dim() < 2 or len(output) != 1)


def batched(output: Tensor) -> Tensor:
    """The bare output of one image as (1, ...), a single number as (1, 1)."""
    return output[None] if output.dim() else output[None, None]


def _places(target: Any) -> tuple[Place, ...]:
    """The target as a tuple of places; whole numbers of NumPy and torch are taken, such as `logits.argmax()`."""
    whole = target if isinstance(target, bool) else _whole(target)  # True is refused as a class
    if whole is not None:
        return (whole,)
    several = isinstance(target, (tuple, list)) or (
        isinstance(target, (Tensor, np.ndarray)) and target.ndim
    )
    if not several:
        raise UsageError(
            "the target is a class, a class and a position, or a function of the network's output; got "
            f"{type(target).__name__ if target is None else repr(target)}; the predicted class is "
            "int(module(image).argmax())"
        )
    places: list[Place] = []
    for place in target:  # type: ignore[union-attr]
        index = _whole(place)
        pair = None if isinstance(place, slice) or index is not None else _pair(place)
        if index is None and pair is None and not isinstance(place, slice):
            raise UsageError(
                f"a place of the target is an index, (start, stop) or a slice; got {place!r} in {target!r}"
            )
        places.append(index if index is not None else pair if pair is not None else place)
    return tuple(places)


def _whole(number: Any) -> int | None:
    if isinstance(number, bool) or (isinstance(number, Tensor) and number.dim()):
        return None
    try:
        return operator.index(number)
    except TypeError:
        return None


def _pair(place: Any) -> tuple[int, int] | None:
    ends = [_whole(n) for n in place] if isinstance(place, (tuple, list)) else []
    first, last = ends if len(ends) == 2 else (None, None)
    return None if first is None or last is None else (first, last)


def _example(dimensions: int) -> str:
    if dimensions < 2:
        return "lambda out: out.flatten(1)[:, 0]"
    return "lambda out: out[:, 3].flatten(1).mean(1)"


def span(place: Place, n: int) -> tuple[int, int]:
    """Start and stop of a place among n positions."""
    if isinstance(place, slice):
        start, stop, step = place.indices(n)
        return (start, stop) if step == 1 else (0, 0)
    if isinstance(place, tuple):
        return place
    return place, place + 1


def _called(target: Callable[[Any], Tensor]) -> Score:
    def score(output: Any) -> Tensor:
        value = target(output)
        if not isinstance(value, Tensor) or value.dim() != 1:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise UsageError(
                f"the target function must give one number an image, a tensor (N,); got {got}"
            )
        return value

    return score
