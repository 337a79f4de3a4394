"""Samples: a folder for each, which holds its image and its masks (PH2), under names that are alike in all folders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from striate.data.tree import Parts
from striate.errors import DataError
from striate.tasks.segment.data.candidate import Candidate
from striate.tasks.segment.data.content import pairs_of_picture_and_mask
from striate.tasks.segment.data.roles import rank_of, role_of, stem_of, tokens

DEPTH = 5  # folders above those of the samples, at most
LEAST = 3  # samples, from which on names that are alike in all are believed
IN_MOST = 0.9  # share of the samples that have a file of that name
MOST_FILES = 16  # of one sample, more are a class of images

Found = tuple[list[Candidate], list[Candidate], list[Parts]]
Slots = dict[
    str, dict[Parts, Parts]
]  # a file's name without what is the sample's own -> sample -> its file


def by_sample(root: Path, paths: Sequence[Parts]) -> Found | None:
    """Images, masks, and files that are neither, where each sample has a folder; None where folders are no samples.

    Raises DataError where a sample has several images.
    """
    for depth in range(DEPTH):
        samples = {p[: depth + 1] for p in paths if len(p) > depth + 1}
        if len(samples) < LEAST or len(paths) > MOST_FILES * len(samples):
            continue
        slots = _slots(paths, depth)
        usual = {s: own for s, own in slots.items() if len(own) >= IN_MOST * len(samples)}
        if len(usual) < 2:
            continue
        by_content = _by_content(root, paths, usual)
        if by_content is not None:
            return by_content
    return None


def _slots(paths: Sequence[Parts], depth: int) -> Slots:
    """The names that files have once in a sample, of all samples."""
    slots: Slots = {}
    twice: set[str] = set()
    for path in paths:
        if len(path) <= depth + 1:
            continue
        sample = path[: depth + 1]
        name = _pattern(path[depth + 1 :], sample[-1])
        if sample in slots.setdefault(name, {}):
            twice.add(name)
        slots[name][sample] = path
    return {name: own for name, own in slots.items() if name not in twice}


def _pattern(parts: Parts, sample: str) -> str:
    """IMD002_lesion/IMD002_lesion.bmp of IMD002 is *_lesion/*_lesion; other numbers are #."""
    own = sample.casefold()
    names = [p.casefold() for p in parts[:-1]] + [stem_of(parts[-1])]
    return "/".join(re.sub(r"[0-9]+", "#", name.replace(own, "*")) for name in names)


def _by_content(root: Path, paths: Sequence[Parts], slots: Slots) -> Found | None:
    """Which of the files that each sample has is its image, and which are masks, by what they hold."""
    masks_of: dict[str, list[str]] = {}
    for image, own in slots.items():
        masks_of[image] = [
            mask
            for mask, theirs in slots.items()
            if mask != image
            and pairs_of_picture_and_mask(
                root, [(own[s], theirs[s]) for s in sorted(own.keys() & theirs.keys())]
            )
        ]
    images = [image for image, masks in masks_of.items() if masks]
    if not images:
        return None
    if len(images) > 1:
        first = next(iter(slots[images[0]]))
        several = ", ".join("/".join(slots[name][first][len(first) :]) for name in images[:4])
        mask = slots[masks_of[images[0]][0]].get(first)
        beside = f" beside the mask {'/'.join(mask)}" if mask else ""
        raise DataError(
            f"each folder holds several images of one sample ({several} in {'/'.join(first)}){beside}, and an image here is "
            "one file of 1 or 3 channels; keep one of them in each folder, or join them into RGB files"
        )
    image, masks = images[0], masks_of[images[0]]
    pictures = [_candidate(path, sample, 0) for sample, path in slots[image].items()]
    marked = [
        _candidate(path, sample, rank_of([w for part in path[len(sample) :] for w in tokens(part)]))
        for mask in masks
        for sample, path in slots[mask].items()
    ]
    chosen = {c.path for c in (*pictures, *marked)}
    return pictures, marked, [p for p in paths if p not in chosen]


def _candidate(path: Parts, sample: Parts, rank: int) -> Candidate:
    split = next((r.split for r in map(role_of, sample[:-1]) if r.pure), None)
    place = tuple(p for p in sample[:-1] if not role_of(p).pure)
    return Candidate(
        path=path,
        place=(*place, sample[-1]),
        inner=(),
        stem=stem_of(path[-1]),
        split=split,
        rank=rank,
    )
