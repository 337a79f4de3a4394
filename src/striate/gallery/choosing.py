"""Choosing: the similarity from which on two images are taken for one, from images of different names, at a rate of errors.

Two questions, two thresholds. *Compare* asks whether two given images are one: what reaches it wrongly is an impostor pair,
two images of different names. *Identify* asks who of all that are enrolled it is: each further name is one more chance to be
taken for somebody, so what counts is the highest similarity of a stranger to anybody. Strangers are those that a person
gives, or each enrolled image, compared with all names but its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from striate.data.drawing import drawn
from striate.errors import UsageError
from striate.gallery.gallery import Gallery
from striate.gallery.reached import counts_of
from striate.gallery.search import nearest
from striate.statistics.clusters import Share, share_of_clusters
from striate.tasks.embed.evaluation.threshold import (
    Threshold,
    pairs_needed,
    rounded_up,
    threshold_at,
)
from striate.wording import counted

RATE = 0.01  # of false accepts, where none is asked for
IMAGES = 2000  # that are compared with each other at most: two million pairs
LOOKED_AT = 1000  # of the most similar pairs
TOP = 5  # most similar pairs of different names that are shown


@dataclass(frozen=True, kw_only=True, eq=False)
class Cohort:
    """Images of nobody who is enrolled: vectors (m, d), their names, which may be empty, paths, groups and contents, and
    where they come from."""

    vectors: np.ndarray
    names: Sequence[str]
    paths: Sequence[str]
    groups: Sequence[str]
    contents: frozenset[bytes]
    where: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Impostors:
    """What images of different names have in similarity.

    pairs: (M,) of pairs. strangers: (S,) of each stranger to the most similar name. images, names: those that were compared.
    closest: the most similar pairs, as similarity and what they are. pair_groups, stranger_groups: (M,) and (S,) numbers
    among `groups`; -1 for a pair of two groups. pair_names: (2, M) numbers of names, of strangers too;
    stranger_names: (2, S) of each stranger and of whom it is most like, -1 where that one is given and not drawn. own: (R,)
    of enrolled images to the most similar other one of their own name, with own_names and own_groups, numbers as above.
    """

    pairs: np.ndarray
    strangers: np.ndarray
    images: int
    names: int
    source: str
    closest: tuple[tuple[float, str, str, str, str], ...]
    groups: tuple[str, ...]
    group_images: np.ndarray
    pair_groups: np.ndarray
    stranger_groups: np.ndarray
    pair_names: np.ndarray
    stranger_names: np.ndarray
    own: np.ndarray
    own_names: np.ndarray
    own_groups: np.ndarray


def impostors_of(gallery: Gallery, cohort: Cohort | None, seed: int) -> Impostors:
    """Similarities of enrolled images of different names, or of a cohort's to those that are enrolled."""
    if cohort is not None:
        return _of_cohort(gallery, cohort, seed)
    rows = drawn(len(gallery), IMAGES, seed=seed)
    vectors, numbers = gallery.vectors(rows), gallery.name_numbers[rows]
    groups, group = _groups(gallery.groups_of(rows))
    first, second = np.triu_indices(len(rows), 1)
    other = numbers[first] != numbers[second]
    first, second = first[other], second[other]
    pairs = (vectors @ vectors.T)[first, second] if len(first) else np.empty(0, np.float32)
    top = _of_different_names(pairs, numbers[first], numbers[second])

    def who(row: int) -> tuple[str, str]:
        return gallery.name_of(int(row)), gallery.path_of(int(row))

    strangers, found = np.empty(0, np.float32), np.empty(0, np.int64)
    if len(gallery.names) > 1:
        known = gallery.name_numbers

        def others(start: int, scores: np.ndarray) -> None:
            scores[known[start : start + len(scores), None] == numbers] = -np.inf

        scores, best = nearest(gallery, vectors, 1, mask=others)
        strangers, found = scores[:, 0], best[:, 0]
    return Impostors(
        pairs=pairs, strangers=strangers, images=len(rows), names=len(np.unique(numbers)), source="",
        closest=tuple((float(pairs[i]), *who(rows[first[i]]), *who(rows[second[i]])) for i in top),
        groups=groups, group_images=np.bincount(group[group >= 0], minlength=len(groups)),
        pair_groups=np.where(group[first] == group[second], group[first], -1), stranger_groups=group[: len(strangers)],
        pair_names=np.stack((numbers[first], numbers[second])),
        stranger_names=np.stack((numbers[: len(strangers)], gallery.name_numbers[found])),
        **_own(vectors, numbers, group),
    )  # fmt: skip


