"""Data by identity: images of an identity stand in one split, so that what is measured are identities never seen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from striate.data import SOURCES, Source, Split, open_source
from striate.data.arrangement import FREE, Arrangement, arrange
from striate.data.folder import Encoded
from striate.data.naming import in_order
from striate.data.own_labels import classes_of
from striate.data.records import digest
from striate.data.source import SPLITS, ArraySplit
from striate.data.splitting import TEST, TRAIN, VAL, fractions
from striate.errors import DataError, SplitError
from striate.tasks.embed import glyphs
from striate.training.recipe import Recipe
from striate.wording import listed

LEAST = 2  # identities of a split: of a single one every pair of images belongs together
NAMED = 5  # identities named in a sentence


@dataclass(frozen=True, kw_only=True, eq=False)
class Identities(Encoded):
    """Images with an identity each, which `arrange` splits by identity. where: of the data, for people."""

    where: str

    def arrange(
        self,
        contents: Sequence[bytes],
        keys: Sequence[str],
        given: np.ndarray | None,
        *,
        seed: int,
        val: float | None,
        test: float | None,
    ) -> Arrangement:
        """See Encoded; splits that the source states are kept. Raises DataError for an identity that stands in two."""
        return arrange_by_identity(
            contents, self.labels, keys, self.classes, where=self.where, given=given, seed=seed, val=val, test=test
        )  # fmt: skip


def identities_of(root: Path, names: Sequence[str]) -> Identities:
    """The identities that folders or a table give N images by name."""
    classes = in_order(names)
    index = {name: i for i, name in enumerate(classes)}
    labels = np.array([index[name] for name in names], dtype=np.int64)
    return Identities(classes=classes, words=classes, labels=labels, where=str(root))


def identities_given(labels: Sequence[Any], names: Sequence[str] | None, where: str) -> Identities:
    """The identities of items given in Python, by number or by name."""
    classes, index = classes_of(labels, names, where, least=1)
    return Identities(classes=classes, words=classes, labels=index, where=where)


def arrange_by_identity(
    contents: Sequence[bytes],
    labels: np.ndarray,
    keys: Sequence[str],
    classes: Sequence[str],
    *,
    where: str,
    given: np.ndarray | None,
    seed: int,
    val: float | None,
    test: float | None,
) -> Arrangement:
    """`arrange` of N images with all images of an identity in one split.

    contents: N digests. labels: (N,) int64, index into classes. given: (N,) the splits that the source states, FREE where
    it states none. Raises DataError where an identity stands on two sides.
    """
    part = np.full(len(labels), FREE, dtype=np.int8) if given is None else given.copy()
    part[part == TRAIN] = FREE
    refuse_on_both_sides(part, labels, classes, where)
    has_val, has_test = bool((part == VAL).any()), bool((part == TEST).any())
    for name, has, share in (("val", has_val, val), ("test", has_test, test)):
        if has and share is not None:
            raise SplitError(f"the source has a {name} split of its own; leave {name} out")
    pool = np.flatnonzero(part == FREE)
    val, test = fractions(len(pool), 0.0 if has_val else val, 0.0 if has_test else test)
    part[pool] = drawn_by_identity(labels[pool], classes, seed=seed, val=val, test=test)
    plan = arrange(
        contents, labels, keys=keys, classes=classes, seed=seed, given=part,
        val=None if (part == VAL).any() else 0.0, test=None if (part == TEST).any() else 0.0,
    )  # fmt: skip
    drawn = {
        name: bool((part[pool] == code).any()) for name, code in (("val", VAL), ("test", TEST))
    }
    return replace(plan, val=val * drawn["val"], test=test * drawn["test"])


def refuse_on_both_sides(
    part: np.ndarray, labels: np.ndarray, classes: Sequence[str], where: str
) -> None:
    """Raise DataError where images of one identity are given for two splits. part: (N,) codes. labels: (N,)."""
    sides = {name: set(labels[part == code].tolist()) for name, code in
             (("train", FREE), ("val", VAL), ("test", TEST))}  # fmt: skip
    for a, b in (("train", "test"), ("train", "val"), ("val", "test")):
        both = sorted(sides[a] & sides[b])
        if both:
            raise DataError(
                f"{where} has {listed([classes[i] for i in both], NAMED)} in both {a} and {b}: an identity that was trained "
                "on says nothing of those never seen; move all images of each to one side, or give the images without "
                "splits, which are then drawn by identity"
            )


def drawn_by_identity(
    labels: np.ndarray, classes: Sequence[str], *, seed: int, val: float, test: float
) -> np.ndarray:
    """(N,) int8 TRAIN, VAL or TEST for images of identities `labels` (N,), an identity in one of them.

    Identities stand in an order of their own, by a hash of the name and the seed. Test takes the first of them whose images
    come nearest to its share of all images, validation the last, each two at least where it is wanted and six or more are
    there; fewer than four are all the test's. Shares are of images, not of identities: what an evaluation can resolve
    depends on pairs of images, and a training on its images, so that neither hangs on where the few identities with hundreds
    of images fall. One that is added moves no more than the identities at the two borders.
    """
    present = np.unique(labels)
    if not len(present):
        return np.zeros(0, dtype=np.int8)
    order = present[np.argsort([place(classes[i], seed) for i in present], kind="stable")]
    counts = np.bincount(labels, minlength=len(classes))[order]
    parts = sum(share > 0 for share in (val, test))
    spare = len(order) - LEAST
    if test > 0 and spare < LEAST:
        return np.full(
            len(labels), TEST, dtype=np.int8
        )  # a training refuses them, and what is trained is tested on them
    least = LEAST if spare >= parts * LEAST else 0  # of 4 or 5 only the test gets its two
    tested = nearest(counts, test, at_least=LEAST, at_most=spare - (least if val > 0 else 0)) if test > 0 else 0  # fmt: skip
    held = 0
    if val > 0 and spare >= LEAST and (least or not test):
        held = nearest(counts[::-1], val, at_least=LEAST, at_most=spare - tested)
    part = np.full(len(classes), TRAIN, dtype=np.int8)
    part[order[:tested]] = TEST
    part[order[len(order) - held :]] = VAL
    return part[labels]


def nearest(counts: np.ndarray, share: float, *, at_least: int, at_most: int) -> int:
    """How many of the first identities hold the number of images nearest to a share of all. counts: (K,) images of each."""
    sums = np.concatenate([[0], np.cumsum(counts)])
    n = int(np.abs(sums - share * sums[-1]).argmin())
    return max(at_least, min(n, at_most))


def place(name: str, seed: int) -> bytes:
    """Where an identity stands among others, by its name and the seed alone."""
    text = name.encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, key=str(seed).encode(), digest_size=8).digest()


def open_by_identity(recipe: Recipe, progress: Any = None) -> Source:
    """A named source, a folder or a table, split by identity. Raises DataError or UsageError."""
    settings: dict[str, Any] = {
        "seed": recipe.seed, "count": recipe.count, "progress": progress, "outside": bool(recipe.outside)
    }  # fmt: skip
    if recipe.data == glyphs.NAME:
        made = glyphs.open_glyphs(seed=recipe.seed, count=recipe.count, progress=progress)
        return split_again(made, recipe)
    if recipe.data in SOURCES:  # split by image, as every task but this one takes it
        return split_again(open_source(recipe.data, **settings), recipe)
    source = open_source(
        recipe.data, val=recipe.val, test=recipe.test, encode=identities_of, **settings
    )
    return training_first(source)


def split_again(source: Source, recipe: Recipe) -> Source:
    """A source whose images are split by image, split by identity instead."""
    whole = joined([split for split in source.splits.values() if len(split)])
    order = sorted(range(len(whole)), key=lambda i: in_number(whole.keys[i]))
    whole = whole.take(order)
    contents = [digest(np.ascontiguousarray(whole.image(i))) for i in range(len(whole))]
    plan = arrange_by_identity(
        contents, whole.labels, whole.keys, source.classes, where=source.where, given=None,
        seed=recipe.seed, val=recipe.val, test=recipe.test,
    )  # fmt: skip
    parts: dict[str, Any] = {
        name: whole.take(np.flatnonzero(plan.part == code)) for code, name in enumerate(SPLITS)
    }
    made = replace(source, fingerprint=plan.fingerprint, duplicates=plan.duplicates, **parts)
    return training_first(made)


def in_number(key: str) -> tuple[Any, ...]:
    """A sort key of an image's name under which "digits/9" stands before "digits/10"."""
    return tuple((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in key.split("/"))


def training_first(source: Source) -> Source:
    """The source with its identities numbered in the order training, validation, test: training's are 0 to n - 1.

    So the loss has a centre for each identity that is trained on, and for no other.
    """
    side = np.full(len(source.classes), len(SPLITS))
    for code, split in reversed(list(enumerate(source.splits.values()))):
        side[split.labels] = code
    order = np.lexsort((np.arange(len(side)), side))
    new = np.empty_like(order)
    new[order] = np.arange(len(order))
    parts: dict[str, Any] = {
        name: replace(split, labels=new[split.labels]) for name, split in source.splits.items()
    }
    return replace(source, classes=tuple(source.classes[i] for i in order), **parts)


def trained_on(source: Source) -> int:
    """How many identities of the source are trained on; they are its first."""
    return int(source.train.labels.max()) + 1 if len(source.train) else 0


def refuse_shared(source: Source) -> None:
    """Raise DataError for a source given in Python with an identity in two of its splits."""
    part = np.repeat([FREE, VAL, TEST], [len(s) for s in source.splits.values()])
    labels = np.concatenate([s.labels for s in source.splits.values()])
    refuse_on_both_sides(part, labels, source.classes, source.where)


@dataclass(frozen=True, eq=False)
class JoinedSplit(Split):
    """Splits one after another. parts: of any kind; at: (N, 2) int64, the part of each image and its number there."""

    parts: tuple[Split, ...]
    at: np.ndarray

    def image(self, index: int) -> np.ndarray:
        part, number = self.at[index]
        return self.parts[part].image(int(number))

    def preprocess(self, index: int, preprocessing: Any) -> np.ndarray:
        part, number = self.at[index]
        return self.parts[part].preprocess(int(number), preprocessing)

    def _taken(self, at: np.ndarray) -> dict[str, Any]:
        return {"at": self.at[at]}


def joined(parts: Sequence[Split]) -> Split:
    """Splits of one source as one; images in memory stay there."""
    if len(parts) == 1:
        return parts[0]
    keys = tuple(key for part in parts for key in part.keys)
    labels = np.concatenate([part.labels for part in parts])
    arrays = [part.array for part in parts]
    if all(a is not None and a.shape[1:] == arrays[0].shape[1:] for a in arrays):  # type: ignore[union-attr]
        return ArraySplit.of(np.concatenate(arrays), labels, keys)  # type: ignore[arg-type]
    rows = {name: np.concatenate([getattr(p, name) for p in parts]) for name in Split.ROWS}
    missing = [np.zeros(len(p)) if p.missing is None else p.missing for p in parts]
    return JoinedSplit(
        keys=keys, **rows, stated=np.concatenate([p.white_stated for p in parts]), missing=np.concatenate(missing),
        parts=tuple(parts), at=np.concatenate([[(k, i) for i in range(len(p))] for k, p in enumerate(parts)]),
    )  # fmt: skip
