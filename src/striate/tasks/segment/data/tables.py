"""The coding that a table of names asks for, or the one reason why masks and table do not belong together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from striate.errors import DataError
from striate.tasks.segment.data.coding import IGNORE, MOST_CLASSES, Coding, distance, shown
from striate.tasks.segment.data.mask_values import CLOSE, NEAR, anchors, refuse_lossy
from striate.tasks.segment.data.naming import Naming
from striate.tasks.segment.data.values import Census

IGNORED = frozenset({"ignore", "ignored"})
LEAST_KNOWN = 0.5  # share of the pixels other than 0 that a table must name to belong to the masks
NEARLY_ALL = 0.9  # of the pixels lie near a colour of the table, where JPEG smeared them


def by_table(
    census: Census,
    naming: Naming,
    *,
    colour: bool,
    nearest: bool,
    ignore: set[int],
    open_255: bool,
    notes: list[str],
) -> tuple[Coding, tuple[str, ...]]:
    """(coding, class names). ignore: values left out by a setting; open_255: 255 may be left out where no class has it.

    Raises DataError, with the one cause, where the table names other values than the masks hold.
    """
    held = [v for v in sorted(census.counts) if v not in ignore]
    listed = ", ".join(shown(v, colour) for v in held[:4]) + (", ..." if len(held) > 4 else "")
    names = naming.names
    if colour:
        if naming.colours is None:
            what = "numbers" if naming.values is not None else "no colours"
            raise DataError(
                f"{naming.where} gives {what} to the classes, but the masks hold colours ({listed}); write a line a class: "
                f"name,red,green,blue, or delete {naming.where}"
            )
        values = naming.colours
        if census.lossy and len(census.counts) > len(values):
            nearest = nearest or _near(census, values) >= NEARLY_ALL
            if not nearest:
                refuse_lossy(census, colour)
    elif naming.values is not None:
        values = naming.values
    elif naming.colours is not None:
        raise DataError(
            f"{naming.where} gives colours to the classes, but the masks hold the numbers {listed}; write a line a class: "
            f"name,value, or delete {naming.where}"
        )
    else:
        solid = [v for v in anchors(census, colour) if v not in ignore] if nearest else held
        names, values = _in_order(names, solid, notes, naming.where)
    if len(values) > MOST_CLASSES:
        raise DataError(f"{naming.where} names {len(values):,} classes; at most {MOST_CLASSES} are learned")  # fmt: skip
    void = set(ignore)
    others = {v for v in held if v and v in values}
    beside = any(255 in one and others & set(one) for one in census.each)
    if not colour and open_255 and 255 in held and 255 not in values and others and not beside:
        n = sum(255 in one for one in census.each)
        raise DataError(
            f"{n:,} masks hold 255, which {naming.where} does not list, and none of its other classes: it may be an "
            f"object or 'no label'; save all masks in the same way, list 255 in {naming.where}, or --set ignore=255"
        )
    if not colour and open_255 and 255 in held and 255 not in values and beside:
        void.add(255)
        notes.append("255 is taken as 'no label' and left out (--set ignore=none makes it a class)")
    void |= {v for v in held if v < 0}
    counted = {v: n for v, n in census.counts.items() if v and v not in void}
    known = sum(n for v, n in counted.items() if v in values) / max(sum(counted.values()), 1)
    if nearest and not census.lossy:
        # What fills areas must be in the table: only what lies between may take the nearest of it.
        known_values = np.array(values, dtype=np.int64)
        solid = [v for v in anchors(census, colour) if v not in ignore]
        counted = {
            v: census.counts[v] for v in solid if distance(v, known_values, colour).min() > CLOSE
        }
        known = 0.0
    if counted and known < LEAST_KNOWN and not (nearest and census.lossy):
        strange = sorted((v for v in counted if v not in values), key=lambda v: -counted[v])
        hint = ""
        ends = anchors(census, colour)
        in_order = naming.values is None and naming.colours is None
        if len(ends) > 1 and len(strange) > 8 and (in_order or set(ends) <= set(values)):
            hint = ", or --set masks=nearest if they were smoothed"
        raise DataError(
            f"{naming.where} does not name what the masks hold: {1 - known:.0%} of their pixels other than 0 have "
            f"{'colours' if colour else 'numbers'} that it does not list "
            f"({', '.join(shown(v, colour) for v in strange[:4])}); correct it or delete it{hint}"
        )
    if nearest:
        what = "colours" if colour else "numbers"
        notes.append(f"each pixel takes the nearest of the {len(values)} {what} in {naming.where}")
    coded = {v: i for i, v in enumerate(values) if v not in ignore}
    coded |= dict.fromkeys(void, IGNORE)
    kept = [i for i, v in enumerate(values) if v not in ignore]
    place = {old: new for new, old in enumerate(kept)}
    coded = {v: place.get(i, IGNORE) for v, i in coded.items()}
    return (
        Coding(colour=colour, values=tuple(coded), classes=tuple(coded.values()), nearest=nearest),
        tuple(names[i] for i in kept),
    )


def without_ignore(naming: Naming, *, colour: bool, notes: list[str]) -> tuple[Naming, set[int]]:
    """A table without the class that tools call "ignore" (nnU-Net, labelme), and the values that are left out with it."""
    at = [i for i, n in enumerate(naming.names) if n.casefold().strip("_ ") in IGNORED]
    if not at or len(naming.names) - len(at) < 2:
        return naming, set()
    values = naming.colours if colour else naming.values
    if values is None and at != [0]:
        return naming, set()  # names in order: leaving one out would shift the others
    kept = [i for i in range(len(naming.names)) if i not in at]
    void = set() if values is None else {values[i] for i in at}
    shown_void = ", ".join(shown(v, colour) for v in sorted(void))
    notes.append(
        f"{naming.where} names {', '.join(naming.names[i] for i in at)}{f' ({shown_void})' if void else ''}: taken as 'no "
        "label' and left out (--set ignore=none makes it a class)"
    )
    rest = replace(
        naming,
        names=tuple(naming.names[i] for i in kept),
        values=None if naming.values is None else tuple(naming.values[i] for i in kept),
        colours=None if naming.colours is None else tuple(naming.colours[i] for i in kept),
    )
    return rest, void


def _in_order(
    names: tuple[str, ...], held: list[int], notes: list[str], where: str
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names without numbers: the numbers 0, 1, 2, ..., or the values that the masks hold in their order."""
    n = len(names)
    inside = [v for v in held if v not in (255,) or n > 255]
    if all(0 <= v < n for v in inside) and (len(inside) > 1 or 255 not in held):
        return names, tuple(range(n))
    if inside == list(range(n + 1)):
        notes.append(
            f"{where} names {n} classes and the masks hold 0 to {n}: 0 is taken as background, 1 as {names[0]!r}"
        )
        return ("background", *names), tuple(range(n + 1))
    for values in (held, inside):
        if len(values) == n:
            pairs = ", ".join(
                f"{v} {name}" for v, name in list(zip(values, names, strict=True))[:4]
            )
            more = ", ..." if n > 4 else ""
            notes.append(f"{where} gives names without numbers: taken in order ({pairs}{more})")
            return names, tuple(values)
    if inside and inside[0] > 0 and inside[-1] == n:
        notes.append(
            f"{where} names {n} classes and the masks hold numbers from 1: 1 is taken as {names[0]!r}"
        )
        return names, tuple(range(1, n + 1))
    return names, tuple(range(n))


def _near(census: Census, values: tuple[int, ...]) -> float:
    known = np.array(values, dtype=np.int64)
    near = sum(n for v, n in census.counts.items() if distance(v, known, True).min() <= NEAR)
    return near / max(census.pixels, 1)
