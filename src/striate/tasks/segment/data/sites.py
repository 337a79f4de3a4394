"""Sites: folders that hold images and masks side by side, under any names that say so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from striate.data.tree import Parts
from striate.tasks.segment.data.content import (
    pairs_of_picture_and_mask,
    pictures_and_masks,
    some_of,
)
from striate.tasks.segment.data.matching import MOST_SAME, cores_of
from striate.tasks.segment.data.roles import base_of, role_of, stem_of, without_mask

DEPTH = 6  # folders above an images/ folder, at most
SAME = 0.5  # share of the images whose stem a mask has too
MOST_FOLDERS = 8  # that are compared by content; more are classes
ALIKE = 0.9  # share of the files of two folders that have a namesake in the other, where no name says what is a mask

Sites = dict[
    Parts, tuple[set[str], set[str]]
]  # parent -> folders of images and of masks; "" are its own files


def find_sites(root: Path, paths: Sequence[Parts]) -> Sites:
    """Folders whose children are images and masks, the outermost first; paths: image files below `root`."""
    children: dict[Parts, dict[str, list[Parts]]] = {}
    for path in paths:
        for i in range(min(len(path), DEPTH)):
            name = path[i] if i < len(path) - 1 else ""
            children.setdefault(path[:i], {}).setdefault(name, []).append(path)
    sites: Sites = {}
    for parent in sorted(children, key=len):
        if any(parent[:k] in sites for k in range(len(parent) + 1)):
            continue
        below = children[parent]
        kinds = {name: _kind(name, len(parent), below[name]) for name in below if name}
        masks = {n for n, kind in kinds.items() if kind == "mask"}
        images = (
            _images(kinds, masks, below) if masks else {n for n, k in kinds.items() if k == "image"}
        )
        if masks and not images:
            others = {n for n in below if n not in masks and _shared(below[n], masks, below)}
            for candidates in ({n for n in others if role_of(n).rank < 9}, others):
                images = images or {n for n in candidates if _are(root, below, {n}, masks)}
        elif images and not masks:
            masks = {
                n
                for n in kinds
                if not kinds[n]
                and not role_of(n).pure
                and _shared(below[n], images, below)
                and _are(root, below, images, {n})
            }
        elif not images and (by_content := _by_content(root, below)) is not None:
            images, masks = by_content
        if images and masks:
            sites[parent] = images, masks
    return sites


def _by_content(root: Path, below: dict[str, list[Parts]]) -> tuple[set[str], set[str]] | None:
    """Folders whose names say nothing: one of pictures, and others of files of the same names that hold few values."""
    stems = {n: {stem_of(p[-1]): p for p in paths} for n, paths in below.items() if n}
    stems = {n: own for n, own in stems.items() if len(own) == len(below[n]) > 1}
    if len(stems) > MOST_FOLDERS:
        return None
    for image in sorted(stems):
        pairs = {
            n: [(stems[image][s], own[s]) for s in sorted(own.keys() & stems[image].keys())]
            for n, own in stems.items()
            if n != image
        }
        masks = {
            n
            for n, both in pairs.items()
            if len(both) >= ALIKE * max(len(below[n]), len(below[image]))
            and pairs_of_picture_and_mask(root, both)
        }
        if masks:
            return {image}, masks
    return None


def _kind(name: str, depth: int, paths: Sequence[Parts]) -> str:
    """The role of a folder, by its name or by that of the folders that hold all of its files."""
    own = role_of(name)
    if own.kind or own.pure:
        return own.kind
    inner = [[role_of(p) for p in path[depth + 1 : -1]] for path in paths]
    held = all(any(r.kind == "mask" or r.rank == 9 for r in roles) for roles in inner)
    return "mask" if held and any(r.kind == "mask" for roles in inner for r in roles) else ""


def _images(kinds: dict[str, str], masks: set[str], below: dict[str, list[Parts]]) -> set[str]:
    """The folders of images beside folders of masks."""
    images = {n for n, kind in kinds.items() if kind == "image"}
    named = {without_mask(n) for n in masks}  # train for train_masks, default for defaultannot
    for candidates in (
        images,
        {n for n in kinds if n.casefold() in named and n not in masks},
        {n for n in kinds if role_of(n).pure},
        {n for n, kind in kinds.items() if kind == "weak"},
    ):
        if candidates:
            return candidates
    loose = below.get("", [])
    return {""} if loose and _shared(loose, masks, below) else set()


def _shared(paths: Sequence[Parts], others: set[str], below: dict[str, list[Parts]]) -> bool:
    """Whether most files have a namesake in the folders `others`."""
    stems = {stem_of(p[-1]) for p in paths}
    theirs = {stem_of(p[-1]) for n in others for p in below[n]}
    theirs |= {base_of(s, True)[0] for s in theirs}
    met = sum(
        s in theirs or base_of(s, False)[0] in theirs or base_of(s, True)[0] in theirs
        for s in stems
    )
    if met > SAME * len(stems):
        return True
    # Bolivia_1_S2Hand with Bolivia_1_LabelHand: the same but for what all files of a folder end or begin with.
    if len(stems) < 2 or len(theirs) < 2:
        return False
    whole = {stem_of(p[-1]) for n in others for p in below[n]}
    mine, cores = (set(cores_of(sorted(s))) for s in (stems, whole))
    return len(mine) == len(stems) and len(mine & cores) >= MOST_SAME * len(mine)


def _are(root: Path, below: dict[str, list[Parts]], images: set[str], masks: set[str]) -> bool:
    """Whether the content of some files is that of images here and of masks there."""
    return pictures_and_masks(
        root, *([p for n in sorted(names) for p in some_of(below[n])] for names in (images, masks))
    )
