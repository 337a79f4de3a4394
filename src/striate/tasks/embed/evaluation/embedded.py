"""Embedded: unit embeddings with the identity of each, checked once and put in order of their identities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from striate.errors import DataError
from striate.wording import counted

AT_ONCE = 1 << 23  # similarities held together: 32 MB
LENGTH = 1e-3  # by which the length of an embedding in half precision may miss 1


@dataclass(frozen=True, eq=False)
class Embedded:
    """embeddings (N, d) float32 of length 1 and labels (N,) int64, in order of their labels.

    order: (N,) where each stood as it was given. The similarity of two images is the cosine, their embeddings' product.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, embeddings: np.ndarray, labels: np.ndarray) -> Embedded:
        """Embeddings (N, d) of length 1 with identities (N,). Raises DataError for shapes, lengths or labels that do not."""
        e, y = np.asarray(embeddings), np.asarray(labels)
        if e.ndim != 2 or y.shape != (len(e),):
            raise DataError(
                f"embeddings must be (N, d) and labels (N,), got {e.shape} and {y.shape}; give a row and a label an image"
            )
        if not np.issubdtype(y.dtype, np.integer):
            raise DataError(f"labels must be integers, one an identity, got {y.dtype}")
        e = np.ascontiguousarray(e, dtype=np.float32)
        off = ~(np.abs(np.linalg.norm(e, axis=1) - 1) <= LENGTH)  # also of nan
        if off.any():
            first = int(off.argmax())
            raise DataError(
                f"embeddings must have length 1, got another for {counted(int(off.sum()), 'image')} of {len(e):,}, the "
                f"first at index {first} with {np.linalg.norm(e[first]):.3g}; divide each by its length, and leave out "
                "those of length 0, which resemble nothing"
            )
        order = np.argsort(y, kind="stable")
        return cls(e[order], y[order].astype(np.int64), order)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def starts(self) -> np.ndarray:
        """(G,) where each identity begins."""
        return np.flatnonzero(np.append(True, self.labels[1:] != self.labels[:-1]))

    @cached_property
    def counts(self) -> np.ndarray:
        """(G,) images of each identity."""
        return np.diff(np.append(self.starts, len(self)))

    @cached_property
    def identity(self) -> np.ndarray:
        """(N,) the number of each image's identity, 0 to G - 1."""
        return np.repeat(np.arange(len(self.starts)), self.counts)

    @property
    def identities(self) -> int:
        """G."""
        return len(self.starts)

    @cached_property
    def genuine_pairs(self) -> int:
        """Unordered pairs of images of one identity."""
        return int((self.counts * (self.counts - 1) // 2).sum())

    @cached_property
    def impostor_pairs(self) -> int:
        """Unordered pairs of images of different identities."""
        return len(self) * (len(self) - 1) // 2 - self.genuine_pairs

    def take(self, chosen: np.ndarray) -> Embedded:
        """Those of a mask (N,) over the images as they were given."""
        kept = chosen[self.order]
        return Embedded(self.embeddings[kept], self.labels[kept], self.order[kept])

    def rows(self) -> Iterator[tuple[int, int]]:
        """First and last + 1 of blocks of rows whose similarities to all are held at once."""
        step = max(1, AT_ONCE // max(1, len(self)))
        for start in range(0, len(self), step):
            yield start, min(start + step, len(self))

    def upper(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Each pair once: (start, similarities (b, N - start), same (b, N - start) bool) of rows from `start` on.

        Similarities of an image to itself and to those before it are nan.
        """
        for start, stop in self.rows():
            s = self.embeddings[start:stop] @ self.embeddings[start:].T
            s[np.tri(*s.shape, dtype=np.bool_)] = np.nan
            same = self.identity[start:stop, None] == self.identity[None, start:]
            yield start, s, same
