"""A decision: which value of the masks is which class, and what was assumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from striate.errors import DataError
from striate.tasks.segment.data.coding import IGNORE, MOST_CLASSES, Coding, shown
from striate.tasks.segment.data.reading import TRANSPARENT

NEUTRAL = ("background", "object")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """coding: which value is which class. how: that in words. notes: what was assumed; warnings: what may well be wrong."""

    coding: Coding
    classes: tuple[str, ...]
    how: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def plain(
    values: Sequence[int],
    colour: bool,
    left_out: set[int],
    notes: list[str],
    *,
    how: str,
    warnings: Sequence[str] = (),
    nearest: bool = False,
    merged: Sequence[Sequence[int]] = (),
) -> Decision:
    """A class for each of `values`, in that order; merged: further values of each class."""
    if len(values) > MOST_CLASSES:
        raise DataError(
            f"the masks hold {len(values):,} values, and at most {MOST_CLASSES} classes are learned; merge some of them"
        )
    if len(values) < 2:
        raise DataError(one_value(values, colour))
    coded = {v: i for i, v in enumerate(values)}
    for i, more in enumerate(merged):
        coded |= dict.fromkeys(more, i)
    coded |= dict.fromkeys(left_out, IGNORE)
    if (
        set(values) == {0, 0xFFFFFF}
        or (len(values) == 2 and TRANSPARENT in values)
        or (len(values) == 2 and not colour and values[0] == 0)
    ):
        names: tuple[str, ...] = NEUTRAL
    elif colour:
        names = tuple(shown(v, True) for v in values)
    else:
        names = tuple("background" if v == 0 else f"class {v}" for v in values)
    return Decision(
        coding=Coding(colour=colour, values=tuple(coded), classes=tuple(coded.values()), nearest=nearest),
        classes=names,
        how=how,
        notes=tuple(notes),
        warnings=tuple(warnings),
    )  # fmt: skip


def unnamed(classes: Sequence[str]) -> bool:
    """Whether classes are called by the numbers that masks hold, because nothing names them."""
    numbered = (c == "background" or c.removeprefix("class ").isdecimal() for c in classes)
    return tuple(classes) == NEUTRAL or all(numbered)


def counted(classes: Sequence[str]) -> bool:
    """Whether classes without names stand for 0, 1, 2 and so on, none left out."""
    return tuple(classes) in (NEUTRAL, ("background", *(f"class {i}" for i in range(1, len(classes)))))  # fmt: skip


def one_value(values: Sequence[int], colour: bool) -> str:
    held = listed(values, colour)
    return (
        f"the masks hold one value, {held}, so they tell nothing apart; check that they are masks"
    )


def listed(values: Sequence[int], colour: bool) -> str:
    texts = [shown(v, colour) for v in values[:6]]
    if len(values) > 6:
        return ", ".join(texts) + ", ..."
    return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1] if texts else "none"  # fmt: skip
