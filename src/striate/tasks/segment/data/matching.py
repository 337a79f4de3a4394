"""Matching: the masks of each image, by stems that are equal, or equal but for words or affixes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from striate.data.tree import Parts
from striate.errors import DataError
from striate.tasks.segment.data.roles import BETTER, MASK_WORDS, WORSE, bare, base_of, tokens

if TYPE_CHECKING:
    from striate.tasks.segment.data.candidate import Candidate

MOST_SAME = 0.9  # share of the masks that a common affix must pair, to be believed
FEW_WORDS = 8  # that are put into names, one a class or kind of mask
Key = Callable[["Candidate"], object]
Matched = dict[Parts, list["Candidate"]]


def match(
    images: Sequence[Candidate], masks: Sequence[Candidate]
) -> tuple[Matched, list[Candidate]]:
    """(image -> its masks, masks that another kind of mask of the same image is preferred to).

    Files are looked for in the same split and folder first, then wherever their stem is the only one.
    Raises DataError where two images could claim a mask.
    """
    matched: Matched = {}
    left = list(masks)
    near: tuple[Key, ...] = (
        lambda c: (c.split, c.place, c.inner),
        lambda c: (c.place, c.inner),
    )
    for key in near:
        free = [i for i in images if i.path not in matched]
        if free and left:
            left = _stems(free, left, key, matched)
    # What lies in ground_truth/broken belongs to .../broken: without an image there it is nobody's.
    homes = {(i.place, i.inner) for i in images if i.inner}
    bound = [m for m in left if (m.place, m.inner) in homes]
    left = [m for m in left if (m.place, m.inner) not in homes]
    keys: tuple[Key, ...] = (
        lambda c: (c.split, c.place),
        lambda c: c.split,
        lambda c: None,
    )
    for key in keys:
        free = [i for i in images if i.path not in matched]
        if free and left:
            left = _stems(free, left, key, matched)
    for key in (near[0], *keys):
        free = [i for i in images if i.path not in matched]
        several = left + bound if key is near[0] else left
        if free and several:
            several = _rest(free, several, key, matched)
            left = [m for m in several if (m.place, m.inner) not in homes]
    unused: list[Candidate] = []
    for path, own in matched.items():
        least = min(m.rank for m in own)
        matched[path] = [m for m in own if m.rank == least]
        unused += [m for m in own if m.rank > least]
        _refuse_copies(path, matched[path])
    return matched, unused


def _refuse_copies(image: Parts, own: Sequence[Candidate]) -> None:
    if len(own) > 1 and len({(m.stem, m.inner) for m in own}) == 1 and not _named_apart(own):
        first, second = own[0].path, own[1].path
        raise DataError(
            f"{'/'.join(first)} and {'/'.join(second)} could both be the mask of {'/'.join(image)}; keep one of them, or "
            "write both into one mask with a number for each class"
        )


def _named_apart(own: Sequence[Candidate]) -> bool:
    """Whether each mask has a word of its own in its name or folder, beside those that say "mask": leftMask, rightMask."""
    words = [{w for part in m.path for w in tokens(part)} for m in own]
    common = set.intersection(*words) | MASK_WORDS | BETTER | WORSE
    theirs = [frozenset(w for w in mine - common if not w.isdecimal()) for mine in words]
    return all(theirs) and len(set(theirs)) == len(own)


def _stems(
    images: Sequence[Candidate], masks: Sequence[Candidate], key: Key, matched: Matched
) -> list[Candidate]:
    """Match equal stems, then stems without their words, among images and masks of equal `key`; the masks that are left."""
    exact: dict[object, dict[str, list[Candidate]]] = {}
    bases: dict[object, dict[str, list[Candidate]]] = {}
    bares: dict[object, dict[str, list[Candidate]]] = {}
    for image in images:
        bares.setdefault(key(image), {}).setdefault(bare(image.stem), []).append(image)
        exact.setdefault(key(image), {}).setdefault(image.stem, []).append(image)
        bases.setdefault(key(image), {}).setdefault(base_of(image.stem, False)[0], []).append(image)
    left = []
    for mask in masks:
        group, base = key(mask), base_of(mask.stem, True)[0]
        tries = (
            exact.get(group, {}).get(mask.stem),
            exact.get(group, {}).get(base),
            bases.get(group, {}).get(base),
            bases.get(group, {}).get(mask.stem),
            bares.get(group, {}).get(bare(mask.stem)),
        )
        partners = next((t for t in tries if t), None)
        if partners is not None and len(partners) > 1:  # a and A
            partners = [f for f in partners if _written(f) == _written(mask)] or partners
        if partners is None or (len(partners) > 1 and key(mask) is None):
            left.append(mask)
            continue
        if len(partners) > 1:
            first, second = ("/".join(f.path) for f in partners[:2])
            raise DataError(
                f"{first} and {second} have the same stem, so that {'/'.join(mask.path)} could belong to either; rename one "
                "of them"
            )
        matched.setdefault(partners[0].path, []).append(mask)
    return left


def _written(candidate: Candidate) -> str:
    """The stem as the file writes it, in upper and lower case."""
    return candidate.path[-1].rpartition(".")[0]


def _rest(
    images: Sequence[Candidate], masks: Sequence[Candidate], key: Key, matched: Matched
) -> list[Candidate]:
    """Match what has no stem in common: by affixes that all have, by one image a folder, by the image's stem in front."""
    groups: dict[object, tuple[list[Candidate], list[Candidate]]] = {}
    for image in images:
        groups.setdefault(key(image), ([], []))[0].append(image)
    for mask in masks:
        groups.setdefault(key(mask), ([], []))[1].append(mask)
    left: list[Candidate] = []
    for own, theirs in groups.values():
        if not own or not theirs:
            left += theirs
            continue
        pairs = (
            _by_affix(own, theirs)
            or _alone(own, theirs)
            or _in_front(own, theirs)
            or _inserted(own, theirs)
        )
        for image, mask in pairs:
            matched.setdefault(image.path, []).append(mask)
        taken = {mask.path for _, mask in pairs}
        left += [m for m in theirs if m.path not in taken]
    return left


