"""A folder of images with masks as a source."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.data.arrangement import FREE, arrange
from striate.data.drawing import drawn
from striate.data.place import name_of_place
from striate.data.pool import ordered
from striate.data.preprocessing import Preprocessing
from striate.data.reading import read_image
from striate.data.records import (
    Progress,
    Record,
    depths_of,
    digest,
    inspect,
    left_out_channels,
    profiles,
    record_of,
)
from striate.data.source import SPLITS, Damage
from striate.data.splitting import TEST, TRAIN, VAL
from striate.errors import DataError
from striate.images import decode
from striate.tasks.segment.data.cityscapes import cityscapes
from striate.tasks.segment.data.coding import Coding, unknown_values
from striate.tasks.segment.data.deciding import decide
from striate.tasks.segment.data.naming import find_naming, linked_names
from striate.tasks.segment.data.pairing import Pairs, pair
from striate.tasks.segment.data.reading import header_of, is_tiff, pages_of, read_mask
from striate.tasks.segment.data.source import (
    FileMaskSplit,
    MaskSource,
    MaskSplit,
    anchors_of,
    united,
)
from striate.tasks.segment.data.turning import Posture, Turns, settle
from striate.tasks.segment.data.values import Tally, tally


@dataclass(frozen=True, kw_only=True)
class Job:
    """One page of an image with its masks (one, or several of one object each), and the split that folders or lists say."""

    image: str
    masks: tuple[str, ...]
    given: str | None
    page: int
    pages: int

    @property
    def key(self) -> str:
        """The image's path, and the page of a file of several."""
        return f"{self.image}#{self.page + 1}" if self.pages > 1 else self.image


@dataclass(frozen=True, kw_only=True)
class Glance:
    """What the masks of a job hold, before anything is decided; posture: None for an image that cannot be read."""

    tallies: tuple[Tally, ...]
    posture: Posture | None


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One readable image with its mask: what is known of both. pixels: of each class; anchors: by class."""

    job: Job
    record: Record
    pixels: np.ndarray
    anchors: dict[int, np.ndarray]


Failure = tuple[str, str]  # "size", "image" or "mask", and the reason


def open_mask_folder(
    root: Path,
    *,
    seed: int = 0,
    val: float | None = None,
    test: float | None = None,
    masks: str | None = None,
    ignore: str | None = None,
    progress: Progress | None = None,
) -> MaskSource:
    """Open a folder that holds images and masks, unsplit or with train, val and test folders or lists.

    Every mask is read to decide what all of them mean, then every pair to find damage; none is kept. masks, ignore: as in
    `decide`. Raises DataError with one sentence where nothing is left to train on, or masks can be read in two ways.
    """
    pairs = pair(root)
    if pairs.several and masks != "binary":
        raise DataError(pairs.several_words())
    own = [m for several in pairs.masks for m in several]
    naming = find_naming(root, pairs.files, own) or cityscapes(own)
    jobs, damaged, misfits = _jobs(root, pairs)
    count = _Count(progress, 2 * len(jobs))
    glances: list[Glance] = []
    kept: list[Job] = []
    for job, seen in zip(jobs, ordered(lambda j: _glance(root, j), jobs), strict=True):
        count.step()
        if isinstance(seen, Glance):
            kept.append(job)
            glances.append(seen)
        else:
            (misfits if seen[0] == "size" else damaged).append(Damage(path=job.key, reason=seen[1]))
    if not kept:
        raise DataError(_nothing(root, damaged, misfits))
    tallies = [t for glance in glances for t in glance.tallies]
    decision = decide(tallies, naming=naming, masks=masks, ignore=ignore)
    coding, classes = decision.coding, decision.classes
    turned = _settle(root, kept, glances)
    good: list[Pair] = []
    looks = ordered(
        lambda at: _look(root, kept[at], coding, len(classes), turned.turns[at]), range(len(kept))
    )
    for job, look in zip(kept, looks, strict=True):
        count.step()
        if isinstance(look, Pair):
            good.append(look)
        else:
            (misfits if look[0] == "size" else damaged).append(Damage(path=job.key, reason=look[1]))
    if not good:
        raise DataError(_nothing(root, damaged, misfits))
    turns = {job.key: turn for job, turn in zip(kept, turned.turns, strict=True)}
    held = {job.key: glance.tallies for job, glance in zip(kept, glances, strict=True)}
    keys = [p.job.key for p in good]
    each = [_summed([t.read_as(coding.colour) for t in held[key]]) for key in keys]
    pixels = np.stack([p.pixels for p in good])
    codes: dict[str | None, int] = {None: FREE, **{name: i for i, name in enumerate(SPLITS)}}
    plan = arrange(
        [p.record.content for p in good],
        strata_of(pixels),
        keys=keys,
        classes=[str(i) for i in range(len(classes) + 1)],
        seed=seed,
        val=val,
        test=test,
        given=np.array([codes[p.job.given] for p in good], dtype=np.int8),
    )
    print_of_all = hashlib.sha256(plan.fingerprint.encode())
    for key, counts in sorted(zip(keys, each, strict=True), key=lambda pair: pair[0]):
        print_of_all.update(repr((key, sorted(counts.items()))).encode())
    parts = [
        _split(root, good, pixels, coding, turns, np.flatnonzero(plan.part == code))
        for code in range(len(SPLITS))
    ]
    return MaskSource(
        name=name_of_place(root),
        classes=classes,
        where=str(root),
        fingerprint=print_of_all.hexdigest(),
        damaged=tuple(damaged),
        duplicates=plan.duplicates,
        alone=tuple(pairs.alone),
        misfits=tuple(misfits),
        strange=unknown_values(each, keys, coding),
        left_out=pairs.left_out,
        how=decision.how,
        notes=(
            *decision.notes,
            *turned.notes,
            *pairs.notes,
            *left_out_channels(keys, [p.record for p in good]),
            *profiles(keys, [p.record for p in good]),
        ),
        warnings=(*decision.warnings, *turned.warnings, *linked_names(root, pairs.files, own)),
        photographs=colourful(parts[TRAIN]),
        train=parts[TRAIN],
        val=parts[VAL],
        test=parts[TEST],
    )


class _Count:
    """Progress over both passes."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def step(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)


