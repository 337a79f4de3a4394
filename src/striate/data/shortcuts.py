"""Shortcuts: properties of the files, not of what they show, that predict the class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from striate.data.source import Source

LEAST = 20  # images; fewer are no evidence


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """what: the property. score: the share of images whose class it predicts. base: by guessing."""

    what: str
    score: float
    base: float


def find_shortcuts(source: Source) -> Iterator[Shortcut]:
    """Properties that predict the class of at least half of the images that guessing gets wrong."""
    splits = [split for split in source.splits.values() if len(split)]
    labels = np.concatenate([s.labels for s in splits])
    sizes = np.concatenate([s.sizes for s in splits])
    formats = np.concatenate([s.formats for s in splits])
    facts = {
        "size": np.unique(sizes, axis=0, return_inverse=True)[1].reshape(-1),
        "file format": np.unique(formats, return_inverse=True)[1],
        "number of bits": np.unique(
            np.concatenate([s.white_stated for s in splits]), return_inverse=True
        )[1],
        "number of channels": np.concatenate([s.channels for s in splits]).astype(np.int64),
    }
    base = float(np.bincount(labels).max() / len(labels))
    for what, values in facts.items():
        score = predictability(values, labels)
        if len(labels) >= LEAST and score >= base + (1 - base) / 2 and base < 1:
            yield Shortcut(what=what, score=score, base=base)


def predictability(values: np.ndarray, labels: np.ndarray) -> float:
    """The share of images whose class is that of most others with the same value; a tie is wrong.

    values, labels: (N,) non-negative integers. An image does not count for itself, so that a value
    that occurs once predicts nothing.
    """
    order = np.argsort(values, kind="stable")
    predicted = 0
    for group in np.split(labels[order], np.flatnonzero(np.diff(values[order])) + 1):
        counts = np.sort(np.bincount(group))[::-1]
        second = int(counts[1]) if len(counts) > 1 else 0
        # Without itself the first class has one image less and must still lead.
        if int(counts[0]) - 1 > second:
            predicted += int(counts[0])
    return predicted / max(len(labels), 1)
