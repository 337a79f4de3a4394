"""Ten-fold verification as Labeled Faces in the Wild has it: the threshold from nine folds, the accuracy of the tenth.

G. B. Huang et al., "Labeled Faces in the Wild" (2007), section III: the mean accuracy of ten folds and its standard error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from striate.errors import DataError, UsageError
from striate.tasks.embed.evaluation.embedded import Embedded

FOLDS = 10
EACH = 300  # genuine and as many impostor pairs a fold, as in LFW


@dataclass(frozen=True, eq=False)
class Pairs:
    """P pairs of images: first, second (P,) indices as images were given, same (P,) bool, fold (P,) from 0."""

    first: np.ndarray
    second: np.ndarray
    same: np.ndarray
    fold: np.ndarray

    def __len__(self) -> int:
        return len(self.same)


@dataclass(frozen=True, eq=False)
class Verification:
    """accuracy, thresholds: (F,) of each fold. error: standard error of the mean accuracy. low, high: its 95 % interval by
    Student's t over the folds, whose identities are different ones."""

    accuracy: np.ndarray
    thresholds: np.ndarray
    mean: float
    error: float
    low: float
    high: float


def verify(similarities: np.ndarray, pairs: Pairs) -> Verification:
    """Accuracy of each fold at the threshold that is best on the others. similarities: (P,), of each pair.

    Of equally good thresholds the middle of the first best gap between similarities is taken. Raises DataError where a fold
    is the only one, or has one kind of pair.
    """
    s, same, fold = np.asarray(similarities, np.float64), pairs.same, pairs.fold
    folds = np.unique(fold)
    if len(folds) < 2:
        raise DataError(
            f"a threshold is chosen on the other folds, got {len(folds)} fold; give two or more"
        )
    if not np.isfinite(s).all():
        raise DataError(
            "similarities must be finite, got NaN or infinity; leave out embeddings of length 0"
        )
    accuracy, thresholds = [], []
    for f in folds:
        inside = fold == f
        threshold = best_threshold(s[~inside], same[~inside])
        thresholds.append(threshold)
        accuracy.append(float(((s[inside] >= threshold) == same[inside]).mean()))
    a = np.array(accuracy)
    error = float(a.std(ddof=1) / np.sqrt(len(a)))
    reach = float(student.ppf(0.975, len(a) - 1)) * error
    mean = float(a.mean())
    return Verification(
        a, np.array(thresholds), mean, error, max(0.0, mean - reach), min(1.0, mean + reach)
    )


def best_threshold(similarities: np.ndarray, same: np.ndarray) -> float:
    """The threshold at which most pairs are told right; similarities and same (P,)."""
    values = np.unique(similarities)
    genuine, impostor = np.sort(similarities[same]), np.sort(similarities[~same])
    # Accepting from values[i] on: genuine at or above it, and impostors below it, are told right.
    right = len(genuine) - np.searchsorted(genuine, values) + np.searchsorted(impostor, values)
    right = np.append(right, len(impostor))  # and accepting none
    i = int(right.argmax())
    if i == len(values):
        return float(np.nextafter(values[-1], np.inf))
    return float(values[0] if i == 0 else (values[i - 1] + values[i]) / 2)


def draw_pairs(embedded: Embedded, *, folds: int = FOLDS, each: int = EACH, seed: int = 0) -> Pairs:
    """At most `each` genuine and as many impostor pairs a fold, drawn by the seed; no identity stands in two folds.

    Genuine pairs are distinct ones; impostor pairs are of two identities of the fold. Raises DataError where a fold would
    have fewer than two identities, or none with two images.
    """
    if folds < 2 or each < 1:
        raise UsageError(
            f"pairs are drawn for 2 folds or more, one or more each, got {folds} and {each}"
        )
    rng = np.random.default_rng(seed)
    order = rng.permutation(embedded.identities)
    order = order[np.argsort(embedded.counts[order] < 2, kind="stable")]  # pairs for every fold
    parts = [order[f::folds] for f in range(folds)]
    if any(len(p) < 2 or embedded.counts[p].max() < 2 for p in parts):
        usable = int((embedded.counts > 1).sum())
        raise DataError(
            f"{folds} folds of different identities need {2 * folds} identities, {folds} of them with two images; got "
            f"{embedded.identities} and {usable}; ask for fewer folds, or add identities"
        )
    chosen = [_of_fold(embedded, part, each, rng) for part in parts]
    return Pairs(
        embedded.order[np.concatenate([c[0] for c in chosen])], embedded.order[np.concatenate([c[1] for c in chosen])],
        np.concatenate([c[2] for c in chosen]), np.repeat(np.arange(folds), [len(c[2]) for c in chosen]),
    )  # fmt: skip


def _of_fold(
    embedded: Embedded, part: np.ndarray, each: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and second image, in the order of `embedded`, and whether they are the same, of a fold's pairs."""
    starts, counts = embedded.starts[part], embedded.counts[part]
    pairs = counts * (counts - 1) // 2
    number = min(each, int(pairs.sum()))
    drawn = np.sort(rng.choice(int(pairs.sum()), number, replace=False))
    who = np.searchsorted(pairs.cumsum(), drawn, side="right")
    left = drawn - (pairs.cumsum() - pairs)[who]
    # The left-th of the pairs (i, j), i < j, of an identity, by j: j (j - 1) / 2 + i.
    j = np.floor((1 + np.sqrt(1 + 8.0 * left)) / 2).astype(np.int64)
    i = left - j * (j - 1) // 2
    genuine = (starts[who] + i, starts[who] + j)
    a = rng.integers(len(part), size=number)
    b = (a + rng.integers(1, len(part), size=number)) % len(part)
    impostor = tuple(starts[k] + rng.integers(counts[k]) for k in (a, b))
    return (
        np.concatenate((genuine[0], impostor[0])), np.concatenate((genuine[1], impostor[1])),
        np.repeat([True, False], number),
    )  # fmt: skip


def similarities_of(embeddings: np.ndarray, pairs: Pairs) -> np.ndarray:
    """(P,) the cosine of each pair of images. embeddings: (N, d) of length 1, as they were given."""
    parts = [
        np.einsum("pd,pd->p", embeddings[pairs.first[i : i + 65536]], embeddings[pairs.second[i : i + 65536]])
        for i in range(0, len(pairs), 65536)
    ]  # fmt: skip
    return np.concatenate(parts)
