"""What the data of tags look like, and what in them would spoil a result."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from striate.data.checks import checked
from striate.data.contact_sheet import Member, contact_sheet
from striate.data.depth import Levels
from striate.data.description import bars, described
from striate.data.problems import FEW, FEW_TESTED, Remark, count, find_in_files, like_names, names
from striate.data.scale import scale_of
from striate.data.source import SPLITS, Source, refuse_empty, splits_of
from striate.findings import Cell, Finding, Table


def describe_tags(source: Source, *, levels: Levels | None = None) -> Finding:
    """Images a tag and split, how many tags an image has, sizes and formats."""
    splits = splits_of(source)
    table = np.stack([s.targets.sum(0).astype(int) for s in splits], 1)
    each = np.concatenate([s.targets.sum(1) for s in splits]).astype(int)
    rows: list[tuple[Cell, ...]] = [
        (tag, *line, sum(line), sum(line) / len(source))
        for tag, line in zip(source.classes, table.tolist(), strict=True)
    ]
    numbers, images = np.unique(each, return_counts=True)
    return described(
        source,
        f"with {len(source.classes)} tag{'s' * (len(source.classes) != 1)}, {each.mean():.1f} an image",
        tables=(
            Table(
                columns=("tag", *SPLITS, "all", "of all images"), rows=tuple(rows), formats=("", ",", ",", ",", ",", ".1%"),
                caption="Images a tag and split; an image may count several times",
            ),
            Table(
                columns=("tags an image has", "images"),
                rows=tuple(zip(numbers.tolist(), images.tolist(), strict=True)),
                formats=("", ","),
                caption="How many tags an image has",
            ),
        ),
        figures=(
            lambda: bars(source, table, "tag", "tags"),
            lambda: contact_sheet(source, scale_of(source.train, levels), groups=members(source), one="tag", many="tags"),
        ),
        data={
            "counts": {split: table[:, i].tolist() for i, split in enumerate(SPLITS)},
            "tags_an_image": {str(k): int(v) for k, v in zip(numbers, images, strict=True)},
        },
        levels=levels,
    )  # fmt: skip


def members(source: Source) -> dict[str, list[Member]]:
    """The images of each tag."""
    return {
        tag: [(s, int(i)) for s in splits_of(source) for i in np.flatnonzero(s.targets[:, k] > 0.5)]
        for k, tag in enumerate(source.classes)
    }


def check_tags(source: Source) -> Finding:
    """Look for what would spoil the training. Raises DataError where there are no training images."""
    refuse_empty(source)
    k = len(source.classes)
    return checked(
        source, [*find_in_files(source), *_tags(source)], f"{len(source):,} images with {k} tag{'s' * (k != 1)}"
    )  # fmt: skip


def _tags(source: Source) -> Iterator[Remark]:
    tags = source.classes
    train, _, test = splits_of(source)
    yield from like_names(tags)
    taught, tested = train.targets.sum(0), test.targets.sum(0)
    untested = (tested == 0) & (taught > 0) & bool(len(test))
    for missing, kind, status, advice in (
        (taught == 0, "no train images", "problem", "Such a tag can never be learned."),
        (untested, "no test images", "warning", "Nothing is known of how well it is found."),
    ):  # fmt: skip
        without = tuple(tags[i] for i in np.flatnonzero(missing))
        if without:
            many = len(without) > 1
            yield Remark(
                kind=kind,
                status=status,  # type: ignore[arg-type]
                sentence=f"{'The tags' if many else 'The tag'} {names(without)} {'have' if many else 'has'} no "
                f"{kind.split()[1]} image.",
                advice=advice,
                where=without,
                count=len(without),
            )
    always = tuple(tags[i] for i in np.flatnonzero(taught == len(train)))
    if always:
        yield Remark(
            kind="everywhere",
            status="warning",
            sentence=f"Every training image has {names(always)}: nothing shows what an image without it looks like.",
            advice="Leave the tag out, or add images without it.",
            where=always,
            count=len(always),
        )
    few = tuple(tags[i] for i in np.argsort(taught, kind="stable") if 0 < taught[i] < FEW)
    if few:
        yield Remark(
            kind="few images",
            status="warning",
            sentence=f"{len(few)} of {len(tags)} tags {'have' if len(few) > 1 else 'has'} fewer than {FEW} training images; "
            f"the least, {few[0]}, has {int(taught[taught > 0].min())}.",
            advice="Collect more, or start from pretrained weights.",
            where=few,
            count=len(few),
        )
    if 0 < len(test) < FEW_TESTED:
        yield Remark(
            kind="few test images",
            status="note",
            sentence=f"{count(len(test), 'test image')} make{'s' * (len(test) == 1)} every number uncertain.",
            advice="Read the intervals, not the numbers alone.",
            count=len(test),
        )
