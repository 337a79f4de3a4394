"""Masks of numbers without a table of names: which number is which class, and which means that there is no label."""

from __future__ import annotations

from collections.abc import Sequence

from striate.errors import DataError
from striate.tasks.segment.data.coding import MOST_CLASSES
from striate.tasks.segment.data.decision import Decision, listed, plain
from striate.tasks.segment.data.mask_values import instances, looks_dense, outlines
from striate.tasks.segment.data.values import Census

SPARSE = 32  # more values than this that are not 0, 1, 2, ... are no classes but shades
WHITES = frozenset({1, 255, 65535, *range(250, 255)})  # what writers put where the object is


def by_numbers(
    census: Census, left_out: set[int], ignore: str | None, masks: str | None, notes: list[str]
) -> Decision:
    if below := [v for v in census.counts if v < 0]:
        notes.append(f"{listed(below, False)} is taken as 'no label' and left out")
    values = [v for v in census.counts if v not in left_out]
    warnings: list[str] = []
    objects = {v for v in values if v}
    open_to_judge = ignore is None and masks is None
    apart = all(len(set(one) & objects) <= 1 for one in census.each)
    if open_to_judge and apart and len(objects) > 1 and objects <= WHITES:
        several = " and ".join(
            f"{sum(v in one for one in census.each):,} masks hold {v}" for v in sorted(objects)
        )
        warnings.append(
            f"{several} where the object is: all are taken as the same class (--set ignore={max(objects)} leaves "
            f"{max(objects)} out instead, --set masks=numbers makes each a class)"
        )
        least = min(objects)
        return plain(
            [0, least], False, left_out, notes, warnings=warnings, merged=[[], sorted(objects - {least})],
            how=f"0 is background, {listed(sorted(objects), False)} are object",
        )  # fmt: skip
    if 255 in values and ignore is None:
        left_out = left_out | _judge_255(census, values, masks, notes, warnings)
    values = [v for v in values if v not in left_out]
    if not values:
        raise DataError("the masks hold no class at all, only 255; check what they should mark")
    dense = looks_dense(values)
    if not dense and len(values) > SPARSE and (masks is None or len(values) > MOST_CLASSES):
        raise DataError(
            f"the masks hold {len(values):,} different values up to {values[-1]:,}, which look like shades or numbers of "
            "objects, not classes; save class numbers 0, 1, 2, ... as PNG or TIFF without smoothing, or --set masks=binary "
            "for anything but 0 as the object"
        )
    if values == list(range(1, len(values) + 1)) and len(values) > 1:
        notes.append(f"the masks hold 1 to {values[-1]} and no 0: each number is a class")
    elif dense:
        values = list(range(values[-1] + 1))
    elif values != [0, 255]:
        some = ", ".join(map(str, values[:6])) + (", ..." if len(values) > 6 else "")
        notes.append(
            f"the values {some} are taken as classes 0 to {len(values) - 1}, in that order"
        )
        top = values[-1]
        if len(values) > 2 and ignore is None and (top == 255 or top > 2 * values[-2] + SPARSE):
            notes.append(f"{top} is taken as one of them (--set ignore={top} leaves it out)")
    if masks is None:
        _few_objects(census, warnings)
        if (line := outlines(census)) is not None and len(values) > 2:
            notes.append(
                f"{line} often lies as a line between other numbers: it is taken as a class of outlines; if the masks were "
                "smoothed when they were resized, resize them again with nearest neighbour"
            )
    _inverted(census, values, notes)
    how = "numbers, each a class" if dense else f"the values {listed(values, False)}, each a class"
    return plain(values, False, left_out, notes, warnings=warnings, how=how)


def _judge_255(
    census: Census,
    values: Sequence[int],
    masks: str | None,
    notes: list[str],
    warnings: list[str],
) -> set[int]:
    """{255} where it can only mean 'no label'. Raises DataError where that is as likely as a class."""
    others = [v for v in values if v != 255]
    if others == [0]:
        notes.append(
            "the masks hold only 0 and 255: taken as background and object (--set ignore=255 leaves 255 out)"
        )
        return set()
    if len(others) < 2 or not looks_dense(others):
        return set()
    beside = sum(255 in one and any(v in one for v in others if v) for one in census.each)
    alone = sum(255 in one for one in census.each) - beside
    if not beside and masks == "numbers":
        return set()
    if not beside:
        rest = listed([v for v in others if v], False)
        raise DataError(
            f"{alone:,} masks hold 255 but none of the other classes ({rest}), which only other masks hold: it may be "
            "an object or 'no label'; decide with --set ignore=none or --set ignore=255, or save all masks in the same way"
        )
    share = census.counts[255] / max(census.pixels, 1)
    words = f"255 is taken as 'no label' and left out: {share:.1%} of the pixels (--set ignore=none makes it a class)"
    if share > 0.5 or alone > beside:
        more = f"; {alone:,} masks hold it without any class but 0" if alone else ""
        warnings.append(words + more)
    else:
        notes.append(words)
    return {255}


def _few_objects(census: Census, warnings: list[str]) -> None:
    if (reason := instances(census, False, least=3)) is not None:
        warnings.append(
            f"{reason}: they may be numbers of objects, not of classes; they are taken as classes "
            "(--set masks=binary takes anything but 0 as one class)"
        )


def _inverted(census: Census, values: Sequence[int], notes: list[str]) -> None:
    """Say so where what is taken as the object covers most of the images."""
    if len(values) != 2 or values[0] != 0:
        return
    share = sum(n for v, n in census.counts.items() if v == values[1]) / max(census.pixels, 1)
    if share > 0.5:
        notes.append(
            f"{values[1]} is taken as the object and covers {share:.0%} of the pixels; if the masks are inverted, say so in "
            f"a classes.csv with the lines background,{values[1]} and object,0"
        )
