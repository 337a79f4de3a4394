"""Beside: images and masks in one folder, matched by their names and, where names do not decide, by what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from striate.data.tree import Parts
from striate.tasks.segment.data.candidate import Candidate
from striate.tasks.segment.data.content import (
    pairs_of_picture_and_mask,
    pictures_and_masks,
    some_of,
)
from striate.tasks.segment.data.roles import base_of, rank_of, role_of, stem_of

SIDE_BY_SIDE = 0.5  # share of the files of a folder that are images with masks beside them
MOST_PAIRED = (
    0.9  # share of the files of a folder that are of a pair, where no name says what is a mask
)
FEW_ENDINGS = 16


def beside(
    root: Path, paths: Sequence[Parts]
) -> tuple[list[Candidate], list[Candidate], list[Parts]] | None:
    """Images and masks in one folder, matched by their names; None where most files have no partner."""
    folders: dict[Parts, list[Parts]] = {}
    for path in paths:
        folders.setdefault(path[:-1], []).append(path)
    images: list[Candidate] = []
    masks: list[Candidate] = []
    alone: list[Parts] = []
    paired = looked_at = 0
    for folder, files in folders.items():
        stems = {stem_of(p[-1]): p for p in files}
        bases = {base_of(s, False)[0]: s for s in stems if not _mask_words(s)}
        own = {
            s
            for s in stems
            if _mask_words(s) and (base_of(s, True)[0] in stems or base_of(s, True)[0] in bases)
        }
        marked = {stems[s] for s in own}
        named: dict[Parts, str] = {}
        if own:
            partners = {base_of(s, True)[0] for s in own}
            rest = [s for s in stems if s not in own]
            met = [s for s in rest if s in partners or base_of(s, False)[0] in partners]
            kept = list(stems.values())
            paired += len(met) + len(own)
        elif marked := _namesakes(root, files):
            kept = files
            paired += 2 * len(marked)
        elif ended := _by_ending(root, stems):
            named, marked = ended
            kept = list(named)
            paired += len(named)
        else:
            alone += files
            continue
        alone += set(files) - set(kept)
        looked_at += len(files)
        roles = [role_of(name) for name in folder]
        split = next((r.split for r in roles if r.pure), None)
        place = tuple(p for p in folder if not role_of(p).pure)
        for path in kept:
            stem, is_mask = named.get(path) or stem_of(path[-1]), path in marked
            rank = rank_of(list(base_of(stem, True)[1])) if is_mask else 0
            candidate = Candidate(
                path=path, place=place, inner=(), stem=stem, split=split, rank=rank
            )
            (masks if is_mask else images).append(candidate)
    if not masks or paired < SIDE_BY_SIDE * looked_at or looked_at < len(alone) / 2:
        return None
    return images, masks, alone


def _namesakes(root: Path, files: Sequence[Parts]) -> set[Parts]:
    """The masks in a folder of x.jpg with x.png: most stems have two suffixes, and one holds few values (QuPath)."""
    by_stem: dict[str, list[Parts]] = {}
    for path in files:
        by_stem.setdefault(stem_of(path[-1]), []).append(path)
    twice = [sorted(two, key=_suffix) for two in by_stem.values() if len(two) == 2]
    kinds = {tuple(map(_suffix, two)) for two in twice}
    if 2 * len(twice) < SIDE_BY_SIDE * len(files) or len(twice) < 2 or len(kinds) != 1:
        return set()
    first, second = zip(*twice, strict=True)
    for images, masks in ((first, second), (second, first)):
        if pictures_and_masks(root, some_of(images), some_of(masks)):
            return set(masks)
    return set()


def _by_ending(root: Path, stems: dict[str, Parts]) -> tuple[dict[Parts, str], set[Parts]] | None:
    """Files x and x_m, whatever the ending: (file -> x, the masks), where most are in pairs, one of few values.

    Several endings, such as x_heart and x_lung, are several masks of an image.
    """
    ended: dict[str, dict[str, Parts]] = {}
    for stem, path in stems.items():
        for cut in (k for k, c in enumerate(stem) if c in " _-." and k):
            if stem[:cut] in stems:
                ended.setdefault(stem[cut:], {})[stem[:cut]] = path
                break
    bases = {base for own in ended.values() for base in own}
    often = {e: own for e, own in ended.items() if len(own) >= SIDE_BY_SIDE * len(bases)}
    paired = len(bases) + sum(map(len, often.values()))
    if len(bases) < 2 or not often or len(often) > FEW_ENDINGS or paired < MOST_PAIRED * len(stems):
        return None
    plain = {base: stems[base] for base in bases}
    masks = [o for o in often.values() if _pictures(root, plain, o)]
    if masks:
        images = plain
    else:
        images = next((o for o in often.values() if _pictures(root, o, plain)), {})
        masks = [plain]
    if not images:
        return None
    named = {path: base for own in (images, *masks) for base, path in own.items()}
    return named, {path for own in masks for path in own.values()}


def _pictures(root: Path, images: dict[str, Parts], masks: dict[str, Parts]) -> bool:
    both = sorted(images.keys() & masks.keys())
    return bool(both) and pairs_of_picture_and_mask(
        root, [(images[base], masks[base]) for base in both]
    )


def _suffix(path: Parts) -> str:
    return path[-1].rpartition(".")[2].casefold()


def _mask_words(stem: str) -> bool:
    """Whether a stem carries a word, not just a letter or number, that says that it is a mask."""
    words = base_of(stem, True)[1]
    return any(
        len(w) > 1
        and not w.isdecimal()
        and w not in ("ah", "vk", "2nd", "second", "part", "object")
        for w in words
    )
