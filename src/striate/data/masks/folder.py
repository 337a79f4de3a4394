"""A folder of images/ and masks/ as a source."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.data.arrangement import FREE, arrange
from striate.data.masks.coding import Coding, Naming, choose_coding, strangers
from striate.data.masks.pairing import Pairs, pair
from striate.data.masks.reading import pages_of, read_mask
from striate.data.masks.source import FileMaskSplit, MaskSource, anchors_of
from striate.data.pool import ordered
from striate.data.preparation import Preparation
from striate.data.records import Progress, Record, digest, inspect
from striate.data.source import SPLITS, Damage
from striate.data.splitting import TEST, TRAIN, VAL
from striate.data.tiff import read_tiff_page
from striate.errors import DataError

TABLES = ("classes.csv", "classes.txt")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One readable image with its mask: what is known of both. counts, anchors: by raw value of the mask."""

    key: str
    image: str
    mask: str
    page: int
    given: str | None
    record: Record
    colour: bool
    counts: dict[int, int]
    anchors: dict[int, np.ndarray]


def open_mask_folder(
    root: Path,
    *,
    seed: int = 0,
    val: float | None = None,
    test: float | None = None,
    mask_255: str | None = None,
    progress: Progress | None = None,
) -> MaskSource:
    """Open a folder that holds images/ and masks/, unsplit or with train, val and test folders.

    Every file is decoded once to find damage, and none is kept. mask_255: what the value 255 means, "class" or "ignore";
    None decides by the values. Raises DataError with one sentence where nothing is left to train on.
    """
    pairs = pair(root)
    naming = read_naming(root)
    good, damaged, misfits = _scan(root, pairs, progress)
    if not good:
        first = (*damaged, *misfits)[0]
        raise DataError(f"no pair in {root} can be used; the first, {first.path}: {first.reason}")
    colours = {p.colour for p in good if p.colour or max(p.counts) > 0}
    if len(colours) > 1:
        odd = next(p for p in good if not p.colour and max(p.counts) > 0)
        raise DataError(
            f"some masks in {root} hold colours and others numbers ({odd.mask}); save all of them in the same way"
        )
    colour = colours == {True}
    found = [p.counts for p in good]
    coding, classes, notes = choose_coding(found, colour=colour, naming=naming, mask_255=mask_255)
    keys = [p.key for p in good]
    place = {value: i for i, value in enumerate(coding.values)}
    pixels = np.zeros((len(good), len(classes)), dtype=np.int64)
    for row, p in zip(pixels, good, strict=True):
        for value, n in p.counts.items():
            if value in place:
                row[place[value]] += n
    codes: dict[str | None, int] = {None: FREE, **{name: i for i, name in enumerate(SPLITS)}}
    given = np.array([codes[p.given] for p in good], dtype=np.int8)
    plan = arrange(
        [p.record.content for p in good],
        _strata(pixels),
        keys=keys,
        classes=[str(i) for i in range(len(classes) + 1)],
        seed=seed,
        val=val,
        test=test,
        given=given,
    )
    masks = hashlib.sha256(plan.fingerprint.encode())
    for p in sorted(good, key=lambda p: p.key):
        masks.update(repr((p.key, sorted(p.counts.items()))).encode())
    parts = [
        _split(root, good, pixels, coding, place, np.flatnonzero(plan.part == code))
        for code in range(len(SPLITS))
    ]
    return MaskSource(
        name=root.resolve().name or str(root),
        classes=classes,
        where=str(root),
        fingerprint=masks.hexdigest(),
        damaged=damaged,
        duplicates=plan.duplicates,
        alone=tuple(pairs.alone),
        misfits=misfits,
        strange=strangers(found, keys, coding),
        notes=tuple(notes),
        photographs=_colourful(parts[TRAIN]),
        train=parts[TRAIN],
        val=parts[VAL],
        test=parts[TEST],
    )


