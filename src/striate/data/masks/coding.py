"""Coding: from what a mask file holds to class indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from striate.data.source import Damage
from striate.errors import DataError

IGNORE = 255  # the label of pixels that neither train nor count
MOST_CLASSES = 255
SPARSE = 32  # more values than this that are not 0, 1, 2, ... are no classes but shades


@dataclass(frozen=True, kw_only=True)
class Coding:
    """Which raw value is which class.

    colour: whether raw values are colours, 0xRRGGBB. values: the raw value of each class, in the order of the classes.
    ignore: the raw value of pixels without a class, or None. outside: what any other value becomes, always IGNORE.
    """

    colour: bool
    values: tuple[int, ...]
    ignore: int | None = None

    def apply(self, raw: np.ndarray) -> np.ndarray:
        """Raw values (H, W) to class indices (H, W) uint8, IGNORE where no class has the value."""
        order = np.argsort(self.values)
        known = np.asarray(self.values)[order]
        place = np.searchsorted(known, raw).clip(max=len(known) - 1)
        return np.where(known[place] == raw, order[place], IGNORE).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class Naming:
    """What a file beside the masks says of the classes: name and raw value of each; colour as in Coding."""

    names: tuple[str, ...]
    values: tuple[int, ...]
    colour: bool
    where: str


def choose_coding(
    found: Sequence[dict[int, int]],
    *,
    colour: bool,
    naming: Naming | None,
    mask_255: str | None,
) -> tuple[Coding, tuple[str, ...], list[str]]:
    """(coding, class names, what was assumed) for masks whose raw values and their counts are `found`, one dict a mask.

    mask_255: "class" or "ignore" decides what 255 means; None decides by the values. Raises DataError for masks that hold
    shades rather than classes, or a single class.
    """
    counts: dict[int, int] = {}
    for one in found:
        for value, n in one.items():
            counts[value] = counts.get(value, 0) + n
    values = sorted(counts)
    notes: list[str] = []
    ignore = None
    if not colour and 255 in values and (naming is None or 255 not in naming.values):
        binary = values == [0, 255]
        ignore = 255 if mask_255 == "ignore" or (mask_255 is None and not binary) else None
        if mask_255 is None:
            notes.append(
                "the masks hold only 0 and 255: taken as background and object (--set mask_255=ignore leaves 255 out)"
                if binary
                else "255 is taken as 'no label' and left out (--set mask_255=class makes it a class)"
            )
    classes = [v for v in values if v != ignore]
    if naming is not None:
        return Coding(colour=colour, values=naming.values, ignore=ignore), naming.names, notes
    if not classes:
        raise DataError("the masks hold no class at all, only 255; check what they should mark")
    if colour:
        if len(classes) > SPARSE:
            raise DataError(
                f"the colour masks hold {len(classes):,} colours, more than classes could be; save them without "
                "smoothing or compression, or name the colours in a classes.csv (name,red,green,blue)"
            )
        names = tuple(f"#{v:06x}" for v in classes)
        notes.append(
            f"{len(classes)} colours are the classes; a classes.csv (name,red,green,blue) would name them"
        )
        return Coding(colour=True, values=tuple(classes)), names, notes
    top = classes[-1]
    dense = top < MOST_CLASSES and (top < 2 * len(classes) or top < 8)
    if not dense and len(classes) > SPARSE:
        raise DataError(
            f"the masks hold {len(classes):,} different values up to {top:,}, which look like shades or numbers of "
            "objects, not classes; save class numbers 0, 1, 2, ... as PNG or TIFF without smoothing"
        )
    if not dense:
        shown = ", ".join(map(str, classes[:6])) + (", ..." if len(classes) > 6 else "")
        if classes != [0, 255]:
            notes.append(
                f"the values {shown} are taken as classes 0 to {len(classes) - 1}, in that order"
            )
        coded = tuple(classes)
    else:
        coded = tuple(range(top + 1))
    if len(coded) < 2:
        raise DataError(
            f"the masks hold one value, {coded[0]}, so there is nothing to tell apart; check that they are masks"
        )
    if len(coded) == 2:
        return Coding(colour=False, values=coded, ignore=ignore), ("background", "object"), notes
    names = (
        ("background", *(f"class {v}" for v in coded[1:]))
        if coded[0] == 0
        else tuple(f"class {v}" for v in coded)
    )
    return Coding(colour=False, values=coded, ignore=ignore), names, notes


def strangers(
    found: Sequence[dict[int, int]], keys: Sequence[str], coding: Coding
) -> tuple[Damage, ...]:
    """Masks that hold values that are no class, with the values; such pixels are ignored."""
    allowed = {*coding.values, coding.ignore, IGNORE if not coding.colour else None}
    damage = []
    for key, one in zip(keys, found, strict=True):
        wrong = sorted(set(one) - allowed)
        if wrong:
            pixels = sum(one[v] for v in wrong)
            shown = ", ".join(f"#{v:06x}" if coding.colour else str(v) for v in wrong[:4])
            damage.append(Damage(path=key, reason=f"{pixels:,} pixels of no class ({shown})"))
    return tuple(damage)