def _of_different_names(pairs: np.ndarray, first: np.ndarray, second: np.ndarray) -> list[int]:
    """The most similar pair (M,) of each two names, of the TOP that are most alike. first, second: (M,) numbers of names."""
    found: dict[tuple[int, int], int] = {}
    if not len(pairs):
        return []
    some = np.argpartition(-pairs, min(LOOKED_AT, len(pairs) - 1))[:LOOKED_AT]
    for i in some[np.argsort(-pairs[some], kind="stable")].tolist():
        found.setdefault((min(first[i], second[i]), max(first[i], second[i])), i)
        if len(found) == TOP:
            break
    return list(found.values())


def _of_cohort(gallery: Gallery, cohort: Cohort, seed: int) -> Impostors:
    at = drawn(len(cohort.vectors), IMAGES, seed=seed)
    vectors = cohort.vectors[at]
    rows = drawn(len(gallery), IMAGES, seed=seed)
    scores = vectors @ gallery.vectors(rows).T
    strangers, found = nearest(gallery, vectors, 1)
    groups, group = _groups([cohort.groups[i] for i in at])
    own_groups = np.array([groups.index(g) if g in groups else -2 for g in gallery.groups_of(rows)])
    order = np.argsort(-strangers[:, 0], kind="stable")[:TOP]
    # Numbers after those of the enrolled; images of no name are of as many.
    texts = [cohort.names[i] or f"\0{i}" for i in at]
    names = len(gallery.names) + np.unique(texts, return_inverse=True)[1].astype(np.int32)
    known = np.broadcast_to(gallery.name_numbers[rows], scores.shape)
    return Impostors(
        pairs=scores.reshape(-1), strangers=strangers[:, 0], images=len(at), names=len(gallery.names), source=cohort.where,
        closest=tuple(
            (
                float(strangers[i, 0]), "", cohort.paths[at[i]], gallery.name_of(int(found[i, 0])),
                gallery.path_of(int(found[i, 0])),
            )
            for i in order
        ),
        groups=groups, group_images=np.bincount(group[group >= 0], minlength=len(groups)),
        pair_groups=np.where(group[:, None] == own_groups[None, :], group[:, None], -1).reshape(-1), stranger_groups=group,
        pair_names=np.stack((np.broadcast_to(names[:, None], scores.shape).reshape(-1), known.reshape(-1))),
        stranger_names=np.stack((names, np.full_like(names, -1))),
        **_own(gallery.vectors(rows), gallery.name_numbers[rows], np.maximum(own_groups, -1)),
    )  # fmt: skip


def _own(vectors: np.ndarray, numbers: np.ndarray, groups: np.ndarray) -> dict[str, np.ndarray]:
    """What images (R, d) of names (R,) have in common with another image of their own name, where there is one."""
    scores = vectors @ vectors.T
    scores[numbers[:, None] != numbers] = -np.inf
    np.fill_diagonal(scores, -np.inf)
    best = scores.max(1, initial=-np.inf)
    some = np.flatnonzero(best > -np.inf)
    return {"own": best[some], "own_names": numbers[some], "own_groups": groups[some]}


def reached_by_own(found: Impostors, value: float, group: int | None = None) -> Share:
    """The share of enrolled images that reach a threshold by another image of their own name, with its interval over names.
    group: only images of this one; nan where there are none."""
    some = slice(None) if group is None else found.own_groups == group
    _, name = np.unique(found.own_names[some], return_inverse=True)
    reached = found.own[some] >= value
    return share_of_clusters(np.bincount(name, reached), np.bincount(name))


