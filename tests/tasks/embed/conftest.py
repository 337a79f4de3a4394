"""Identities as unit vectors, some alike and some spread, with which intervals are tested against what is true of all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

DIMENSIONS = 16
FAMILIES = np.random.default_rng(7).normal(size=(30, DIMENSIONS))  # look-alikes share a direction


def draw(identities: int, each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (G * each, 16) float32 of length 1 and labels (G * each,) of identities drawn from one population.

    Identities differ in how far their images lie apart, and those of a family resemble each other, so that pairs that share
    an identity are dependent, as they are of people.
    """
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(identities, DIMENSIONS)) + 0.9 * FAMILIES[rng.integers(30, size=identities)]  # fmt: skip
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    spread = np.exp(rng.normal(np.log(0.18), 0.4, size=identities))
    x = means[:, None] + spread[:, None, None] * rng.normal(size=(identities, each, DIMENSIONS))
    x /= np.linalg.norm(x, axis=2, keepdims=True)
    return x.reshape(-1, DIMENSIONS).astype(np.float32), np.repeat(np.arange(identities), each)


@pytest.fixture(scope="session")
def population() -> Callable[[int, int, int], tuple[np.ndarray, np.ndarray]]:
    """(identities, images of each, seed) -> embeddings, labels; see `draw`."""
    return draw
