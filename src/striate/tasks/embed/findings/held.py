"""Held: embeddings of the held-out images with their identities, and what is measured of them, once for all findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from striate.tasks.embed.evaluation.curve import Curve, curve_of
from striate.tasks.embed.evaluation.embedded import Embedded
from striate.tasks.embed.evaluation.retrieval import Retrieval, retrieve
from striate.tasks.embed.evaluation.threshold import RULE_OF_THREE, Threshold, pairs_needed

RATES = (
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
)  # false accept rates, of which the first that is resolved is taken


@dataclass(frozen=True, eq=False)
class Held:
    """embeddings: (N, d) of length 1. labels: (N,) int64. names: of identities by label. keys: N names of images.

    image: index -> an image as it is shown, (C, H, W) uint8. threshold: chosen on identities that are neither these nor
    those trained on; None without such, and then one is chosen on these.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    names: Sequence[str]
    keys: Sequence[str]
    image: Callable[[int], Any]
    threshold: Threshold | None = None
    seed: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, i: int) -> str:
        """The identity of an image."""
        return str(self.names[int(self.labels[i])])

    @cached_property
    def embedded(self) -> Embedded:
        """The same, in order of identities."""
        return Embedded.of(self.embeddings, self.labels)

    @cached_property
    def curve(self) -> Curve:
        """False and true accepts at every threshold. Raises DataError."""
        return curve_of(self.embedded)

    @cached_property
    def retrieval(self) -> Retrieval:
        """What a search with each image finds. Raises DataError."""
        return retrieve(self.embedded)

    @cached_property
    def in_use(self) -> tuple[float, str]:
        """The threshold, and where it comes from, as the end of a sentence."""
        if self.threshold is not None:
            return self.threshold.value, "chosen on the validation identities"
        if self.curve.pairs[0] < pairs_needed(RATES[-1]):
            return (
                self.curve.eer().threshold,
                "where both kinds of error are as frequent, for want of pairs",
            )
        rate = resolved(self.curve.pairs[0])
        return (
            self.curve.at_far(rate).threshold,
            "chosen on these identities themselves, since there are none for validation",
        )


def resolved(pairs: int) -> float:
    """The false accept rate that a threshold is chosen at if none is asked for: 1 %, or what so many pairs resolve."""
    return next((rate for rate in RATES if rate * pairs >= RULE_OF_THREE), RATES[-1])


def written(similarity: float) -> str:
    """A similarity with three decimals, with more where it would read as 1 and is not."""
    for decimals in (3, 5, 7):
        text = f"{similarity:.{decimals}f}"
        if abs(float(text)) != 1 or abs(similarity) == 1:
            return text
    return text