Found = list[tuple["Candidate", "Candidate"]]


def _by_affix(images: Sequence[Candidate], masks: Sequence[Candidate]) -> Found:
    """frame_001 with 001-roads: stems that are equal without what all images, and all masks, have in common."""
    if len(images) < 2 or len(masks) < 2:
        return []
    cores = [cores_of([c.stem for c in several]) for several in (images, masks)]
    where = dict(zip(cores[0], images, strict=True))
    if len(where) < len(images) or len(set(cores[1])) < len(masks):
        return []
    pairs = [
        (where[core], mask) for core, mask in zip(cores[1], masks, strict=True) if core in where
    ]
    return pairs if len(pairs) >= MOST_SAME * min(len(masks), len(images)) else []


def cores_of(stems: Sequence[str]) -> list[str]:
    """Stems without their common beginning and end, which do not cut into a number."""
    before = _common(stems).rstrip("0123456789")
    behind = _common([s[::-1] for s in stems]).rstrip("0123456789")
    return [s[len(before) : len(s) - len(behind) if behind else None] for s in stems]


def _common(texts: Sequence[str]) -> str:
    """What all texts begin with."""
    first, last = min(texts), max(texts)
    length = next(
        (k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first)
    )
    return first[:length]


def _alone(images: Sequence[Candidate], masks: Sequence[Candidate]) -> Found:
    """One image in a folder of its own, with all the masks beside it, as in the Data Science Bowl of 2018."""
    if len(images) != 1 or not images[0].place or any(m.place != images[0].place for m in masks):
        return []
    return [(images[0], mask) for mask in masks]


def _in_front(images: Sequence[Candidate], masks: Sequence[Candidate]) -> Found:
    """x_cat, x_dog: masks whose stem begins with that of one image alone."""
    often = Counter(i.stem for i in images)
    stems = {i.stem: i for i in images if i.stem and often[i.stem] == 1}
    pairs = []
    for mask in masks:
        cuts = [k for k, c in enumerate(mask.stem) if c in " _-."]
        front = next((mask.stem[:k] for k in reversed(cuts) if mask.stem[:k] in stems), None)
        if front is not None:
            pairs.append((stems[front], mask))
    return pairs


def _inserted(images: Sequence[Candidate], masks: Sequence[Candidate]) -> Found:
    """um_road_000001 of um_000001: masks that have a word more than their image, which few words are for all (KITTI)."""
    often = Counter(i.stem for i in images)
    stems = {i.stem: i for i in images if i.stem and often[i.stem] == 1}
    pairs = []
    inserted = set()
    for mask in masks:
        parts = re.split(r"([ _.\-])", mask.stem)
        tries = {"".join(parts[:k] + parts[k + 2 :]): parts[k] for k in range(2, len(parts) - 2, 2)}
        stem = next((s for s, word in tries.items() if s in stems and not word.isdecimal()), None)
        if stem is not None:
            pairs.append((stems[stem], mask))
            inserted.add(tries[stem])
    return pairs if len(inserted) <= FEW_WORDS and len(pairs) >= MOST_SAME * len(masks) else []
