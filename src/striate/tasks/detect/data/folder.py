"""A folder of images with boxes as a source, whatever its format."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from striate.data.arrangement import FREE, arrange
from striate.data.described import Described
from striate.data.finder import OUTSIDE, Finder
from striate.data.leftout import named
from striate.data.naming import SPLIT_NAMES
from striate.data.place import name_of_place
from striate.data.pool import ordered
from striate.data.records import (
    Progress,
    Record,
    depths_of,
    left_out_channels,
    profiles,
)
from striate.data.source import SPLITS, Damage
from striate.data.splitting import TRAIN
from striate.data.tree import Parts, Tree
from striate.errors import DataError
from striate.tasks.detect.data.annotations import Annotations, ImageAnnotations, fault, joined
from striate.tasks.detect.data.mending import Form, Mended, fit, mend, placed, swapped
from striate.tasks.detect.data.misreading import misreading
from striate.tasks.detect.data.source import BoxSource, FileBoxSplit
from striate.tasks.detect.objects import Objects
from striate.tasks.segment.data.folder import colourful
from striate.tasks.segment.data.reading import header_of
from striate.wording import counted, one_line

LIKELY_UNLABELLED = 0.5  # share of images without a label file from which it is said aloud
EXCHANGED = 0.9  # share of boxes that must fit with x and y exchanged
HELD = {"train": 0, "val": 1, "test": 2}


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """One readable image with its annotations."""

    key: str
    image: ImageAnnotations
    record: Record
    form: Form


@dataclass(frozen=True, kw_only=True, eq=False)
class MendedSet:
    """The readable images of a set with their objects, before they are split."""

    root: Path
    annotations: Annotations
    looks: tuple[Look, ...]
    objects: tuple[Objects, ...]
    damaged: tuple[Damage, ...]
    faults: tuple[Damage, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def mended_images(
    root: Path, tree: Tree, annotations: Annotations, *, progress: Progress | None = None, others: Sequence[str] = ()
) -> MendedSet:  # fmt: skip
    """Find and read every image that the annotations name, and mend its objects.

    others: names of formats that are there and not used. Raises DataError where no image or no object is left.
    """
    found, damaged, notes, warnings = _find(root, tree, annotations)
    looks: list[Look] = []
    if not found:
        wrong = (*damaged, *annotations.faults)
        first = f"; the first, {wrong[0].path}: {wrong[0].reason}" if wrong else ""
        raise DataError(f"no image that {annotations.format} in {root} names can be used{first}")
    items = list(found.items())
    described = Described(root, len(items))
    for done, ((key, image), seen) in enumerate(
        zip(items, ordered(lambda item: _look(described, item[0]), items), strict=True), 1
    ):
        if progress is not None:
            progress(done, len(items))
        if isinstance(seen, str):
            damaged.append(Damage(path=key, reason=seen))
        else:
            looks.append(Look(key=key, image=image, record=seen[0], form=seen[1]))
    described.keep([look.key for look in looks])
    if not looks:
        raise DataError(
            f"no image in {root} can be read; the first, {damaged[0].path}: {damaged[0].reason}"
        )
    mended, kept, faults = _mend(looks, annotations, notes, warnings, damaged)
    if others:
        names = " and ".join(others)
        warnings.append(
            f"the folder also holds {names}, which is not used; give one file or folder to choose"
        )
    if not any(len(m.objects) for m in mended):
        why = f"; the first fault, {faults[0].path}: {faults[0].reason}" if faults else ""
        raise DataError(
            f"no object in {root} can be used: {annotations.format} names {counted(len(kept), 'image')} and no "
            "box that fits"
            f"{why}"
        )
    return MendedSet(
        root=root, annotations=annotations, looks=tuple(kept), objects=tuple(m.objects for m in mended),
        damaged=tuple(damaged), faults=tuple(faults), notes=tuple(notes), warnings=tuple(warnings),
    )  # fmt: skip


def annotated_folder(
    root: Path,
    tree: Tree,
    annotations: Annotations,
    *,
    seed: int = 0,
    val: float | None = None,
    test: float | None = None,
    progress: Progress | None = None,
    others: Sequence[str] = (),
) -> BoxSource:
    """Images below `root` with what was read of them, put into splits.

    Every image is read once to find damage and copies. others: as in `mended_images`, whose errors it raises.
    """
    mended = mended_images(root, tree, annotations, progress=progress, others=others)
    looks, objects, classes = mended.looks, mended.objects, annotations.classes
    keys, records = [look.key for look in looks], [look.record for look in looks]
    given = [FREE if look.image.split is None else HELD[look.image.split] for look in looks]
    plan = arrange(
        [record.content for record in records],
        strata_of(objects, len(classes)),
        keys=keys,
        classes=[str(i) for i in range(len(classes) + 1)],
        seed=seed,
        val=val,
        test=test,
        given=np.array(given, dtype=np.int8),
    )
    parts = [
        _split(root, looks, objects, np.flatnonzero(plan.part == code))
        for code in range(len(SPLITS))
    ]
    more = (*left_out_channels(keys, records), *profiles(keys, records))
    return BoxSource(
        name=name_of_place(root),
        classes=classes,
        where=str(root),
        fingerprint=fingerprint(plan.fingerprint, classes, keys, objects),
        format=annotations.format,
        damaged=mended.damaged,
        duplicates=plan.duplicates,
        faults=mended.faults,
        left_out=tree.left_out(),
        notes=(*annotations.notes, *mended.notes, *more),
        warnings=(*annotations.warnings, *mended.warnings),
        photographs=colourful(parts[TRAIN]),  # type: ignore[arg-type]
        train=parts[0],
        val=parts[1],
        test=parts[2],
    )


def _find(
    root: Path, tree: Tree, annotations: Annotations
) -> tuple[dict[str, ImageAnnotations], list[Damage], list[str], list[str]]:
    """The annotations of each image that is there, by its path; images without any; and what is missing."""
    places = _Places(root, tree.images)
    found: dict[str, ImageAnnotations] = {}
    damaged: list[Damage] = []
    notes: list[str] = []
    warnings: list[str] = []
    twice: list[str] = []
    across: list[str] = []
    for image in annotations.images:
        place = places.find(image)
        if isinstance(place, str):
            damaged.append(
                Damage(
                    path=one_line(image.file), reason=f"{annotations.format} names it, but {place}"
                )
            )
            continue
        key = "/".join(place)
        split = image.split or _split_of(place)
        one = replace(image, split=split)
        other = found.get(key)
        if other is None:
            found[key] = one
        elif other.split == split:
            twice.append(key)
            found[key] = _together(other, one)
        else:
            across.append(key)
            found[key] = max(other, one, key=lambda i: HELD.get(i.split or "", -1))
    for words, n in places.finder.lenient.items():
        if words:
            notes.append(f"{counted(n, 'image')} {'was' if n == 1 else 'were'} found {words}")
    if twice:
        notes.append(
            f"{counted(len(twice), 'image')} {'is' if len(twice) == 1 else 'are'} named more than once, and has "
            f"all of its objects ({named(twice)})"
        )
    if across:
        warnings.append(
            f"{counted(len(across), 'image')} {'is' if len(across) == 1 else 'are'} named in two splits, and "
            f"stays in the held-out one ({named(across)})"
        )
    rest = [p for p in tree.images if "/".join(p) not in found]
    if annotations.complete:
        if rest:
            notes.append(
                f"{counted(len(rest), 'image')} {'is' if len(rest) == 1 else 'are'} not named by the annotations "
                f"and left out ({named(list(map(joined, rest)))})"
            )
        return found, damaged, notes, warnings
    alone = [p for p in rest if not p[-1].lower().endswith("_mask.png")]
    for parts in alone:
        found["/".join(parts)] = ImageAnnotations(
            file=joined(parts), folder=(), size=None, boxes=np.empty((0, 4)), labels=np.empty(0, np.int64),
            crowd=np.empty(0, bool), outlines=(), split=_split_of(parts),
        )  # fmt: skip
    if alone:
        words = (
            f"{counted(len(alone), 'image')} of {len(found):,} {'has' if len(alone) == 1 else 'have'} no "
            "annotation file, and "
            f"{'is' if len(alone) == 1 else 'are'} taken as background ({named(list(map(joined, alone)))})"
        )
        (warnings if len(alone) > LIKELY_UNLABELLED * len(found) else notes).append(words)
    return found, damaged, notes, warnings


class _Places:
    """Where the images are that annotations name."""

    def __init__(self, root: Path, images: Sequence[Parts]) -> None:
        self.finder = Finder(root, ("annotations",), images)
        self.by_name: dict[str, list[Parts]] = {}
        for parts in images:
            self.by_name.setdefault(parts[-1], []).append(parts)

    def find(self, image: ImageAnnotations) -> Parts | str:
        """The image's path, or in words why there is none."""
        text = image.file
        whole = "://" in text or text.startswith(("/", "\\")) or text[1:2] == ":"
        place = self.finder.find(text if whole else "/".join((*image.folder, text)))
        if isinstance(place, str) and OUTSIDE not in place and not whole and image.folder:
            place = self.finder.find(text)
        if isinstance(place, str) and image.split is not None:
            # val2017 and train2017 may hold files of one name.
            mine = [p for p in self.by_name.get(text, ()) if _split_of(p) == image.split]
            place = mine[0] if len(mine) == 1 else place
        if isinstance(place, str) and OUTSIDE in place:
            return "it lies outside the folder of the data, and is not read"
        return place


