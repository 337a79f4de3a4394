"""Ties: numbers that differ by rounding alone count as equal, wherever objects are told apart by the larger of two.

On a flat part of an image, the white of a slide, a network says the same of every cell, up to the last digits of float32,
which hang on where a tile begins and on the processor. Which of them is the largest would be chance; as equals, the first
in reading order is taken, whatever computed them.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from torch import Tensor

LOGIT = (
    2.0**10
)  # steps of a logit of 1: a thousandth is far above rounding, and says nothing of an object
SCORE = 2.0**12  # steps of a score of 1

Numbers = TypeVar("Numbers", np.ndarray, Tensor)


def steps(values: Numbers, of: float) -> Numbers:
    """Values (...) as whole steps (...), so that those which differ by rounding are equal; of: steps to 1.

    Two on either side of a border between steps differ, however near they are: where rounding is a millionth, that are one
    in a thousand of logits anywhere.
    """
    return (values * of).round()
