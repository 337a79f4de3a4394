"""Concepts: what a network is dissected with, opened from folders, a segmentation data set, or generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from striate.data import Preprocessing
from striate.data.drawing import drawn
from striate.data.naming import ignored
from striate.errors import DataError, UsageError
from striate.paths import given_path, warn_of_folder
from striate.tasks.segment.data import (
    IGNORE,
    MASK_SOURCES,
    MaskSource,
    MaskSplit,
    is_mask_data,
    open_masks,
)
from striate.tasks.segment.data.concept_scenes import ConceptScenes
from striate.tasks.segment.data.roles import role_of
from striate.units.concepts import ConceptSet, Regions, overlapping
from striate.wording import counted

GENERATED = "concepts"
LEAST_SCENES = 10  # that a generated source of masks makes
READABLE = 24  # pixels a side, from which a generated scene shows what it holds
FORM = "a concept is a folder with images/ and masks/ of the same names"

MOST = 100_000  # images that are generated; all of them are held in memory

Place = tuple[MaskSplit, int, int]
"""A split, the number of an image in it, and the first concept of its source."""


def open_concepts(
    where: str | Path, preprocessing: Preprocessing, *, limit: int, seed: int = 0
) -> ConceptSet:
    """Open what a network is dissected with, at most `limit` images of it.

    where: `concepts`, generated; a folder of concepts, each a folder of images and masks; or whatever segmentation is
    trained on, where each class is a concept. Raises UsageError for what does not exist, DataError for images without masks.
    """
    if str(where) in (GENERATED, *MASK_SOURCES):
        warn_of_folder(str(where))
        if limit > MOST:
            raise UsageError(
                f"limit={limit:,} is more than the {MOST:,} images that {where} generates at most; give fewer, or a folder"
            )
    if str(where) == GENERATED:
        return generated(preprocessing, count=limit, seed=seed)
    if str(where) in MASK_SOURCES:
        return from_sources(
            {"": open_masks(str(where), seed=seed, count=max(LEAST_SCENES, limit))}, preprocessing, limit=limit
        )  # fmt: skip
    root = given_path(where, "concepts")
    if not root.is_dir():
        raise UsageError(
            f"there is no folder or source {str(where)!r}; give a folder of concepts ({FORM}), or one of "
            f"{', '.join((GENERATED, *MASK_SOURCES))}"
        )
    folders = concept_folders(root)
    if folders:
        sources, failed = {}, []
        for folder in folders:
            try:
                sources[folder.name] = opened(folder, seed)
            except DataError as error:
                failed.append(error)
        if failed and not sources:
            raise failed[0]
        found = from_sources(sources, preprocessing, limit=limit)
        return replace(found, remarks=(*(f"left out: {error}" for error in failed), *found.remarks))
    return from_sources({"": open_masks(root, seed=seed)}, preprocessing, limit=limit)


def opened(folder: Path, seed: int) -> MaskSource:
    """The masks of one concept. Those that JPEG or a resize smeared are taken for what they were, one value or another.

    Raises DataError that names the concept.
    """
    try:
        return open_masks(folder, seed=seed)
    except DataError as error:
        try:
            source = open_masks(folder, seed=seed, masks="nearest")
        except DataError:
            raise DataError(f"the concept {folder.name} cannot be used: {error}") from error
        if len(source.classes) != 2:
            raise DataError(f"the concept {folder.name} cannot be used: {error}") from error
        smeared = f"JPEG or a resize smeared the masks of {folder.name}: each pixel takes the nearer of its two values"
        return replace(source, warnings=(*source.warnings, smeared))


def left_out(name: str, source: MaskSource) -> list[str]:
    """What was left out of a concept's images, with the first name, and what was assumed of its masks."""
    found = []
    for files, what in (
        ([f"{d.path} ({d.reason})" for d in source.damaged], "as unreadable"),
        (list(source.alone), "without a mask or an image"),
        ([f"{d.path} ({d.reason})" for d in source.misfits], "for the size of the mask"),
    ):
        if files:
            count = counted(len(files), "file")
            found.append(f"{name or source.name}: left out {what}: {count}, first {files[0]}")
    return [*found, *source.warnings]


def concept_folders(root: Path) -> list[Path]:
    """The folders of concepts in a folder; none where it is a segmentation data set itself. Raises DataError."""
    inside = sorted(p for p in root.iterdir() if p.is_dir() and not ignored(p.name))
    if not any(root.iterdir()):
        raise DataError(f"{root} is empty; put concepts into it: {FORM}")
    roles = [role_of(p.name) for p in inside]
    if any(r.pure for r in roles) or {"image", "mask"} <= {r.kind for r in roles}:
        return []  # train/, images/, masks/: one data set
    masked = [p for p in inside if is_mask_data(p)]
    if not masked and is_mask_data(root):
        return []
    if not masked:
        raise DataError(f"{root} has no masks; {FORM}")
    if without := [p.name for p in inside if p not in masked]:
        raise DataError(
            f"{', '.join(without[:5])} in {root} has no images with masks; {FORM}, so add masks or move the folder away"
        )
    return masked