def _split_of(parts: Parts) -> str | None:
    """The split that a folder of an image names."""
    for part in parts[:-1]:
        word = part.casefold().rstrip("0123456789").rstrip("_-")
        if word in SPLIT_NAMES:
            return SPLIT_NAMES[word]
    return None


def _together(first: ImageAnnotations, second: ImageAnnotations) -> ImageAnnotations:
    return replace(
        first,
        size=first.size or second.size,
        boxes=np.concatenate([first.boxes, second.boxes]),
        labels=np.concatenate([first.labels, second.labels]),
        crowd=np.concatenate([first.crowd, second.crowd]),
        outlines=(*first.outlines, *second.outlines),
    )


def _look(described: Described, key: str) -> tuple[Record, Form] | str:
    """What is known of an image, or why it cannot be used."""
    record = described.record(key)
    if isinstance(record, str):
        return record
    header = header_of(described.root / key)
    orientation = header[2] if header is not None else 1
    return record, Form(height=record.height, width=record.width, orientation=orientation)


def _mend(
    looks: Sequence[Look], annotations: Annotations, notes: list[str], warnings: list[str], damaged: list[Damage]
) -> tuple[list[Mended], list[Look], list[Damage]]:  # fmt: skip
    """Objects of each image; what had to be decided for all alike is noted."""
    turn = _decide_turn(looks, notes, warnings)
    put = [placed(look.image, look.form, turn=turn) for look in looks]
    for kind, words in (
        ("scaled", "stated with another size of the same shape, to which the boxes were scaled"),
        ("other", "stated with a size that is neither its upright nor its stored one"),
    ):
        mine = [look for look, (_, how) in zip(looks, put, strict=True) if how == kind]
        if mine:
            first = mine[0]
            stated = first.image.size or (0, 0)
            warnings.append(
                f"{counted(len(mine), 'image')} {'is' if len(mine) == 1 else 'are'} {words} ({first.key}: "
                f"{stated[1]} x {stated[0]} "
                f"stated, {first.form.width} x {first.form.height} found)"
            )
    fits = [fit(image, look.form) for look, (image, _) in zip(looks, put, strict=True)]
    total, inside, exchanged = (int(n) for n in np.sum(fits, axis=0)) if fits else (0, 0, 0)
    images = [image for image, _ in put]
    if (
        exchanged
        and exchanged + inside >= EXCHANGED * total
        and exchanged >= EXCHANGED * (total - inside)
    ):
        would = sum(
            fit(swapped(image), look.form)[1] for look, image in zip(looks, images, strict=True)
        )
        if would >= EXCHANGED * total and would > inside:
            images = [swapped(image) for image in images]
            warnings.append(
                f"{counted(exchanged, 'box', 'boxes')} of {total:,} fit only with x and y exchanged, and "
                f"{would:,} do, so they are exchanged in all"
            )
        else:
            warnings.append(
                f"{counted(exchanged, 'box', 'boxes')} of {total:,} would fit with x and y exchanged; they are "
                "cut as they are"
            )
    elif doubt := misreading(
        (i.boxes, look.form.height, look.form.width) for i, look in zip(images, looks, strict=True)
    ):
        warnings.append(doubt)
    faults: list[Damage] = list(annotations.faults)
    kinds: Counter[str] = Counter()
    mended: list[Mended] = []
    kept: list[Look] = []
    for look, image, (_, how) in zip(looks, images, put, strict=True):
        if how == "other" and len(image) and fit(image, look.form)[1] < fit(image, look.form)[0]:
            damaged.append(
                Damage(
                    path=look.key,
                    reason="its boxes were drawn on an image of another size, and do not fit it",
                )
            )
            continue
        one = mend(image, look.form, annotations.classes)
        kinds.update(kind for kind, _ in one.faults)
        faults += [fault(look.key, words) for _, words in one.faults]
        mended.append(one)
        kept.append(look)
    boxed = sum(m.boxed for m in mended)
    whole = sum(len(m.objects) for m in mended)
    if 0 < boxed < whole:
        warnings.append(
            f"{boxed:,} of {whole:,} objects have a box and no outline; images that hold one count as boxes alone"
        )
    return mended, kept, faults


