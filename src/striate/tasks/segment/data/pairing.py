"""Pairing: which mask belongs to which image, and to which split."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from striate.data.leftout import LeftOut
from striate.data.naming import in_order
from striate.data.tree import Parts, Tree, grow
from striate.errors import DataError
from striate.files import is_folder
from striate.tasks.segment.data.beside import beside
from striate.tasks.segment.data.candidate import Candidate
from striate.tasks.segment.data.foreign import LABEL_STUDIO, foreign
from striate.tasks.segment.data.lists import apply_lists
from striate.tasks.segment.data.matching import match
from striate.tasks.segment.data.roles import (
    base_of,
    rank_of,
    role_of,
    stem_of,
    tokens,
    without_mask,
)
from striate.tasks.segment.data.samples import by_sample
from striate.tasks.segment.data.sites import Sites, find_sites

FEW_CLASSES = 32
OBJECTS = frozenset({"instance", "instances", "panoptic"})
_WORDS = re.compile(r"[ _.\-]+")


@dataclass(kw_only=True)
class Pairs:
    """images[i] and masks[i] (one, or several of one object or class each) are paths relative to the root.

    given[i]: the split that folders or lists say, or None. alone: files without a partner. files: what are no images.
    left_out: folders of systems, runs and the like.
    """

    images: list[str] = field(default_factory=list)
    masks: list[tuple[str, ...]] = field(default_factory=list)
    given: list[str | None] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)
    files: list[Parts] = field(default_factory=list)
    left_out: tuple[LeftOut, ...] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def several(self) -> bool:
        """Whether some image has several masks."""
        return any(len(m) > 1 for m in self.masks)

    def several_words(self) -> str:
        """What to do about images with several masks."""
        n = sum(len(m) > 1 for m in self.masks)
        first = next(i for i, m in enumerate(self.masks) if len(m) > 1)
        own = self.masks[first]
        endings = {
            _ending(image, mask)
            for image, masks in zip(self.images, self.masks, strict=True)
            for mask in masks
            if len(masks) > 1
        }
        words = sorted(e for e in endings if not set(e) <= set("0123456789abcdef"))
        alone = ""
        if words and len(words) == len(endings) <= FEW_CLASSES:
            what = f"one a class ({', '.join(words[:4])}{', ...' if len(words) > 4 else ''})"
            alone = "to learn one of them alone, keep its files and move those of the others away; "
        else:
            what = "one an object" if not words else "one an object, or one a class"
        return (
            f"{n:,} image{'s have' if n > 1 else ' has'} several masks: {self.images[first]} has {len(own)}, such as "
            f"{own[0]} and {own[1]}; they seem to be {what}; --set masks=binary lays them over one another as one object "
            f"against background; {alone}for classes save one mask an image, with the number of the class in each pixel"
        )


def _ending(image: str, mask: str) -> str:
    """What a mask's name adds to that of its image; the folder's name where it adds nothing."""
    parts = mask.split("/")
    stem, own = stem_of(parts[-1]), stem_of(image.split("/")[-1])
    rest = stem.removeprefix(own) if stem.startswith(own) else stem
    known = set() if stem.startswith(own) else set(_WORDS.split(own))  # um_road_000001 of um_000001
    words = [w for w in _WORDS.split(rest) if w not in known and w and base_of(w, True)[0]]
    return (
        "_".join(words) if words else parts[-2].casefold() if stem == own and len(parts) > 1 else ""
    )


def holds_masks(root: Path) -> bool:
    """Whether a folder holds images with labels for every pixel, in a form that can be read or at least recognised."""
    if not is_folder(root):
        return False
    tree = grow(root)
    try:
        layout = find_sites(root, tree.images) or beside(root, tree.images)
        return bool(layout or by_sample(root, tree.images) or foreign(tree))
    except DataError:
        return True  # masks that cannot be taken as they are


def pair(root: Path) -> Pairs:
    """Pair images with masks: by folders of both side by side, or by the names of files in one folder.

    Raises DataError where there are no images, no masks, or no pair.
    """
    tree = grow(root)
    images, masks, alone = _candidates(root, tree)
    channel = next((i for i in images if i.stem.endswith("_0001") and _nnunet(i.path)), None)
    if channel is not None:
        raise DataError(
            f"{'/'.join(channel.path)} is a second channel: nnU-Net writes each channel of an image into a file of its own, "
            "and an image here is one file of 1 or 3 channels; join them into RGB files, or keep the _0000 files alone"
        )
    pairs = Pairs(
        files=tree.files,
        left_out=tree.left_out("unsupported", "closed"),
        alone=["/".join(p) for p in alone],
    )
    if not images or not masks:
        raise DataError(
            f"{root} holds {len(images)} images and {len(masks)} masks; each image in images/ needs a mask of the same "
            "name in masks/"
        )
    matched, unused = match(images, masks)
    for image in images:
        own = matched.get(image.path)
        if own is None:
            pairs.alone.append("/".join(image.path))
            continue
        pairs.images.append("/".join(image.path))
        pairs.masks.append(tuple("/".join(m.path) for m in own))
        pairs.given.append(image.split or own[0].split)
    used = {m.path for own in matched.values() for m in own}
    second = {m.path for m in unused}
    pairs.alone += ["/".join(m.path) for m in masks if m.path not in used | second]
    pairs.alone = list(in_order(pairs.alone))
    if not pairs.images:
        first = images[0].path[-1]
        if any(LABEL_STUDIO.match(m.stem) for m in masks):
            raise DataError(
                f"the masks in {root} are Label Studio's, a file for each class of a task ({'/'.join(masks[0].path)}), and "
                "do not name their images; lay those of a task over one another, with a number for each class, in one PNG "
                "of the image's name"
            )
        raise DataError(
            f"none of the {len(images)} images in {root} has a mask of the same name, such as masks/"
            f"{first.rpartition('.')[0] or first}.png"
        )
    if second:
        taken, left = (_kinds(paths) for paths in (used, second))
        pairs.notes.append(f"of several masks of an image {taken} are taken, and {left} are not")
    if (words := _objects(pairs.masks)) is not None:
        pairs.notes.append(words)
    apply_lists(root, tree.files, pairs)
    return pairs


def _of_objects(words: set[str]) -> bool:
    return bool(words & OBJECTS) or {"segmentation", "object"} <= words


def _objects(masks: Sequence[tuple[str, ...]]) -> str | None:
    """What to say where the only masks that there are number objects, as their folders or names state."""
    first = masks[0][0]
    if all(
        _of_objects({w for part in m.split("/") for w in tokens(part)})
        for own in masks
        for m in own
    ):
        return (
            f"the masks are of single objects, as their names say ({first}): their numbers or colours count objects and are "
            "no classes, yet each is taken as one; --set masks=binary takes anything but the background as one class, or "
            "give the masks of classes (SegmentationClass, labelIds)"
        )
    return None


def _kinds(paths: Iterable[Parts]) -> str:
    """A few masks in words."""
    some = sorted("/".join(p) for p in paths)
    return some[0] + (f" and {len(some) - 1:,} more" if len(some) > 1 else "")


def _candidates(root: Path, tree: Tree) -> tuple[list[Candidate], list[Candidate], list[Parts]]:
    """Images, masks, and image files that are neither."""
    sites = find_sites(root, tree.images)
    if sites:
        return _of_sites(tree.images, sites)
    layout = beside(root, tree.images) or by_sample(root, tree.images)
    if layout:
        return layout
    if (words := foreign(tree)) is not None:
        raise DataError(f"{root} {words}")
    raise DataError(
        f"{root} holds no images/ and masks/ side by side; put images and masks there, or masks beside their images "
        "as NAME_mask.png"
    )


def _nnunet(path: Parts) -> bool:
    """Whether an image lies in a folder of nnU-Net's."""
    return any(part.casefold() in ("imagestr", "imagests", "imagesval") for part in path[:-1])


