"""Check: what is wrong with images and masks, said before the first step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from striate.data.deep_remarks import deep_remarks
from striate.data.problems import Remark, count
from striate.errors import DataError
from striate.findings import Finding, Status, Table
from striate.tasks.segment.data.source import MaskSource
from striate.wording import as_sentence

LISTED = 50
NAMED = 3
FEW = 8  # training images with a class; below, what the network learns of it is luck
RARE = 0.001  # share of all pixels
ORDER: tuple[Status, ...] = ("problem", "warning", "note", "good")


def refuse_untrainable(source: MaskSource) -> None:
    """Raise DataError where no image is left to train on."""
    if not len(source.train):
        held = " and ".join(name for name in ("val", "test") if len(source.splits[name]))
        raise DataError(
            f"{source.name} has no training images: all {len(source):,} with a mask are for {held}; put some of them into "
            "train/, or make val and test smaller"
        )


def check_masks(source: MaskSource) -> Finding:
    """What in images and masks would spoil a result, before a step is made.

    Raises DataError where no image is left to train on.
    """
    refuse_untrainable(source)
    remarks = [*_find(source), *deep_remarks(source.splits)]
    worst: Status = min((r.status for r in remarks), key=ORDER.index, default="good")
    serious = sorted(
        (r for r in remarks if r.status in ("problem", "warning")),
        key=lambda r: ORDER.index(r.status),
    )
    if serious:
        rest = len(serious) - 1
        verdict = serious[0].sentence + (f" {count(rest, 'other remark')} below." if rest else "")
    elif remarks:
        verdict = remarks[0].sentence
    else:
        verdict = f"Nothing is wrong with the {len(source):,} images and their masks."
    tables = []
    if remarks:
        tables.append(
            Table(
                columns=("what", "how bad", "found", "what to do"),
                rows=tuple((r.kind, r.status, r.sentence, r.advice) for r in remarks),
                caption="What was found",
            )
        )
    for damage, title in (
        (source.damaged, "Files that cannot be used"),
        (source.misfits, "Pairs that do not fit"),
        (source.strange, "Masks with pixels of no class"),
    ):
        if damage:
            more = f" (the first {LISTED} of {len(damage):,})" if len(damage) > LISTED else ""
            tables.append(
                Table(
                    columns=("file", "reason"),
                    rows=tuple((d.path, d.reason) for d in damage[:LISTED]),
                    caption=title + more,
                )
            )
    return Finding(
        name="data-check",
        title="Check of the data",
        verdict=verdict,
        status=worst,
        advice=serious[0].advice if serious else "",
        tables=tuple(tables),
        data={
            "fingerprint": source.fingerprint,
            "images": len(source),
            "classes": len(source.classes),
            "remarks": [
                {"kind": r.kind, "status": r.status, "sentence": r.sentence, "advice": r.advice}
                for r in remarks
            ],
            "damaged": [{"path": d.path, "reason": d.reason} for d in source.damaged],
        },
    )


def _find(source: MaskSource) -> Iterator[Remark]:
    for kind, damage, sentence, advice in (
        (
            "damaged",
            source.damaged,
            "cannot be used and {is_are} left out",
            "Replace or delete them.",
        ),
        (
            "sizes differ",
            source.misfits,
            "{has_have} another size or number of pictures than {its_their} mask and {is_are} left out",
            "Export images and masks at the same size, a picture a file.",
        ),
        (
            "no class",
            source.strange,
            "{has_have} pixels of no class, which neither train nor count",
            "Give each value a line in classes.csv, or correct the masks.",
        ),
    ):
        if n := len(damage):
            words = sentence.format(
                is_are="is" if n == 1 else "are",
                has_have="has" if n == 1 else "have",
                its_their="its" if n == 1 else "their",
            )
            first = ", ".join(f"{d.path}: {d.reason}" for d in damage[:NAMED])
            rest = f", and {n - NAMED} more" if n > NAMED else ""
            yield Remark(
                kind=kind,
                status="warning",
                sentence=f"{count(n, 'image')} {words} ({first}{rest}).",
                advice=advice,
            )
    if n := len(source.alone):
        yield Remark(
            kind="without partner",
            status="warning",
            sentence=f"{count(n, 'file')} {'has' if n == 1 else 'have'} no partner and {'is' if n == 1 else 'are'} left "
            f"out ({', '.join(source.alone[:NAMED])}{', ...' if n > NAMED else ''}).",
            advice="An image and its mask have the same name before the dot.",
        )
    for left in source.left_out:
        if left.weighty:
            yield Remark(kind="left out", status="note", sentence=left.sentence, advice=left.advice)
    held = [d for d in source.duplicates if d.dropped]
    if held:
        n = sum(len(d.dropped) for d in held)
        yield Remark(
            kind="duplicates",
            status="warning",
            sentence=f"{count(n, 'training image')} {'is' if n == 1 else 'are'} also in the held-out images and "
            f"{'is' if n == 1 else 'are'} left out ({', '.join(held[0].keys[:2])}).",
            advice="Delete the copies.",
        )
    for warning in source.warnings:
        yield Remark(
            kind="assumed",
            status="warning",
            sentence=as_sentence(warning),
            advice="Look at the masks over their images (striate data FOLDER --page data.html), and set what is wrong.",
        )
    yield from _classes(source)
    for note in source.notes:
        yield Remark(kind="assumed", status="note", sentence=as_sentence(note))


def _classes(source: MaskSource) -> Iterator[Remark]:
    shares = source.shares()
    if not len(source.test) and not len(source.val):
        yield Remark(
            kind="few images",
            status="problem",
            sentence=f"With {count(len(source), 'image')} nothing can be held out, so nothing will be known of its quality.",
            advice="Add images, or cut large ones into parts that do not overlap.",
        )
    for c, name in enumerate(source.classes):
        train, rest = int(shares[c, 0]), int(shares[c, 1:].sum())
        if train + rest == 0:
            yield Remark(
                kind="absent class",
                status="warning",
                sentence=f"No mask has a pixel of {name!r}.",
                advice="Leave the class out, or check the masks.",
            )
        elif train == 0:
            yield Remark(
                kind="untrained class",
                status="problem",
                sentence=f"Only held-out images show {name!r}: the network will never learn it.",
                advice="Move some of these images to the training images.",
            )
        else:
            images = int((source.train.pixels[:, c] > 0).sum())
            if images < min(FEW, len(source.train)):
                yield Remark(
                    kind="rare class",
                    status="warning",
                    sentence=f"Only {count(images, 'training image')} {'shows' if images == 1 else 'show'} {name!r}.",
                    advice="Add images that show it.",
                )
            elif train < RARE * shares[:, 0].sum():
                yield Remark(
                    kind="rare class",
                    status="note",
                    sentence=f"{name!r} covers {train / shares[:, 0].sum():.3%} of the training pixels.",
                    advice="Crops are laid over rare classes; --set class_weights=true weighs them more as well.",
                )
    for name, split in source.splits.items():
        if len(split) == 0:
            continue
        single = int(((split.pixels > 0).sum(1) <= 1).sum())
        if single == len(split):
            yield Remark(
                kind="empty masks",
                status="problem",
                sentence=f"Every {name} mask holds a single class.",
                advice="Check that the masks are those of these images.",
            )
        elif single > 0.5 * len(split):
            yield Remark(
                kind="empty masks",
                status="note",
                sentence=f"{single:,} of {len(split):,} {name} masks hold a single class.",
                advice="Fine if many images really show nothing.",
            )
    if np.isin(shares.sum(1), 0).sum() >= len(source.classes) - 1:
        yield Remark(
            kind="one class",
            status="problem",
            sentence="All pixels belong to one class, so there is nothing to learn.",
            advice="Check the masks.",
        )
