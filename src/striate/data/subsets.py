"""Subsets of labelled images in which every class keeps its share: what would have been there with fewer labels."""

from __future__ import annotations

import numpy as np


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """An order (N,) of all images whose every beginning is a stratified sample; smaller samples lie in larger ones.

    labels: (N,) classes. The first K images are one of each of the K classes, in random order; then classes follow in their
    shares, within one image.
    """
    rng = np.random.default_rng(seed)
    classes, counts = np.unique(labels, return_counts=True)
    place = np.empty(len(labels))
    for c, count in zip(classes, counts, strict=True):
        at = rng.permutation(np.flatnonzero(labels == c))
        # The k-th of a class stands at (k + u) / count of the whole: shares are kept to within an image.
        place[at] = (np.arange(count) + rng.random()) / count
        place[at[0]] = -1 + rng.random() / 2  # below all others
    return np.argsort(place, kind="stable")


def sample_sizes(least: int, most: int, count: int = 9) -> list[int]:
    """About `count` whole numbers from least to most in equal ratios, both included, none twice."""
    least = min(least, most)
    return sorted({round(float(n)) for n in np.geomspace(least, most, max(2, count))})
