"""Identity: who an image shows, where a gallery knows; unknown where it does not, or cannot say at what rate it would
err."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from striate.gallery.gallery import Gallery
from striate.gallery.search import nearest
from striate.tasks.embedding import Embedding
from striate.tasks.prediction import Prediction

UNKNOWN = "unknown"
AT_ONCE = 256  # images that are looked up together
BELOW = "it is less like anybody than the threshold asks"
NO_THRESHOLD = "no threshold could be chosen"


@dataclass(frozen=True, kw_only=True)
class Identity(Prediction):
    """One image's answer. name: None for unknown, and then `reason` says why. similarity: to the most similar enrolled
    image. threshold: from which on somebody is named, None where none could be chosen. rate: of strangers who reach it."""

    name: str | None = None
    similarity: float | None = None
    threshold: float | None = None
    rate: float | None = None
    reason: str = ""

    def rows(self, top: int = 1) -> list[dict[str, Any]]:
        """See Prediction."""
        shown = "" if self.error else self.name or UNKNOWN
        numbers = {"similarity": self.similarity, "threshold": self.threshold}
        cells = {name: "" if value is None else round(value, 6) for name, value in numbers.items()}
        return [
            {
                "path": self.path,
                "name": shown,
                "known": self.name is not None,
                **cells,
                "reason": self.reason,
                "error": self.error or "",
            }
        ]

    def document(self) -> dict[str, Any]:
        """See Prediction."""
        return {
            "path": self.path, "name": self.name, "known": self.name is not None, "similarity": self.similarity,
            "threshold": self.threshold, "rate": self.rate, "reason": self.reason, "error": self.error,
        }  # fmt: skip

    def cells(self, top: int = 1) -> list[tuple[str, ...]]:
        """See Prediction."""
        similarity = "" if self.similarity is None else f"{self.similarity:.3f}"
        threshold = "–" if self.threshold is None else f"{self.threshold:.3f}"
        return [(self.name or UNKNOWN, similarity, threshold, self.reason)]

    @classmethod
    def headings(cls, top: int = 1) -> tuple[str, ...]:
        """See Prediction."""
        return ("who", " similarity", " threshold", "why")


def identities(gallery: Gallery, stream: Iterator[Embedding]) -> Iterator[Identity]:
    """Who each image shows, in order."""
    chosen = gallery.threshold["identify"]
    value = None if chosen is None else float(chosen["value"])
    rate = None if chosen is None else chosen["accepted"] / chosen["pairs"]
    while part := list(islice(stream, AT_ONCE)):
        good = [one.vector for one in part if one.vector is not None]
        scores, rows = np.empty((0, 1)), np.empty((0, 1), np.int64)
        if good:
            scores, rows = nearest(gallery, np.stack(good), 1)
        at = 0
        for one in part:
            if one.vector is None:
                yield Identity(path=one.path, error=one.error, threshold=value)
                continue
            # Rounding brings the product of a unit vector with itself to a little more than 1.
            similarity = min(1.0, float(scores[at, 0]))
            found = Identity(path=one.path, similarity=similarity, threshold=value, rate=rate)
            if value is None:
                yield replace(found, reason=f"{NO_THRESHOLD}: {gallery.threshold['why']}")
            elif similarity < value:
                yield replace(found, reason=BELOW)
            else:
                yield replace(found, name=gallery.name_of(int(rows[at, 0])))
            at += 1