def _decide_turn(looks: Sequence[Look], notes: list[str], warnings: list[str]) -> bool:
    """Whether boxes lie on stored pixels where the stated size cannot tell: as the sizes of the other images show."""
    turned = [look for look in looks if look.form.orientation > 1]
    if not turned:
        return False
    stored = upright = 0
    open_ones: list[str] = []
    for look in turned:
        sizes = look.form.stored, (look.form.height, look.form.width)
        if look.image.size == sizes[0] != sizes[1]:
            stored += 1
        elif look.image.size == sizes[1] != sizes[0]:
            upright += 1
        elif len(look.image):
            open_ones.append(look.key)
    for n, words in (
        (stored, "the stored pixels and are turned with them"),
        (upright, "the upright image and stay"),
    ):
        if n:
            notes.append(
                f"boxes of {counted(n, 'image')} with an EXIF orientation lie on {words}, as the stated sizes show"
            )
    if open_ones:
        how = "the stored pixels" if stored > upright else "the upright image"
        words = (
            f"boxes of {counted(len(open_ones), 'image')} with an EXIF orientation are taken as drawn on {how} "
            f"({named(open_ones)})"
        )
        if bool(stored) != bool(upright):
            notes.append(f"{words}, as the sizes of others show")
        else:
            warnings.append(
                f"{words}; look at the figure, and if they are turned save the images without their orientation"
            )
    return stored > upright