def _nothing(root: Path, damaged: Sequence[Damage], misfits: Sequence[Damage]) -> str:
    first = (*damaged, *misfits)[0]
    return f"no pair in {root} can be used; the first, {first.path}: {first.reason}"


def _summed(each: Sequence[dict[int, int]]) -> dict[int, int]:
    total: dict[int, int] = {}
    for one in each:
        for value, n in one.items():
            total[value] = total.get(value, 0) + n
    return total


def _jobs(root: Path, pairs: Pairs) -> tuple[list[Job], list[Damage], list[Damage]]:
    """The pages of every pair; and pairs whose pages do not match."""
    jobs: list[Job] = []
    misfits: list[Damage] = []
    for image, masks, given in zip(pairs.images, pairs.masks, pairs.given, strict=True):
        try:
            pages = pages_of(root / image)
            more = [pages_of(root / mask) for mask in masks]
        except DataError:
            pages, more = 1, [1] * len(masks)  # the decoder will say what is wrong
        moving = next(
            (
                p
                for p, n in zip((image, *masks), (pages, *more), strict=True)
                if n > 1 and not is_tiff(root / p)
            ),
            None,
        )
        if moving is not None:
            words = f"{moving} moves; save the pictures that are meant as files of their own"
            misfits.append(Damage(path=image, reason=words))
            continue
        if any(n != pages for n in more):
            odd = next(n for n in more if n != pages)
            words = f"{pages} page{'s' * (pages != 1)}, its mask {odd}"
            misfits.append(Damage(path=image, reason=words))
            continue
        jobs += [
            Job(image=image, masks=masks, given=given, page=page, pages=pages)
            for page in range(pages)
        ]
    return jobs, [], misfits


def _glance(root: Path, job: Job) -> Glance | Failure:
    """Count what a job's masks hold."""
    tallies, shapes, turns = [], [], []
    try:
        for path in job.masks:
            mask = read_mask(root / path, job.page)
            tallies.append(tally(path, mask))
            shapes.append(mask.values.shape)
            turns.append(mask.orientation)
    except DataError as error:
        return "mask", str(error)
    header = header_of(root / job.image, job.page)
    if header is None:
        return Glance(tallies=tuple(tallies), posture=None)
    posture = Posture(image=header[2], mask=turns[0], size=header[:2], shape=shapes[0])
    if not posture.candidates or any(s != shapes[0] for s in shapes):
        height, width = header[:2] if header[2] < 5 else header[1::-1]
        odd = next((s for s in shapes if s != (height, width)), shapes[0])
        return "size", _sizes((height, width), odd)
    return Glance(tallies=tuple(tallies), posture=posture)


