"""Check: what is wrong with images and boxes, said before the first step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from striate.data.deep_remarks import deep_remarks
from striate.data.problems import Remark, count, like_names, names
from striate.data.source import Damage
from striate.errors import DataError
from striate.findings import Finding, Status, Table
from striate.tasks.detect.data.source import BoxSource
from striate.wording import as_sentence

LISTED = 50
NAMED = 3
FEW = 10  # training objects of a class; below, what the network learns of it is luck
IMBALANCE = 50  # largest class to smallest
CROWDED = 1_000  # objects of one image
BARE = 0.9  # share of images without objects from which it is said aloud
ORDER: tuple[Status, ...] = ("problem", "warning", "note", "good")


def refuse_untrainable(source: BoxSource) -> None:
    """Raise DataError where no image, or no object, is left to train on."""
    if not len(source.train):
        held = " and ".join(name for name in ("val", "test") if len(source.splits[name]))
        raise DataError(
            f"{source.name} has no training images: all {len(source):,} are for {held}; put some of them into "
            "train/, or make "
            "val and test smaller"
        )
    if not source.train.counts(len(source.classes)).sum():
        raise DataError(
            f"none of the {count(len(source.train), 'training image')} of {source.name} shows an object, so there "
            "is nothing to "
            "learn; add images with objects"
        )


def check_boxes(source: BoxSource) -> Finding:
    """What in images and boxes would spoil a result, before a step is made; objects that were mended or left out.

    Raises DataError where nothing is left to train on.
    """
    refuse_untrainable(source)
    remarks = [*_find(source), *deep_remarks(source.splits)]
    remarks.sort(key=lambda r: ORDER.index(r.status))
    serious = [r for r in remarks if r.status in ("problem", "warning")]
    if serious:
        rest = len(serious) - 1
        verdict = serious[0].sentence + (f" {count(rest, 'other remark')} below." if rest else "")
    elif remarks:
        verdict = remarks[0].sentence
    else:
        verdict = f"Nothing is wrong with the {len(source):,} images and their boxes."
    tables = [
        Table(
            columns=("what", "how bad", "found", "what to do"),
            rows=tuple((r.kind, r.status, r.sentence, r.advice) for r in remarks),
            caption="What was found",
        )
    ] if remarks else []  # fmt: skip
    tables += [
        table
        for table in (
            fault_table(source.damaged, "Images that cannot be used"),
            fault_table(source.faults, "Objects that were mended or left out"),
        )
        if table
    ]
    return Finding(
        name="data-check",
        title="Check of the data",
        verdict=verdict,
        status=remarks[0].status if remarks else "good",
        advice=serious[0].advice if serious else "",
        tables=tuple(tables),
        data={
            "fingerprint": source.fingerprint,
            "images": len(source),
            "classes": len(source.classes),
            "remarks": [
                {"kind": r.kind, "status": r.status, "sentence": r.sentence, "advice": r.advice} for r in remarks
            ],
            "damaged": [{"path": d.path, "reason": d.reason} for d in source.damaged],
            "faults": [{"path": d.path, "reason": d.reason} for d in source.faults],
        },
    )  # fmt: skip


def fault_table(
    faults: Sequence[Damage], title: str = "What was mended or left out"
) -> Table | None:
    """The first faults, a row each; None without any."""
    if not faults:
        return None
    more = f" (the first {LISTED} of {len(faults):,})" if len(faults) > LISTED else ""
    rows = tuple((d.path, d.reason) for d in faults[:LISTED])
    return Table(columns=("file", "reason"), rows=rows, caption=title + more)


def _find(source: BoxSource) -> Iterator[Remark]:
    yield from _damage(source)
    for left in source.left_out:
        if left.weighty:
            yield Remark(kind="left out", status="note", sentence=left.sentence, advice=left.advice)
    yield from _copies(source)
    for warning in source.warnings:
        yield Remark(
            kind="assumed",
            status="warning",
            sentence=as_sentence(warning),
            advice="Look at the boxes over their images (striate data FOLDER --page data.html), and correct what is wrong.",
        )
    yield from like_names(source.classes)
    yield from _classes(source)
    yield from _images(source)
    for note in source.notes:
        yield Remark(kind="assumed", status="note", sentence=as_sentence(note))


def _damage(source: BoxSource) -> Iterator[Remark]:
    for kind, damage, one, many in (
        ("damaged", source.damaged, "image cannot be used and is left out", "images cannot be used and are left out"),
        ("faults", source.faults, "object or entry was mended or left out", "objects or entries were mended or left out"),
    ):  # fmt: skip
        if n := len(damage):
            first = ", ".join(f"{d.path}: {d.reason}" for d in damage[:NAMED])
            rest = f", and {n - NAMED:,} more" if n > NAMED else ""
            yield Remark(
                kind=kind,
                status="warning",
                sentence=f"{count(n, one, many)} ({first}{rest}).",
                advice="Replace or delete them."
                if kind == "damaged"
                else "Correct them where they were drawn.",
            )


def _copies(source: BoxSource) -> Iterator[Remark]:
    held = [d for d in source.duplicates if d.dropped]
    if held:
        n = sum(len(d.dropped) for d in held)
        yield Remark(
            kind="leak",
            status="warning",
            sentence=f"{count(n, 'copy', 'copies')} of validation or test images stood in another split and "
            f"{'is' if n == 1 else 'are'} left out, or the score would be too good: {names(held[0].keys)}.",
            advice="Delete the copies, and ask how they came into both.",
        )
    plain = [d for d in source.duplicates if not d.dropped]
    if plain:
        n = sum(len(d.keys) - 1 for d in plain)
        yield Remark(
            kind="duplicates",
            status="note",
            sentence=f"{count(n, 'image repeats', 'images repeat')} another one exactly ({names(plain[0].keys)}); copies "
            "share a split.",
            advice="Delete them, or know that they count twice.",
        )


def _classes(source: BoxSource) -> Iterator[Remark]:
    table = np.stack([s.counts(len(source.classes)) for s in source.splits.values()], axis=1)
    train, held = table[:, 0], table[:, 1:].sum(1)
    for status, kind, which, words, advice in (
        ("problem", "untrained class", (train == 0) & (held > 0), "only in held-out images: the network will never learn",
         "Move some of these images to the training images."),
        ("warning", "absent class", (train == 0) & (held == 0), "in no image, or as crowds alone:",
         "Leave the class out, or check the annotations."),
        ("warning", "untested class", (train > 0) & (held == 0), "only in training images, so nothing will be known of",
         "Add images that show it, or hold more of them out."),
        ("warning", "rare class", (train > 0) & (train < FEW), f"in fewer than {FEW} training objects:",
         "Add images that show it."),
    ):  # fmt: skip
        mine = tuple(
            name for name, is_so in zip(source.classes, which.tolist(), strict=True) if is_so
        )
        if mine and (kind != "untested class" or held.sum()):
            n = count(len(mine), "class occurs", "classes occur")
            found: Status = status  # type: ignore[assignment]
            yield Remark(
                kind=kind, status=found, sentence=f"{n} {words} {names(mine)}.", advice=advice
            )
    known = train[train > 0]
    if len(known) > 1 and known.max() > IMBALANCE * known.min():
        large, small = (
            int(train.argmax()),
            int(np.where(train > 0, train, train.max() + 1).argmin()),
        )
        yield Remark(
            kind="imbalance",
            status="note",
            sentence=f"{source.classes[large]} has {train[large]:,} training objects and {source.classes[small]} "
            f"{train[small]:,}.",
            advice="Read the precision of each class, not the mean alone.",
        )


def _images(source: BoxSource) -> Iterator[Remark]:
    if not len(source.test) and not len(source.val):
        yield Remark(
            kind="few images",
            status="problem",
            sentence=f"With {count(len(source), 'image')} nothing can be held out, so nothing will be known of its quality.",
            advice="Add images, or cut large ones into parts that do not overlap.",
        )
    for name, split in source.splits.items():
        held = np.array([len(o) for o in split.objects], dtype=np.int64)
        bare = int((held == 0).sum())
        if bare and name != "train" and bare == len(split):
            yield Remark(
                kind="background",
                status="problem",
                sentence=f"None of the {count(len(split), f'{name} image')} shows an object, so no score can be made.",
                advice="Hold out images with objects.",
            )
        elif bare:
            yield Remark(
                kind="background",
                status="warning" if bare > BARE * len(split) else "note",
                sentence=f"{bare:,} of {count(len(split), f'{name} image')} {'shows' if bare == 1 else 'show'} no object "
                f"and {'is' if bare == 1 else 'are'} background.",
                advice="Fine if they were looked at; an image that nobody annotated teaches that its objects are none.",
            )
        if len(held) and held.max() > CROWDED:
            at = int(held.argmax())
            yield Remark(
                kind="crowded",
                status="note",
                sentence=f"{split.keys[at]} holds {held[at]:,} objects.",
                advice="Metrics that take the best 100 predictions of an image miss most of them.",
            )
