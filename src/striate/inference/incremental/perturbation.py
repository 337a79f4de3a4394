"""Perturbation: an image changed inside a box, and the scores of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.errors import UsageError
from striate.inference.incremental.content import Content
from striate.inference.incremental.incremental import Incremental, Progress
from striate.inference.incremental.target import Target


@dataclass(frozen=True, kw_only=True)
class Perturbation:
    """One change of an image: `content` inside rows[0] .. rows[1]-1 and columns[0] .. columns[1]-1, in pixels.

    content: a number, one number a channel, or pixels (C, height, width): a sticker; of the image's own size, those
    inside the box are taken.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    content: Content = 0.0

    @property
    def box(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The half-open intervals along both axes."""
        return (self.rows, self.columns)


def perturb(
    module: nn.Module | Incremental, image: Tensor | None, regions: Sequence[Perturbation], target: Target, *,
    batch: int | None = None, memory: int | None = None, dtype: torch.dtype | None = None,
    progress: Progress | None = None, check: bool = True,
) -> Tensor:  # fmt: skip
    """The target's score for each of many changes of one image, (N,), in their order.

    module: a network, or an `Incremental` whose clean activations are there already (then image is None).
    The other arguments are those of `Incremental` and of its `scores`.
    """
    if isinstance(module, Incremental):
        session = module
    elif image is None:
        raise UsageError("perturb needs the image unless an Incremental is given")
    else:
        session = Incremental(module, image, dtype=dtype, check=check)
    boxes = [r.box for r in regions]
    contents = [r.content for r in regions]
    return session.scores(boxes, contents, target, batch=batch, memory=memory, progress=progress)