def read_naming(root: Path) -> Naming | None:
    """What `classes.csv` (name[,value] or name,red,green,blue) or `classes.txt` (a name a line) in `root` says.

    Raises DataError for a table that cannot be understood.
    """
    file = next((root / name for name in TABLES if (root / name).is_file()), None)
    if file is None:
        return None
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file}: {error}; save it as UTF-8 text") from error
    if file.suffix == ".txt":
        names = [line.strip() for line in text.splitlines() if line.strip()]
        rows = [(name, str(i)) for i, name in enumerate(names)]
    else:
        table = [
            [cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if any(row)
        ]
        numbers = [any(cell.isdecimal() for cell in row) for row in table]
        if any(numbers) and not numbers[0]:
            table = table[1:]  # the heading
        rows = [tuple(row) for row in table]  # type: ignore[misc]
    try:
        colour = bool(rows) and len(rows[0]) >= 4
        values = []
        for i, row in enumerate(rows):
            if colour:
                r, g, b = (int(cell) for cell in row[1:4])
                values.append(r << 16 | g << 8 | b)
            else:
                values.append(int(row[1]) if len(row) > 1 and row[1] else i)
        if len(rows) < 2 or len(set(values)) < len(values) or min(values) < 0:
            raise ValueError
    except (ValueError, IndexError):
        raise DataError(
            f"{file} cannot be understood; write a line a class: name,value or name,red,green,blue, each value once"
        ) from None
    return Naming(
        names=tuple(r[0] for r in rows), values=tuple(values), colour=colour, where=str(file)
    )


def _scan(
    root: Path, pairs: Pairs, progress: Progress | None
) -> tuple[list[Pair], tuple[Damage, ...], tuple[Damage, ...]]:
    """Look at every pair, page by page, on threads."""
    jobs: list[tuple[str, str, str | None, int, int]] = []
    damaged: list[Damage] = []
    misfits: list[Damage] = []
    for image, mask, given in zip(pairs.images, pairs.masks, pairs.given, strict=True):
        try:
            pages, more = pages_of(root / image), pages_of(root / mask)
        except DataError:
            pages = more = 1  # the decoder will say what is wrong
        if pages != more and min(pages, more) > 1:
            misfits.append(Damage(path=image, reason=f"{pages} pages, its mask {more}"))
            continue
        jobs += [(image, mask, given, page, pages) for page in range(min(pages, more))]
    good: list[Pair] = []
    for done, (job, result) in enumerate(
        zip(jobs, ordered(lambda job: _look(root, *job), jobs), strict=True), 1
    ):
        if isinstance(result, Pair):
            good.append(result)
        else:
            kind, reason = result
            (misfits if kind == "size" else damaged).append(Damage(path=job[0], reason=reason))
        if progress is not None:
            progress(done, len(jobs))
    return good, tuple(damaged), tuple(misfits)


def _look(
    root: Path, image: str, mask: str, given: str | None, page: int, pages: int
) -> Pair | tuple[str, str]:
    key = f"{image}#{page + 1}" if pages > 1 else image
    if page:
        try:
            pixels = read_tiff_page(root / image, page)
        except DataError as error:
            return "image", str(error)
        deep = pixels.dtype != np.uint8
        record: Record | str = Record(
            content=digest(pixels, repr((pixels.shape, pixels.dtype.str)).encode()),
            height=pixels.shape[0],
            width=pixels.shape[1],
            channels=pixels.shape[2],
            deep=deep,
            low=float(pixels.min()) if deep else 0.0,
            high=float(pixels.max()) if deep else 255.0,
            format="TIFF",
            several_pages=True,
            blank=bool((pixels == pixels[0, 0]).all()),
        )
    else:
        record = inspect(root / image)
    if isinstance(record, str):
        return "image", record
    try:
        raw, colour = read_mask(root / mask, page)
    except DataError as error:
        return "mask", str(error)
    if (record.height, record.width) != raw.shape:
        height, width = raw.shape
        return "size", f"{record.width} x {record.height} pixels, its mask {width} x {height}"
    values, counts = np.unique(raw, return_counts=True)
    return Pair(
        key=key,
        image=image,
        mask=mask,
        page=page,
        given=given,
        record=record,
        colour=colour,
        counts=dict(zip(values.tolist(), counts.tolist(), strict=True)),
        anchors=anchors_of(raw, key) if len(values) <= 256 else {},
    )


def _strata(pixels: np.ndarray) -> np.ndarray:
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
    place: dict[int, int],
    at: np.ndarray,
) -> FileMaskSplit:
    mine = [good[i] for i in at]
    records = [p.record for p in mine]
    return FileMaskSplit(
        keys=tuple(p.key for p in mine),
        sizes=np.array([(r.height, r.width) for r in records], dtype=np.int64).reshape(-1, 2),
        channels=np.array([r.channels for r in records], dtype=np.int8),
        low=np.array([r.low for r in records], dtype=np.float64),
        high=np.array([r.high for r in records], dtype=np.float64),
        deep=np.array([r.deep for r in records], dtype=bool),
        pixels=pixels[at],
        anchors=tuple({place[v]: xy for v, xy in p.anchors.items() if v in place} for p in mine),
        root=root,
        images=tuple(p.image for p in mine),
        masks=tuple(p.mask for p in mine),
        pages=tuple(p.page for p in mine),
        coding=coding,
    )


def _colourful(split: FileMaskSplit) -> bool:
    """Whether the images are colour pictures, for which weights learned from photographs help."""
    if not len(split) or (split.channels != 3).any() or split.deep.any():
        return False
    small = Preparation(channels=3, height=64, width=64)
    at = np.linspace(0, len(split) - 1, min(len(split), 12)).astype(int)
    spread = [np.ptp(small.apply(split.image(int(i))).astype(np.int16), axis=0).mean() for i in at]
    return float(np.median(spread)) > 3 and int(split.sizes.min()) > 64
