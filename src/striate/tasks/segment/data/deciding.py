"""Deciding, once for a whole set of masks, which value is which class: by a table of names, by colours, by numbers.

What can be read in two ways that are equally likely is refused, with the setting that decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from striate.errors import DataError
from striate.tasks.segment.data.coding import IGNORE, Coding, shown
from striate.tasks.segment.data.decision import NEUTRAL, Decision, listed, one_value, plain
from striate.tasks.segment.data.mask_values import (
    anchors,
    instances,
    refuse_lossy,
    refuse_numbers,
    refuse_objects,
    refuse_shades,
    shades,
    smoothed_numbers,
    two_scales,
)
from striate.tasks.segment.data.naming import Naming
from striate.tasks.segment.data.numbers import SPARSE, by_numbers
from striate.tasks.segment.data.reading import TRANSPARENT
from striate.tasks.segment.data.tables import by_table, without_ignore
from striate.tasks.segment.data.values import Census, Tally, take_census

GREY_LEVEL = 40  # numbers above it are levels of grey rather than numbers of classes
VOC_VOID = 0xE0E0C0  # Pascal VOC's colour of pixels without a label


def decide(
    tallies: Sequence[Tally],
    *,
    naming: Naming | None = None,
    masks: str | None = None,
    ignore: str | None = None,
) -> Decision:
    """Decide from the values of all masks.

    naming: what a file beside the masks says. masks: "numbers", "colours", "binary" (anything but 0 is the object) or
    "nearest" (each pixel takes the nearest of the commonest values), None for what the values look like. ignore: the value
    without a label, such as "255" or "#ffffff", or "none"; None for 255 where that is plausible.
    Raises DataError for masks that hold no classes, or that can be read in two ways.
    """
    notes: list[str] = []
    colour = _colours_decide(tallies, naming, masks, notes)
    census = take_census(tallies, colour=colour)
    left_out = _given(ignore, census, colour)
    if ignore is None and not colour:
        left_out |= _stated(tallies, census, naming, notes)
    if naming is not None and ignore is None:
        naming, void = without_ignore(naming, colour=colour, notes=notes)
        left_out |= void
    if naming is not None and masks != "binary":
        try:
            coding, classes = by_table(
                census,
                naming,
                colour=colour,
                nearest=masks == "nearest",
                ignore=left_out,
                open_255=ignore is None,
                notes=notes,
            )
        except DataError as error:
            if naming.sure:
                raise
            notes.append(f"{naming.where} is not used: {str(error).split('; ')[0]}")
        else:
            how = f"{'colours' if colour else 'numbers'}, named by {naming.where}"
            return Decision(coding=coding, classes=classes, how=how, notes=tuple(notes))
    if masks == "binary":
        return binary(census, colour, left_out, notes)
    if masks == "nearest":
        chosen = [v for v in anchors(census, colour) if v not in left_out]
        if len(chosen) < 2:
            raise DataError(
                "masks=nearest needs two values that many pixels have, and these masks have "
                f"{', '.join(shown(v, colour) for v in chosen) or 'none'}; save them again without smoothing"
            )
        notes.append(f"each pixel takes the nearest of {listed(chosen, colour)}")
        return plain(
            chosen, colour, left_out, notes, nearest=True, how="the nearest of the commonest values"
        )
    if masks is None:
        if not colour and any(t.kind == "palette" for t in tallies):
            painted = take_census(tallies, colour=True)
            if shades(painted, True):  # shades that an optimiser made a palette of
                refuse_shades(painted, True)
        _refuse(census, colour)
    if colour:
        return by_colours(census, left_out, ignore, masks, notes)
    return by_numbers(census, left_out, ignore, masks, notes)


def _colours_decide(
    tallies: Sequence[Tally], naming: Naming | None, masks: str | None, notes: list[str]
) -> bool:
    """Whether the colours of the masks are the classes, or their numbers."""
    coloured = [t for t in tallies if t.kind == "colour"]
    if masks == "colours":
        return True
    if masks == "numbers":
        if coloured:
            raise DataError(
                f"masks=numbers was set, but {coloured[0].key} holds colours; set masks=colours, or save one number a pixel"
            )
        return False
    table = set(naming.colours or ()) if naming is not None else set()
    if coloured:
        seen = table.union(*(t.read_as(True) for t in coloured))
        for t in tallies:
            strange = {v for v in t.counts if as_seen(t, v) not in seen} - {0}
            if t.kind == "number" and strange and max(t.counts) <= GREY_LEVEL:
                raise DataError(
                    f"some masks hold colours ({coloured[0].key}) and others numbers ({t.key}); save all of them in the "
                    "same way"
                )
        return True
    palettes = [t for t in tallies if t.kind == "palette"]
    if palettes and masks == "nearest":
        return True
    if table:
        as_colours, as_numbers = (take_census(tallies, colour=c) for c in (True, False))
        values = set(naming.values or ()) if naming is not None else set()
        known = _share(as_colours, table), _share(as_numbers, values)
        if known[0] > max(known[1], 0.5) or (
            known[0] == known[1] > 0.5 and not values and _nonzero(as_colours)
        ):
            return True
    if palettes and _palettes_differ(tallies, palettes):
        notes.append(
            "the numbers of the palettes differ from mask to mask: their colours are taken (--set masks=numbers takes the "
            "numbers)"
        )
        return True
    return False


def as_seen(tally: Tally, value: int) -> int:
    """The colour that a viewer shows for a raw value of a mask."""
    return next(
        iter(
            Tally(
                key="", kind=tally.kind, counts={value: 1}, distinct=1, table=tally.table
            ).read_as(True)
        )
    )


def _palettes_differ(tallies: Sequence[Tally], palettes: Sequence[Tally]) -> bool:
    """Whether one number stands for several colours, or greys run against their numbers: then only colours can be meant."""
    meaning: dict[int, set[int]] = {}
    for t in palettes:
        for index, colour in t.table.items():
            meaning.setdefault(index, set()).add(colour)
    colours = {c for several in meaning.values() for c in several}
    if any(len(several) > 1 for several in meaning.values()):
        return len(colours) <= len(meaning) + 1
    for t in palettes:
        levels = [c & 255 for _, c in sorted(t.table.items())]
        grey = all(c == (c & 255) * 0x010101 for c in t.table.values())
        if grey and levels != sorted(levels):
            return True
    others = {v for t in tallies if t.kind in ("number", "grey") for v in t.read_as(False)}
    return bool(others - set(meaning)) and {v * 0x010101 for v in others} <= colours


def _share(census: Census, values: set[int]) -> float:
    """Share of the pixels other than 0 that have one of `values`; of all pixels where there is nothing else."""
    counts = {v: n for v, n in census.counts.items() if v} or census.counts
    return sum(n for v, n in counts.items() if v in values) / max(sum(counts.values()), 1)


def _nonzero(census: Census) -> bool:
    return any(census.counts)


def _given(ignore: str | None, census: Census, colour: bool) -> set[int]:
    """The raw values that a setting leaves out, and numbers below 0, which no class has."""
    below = {v for v in census.counts if v < 0}
    if ignore is None or ignore == "none":
        return below
    text = ignore.strip().lstrip("#")
    try:
        value = int(text, 16) if colour and len(text) == 6 else int(text)
    except ValueError:
        raise DataError(
            f"ignore must be a value of the masks, such as 255 or #ffffff, or none; got {ignore!r}"
        ) from None
    if colour and len(text) != 6:
        value *= 0x010101
    if value not in census.counts:
        raise DataError(
            f"ignore={ignore} was set, but no mask holds that value; they hold {listed(list(census.counts), colour)}"
        )
    return below | {value}


def _stated(
    tallies: Sequence[Tally], census: Census, naming: Naming | None, notes: list[str]
) -> set[int]:
    """The values that the files (GeoTIFF) state to be no data; 0 is what most writers put as background too."""
    named = set(naming.values or ()) if naming is not None else set()
    stated = {t.nodata for t in tallies if t.nodata in census.counts and t.kind == "number"}
    stated = {v for v in stated if v is not None and v >= 0} - named
    out = stated - {0}
    if len(set(census.counts) - out) < 2:
        out = set()
    for value in sorted(out):
        share = census.counts[value] / max(census.pixels, 1)
        notes.append(
            f"{value} is no data, as the files state, and left out: {share:.1%} of the pixels (--set ignore=none makes it a "
            "class)"
        )
    for value in sorted(stated - out):
        notes.append(
            f"the files state {value} to be no data; it is taken as a class (--set ignore={value} leaves it out)"
        )
    return out


def _refuse(census: Census, colour: bool) -> None:
    """Raise DataError for shades, and for numbers of objects."""
    refuse_lossy(census, colour)
    if shades(census, colour):
        refuse_shades(census, colour)
    if (reason := instances(census, colour)) is not None:
        refuse_objects(reason)
    if not colour and smoothed_numbers(census):
        refuse_numbers(census)
    if not colour and (words := two_scales(census)) is not None:
        raise DataError(words)


def binary(census: Census, colour: bool, left_out: set[int], notes: list[str]) -> Decision:
    ground = 0
    if colour and 0 not in census.counts:
        commonest = max(census.counts, key=lambda v: census.counts[v])
        ground = TRANSPARENT if TRANSPARENT in census.counts else commonest
    if not set(census.counts) - {ground} - left_out:
        raise DataError(one_value([ground], colour))
    values = (ground, *sorted(left_out))
    notes.append(f"{shown(ground, colour)} is taken as background and every other value as object")
    return Decision(
        coding=Coding(colour=colour, values=values, classes=(0, *[IGNORE] * len(left_out)), other=1),
        classes=NEUTRAL,
        how=f"{shown(ground, colour)} is background, anything else is object (masks=binary)",
        notes=tuple(notes),
    )  # fmt: skip


def _one_object(census: Census, values: list[int]) -> Decision | None:
    """One object that some masks show white and others as 1, on black here and on nothing there; None for other colours."""
    grounds = [v for v in values if v in (0, TRANSPARENT)]
    inside = [v for v in values if v in (0x010101, 0xFFFFFF)]
    mixed = len(grounds) > 1 or len(inside) > 1
    apart = all(len(set(one) & set(s)) < 2 for one in census.each for s in (grounds, inside))
    if not (mixed and apart and grounds and inside and len(grounds) + len(inside) == len(values)):
        return None
    words = f"{listed(grounds, True)} are taken as background and {listed(inside, True)} as object"
    return plain(
        [grounds[0], inside[-1]],
        True,
        set(),
        [],
        how=words,
        warnings=[
            f"the masks are saved in several ways: {words} (--set masks=colours makes each a class)"
        ],
        merged=[grounds[1:], inside[:-1]],
    )


def by_colours(
    census: Census, left_out: set[int], ignore: str | None, masks: str | None, notes: list[str]
) -> Decision:
    if ignore is None and VOC_VOID in census.counts and len(census.counts) > 2:
        left_out = {*left_out, VOC_VOID}
        notes.append(
            f"{shown(VOC_VOID, True)} is Pascal VOC's 'no label' and left out (--set ignore=none makes it a class)"
        )
    values = [v for v in census.counts if v not in left_out]
    if masks is None and ignore is None and (same := _one_object(census, values)) is not None:
        return same
    if TRANSPARENT in values:
        values = [TRANSPARENT, *(v for v in values if v != TRANSPARENT)]
    if (len(values) > SPARSE or census.distinct > 1024) and masks is None:
        raise DataError(
            f"the colour masks hold {max(len(values), census.distinct):,} colours, more than classes could be; save them "
            "without smoothing or compression, or name the colours in a classes.csv (name,red,green,blue); or are images "
            "and masks swapped?"
        )
    shown_alone = all(len(set(one) - {0, TRANSPARENT}) < 2 for one in census.each)
    if masks is None and len(set(values) - {0, TRANSPARENT}) > 1 and shown_alone:
        notes.append(
            "each mask shows one colour beside the background: the colours are taken as classes (--set masks=binary takes "
            "them as one object)"
        )
    if set(values) != {0, 0xFFFFFF}:
        notes.append(
            f"{len(values)} colours are the classes; a classes.csv (name,red,green,blue) would name them"
        )
    return plain(values, True, left_out, notes, how=f"{len(values)} colours, each a class")