def strata_of(objects: Sequence[Objects], classes: int) -> np.ndarray:
    """(N,) what an image is split by: its rarest class, or `classes` for background."""
    present = np.zeros((len(objects), classes), dtype=bool)
    for i, one in enumerate(objects):
        present[i, one.labels] = True
    rarity = present.sum(0)
    rarest = (
        np.argmin(np.where(present, rarity, len(objects) + 1), axis=1)
        if classes
        else np.zeros(len(objects), int)
    )
    return np.where(present.any(1), rarest, classes)


def fingerprint(
    plan: str, classes: Sequence[str], keys: Sequence[str], objects: Sequence[Objects]
) -> str:
    """SHA-256 of images, splits, classes and objects."""
    state = hashlib.sha256(plan.encode())
    state.update(repr(tuple(classes)).encode("utf-8", "surrogateescape"))
    for key, one in sorted(zip(keys, objects, strict=True), key=lambda pair: pair[0]):
        state.update(key.encode("utf-8", "surrogateescape"))
        state.update(one.boxes.tobytes() + one.labels.tobytes() + one.crowd.tobytes())
        for region in one.regions or ():
            state.update(repr(region.box).encode() + region.runs.tobytes())
    return state.hexdigest()


def _split(
    root: Path, looks: Sequence[Look], objects: Sequence[Objects], at: np.ndarray
) -> FileBoxSplit:
    mine = [looks[i] for i in at]
    records = [look.record for look in mine]
    return FileBoxSplit(
        keys=tuple(look.key for look in mine),
        sizes=np.array([(r.height, r.width) for r in records], dtype=np.int64).reshape(-1, 2),
        channels=np.array([r.channels for r in records], dtype=np.int8),
        low=np.array([r.low for r in records], dtype=np.float64),
        high=np.array([r.high for r in records], dtype=np.float64),
        deep=np.array([r.deep for r in records], dtype=bool),
        **depths_of(records),
        objects=tuple(objects[i] for i in at),
        root=root,
        images=tuple(look.key for look in mine),
    )
