"""Target: which number of a network's output is watched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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
    places = (target,) if isinstance(target, int) else tuple(target)
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
            f"the network gives {size} numbers an image; the target is {what}, got {target!r}"
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
    bare = isinstance(clean, Tensor) and (clean.dim() < 2 or len(clean) != 1)
    if not bare or callable(target):
        return score_of(target, clean)
    inner = score_of(target, _as_batch(clean))
    return lambda output: inner(_as_batch(output))


def _as_batch(output: Tensor) -> Tensor:
    return output[None] if output.dim() else output[None, None]


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
        found = target(output)
        if not isinstance(found, Tensor) or found.dim() != 1:
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise UsageError(
                f"the target function must give one number an image, a tensor (N,); got {got}"
            )
        return found

    return score
