"""Remarks on images deeper than 8 bits: mixed depths, values without data, and values beyond the scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from striate.data.depth import BYTES, NUMBERS, SHORTS
from striate.data.problems import Remark, count, names
from striate.data.scale import Scale, check_together, measure, share
from striate.errors import DataError
from striate.wording import as_sentence

LOST = 0.01  # of the pixels beyond the scale: more than that is no handful
KINDS = {BYTES: "8 bits", SHORTS: "16 bits", NUMBERS: "floating, signed or 32-bit numbers"}


def deep_remarks(splits: Mapping[str, Any]) -> Iterator[Remark]:
    """Remarks on the depth and the values of a source's images; nothing where all are of 8 bits.

    splits: of images with labels or with masks, "train" among them.
    """
    train = splits["train"]
    parts = [split for split in splits.values() if len(split)]
    stated = np.concatenate([split.white_stated for split in parts]) if parts else np.zeros(0)
    keys = [key for split in parts for key in split.keys]
    yield from _missing(parts, keys, stated)
    if (stated == BYTES).all() or not len(train):
        return
    try:
        scale = measure(train)
        check_together(splits.values(), scale)
    except DataError as error:
        yield Remark(
            kind="depths",
            status="problem",
            sentence=as_sentence(str(error)),
            advice="Save all in one depth.",
        )
        return
    yield from _mixed(stated, keys, scale)
    for line in scale.why[1:]:
        beyond = "beyond" in line
        if beyond and scale.outside <= LOST:
            continue
        yield Remark(
            kind="beyond the scale" if beyond else "no data",
            status="warning",
            sentence=line,
            advice="Look at the histogram, and set black and white if another scale is meant.",
        )
    if scale.full_scale != BYTES:
        yield from _outside(parts, keys, scale)


def _missing(parts: list[Any], keys: list[str], stated: np.ndarray) -> Iterator[Remark]:
    if not parts:
        return
    missing = np.concatenate([np.zeros(len(s)) if s.missing is None else s.missing for s in parts])
    at = np.flatnonzero(missing)
    if len(at):
        deep = (stated[at] != BYTES).any()
        seen = "become black" if deep else "are seen as what the file stores there"
        yield Remark(
            kind="no data",
            status="warning",
            sentence=f"{count(len(at), 'image holds', 'images hold')} pixels without data (not a number, or what the file "
            f"names or masks as such), {share(float(missing[at].mean()))} of them, which {seen}: "
            f"{names([keys[i] for i in at])}.",
            advice="See that no class has more of them than others: these areas are seen too.",
            where=tuple(keys[i] for i in at),
            count=len(at),
        )


def _mixed(stated: np.ndarray, keys: list[str], scale: Scale) -> Iterator[Remark]:
    kinds, counts = np.unique(stated, return_counts=True)
    if len(kinds) < 2:
        return
    rare = int(kinds[counts.argmin()])
    at = np.flatnonzero(stated == rare)
    how = "8 bits are taken as they are" if BYTES in kinds else "all are taken by their numbers"
    if scale.full_scale == BYTES:
        how = "16 bits are taken from 0 to 65,535"
    parts = " and ".join(f"{n:,} of {KINDS[int(k)]}" for k, n in zip(kinds, counts, strict=True))
    yield Remark(
        kind="depths",
        status="warning",
        sentence=f"The images are of several depths, {parts} ({names([keys[i] for i in at])}); {how}.",
        advice="Save all in one depth, or see that the greys mean the same.",
        where=tuple(keys[i] for i in at),
        count=len(at),
    )


def _outside(parts: list[Any], keys: list[str], scale: Scale) -> Iterator[Remark]:
    low, high, deep = (
        np.concatenate([getattr(s, name) for s in parts]) for name in ("low", "high", "deep")
    )
    width = (scale.white - scale.black) / 2
    at = np.flatnonzero(deep & ((low > scale.white + width) | (high < scale.black - width)))
    if len(at):
        yield Remark(
            kind="beyond the scale",
            status="warning",
            sentence=f"{count(len(at), 'image lies', 'images lie')} wholly beyond the scale of the training images, "
            f"{scale.black:g} to {scale.white:g}, and {'is' if len(at) == 1 else 'are'} seen as one grey: "
            f"{names([keys[i] for i in at])}.",
            advice="See whether they were recorded in another way.",
            where=tuple(keys[i] for i in at),
            count=len(at),
        )