def choose(
    found: Impostors, rate: float | None, *, default: float | None = None, seed: int = 0
) -> dict[str, Any]:
    """The document's entry of both thresholds, each None where the similarities do not resolve the rate; `why` says it then.

    rate: of false accepts, as a person asks for it; `default`, or RATE, where it is None. Raises UsageError for a rate that
    was asked for and that the pairs do not resolve, with the number it would take.
    """
    asked = rate if rate is not None else default if default is not None else RATE
    # As similarities are compared, which rounding brings to a little more than 1.
    found = replace(
        found, pairs=np.minimum(found.pairs, 1), strangers=np.minimum(found.strangers, 1)
    )
    compare, refusal = _chosen(found.pairs, found.pair_names, asked, pairs=True)
    identify, _ = _chosen(found.strangers, found.stranger_names, asked, pairs=False)
    if rate is not None and compare is None:
        raise UsageError(refusal)
    why = []
    if identify is None:
        n = len(found.strangers)
        have = counted(n, "stranger") if n else "none, since one name is enrolled"
        why.append(
            f"to say who somebody is, a rate of {asked:g} takes {pairs_needed(asked):,} strangers, and there "
            f"{'are' if n > 1 else 'is'} {have}; enrol more images of more names, give strangers with --impostors DIR"
            f"{_coarser(n)}"
        )
    if compare is None:
        n = len(found.pairs)
        why.append(
            f"to compare two images it takes {pairs_needed(asked):,} pairs of images of different names, and there "
            f"{'is' if n == 1 else 'are'} {n:,}"
        )
    return {
        "rate": asked, "source": found.source or None, "images": found.images, "names": found.names, "seed": seed,
        "identify": None if identify is None else identify._asdict(),
        "compare": None if compare is None else compare._asdict(), "why": "; ".join(why),
        "impostors": counts_of(found.pairs, found.pair_names),
        "groups": _by_group(found, identify, compare),
    }  # fmt: skip


def _coarser(n: int) -> str:
    return f", or ask for --far {rounded_up(3 / n):g} or more" if n > 3 else ""


def _chosen(
    scores: np.ndarray, names: np.ndarray, rate: float, *, pairs: bool
) -> tuple[Threshold | None, str]:
    """The threshold with its interval over names, or why there is none. scores: (N,); names: (2, N), see Impostors."""
    if not 0 < rate < 1:
        raise UsageError(
            f"--far is a rate of false accepts, a fraction between 0 and 1, got {rate}; write 0.001 for one in a thousand"
        )
    try:
        chosen = threshold_at(scores, rate)
    except UsageError as error:
        return None, error.sentence
    share = over_names(scores >= chosen.value, names, pairs=pairs)
    return chosen._replace(low=share.low, high=share.high), ""


def over_names(reached: np.ndarray, names: np.ndarray, *, pairs: bool) -> Share:
    """The share of pairs, or of strangers, that reach a threshold, (N,) bool, with its 95 % interval over names.

    Images of one name are alike, and two look-alikes are each other's strangers, so that an interval that takes them for
    independent is far too narrow. A name that is left out takes with it what reached the threshold by it, on either side.
    names: (2, N), see Impostors.
    """
    size = int(names.max(initial=0)) + 1
    counts, of = np.zeros(size), np.zeros(size)
    for side, row in enumerate(names):
        drawn_ones = row >= 0
        counts += np.bincount(row[drawn_ones], reached[drawn_ones], size)
        if pairs or not side:  # a stranger is one of those that are asked of its own name alone
            of += np.bincount(row, minlength=size)
    return share_of_clusters(counts, of, count=float(reached.sum()), total=float(len(reached)))


def errors_of_group(
    found: Impostors, group: int, threshold: Mapping[str, Any]
) -> tuple[Share | None, Share | None]:
    """The shares of a group's strangers, and of its pairs, that reach their threshold, with their intervals over names.

    threshold: of the document. None where there is no threshold, or nothing of that group.
    """
    shares: list[Share | None] = []
    for key, scores, groups, names in (
        ("identify", found.strangers, found.stranger_groups, found.stranger_names),
        ("compare", found.pairs, found.pair_groups, found.pair_names),
    ):  # fmt: skip
        some, chosen = groups == group, threshold[key]
        if chosen is None or not some.any():
            shares.append(None)
        else:
            reached = np.minimum(scores[some], 1) >= chosen["value"]
            shares.append(over_names(reached, names[:, some], pairs=key == "compare"))
    return shares[0], shares[1]


def _groups(texts: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """The groups that are named, and each image's number among them, -1 for none; nothing where no image has one."""
    known = tuple(sorted({text for text in texts if text}))
    place = {text: i for i, text in enumerate(known)}
    numbers = np.array([place.get(text, -1) for text in texts], dtype=np.int64)
    return known, numbers if known else np.zeros(len(texts), np.int64) - 1


def _by_group(
    found: Impostors, identify: Threshold | None, compare: Threshold | None
) -> list[dict[str, Any]]:
    rows = []
    for i, group in enumerate(found.groups):
        strangers = found.strangers[found.stranger_groups == i]
        pairs = found.pairs[found.pair_groups == i]
        rows.append({
            "group": group, "images": int(found.group_images[i]), "strangers": len(strangers),
            "taken": None if identify is None else int((strangers >= identify.value).sum()), "pairs": len(pairs),
            "accepted": None if compare is None else int((pairs >= compare.value).sum()),
        })  # fmt: skip
    return rows