def _sizes(image: tuple[int, int], mask: tuple[int, int]) -> str:
    """Two sizes (height, width) in words."""
    words = f"{image[1]} x {image[0]} pixels, its mask {mask[1]} x {mask[0]}"
    small, large = sorted((image, mask))
    factor = large[0] / small[0]
    if factor >= 1.5 and abs(large[1] / small[1] - factor) < 0.05 * factor:
        words += f", 1/{factor:g} of it" if mask == small else f", {factor:g} times as large"
    return words


def _settle(root: Path, jobs: Sequence[Job], glances: Sequence[Glance]) -> Turns:
    plain = Posture(image=1, mask=1, size=(1, 1), shape=(1, 1))
    return settle(
        [glance.posture or plain for glance in glances],
        lambda i: (read_image(root / jobs[i].image), read_mask(root / jobs[i].masks[0]).values),
    )


def _look(root: Path, job: Job, coding: Coding, classes: int, turn: int) -> Pair | Failure:
    """Decode a pair and count the pixels of its classes."""
    if job.page:
        try:
            picture = decode(root / job.image, page=job.page)
        except DataError as error:
            return "image", str(error)
        pixels = picture.pixels
        content = digest(pixels, repr((pixels.shape, pixels.dtype.str)).encode())
        record: Record | str = record_of(picture, content)
    else:
        record = inspect(root / job.image)
    if isinstance(record, str):
        return "image", record
    try:
        mask = united(root, job.masks, job.page, coding, turn)
    except DataError as error:
        return "mask", str(error)
    if (record.height, record.width) != mask.shape:
        height, width = mask.shape
        return "size", _sizes((record.height, record.width), (height, width))
    counts = np.bincount(mask.ravel(), minlength=256)[:classes]
    places = anchors_of(mask, job.key)
    return Pair(
        job=job,
        record=record,
        pixels=counts,
        anchors={c: at for c, at in places.items() if c < classes},
    )


def strata_of(pixels: np.ndarray) -> np.ndarray:
    """What an image is split by: its rarest class, so that each split gets every class as far as that goes."""
    present = pixels > 0
    rarity = present.sum(0)
    return np.where(
        present.any(1),
        np.argmin(np.where(present, rarity, len(pixels) + 1), axis=1),
        pixels.shape[1],
    )


def _split(
    root: Path,
    good: Sequence[Pair],
    pixels: np.ndarray,
    coding: Coding,
    turns: dict[str, int],
    at: np.ndarray,
) -> FileMaskSplit:
    mine = [good[i] for i in at]
    records = [p.record for p in mine]
    return FileMaskSplit(
        keys=tuple(p.job.key for p in mine),
        sizes=np.array([(r.height, r.width) for r in records], dtype=np.int64).reshape(-1, 2),
        channels=np.array([r.channels for r in records], dtype=np.int8),
        low=np.array([r.low for r in records], dtype=np.float64),
        high=np.array([r.high for r in records], dtype=np.float64),
        deep=np.array([r.deep for r in records], dtype=bool),
        **depths_of(records),
        pixels=pixels[at],
        anchors=tuple(p.anchors for p in mine),
        root=root,
        images=tuple(p.job.image for p in mine),
        masks=tuple(p.job.masks for p in mine),
        pages=tuple(p.job.page for p in mine),
        turns=tuple(turns[p.job.key] for p in mine),
        coding=coding,
    )


def colourful(split: MaskSplit) -> bool:
    """Whether the images are colour pictures, for which weights learned from photographs help."""
    if not len(split) or (split.channels != 3).any() or split.deep.any():
        return False
    small = Preprocessing(channels=3, height=64, width=64)
    at = drawn(len(split), 12)
    spread = [np.ptp(small.apply(split.image(int(i))).astype(np.int16), axis=0).mean() for i in at]
    return float(np.median(spread)) > 3 and int(split.sizes.min()) > 64
