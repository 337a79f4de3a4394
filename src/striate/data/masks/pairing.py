"""Pairing: which mask belongs to which image, and to which split."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from striate.data.naming import SPLIT_NAMES, in_order
from striate.data.tree import Parts, Tree, grow
from striate.errors import DataError

IMAGES = frozenset({"images", "image", "imgs", "img"})
MASKS = frozenset({"masks", "mask", "labels", "label", "annotations", "segmentation", "gt"})
ENDINGS = ("_mask", "-mask", "_label", "-label", "_seg", "_gt", "_gtfine_labelids", "_segmentation")


@dataclass(kw_only=True)
class Pairs:
    """images[i] and masks[i] are paths relative to the root; given[i] is the split that the folders say, or None."""

    images: list[str] = field(default_factory=list)
    masks: list[tuple[str, ...]] = field(default_factory=list)
    given: list[str | None] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)
    files: list[Parts] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def several(self) -> bool:
        """Whether some image has several masks."""
        return any(len(m) > 1 for m in self.masks)

    def several_words(self) -> str:
        """What to do about it."""
        return ""


def holds_masks(root: Path) -> bool:
    """Whether a folder holds images/ and masks/ (or train/images and so on): labels for every pixel."""
    return root.is_dir() and _side_by_side(grow(root))


def _side_by_side(tree: Tree) -> bool:
    """Whether somewhere a folder of images and a folder of masks have the same parent, and both hold image files."""
    parents: dict[Parts, set[str]] = {}
    for path in tree.images:
        for i, part in enumerate(path[:-1][:3]):
            kind = (
                "image" if part.casefold() in IMAGES else "mask" if part.casefold() in MASKS else ""
            )
            parents.setdefault(path[:i], set()).add(kind)
    return any({"image", "mask"} <= kinds for kinds in parents.values())


def pair(root: Path) -> Pairs:
    """Pair files of the same stem; `name_mask.png` goes with `name.jpg` too.

    Raises DataError where there are no images, no masks, or no pair.
    """
    tree = grow(root)
    if not _side_by_side(tree):
        raise DataError(
            f"{root} holds no images/ and masks/ side by side; put images and masks there"
        )
    images: dict[tuple[str | None, Parts], Parts] = {}
    masks: dict[tuple[str | None, Parts], Parts] = {}
    pairs = Pairs(files=tree.files)
    for path in tree.images:
        folded = [part.casefold() for part in path[:-1]]
        at = next((i for i, part in enumerate(folded) if part in IMAGES | MASKS), None)
        if at is None:
            pairs.alone.append("/".join(path))
            continue
        split = next((SPLIT_NAMES[p] for p in folded if p in SPLIT_NAMES), None)
        inner = tuple(p for i, p in enumerate(path[:-1]) if i > at and folded[i] not in SPLIT_NAMES)
        is_mask = folded[at] in MASKS
        key = (split, (*inner, _stem(path[-1], mask=is_mask)))
        there = masks if is_mask else images
        if key in there:
            raise DataError(
                f"{'/'.join(there[key])} and {'/'.join(path)} in {root} have the same stem; rename one of them"
            )
        there[key] = path
    if not images or not masks:
        raise DataError(
            f"{root} holds {len(images)} images and {len(masks)} masks; each image in images/ needs a mask of the same "
            "name in masks/"
        )
    for key, path in images.items():
        if key in masks:
            pairs.images.append("/".join(path))
            pairs.masks.append(("/".join(masks[key]),))
            pairs.given.append(key[0])
        else:
            pairs.alone.append("/".join(path))
    pairs.alone += ["/".join(path) for key, path in masks.items() if key not in images]
    pairs.alone = list(in_order(pairs.alone))
    if not pairs.images:
        raise DataError(
            f"none of the {len(images)} images in {root} has a mask of the same name, such as masks/"
            f"{PurePosixPath(next(iter(images.values()))[-1]).stem}.png"
        )
    return pairs


def _stem(name: str, *, mask: bool) -> str:
    stem = PurePosixPath(name).stem
    if mask:
        for ending in ENDINGS:
            if stem.casefold().endswith(ending) and len(stem) > len(ending):
                return stem[: -len(ending)]
    return stem
