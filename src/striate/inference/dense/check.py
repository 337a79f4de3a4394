"""Check: some patches, run by the plain module alone, against their scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from striate.borrow import forward
from striate.errors import UsageError
from striate.geometry import Geometry
from striate.inference import witness
from striate.inference.dense.maps import Pair
from striate.inference.witness import Sample

RARELY = 16  # patches of an image for one more that is checked

# Scores (classes, rows, columns) of a part of the image by the module in double precision; it raises where it cannot.
Double = Callable[[nn.Module, Tensor], Tensor]


def scores_of(module: nn.Module, patches: Tensor, writes: bool = True) -> Tensor:
    """(N, classes), whatever dimensions of one entry the module leaves or drops. writes: as in `borrow.forward`."""
    return the_scores(forward(module, patches, writes=writes), len(patches))


def the_scores(output: object, count: int) -> Tensor:
    """The one tensor of a module's output as (count, classes)."""
    scores = next(leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor))
    return scores.reshape(count, -1)


def all_double(geometry: Geometry) -> None:
    """Raise UsageError where a network in double precision computes in another kind of number inside."""
    kinds = {v.dtype for v in geometry.values if v.varies and v.dtype.is_floating_point}
    if kinds != {torch.float64}:
        raise UsageError("the network computes in other kinds of numbers inside")


def refuse_unequal(
    module: nn.Module, geometry: Geometry, image: Tensor, scores: Tensor, window: Pair, stride: Pair, unit: float,
    double: Double,
) -> None:  # fmt: skip
    """Raise ExactnessError where scores (classes, rows, columns) of an image (C, H, W) are not those of its patches."""
    rows, columns = scores.shape[1:]
    count = rows * columns
    highest = int(scores.amax(0).flatten().nan_to_num(nan=float("inf")).argmax())
    drawn = int(np.random.default_rng(count).integers(count))
    chosen = [highest, count - 1, 0, drawn][: min(witness.SAMPLES, 1 + count // RARELY)]
    places = [divmod(i, columns) for i in dict.fromkeys(chosen)]

    def part(first: Sequence[int], last: Sequence[int]) -> Tensor:
        """The pixels of the patches from `first` to `last`."""
        spans = [slice(a * s, b * s + w) for a, b, s, w in zip(first, last, stride, window, strict=True)]  # fmt: skip
        return image[None, :, spans[0], spans[1]]

    def plain(i: int, shaken: float = 0.0) -> Tensor:
        return the_scores(witness.plainly(module, part(places[i], places[i]), shaken), 1)[0]

    def again() -> list[Sample]:
        differences = []
        for r, c in places:
            first = max(r - 1, 0), max(c - 1, 0)
            near = part(first, (min(r + 1, rows - 1), min(c + 1, columns - 1))).double()
            with witness.doubled(module):
                got = double(module, near)[:, r - first[0], c - first[1]]
                own = scores_of(module, part((r, c), (r, c)).double())[0]
            differences.append(Sample("", got, own))
        return differences

    low, high = (float(bound) for bound in scores.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = (float(bound) for bound in scores.nan_to_num(0.0, 0.0, 0.0).aminmax())
    span = high - low
    if _confirmed(module, [part(p, p) for p in places], [scores[:, r, c] for r, c in places], span, unit):  # fmt: skip
        return
    samples = [
        Sample(f"row {r}, column {c} of the patches", scores[:, r, c], plain(i))
        for i, (r, c) in enumerate(places)
    ]
    witness.refuse_unequal(
        samples, what="the map of scores", scale=max(witness.largest(s.plain) for s in samples),
        span=span, unit=unit, geometry=geometry, again=again, repeat=plain,
    )  # fmt: skip


def _confirmed(
    module: nn.Module, patches: Sequence[Tensor], scores: Sequence[Tensor], span: float, unit: float
) -> bool:
    """Whether the module, run on some patches at once, gives their scores."""
    outputs = witness.together(module, patches)
    if outputs is None:
        return False
    try:
        samples = [Sample("", s, the_scores(o, 1)[0]) for s, o in zip(scores, outputs, strict=True)]
    except (RuntimeError, StopIteration):
        return False
    # What a batch mixes up may be large, and would excuse anything.
    scale = min(max(witness.largest(s.got) for s in samples), max(witness.largest(s.plain) for s in samples))  # fmt: skip
    return witness.agree(samples, scale=scale, span=span, unit=unit)