def _of_sites(
    paths: Sequence[Parts], sites: Sites
) -> tuple[list[Candidate], list[Candidate], list[Parts]]:
    images: list[Candidate] = []
    masks: list[Candidate] = []
    alone: list[Parts] = []
    for path in paths:
        parent = next((path[:i] for i in range(len(path)) if path[:i] in sites), None)
        if parent is None:
            alone.append(path)
            continue
        own, theirs = sites[parent]
        child = path[len(parent)] if len(path) > len(parent) + 1 else ""
        if child not in own | theirs:
            alone.append(path)
            continue
        is_mask = child in theirs
        above = [*parent, *([child] if child else [])]
        inside = path[len(above) : -1]
        named = without_mask(child) if is_mask else child.casefold()
        if named not in {n.casefold() for n in own} & {without_mask(n) for n in theirs}:
            named = ""  # photos and photos_gt belong together, and so do 01 and 01_GT
        roles = [role_of(name) for name in (*above, *inside)]
        split = next((r.split for r in roles if r.split and (r.pure or r.kind)), None)
        stem = stem_of(path[-1])
        if _nnunet(path) and stem.endswith("_0000"):
            stem = stem[:-5]  # its first channel
        rank = (
            max(
                (r.rank for r in roles[len(parent) :] if r.kind == "mask" or r.rank == 9), default=1
            )
            if is_mask
            else 0
        )
        ending = rank_of(list(base_of(stem, True)[1])) if is_mask else 0
        candidate = Candidate(
            path=path,
            place=tuple(p for p in parent if not role_of(p).pure),
            inner=tuple(
                p for p in (named, *inside) if p and not (role_of(p).pure or role_of(p).kind)
            ),
            stem=stem,
            split=split,
            rank=9 if 9 in (rank, ending) else min(rank, ending) if is_mask else 0,
        )
        (masks if is_mask else images).append(candidate)
    return images, masks, alone
