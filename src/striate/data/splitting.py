"""Which image goes to train, validation or test: by its content and the seed, class by class."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence

import numpy as np

from striate.errors import UsageError

TRAIN, VAL, TEST, LEFT_OUT = 0, 1, 2, -1
MOST_VAL, MOST_TEST = 3_000, 10_000


def fractions(
    count: int, val: float | None = None, test: float | None = None
) -> tuple[float, float]:
    """The shares of validation and test among `count` images; None chooses.

    Chosen: 10 % and 20 %, but at most 3,000 and 10,000 images: more would not make an accuracy
    noticeably surer. Raises UsageError unless both are at least 0 and together below 1.
    """
    for name, share in (("val", val), ("test", test)):
        if share is not None and not 0 <= share < 1:
            raise UsageError(f"{name} must be a share from 0 to below 1, got {share}")
    if val is None:
        val = min(0.1, MOST_VAL / max(count, 1))
        val = min(val, (1 - test) / 2) if test is not None else val
    if test is None:
        test = min(0.2, MOST_TEST / max(count, 1), (1 - val) / 2)
    if val + test >= 1:
        raise UsageError(
            f"val + test must stay below 1, got {val} + {test}; nothing is left to train on"
        )
    return val, test


def assign(
    contents: Sequence[bytes],
    labels: Sequence[int] | np.ndarray,
    *,
    seed: int,
    val: float,
    test: float,
) -> np.ndarray:
    """Give each image to TRAIN, VAL or TEST: (N,) int8.

    Content and seed give an image a number u, uniform in [0, 1). Test takes u < test, validation
    u >= 1 - val. A class whose count strays from its share by more than a half (and more than one
    image), which happens in small classes, is corrected at the boundary, in the order of u. So

    - equal contents always go together, whatever their labels;
    - a class of two distinct images or more has one in train and one in test, of three or more
      one in each part (where val and test are not 0);
    - every class's part lies within a half, or one image, of its share, and in a class of n
      images typically within sqrt(1 / (share n)) of it;
    - a further image moves at most one other over each boundary of its class, and in a class of
      200 or more none: no rule that depends on content alone could both hold every share exactly
      and never move another image;
    - changing `val` moves nothing into or out of test.

    An image that carries several labels goes by u alone and does not count for its classes.
    """
    labels = np.asarray(labels, dtype=np.int64)
    return parts_of(
        uniform(contents, seed), labels, _several_labels(contents, labels), val=val, test=test
    )


def parts_of(
    place: np.ndarray, labels: np.ndarray, mixed: np.ndarray, *, val: float, test: float
) -> np.ndarray:
    """`assign` by numbers. place: (N,) as `uniform` gives them. mixed: (N,) bool, content that carries several labels."""
    part = np.where(place < test, TEST, np.where(place >= 1 - val, VAL, TRAIN)).astype(np.int8)
    order = np.argsort(labels, kind="stable")  # the rows of a class stand together, in their order
    ends = np.flatnonzero(np.diff(labels[order])) + 1
    for own in np.split(order, ends):
        mine = own[~mixed[own]]
        distinct, group = np.unique(place[mine], return_inverse=True)
        part[mine] = _class_parts(distinct, val, test)[group]
    return part


def _class_parts(place: np.ndarray, val: float, test: float) -> np.ndarray:
    """Parts of a class's distinct images, whose numbers `place` are sorted."""
    n = len(place)
    part = np.full(n, TRAIN, dtype=np.int8)
    if n < 2:
        return part
    tested = _near(int((place < test).sum()), test * n)
    tested = min(max(tested, 1), n - 1) if test > 0 else 0
    held = _near(int((place >= 1 - val).sum()), val * n)
    least = 1 if val > 0 and n - tested >= 2 else 0
    held = min(max(held, least), n - tested - 1) if val > 0 else 0
    part[:tested] = TEST
    part[n - held :] = VAL
    return part


def _near(count: int, share: float) -> int:
    """`count`, moved as little as needed to lie within a half, or one, of `share`."""
    slack = max(1.0, share / 2)
    return min(max(count, math.ceil(share - slack)), math.floor(share + slack))


def uniform(contents: Iterable[bytes], seed: int) -> np.ndarray:
    """(N,) numbers in [0, 1) that contents and the seed give: the place of each image in the order that splits cut."""
    key = str(seed).encode()[:64]
    draws = b"".join(hashlib.blake2b(c, digest_size=8, key=key).digest() for c in contents)
    return (np.frombuffer(draws, dtype="<u8") >> 11) * 2.0**-53


def _several_labels(contents: Sequence[bytes], labels: np.ndarray) -> np.ndarray:
    first: dict[bytes, int] = {}
    mixed = {
        c for c, k in zip(contents, labels.tolist(), strict=True) if first.setdefault(c, k) != k
    }
    if not mixed:
        return np.zeros(len(labels), dtype=bool)
    return np.array([c in mixed for c in contents], dtype=bool)
