"""Labels as people hold them in Python, as classes."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from striate.data.naming import in_order
from striate.errors import DataError


def classes_of(
    labels: Sequence[Any], names: Sequence[str] | None, where: str, least: int = 2
) -> tuple[tuple[str, ...], np.ndarray]:
    """Class names and (N,) int64 indices into them.

    labels: whole numbers, or words, one an image. names: what the numbers 0, 1, ... stand for, where that is known.
    least: classes that there must be.
    Raises DataError with the item whose label is none, or of another type than the first one's.
    """
    plain = [_plain(label, i, where) for i, label in enumerate(labels)]
    first = isinstance(plain[0], str)
    for i, label in enumerate(plain):
        if isinstance(label, str) != first:
            kinds = ("a word", "a number") if first else ("a number", "a word")
            raise DataError(
                f"the label of item {i} of {where} is {kinds[1]}, {label!r}, and that of item 0 {kinds[0]}, {plain[0]!r}; "
                "give all as words, or all as numbers"
            )
    if first:
        classes = in_order(plain)
        index = {name: i for i, name in enumerate(classes)}
        found = [index[label] for label in plain]
    else:
        found = [int(label) for label in plain]
        if names is not None and min(found) >= 0 and max(found) < len(names):
            classes = tuple(str(name) for name in names)
        else:
            distinct = sorted(set(found))
            place = {number: i for i, number in enumerate(distinct)}
            classes, found = tuple(map(str, distinct)), [place[number] for number in found]
    if len(set(found)) < least:
        raise DataError(f"{where} holds one class, {classes[found[0]]!r}; at least two are needed")
    return classes, np.array(found, dtype=np.int64)


def _plain(label: Any, number: int, where: str) -> Any:
    """A label as int or str. Raises DataError."""
    what = f"the label of item {number} of {where}"
    if hasattr(label, "detach"):
        label = label.detach().cpu().numpy()
    if isinstance(label, np.ndarray | np.generic):
        if np.ndim(label) > 1:
            raise DataError(
                f"{what} has the shape {np.shape(label)}, as a mask has; masks are learned with "
                "task='segment'"
            )
        if np.ndim(label) == 1 and np.size(label) != 1:
            raise DataError(
                f"{what} holds {np.size(label)} values, and one class an image is learned; give the number of the class, "
                "such as label.argmax(), or say task='multilabel' for tags, task='regression' for numbers"
            )
        label = np.asarray(label).reshape(-1)[0].item()
    if label is None or (isinstance(label, float) and label != label):
        raise DataError(f"{what} is missing ({label}); leave that item out")
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, str):
        return label
    if isinstance(label, numbers.Real) and float(label).is_integer():
        return int(float(label))
    kind = "a fraction" if isinstance(label, numbers.Real) else f"a {type(label).__name__}"
    raise DataError(
        f"{what} is {kind}, {label!r}; a class is a whole number or a word. Numbers are estimated "
        "with task='regression'"
    )
