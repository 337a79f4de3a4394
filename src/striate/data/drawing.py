"""Some images drawn to stand for all: at random, because files stand in the order of classes, folders or days."""

from __future__ import annotations

import numpy as np


def drawn(count: int, most: int, *, seed: int = 0) -> np.ndarray:
    """At most `most` of `count` indices, in order, each as likely as any other; the same for the same numbers."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])


def shuffled(count: int, *, seed: int = 0) -> np.ndarray:
    """All `count` indices in random order: what looks for one exception soon finds it."""
    return np.random.default_rng(seed).permutation(count)
