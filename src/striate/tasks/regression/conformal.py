"""Split conformal prediction: intervals that hold the truth as often as they promise, whatever the network.

V. Vovk, A. Gammerman and G. Shafer, "Algorithmic Learning in a Random World" (2005); J. Lei et al., "Distribution-Free
Predictive Inference for Regression" (2018).
"""

from __future__ import annotations

import math

import numpy as np

LEVEL = 0.9


def radius_of(errors: np.ndarray, level: float = LEVEL) -> float | None:
    """How far to either side of a prediction its interval reaches, from absolute errors (N,) on images not learned from.

    It is one number for all images: the promise holds on average over them, and the interval of an easy image is as wide
    as that of a hard one. The ceil((N + 1) level)-th smallest error: a new image of the same kind lies within with a
    probability of `level` at least, and below level + 1 / (N + 1) where errors are distinct. None where N is too small for
    any such promise: below 9 for 90 %.
    """
    rank = math.ceil((len(errors) + 1) * level - 1e-9)
    return None if rank > len(errors) else float(np.sort(errors)[rank - 1])


def least_images(level: float = LEVEL) -> int:
    """The fewest images from which an interval of that level can be found."""
    return math.ceil(level / (1 - level) - 1e-9)
