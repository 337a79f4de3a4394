"""Remarks on a source: each finder looks for one way in which the data would spoil a result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from striate.data.naming import alike
from striate.data.shortcuts import find_shortcuts
from striate.data.source import Duplicate, Source
from striate.findings import Status
from striate.wording import as_sentence

FEW = 20  # training images of a class; below, what the network learns of it is luck
IMBALANCE = 20  # largest class to smallest
FEW_TESTED = 100  # test images in all; below, the accuracy is uncertain by 10 points
LONG = 2.0  # an outlier's aspect ratio is this many times the usual one
LARGE = 16.0  # an outlier's area is this many times the usual one, or its inverse
RARE = 0.05  # what is more frequent than this is no outlier
NAMED = 3  # examples in a sentence


@dataclass(frozen=True, kw_only=True)
class Remark:
    """One thing that was found: what kind, how bad, in a sentence, what to do, and where."""

    kind: str
    status: Status
    sentence: str
    advice: str = ""
    where: tuple[str, ...] = ()
    count: int = 0


def find(source: Source) -> Iterator[Remark]:
    """Every way in which the data of a source would spoil a training or its evaluation, and what was assumed of them."""
    yield from find_in_files(source)
    yield from _classes(source)
    for shortcut in find_shortcuts(source):
        yield Remark(
            kind="gives the class away",
            status="warning",
            sentence=f"The {shortcut.what} of the image alone predicts the class of {shortcut.score:.0%} of "
            f"the images ({shortcut.base:.0%} by guessing); a network may learn that instead.",
            advice=f"Bring all classes to the same {shortcut.what}, as they will be in use.",
        )


def find_in_files(source: Source) -> Iterator[Remark]:
    """Remarks on the files, whatever the task: damage, copies, odd shapes, and what was assumed."""
    yield from _files(source)
    yield from _copies(source)
    yield from _shapes(source)
    for note in source.notes:
        yield Remark(kind="assumed", status="note", sentence=as_sentence(note))


def _files(source: Source) -> Iterator[Remark]:
    if n := len(source.damaged):
        share = n / (n + len(source))
        listed = ", ".join(f"{d.path}: {d.reason}" for d in source.damaged[:NAMED])
        rest = f", and {n - NAMED} more" if n > NAMED else ""
        yield Remark(
            kind="damaged",
            status="problem" if share > 0.5 else "warning",
            sentence=f"{count(n, 'file')} of {n + len(source):,} cannot be used and "
            f"{'is' if n == 1 else 'are'} left out ({listed}{rest}).",
            advice="Replace or delete them.",
            where=tuple(d.path for d in source.damaged),
            count=n,
        )
    yield from remark_on(
        source.empty,
        "empty class",
        "warning",
        "class folder has no usable image and is left out",
        "class folders have no usable image and are left out",
        "Fill the folder or delete it.",
    )
    yield from remark_on(
        source.outside,
        "outside",
        "warning",
        "image belongs to no class and is left out",
        "images belong to no class and are left out",
        "Move them into a class folder, or list them in the table of labels.",
    )
    for left in source.left_out:
        if left.weighty:
            yield Remark(
                kind="left out",
                status="note",
                sentence=as_sentence(left.sentence),
                advice=left.advice,
                where=left.paths,
                count=len(left.paths),
            )
    yield from remark_on(
        source.missized,
        "size as stated",
        "warning",
        "image has another size than the table of labels states",
        "images have another size than the table of labels states",
        "The table may belong to other files; compare a few.",
    )
    yield from remark_on(
        source.blank,
        "blank",
        "note",
        "image is of a single colour throughout",
        "images are of a single colour throughout",
        "Look at them; they can teach nothing.",
    )
    yield from remark_on(
        source.several_pages,
        "pages",
        "note",
        "file has several pages or frames, of which the first is used",
        "files have several pages or frames, of which the first is used",
        "Save the pages as files of their own if they are wanted.",
    )


def remark_on(
    where: tuple[str, ...],
    kind: str,
    status: Status,
    one: str,
    many: str,
    advice: str,
) -> Iterator[Remark]:
    """A remark on files or folders, in words for one and for many of them; none where there are none."""
    if where:
        yield Remark(
            kind=kind,
            status=status,
            sentence=f"{count(len(where), one, many)}: {names(where)}.",
            advice=advice,
            where=where,
            count=len(where),
        )


def _copies(source: Source) -> Iterator[Remark]:
    conflicting = [d for d in source.duplicates if d.conflicting]
    if conflicting:
        yield Remark(
            kind="conflicting labels",
            status="warning",
            sentence=f"{count(len(conflicting), 'image occurs', 'images occur')} under different "
            f"classes ({several_names(conflicting)}).",
            advice="Decide for one class and delete the other copies.",
            where=tuple(key for d in conflicting for key in d.keys),
            count=len(conflicting),
        )
    dropped = tuple(key for d in source.duplicates for key in d.dropped)
    if dropped:
        yield Remark(
            kind="leak",
            status="warning",
            sentence=f"{count(len(dropped), 'copy', 'copies')} of validation or test images stood "
            f"in another split and are left out, or the score would be too good: {names(dropped)}.",
            advice="Delete the copies, and ask how they came into both.",
            where=dropped,
            count=len(dropped),
        )
    plain = [d for d in source.duplicates if not d.conflicting and not d.dropped]
    if plain:
        extra = sum(len(d.keys) - 1 for d in plain)
        yield Remark(
            kind="duplicates",
            status="note",
            sentence=f"{count(extra, 'image repeats', 'images repeat')} another one exactly "
            f"({names(plain[0].keys)}); copies share a split.",
            advice="Delete them, or know that they count twice.",
            where=tuple(key for d in plain for key in d.keys),
            count=extra,
        )


def several_names(conflicting: Sequence[Duplicate]) -> str:
    """Images that stand under several names, each with those, as a part of a sentence."""
    shown = "; ".join(
        f"{names(d.keys)} as {' and '.join(dict.fromkeys(d.classes))}" for d in conflicting[:NAMED]
    )
    more = len(conflicting) - NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown


def _classes(source: Source) -> Iterator[Remark]:
    table = source.counts()
    classes = source.classes
    yield from like_names(classes)
    for split, status in (("train", "problem"), ("test", "warning")):
        column = list(source.splits).index(split)
        without = tuple(classes[i] for i in np.flatnonzero(table[:, column] == 0))
        if without and len(source.splits[split]):
            many = len(without) > 1
            yield Remark(
                kind=f"no {split} images",
                status=status,  # type: ignore[arg-type]
                sentence=f"{'The classes' if many else 'The class'} {names(without)} "
                f"{'have' if many else 'has'} no {split} image.",
                advice="Such a class can never be predicted."
                if split == "train"
                else "How well it is recognised is not known.",
                where=without,
                count=len(without),
            )
    train = table[:, 0]
    few = tuple(classes[i] for i in np.argsort(train, kind="stable") if 0 < train[i] < FEW)
    have = "has" if len(few) == 1 else "have"
    if few:
        yield Remark(
            kind="few images",
            status="warning",
            sentence=f"{len(few)} of {len(classes)} classes {have} fewer than "
            f"{FEW} training images; the least, {few[0]}, has {train[train > 0].min()}.",
            advice="Collect more, or start from pretrained weights.",
            where=few,
            count=len(few),
        )
    ratio = train.max() / max(train.min(), 1)
    if ratio > IMBALANCE:
        large, small = classes[int(train.argmax())], classes[int(train.argmin())]
        yield Remark(
            kind="imbalance",
            status="warning",
            sentence=f"The class {large} has {ratio:,.0f} times as many training images as {small} "
            f"({train.max():,} and {train.min():,}).",
            advice="Read the recall of each class, not the accuracy alone.",
            where=(large, small),
            count=int(ratio),
        )
    tested = len(source.test)
    if 0 < tested < FEW_TESTED:
        yield Remark(
            kind="few test images",
            status="note",
            sentence=f"With {count(tested, 'test image')} an accuracy is uncertain by up to "
            f"{100 * 0.98 / np.sqrt(tested):.0f} points either way.",
            advice="Read the intervals, not the numbers alone.",
            count=tested,
        )


def like_names(classes: Sequence[str]) -> Iterator[Remark]:
    """Classes that are one to a person: Cat and cat, or one with a blank at its end."""
    groups: dict[str, list[str]] = {}
    for name in classes:
        groups.setdefault(alike(name), []).append(name)
    like = [group for group in groups.values() if len(group) > 1]
    if like:
        listed = ", ".join(" and ".join(map(repr, group)) for group in like[:NAMED])
        more = f" (and {len(like) - NAMED} more)" if len(like) > NAMED else ""
        yield Remark(
            kind="like names",
            status="problem",
            sentence=f"{listed} look like one class{more}.",
            advice="Give them one name, or two that differ by more than case and blanks.",
            where=tuple(name for group in like for name in group),
            count=len(like),
        )


def _shapes(source: Source) -> Iterator[Remark]:
    splits = source.splits.values()
    sizes = np.concatenate([s.sizes for s in splits]).astype(np.float64)
    keys = [key for s in splits for key in s.keys]
    aspect, area = np.log(sizes[:, 1] / sizes[:, 0]), np.log(sizes.prod(axis=1))
    for kind, values, factor, what in (
        ("shape", aspect, LONG, "far longer or taller than the others"),
        ("size", area, LARGE, "far larger or smaller than the others"),
    ):
        far = np.abs(values - np.median(values)) > np.log(factor)
        if 0 < far.sum() <= max(1, RARE * len(far)) and len(far) > 2:
            odd = tuple(keys[i] for i in np.flatnonzero(far))
            shown = ", ".join(
                f"{keys[i]} with {sizes[i, 1]:.0f} x {sizes[i, 0]:.0f}"
                for i in np.flatnonzero(far)[:NAMED]
            )
            yield Remark(
                kind=kind,
                status="note",
                sentence=f"{count(len(odd), 'image is', 'images are')} {what} ({shown}).",
                advice="See whether they belong here: a banner or a thumbnail is easily caught up.",
                where=odd,
                count=len(odd),
            )


def count(n: int, one: str, many: str = "") -> str:
    return f"1 {one}" if n == 1 else f"{n:,} {many or one + 's'}"


def names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMED])
    return f"{shown} and {len(names) - NAMED:,} more" if len(names) > NAMED else shown
