"""Repeating: whether a network gives the same for the same image when it is run once more."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.borrow import borrowed, forward
from striate.errors import StriateError, UsageError
from striate.geometry import Geometry, leaves_of
from striate.inference.apart import alike

SHOWN = 3  # names in the sentence


def refuse_memory(
    geometry: Geometry, module: nn.Module, image: Tensor, error: type[StriateError] = UsageError
) -> None:
    """Raise `error` where what a run leaves in the module changes what the next one gives for the same image.

    Networks that keep features, cache tables or count their calls do not: they are run, twice, only to see that.
    image: (1, C, *axes), as the module reads it.
    """
    if not geometry.kept:
        return
    try:
        with borrowed(module, train=None), torch.no_grad():
            first, second = (
                [t.clone() for t in leaves_of(forward(module, image)) if isinstance(t, Tensor)]
                for _ in range(2)
            )
    except Exception:  # anybody's module: what it says itself is said where its result is needed
        return
    if len(first) == len(second) and all(map(alike, first, second)):
        return
    names = ", ".join(geometry.kept[:SHOWN])
    raise error(
        f"{geometry.kind} gives another answer each time it is run on the same image, because it keeps {names} from one "
        "run to the next; let forward begin without it, as self.state = None in its first line does"
    )