def generated(preprocessing: Preprocessing, *, count: int, seed: int = 0) -> ConceptSet:
    """Concepts painted into scenes of the network's size, with exact masks."""
    scenes = ConceptScenes(preprocessing.size, count, seed, colours=preprocessing.channels == 3)
    plain = replace(preprocessing, fit="squash", resize=0, crop_fraction=1.0)

    def image(number: int) -> np.ndarray:
        return plain.apply(scenes.render(number)[0])

    def regions(number: int) -> Regions:
        return overlapping(scenes.render(number)[1])

    remarks = [scenes.missing] if scenes.missing else []
    if min(preprocessing.size) < READABLE:
        height, width = preprocessing.size
        remarks.append(
            f"the network sees {height} × {width} pixels, in which stripes, digits and clothes are hard to tell apart"
        )
    return ConceptSet(
        names=scenes.names, kinds=scenes.kinds, groups=(0,) * len(scenes.names), count=count, image=image,
        regions=regions, where=f"generated scenes, seed {seed}", remarks=tuple(remarks),
    )  # fmt: skip


def from_sources(
    sources: dict[str, MaskSource], preprocessing: Preprocessing, *, limit: int
) -> ConceptSet:
    """Concepts from mask sources by name; the classes of a source named "" are the concepts themselves.

    Images of one source say nothing of the concepts of another: they count only for their own. Raises DataError where no
    image shows a concept.
    """
    names: list[str] = []
    kinds: list[str] = []
    groups: list[int] = []
    places: list[Place] = []
    remarks: list[str] = []
    kept: list[tuple[int, ...]] = []  # of each source, the classes that are concepts
    for group, (name, source) in enumerate(sources.items()):
        shares = source.shares().sum(1)
        shown = [c for c in range(len(source.classes)) if name == "" or not is_ground(source, c)]
        absent = [source.classes[c] for c in shown if not shares[c]]
        if absent and len(absent) < len(shown):
            remarks.append(f"no mask has a pixel of {', '.join(absent[:10])}")
        present = tuple(c for c in shown if shares[c])
        if not present:
            raise DataError(
                f"no mask of {name or source.name} has a pixel of {', '.join(absent[:5]) or 'a concept'}; look at its "
                "masks: what is shown must be above 0 in them"
            )
        for c in present:
            own = source.classes[c]
            names.append(own if not name else name if len(present) == 1 else f"{name}: {own}")
        kinds += [source.name if not name else "concept"] * len(present)
        groups += [group] * len(present)
        kept.append(present)
        remarks += left_out(name, source)
        for split in source.splits.values():
            places += [(split, i, group) for i in range(len(split))]
    if not places:
        raise DataError(f"there are no images with masks; {FORM}")
    chosen = [places[i] for i in drawn(len(places), limit)]
    starts = np.cumsum([0, *map(len, kept)])
    nearest = replace(
        preprocessing, channels=1, mean=(0.0,), std=(1.0,), interpolation="nearest", black=0, white=255, full_scale=255,
        nodata=(),
    )  # fmt: skip

    def image(number: int) -> np.ndarray:
        split, i, _ = chosen[number]
        return preprocessing.apply(split.image(i))

    @lru_cache(maxsize=8)
    def regions(number: int) -> Regions:
        split, i, group = chosen[number]
        return regions_of(
            placed(split.mask(i), nearest), kept[group], int(starts[group]), len(names), group, len(kept)
        )  # fmt: skip

    where = (
        ", ".join(s.where for s in sources.values())
        if len(sources) == 1
        else f"{len(sources)} folders of concepts"
    )
    return ConceptSet(
        names=tuple(names), kinds=tuple(kinds), groups=tuple(groups), count=len(chosen), image=image, regions=regions,
        where=where, remarks=tuple(remarks),
    )  # fmt: skip


def is_ground(source: MaskSource, number: int) -> bool:
    """Whether a class of a concept's folder is what is not the concept: the first of several, what a mask leaves at 0."""
    return number == 0 and len(source.classes) > 1


def placed(mask: np.ndarray, nearest: Preprocessing) -> np.ndarray:
    """A mask (h, w) where the network sees it, (H, W) uint8: 0 where nothing is known, else 1 + the class."""
    # What preprocessing adds around an image is 0, and so is what no annotator named.
    coded = np.where(mask == IGNORE, 0, mask.astype(np.int64) + 1).astype(np.uint8)
    return nearest.apply(coded)[0]


def regions_of(
    mask: np.ndarray, kept: Sequence[int], first: int, names: int, group: int, groups: int
) -> Regions:
    """The regions of a mask (H, W) uint8 as `placed` gives it: concept first + i is class kept[i], of K `names`."""
    values, number = np.unique(mask, return_inverse=True)
    members = np.zeros((len(values), names), dtype=bool)
    known = np.zeros((len(values), groups), dtype=bool)
    for row, value in enumerate(values.tolist()):
        known[row, group] = value > 0
        if value - 1 in kept:
            members[row, first + list(kept).index(value - 1)] = True
    return Regions(number=number.reshape(mask.shape).astype(np.uint8), members=members, known=known)
