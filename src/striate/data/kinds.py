"""What a column of labels holds: classes, or something that only looks like them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from striate.data.several import WORDS, lists_of, separator_of

MISSING = frozenset(
    {"nan", "NaN", "NAN", "<NA>", "#N/A", "null", "NULL", "NaT"}
)  # as programs write an empty cell
DOUBTFUL = frozenset(
    {"NA", "N/A", "n/a", "None", "none", "?", "-"}
)  # as some do, and as classes are called
LEAST = 10  # images; of fewer every one may be a class of its own
STEPS = 10  # different fractions, such as grades 0.5, 1.0, 1.5, that may still be classes
MEASURES = frozenset({
    "age", "weight", "height", "price", "score", "count", "size", "area", "length", "rating", "temperature",
    "year", "value", "distance", "angle", "depth", "pawpularity", "boneage", "mass", "volume", "yield",
})  # fmt: skip
_NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?%?")
_DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})([ T]\d{1,2}:\d{2}.*)?"
)
ONE_CLASS = "Striate learns one class an image"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """classes[i] of label i, None where it is missing; or why they are none, and what to do. notes: what was assumed."""

    classes: tuple[str | None, ...] = ()
    why_not: str = ""
    remedy: str = ""
    notes: tuple[str, ...] = ()


def kind_of(values: Sequence[str], name: str) -> Kind:
    """Judge the labels of images, none of them empty, from the column `name`."""
    missing = sum(value in MISSING for value in values)
    there = [value for value in values if value not in MISSING]
    counts = Counter(there)
    numbers = [value for value in counts if _NUMBER.fullmatch(value)]
    notes: list[str] = []
    doubtful = {value: n for value, n in counts.items() if value in DOUBTFUL}
    if doubtful and len(numbers) + len(doubtful) == len(counts) and numbers:
        missing += sum(doubtful.values())
        there = [value for value in there if value not in doubtful]
        counts = Counter(there)
    elif doubtful:
        listed = ", ".join(f"{value!r} ({n})" for value, n in doubtful.items())
        notes.append(
            f"the label {listed} is taken as a class of that name; empty the cell where an image has no label"
        )
    if missing:
        verb = (
            "images have no label (NaN or the like) and are"
            if missing > 1
            else "image has no label (NaN or the like) and is"
        )
        notes.append(f"{missing} {verb} left out")
    if not counts:
        return Kind(why_not=f"has no label in its column {name}", remedy="fill the column")
    if refused := _several(list(counts), name):
        return refused
    spelled = lists_of(list(counts))
    if spelled:
        notes.append(f"column {name} holds lists of one label each")
        only = {value: items[0] if items else None for value, items in spelled.items()}
        return Kind(classes=tuple(only.get(value) for value in values), notes=tuple(notes))
    distinct, n = len(counts), len(there)
    if all(_DATE.fullmatch(value) for value in counts):
        return Kind(
            why_not=f"holds dates in its column {name}, not classes",
            remedy=f"{ONE_CLASS}: {_elsewhere(name)}",
        )
    if len(numbers) == distinct:
        return _numbers(values, counts, name, notes)
    if n >= LEAST and _alone(counts) > n / 2:
        return Kind(
            why_not=f"has {distinct} different labels for {n} images in its column {name}: "
            "identifiers or texts, not classes",
            remedy=f"{ONE_CLASS}: {_elsewhere(name)}",
        )  # fmt: skip
    kept = tuple(None if value in MISSING else value for value in values)
    return Kind(classes=kept, notes=tuple(notes))


def _alone(counts: Counter[str]) -> int:
    """Images whose label no other has."""
    return sum(n == 1 for n in counts.values())


def _elsewhere(name: str) -> str:
    if name.strip().casefold() == "label":
        return "write the same word for all images of a class"
    return "give the column that holds the classes the name label"


def _several(values: list[str], name: str) -> Kind | None:
    lists = lists_of(values)
    sign = None if lists else separator_of(values)
    if sign is None and not (lists and any(len(items) > 1 for items in lists.values())):
        return None
    how = f"separated by {WORDS[sign]}" if sign else "as lists"
    example = next(
        v
        for v in values
        if (len(lists[v]) > 1 if lists else len(v.split(None if sign == " " else sign)) > 1)
    )
    return Kind(
        why_not=f"gives images several labels in its column {name} ({example!r}), {how}",
        remedy="learn them all with --task multilabel, or keep one label an image",
    )


def _numbers(values: Sequence[str], counts: Counter[str], name: str, notes: list[str]) -> Kind:
    numbers = {value: float(value.replace(",", ".").rstrip("%")) for value in counts}
    n, distinct = sum(counts.values()), len(set(numbers.values()))
    # Above, floats tell whole numbers no longer apart, and 1e400 is infinite: such a label stays as it is written.
    counting = {value for value, number in numbers.items() if abs(number) < 1e15}
    whole = all(numbers[value] == int(numbers[value]) for value in counting)
    measure = name.casefold().strip().split("_")[-1] in MEASURES and distinct > STEPS
    spread = n >= LEAST and _alone(counts) > n / 2
    if measure or spread or (not whole and distinct > STEPS):
        return Kind(
            why_not=f"holds {distinct} different numbers in its column {name}: "
            "a measured value or an identifier, not a class",
            remedy="learn the numbers with --task regression, or write a word for each range, such as low and high; or "
            f"{_elsewhere(name)}",
        )  # fmt: skip
    points = whole and any("." in value or "," in value for value in counts)
    names = {
        value: str(int(numbers[value])) if points and value in counting else value
        for value in counts
    }  # 1.0 is what pandas makes of 1 beside an empty cell
    return Kind(classes=tuple(names.get(value) for value in values), notes=tuple(notes))
