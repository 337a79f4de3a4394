"""Precision: the clean image's activations in more digits than the network's, rounded once at the end.

Most of what a changed image's score is computed from is the clean image's, and what rounding does to early layers grows
through the later ones. So the one clean pass runs in float64 (float32 for a network of fewer digits), which costs one
image and takes that part of the error away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.geometry import Geometry, Record
from striate.geometry.rules.pointwise import Copy
from striate.geometry.rules.resize import Resize, taps

PRECISE = {torch.float32: torch.float64, torch.bfloat16: torch.float32, torch.float16: torch.float32}  # fmt: skip
DEVICES = ("cpu", "cuda")  # that compute in float64


def precise(geometry: Geometry, records: Sequence[Record], image: Tensor) -> torch.dtype | None:
    """The kind of number that these records can run in for the image instead of their own; None if only in that.

    Not where the network itself changes between kinds of numbers, or where more digits choose other pixels.
    """
    wider = PRECISE.get(image.dtype)
    if wider is None or image.device.type not in DEVICES:
        return None
    for record in records:
        values = [geometry.values[i] for i in (*record.inputs, record.output)]
        if any(v.varies and v.dtype.is_floating_point and v.dtype != image.dtype for v in values):
            return None
        if isinstance(record.plan, Copy) or _casts(record) or _rounds(record):
            return None
    return wider


def _casts(record: Record) -> bool:
    """Whether the call names a kind of number."""

    def inside(x: Any) -> Iterator[Any]:
        if isinstance(x, (tuple, list)):
            for y in x:
                yield from inside(y)
        else:
            yield x

    given = inside([record.args, [v for _, v in record.kwargs]])
    return any(isinstance(x, torch.dtype) and x.is_floating_point for x in given)


def _rounds(record: Record) -> bool:
    """Whether an interpolation reads other pixels in float64, since positions are rounded to the nearest."""
    plan = record.plan
    if not isinstance(plan, Resize) or not plan.mode.startswith("nearest"):
        return False
    for (n, m), scale in zip(plan.sizes, plan.scales, strict=True):
        short, long = (taps(n, m, plan.mode, plan.corners, scale, d)[0] for d in (False, True))
        if not np.array_equal(short, long):
            return True
    return False
