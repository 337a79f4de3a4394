"""The cell that comes closest to an object, of a class or over a point."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from striate.tasks.detect.forms.form import Spot


def best_of(
    scores: Sequence[Tensor], strides: Sequence[int], label: int | None, point: tuple[float, float] | None
) -> Spot:  # fmt: skip
    """The best spot of maps (K, h, w), with a cell every `strides` pixels. label: of this class. point: over (x, y)."""
    best: Spot | None = None
    value = 0.0
    for level, (heat, stride) in enumerate(zip(scores, strides, strict=True)):
        top = left = 0
        if point is not None:
            left, top = (
                min(int(v / stride), n - 1)
                for v, n in zip(point, (heat.shape[2], heat.shape[1]), strict=True)
            )
            heat = heat[:, top : top + 1, left : left + 1]
        part = heat if label is None else heat[label : label + 1]
        k, rest = divmod(int(part.flatten().argmax()), heat.shape[1] * heat.shape[2])
        row, column = divmod(rest, heat.shape[2])
        found = float(part[k, row, column])
        if best is None or found > value:
            best, value = (
                Spot(level, k if label is None else label, top + row, left + column, stride),
                found,
            )
    assert best is not None
    return best
