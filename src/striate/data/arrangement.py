"""Arrangement: images with labels put into splits, duplicates found, the whole fingerprinted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from striate.data.source import SPLITS, Duplicate
from striate.data.splitting import LEFT_OUT, TEST, TRAIN, VAL, assign, fractions
from striate.errors import SplitError

FREE = -2  # in `given`: the source does not say where this image belongs


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """part: (N,) int8, TRAIN, VAL, TEST, or LEFT_OUT for a copy of an image that is held out.

    val, test: the shares that were drawn; 0 where the source has that split itself.
    """

    part: np.ndarray
    duplicates: tuple[Duplicate, ...]
    fingerprint: str
    val: float
    test: float


def arrange(
    contents: Sequence[bytes],
    labels: np.ndarray,
    *,
    keys: Sequence[str],
    classes: Sequence[str],
    seed: int,
    val: float | None = None,
    test: float | None = None,
    given: np.ndarray | None = None,
    strata: np.ndarray | None = None,
) -> Arrangement:
    """Put N images into splits.

    given: (N,) int8, the split that the source itself says, FREE where it says none. strata: (N,) groups of which each split
    gets its share; the labels, if not given. A test or
    validation split that is given is used as it is; copies of its images are taken out of the
    other splits, test before validation.
    Raises SplitError for a share of a split that is given.
    """
    given_or_free = np.full(len(labels), FREE, dtype=np.int8) if given is None else given
    groups = _groups(contents)
    part, pool, (val, test) = to_draw(given_or_free, groups, val, test)
    dropped = part == LEFT_OUT
    chosen = [contents[i] for i in pool.tolist()]
    part[pool] = assign(
        chosen, (labels if strata is None else strata)[pool], seed=seed, val=val, test=test
    )
    part[dropped] = LEFT_OUT
    names = np.array([*SPLITS, "left out"])
    before = part if given is None else np.where(dropped, given, part)
    duplicates = tuple(
        Duplicate(
            keys=tuple(keys[i] for i in group),
            classes=tuple(classes[labels[i]] for i in group),
            splits=tuple(names[before[group]].tolist()),
            dropped=tuple(keys[i] for i in group if dropped[i]),
        )
        for group in groups
    )
    return Arrangement(
        part=part,
        duplicates=duplicates,
        fingerprint=_fingerprint(contents, labels, part, classes),
        val=val,
        test=test,
    )


def to_draw(
    given: np.ndarray, groups: Sequence[np.ndarray], val: float | None, test: float | None
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """The `given` parts (N,) int8, without copies of what is held out; the places that are free to be drawn, (M,); and the
    shares of val and test to draw of them.

    groups: places of equal images. Raises SplitError for a share of a split that is given.
    """
    part = given.copy()
    for held in (TEST, VAL):
        if not (part == held).any():
            continue
        for group in groups:
            if (part[group] == held).any():
                part[group[part[group] != held]] = LEFT_OUT
    pool = np.flatnonzero((part == FREE) | (part == TRAIN))
    has_val, has_test = bool((part == VAL).any()), bool((part == TEST).any())
    for name, has, share in (("val", has_val, val), ("test", has_test, test)):
        if has and share is not None:
            raise SplitError(f"the source has a {name} split of its own; leave {name} out")
    return part, pool, fractions(len(pool), 0.0 if has_val else val, 0.0 if has_test else test)


def _groups(contents: Sequence[bytes]) -> list[np.ndarray]:
    """Indices of equal contents, for those that occur more than once."""
    where: dict[bytes, list[int]] = {}
    for i, content in enumerate(contents):
        where.setdefault(content, []).append(i)
    return [np.array(group) for group in where.values() if len(group) > 1]


def _fingerprint(
    contents: Sequence[bytes], labels: np.ndarray, part: np.ndarray, classes: Sequence[str]
) -> str:
    names = [name.encode("utf-8", "surrogateescape") for name in classes]
    lines = [
        b"%s %d %s\n" % (content.hex().encode(), where, names[label])
        for content, where, label in zip(contents, part.tolist(), labels.tolist(), strict=True)
        if where != LEFT_OUT
    ]
    return hashlib.sha256(b"".join(sorted(lines))).hexdigest()
