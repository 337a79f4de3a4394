"""Tags and numbers as people hold them in Python, as targets of images."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from striate.data.folder import Encoded
from striate.data.naming import in_order
from striate.data.source import Source
from striate.data.strata import number_strata, tag_strata
from striate.errors import DataError

Encode = Callable[[Sequence[Any], Sequence[str] | None, str], Encoded]


def tags_given(labels: Sequence[Any], names: Sequence[str] | None, where: str) -> Encoded:
    """Tags (N, K), of lists of words, or of rows of 0 and 1.

    names: of the K columns of rows; `tag 0`, ... if not given. A list may be empty; a word alone is one tag.
    Raises DataError with the item whose tags are neither, or of another kind than the first one's.
    """
    plain = [_plain(label) for label in labels]
    words = any(_are_words(one) and len(one) for one in plain)
    for i, one in enumerate(plain):
        if not isinstance(one, list):
            raise DataError(
                f"the tags of item {i} of {where} are {_form(labels[i])}; give a list of words, or a row of 0 and 1 "
                "with one a tag"
            )
        if (words and not _are_words(one)) or not (words or _are_flags(one)):
            kinds = "a list of words" if words else "a row of 0 and 1"
            raise DataError(
                f"the tags of item {i} of {where} are {_form(labels[i])}, and those of others {kinds}; give one kind for all"
            )
    if words:
        tags = in_order([tag for one in plain for tag in one])
        targets = np.array([[tag in one for tag in tags] for one in plain], dtype=np.float32)
    else:
        targets = _rows(plain, where, "tags")
        tags = _names(names, targets.shape[1], "tag", where)
    if (targets == targets[0]).all():
        raise DataError(f"every image of {where} has the same tags; there is nothing to learn")
    return _encoded(tags, targets, tag_strata(targets))


def numbers_given(labels: Sequence[Any], names: Sequence[str] | None, where: str) -> Encoded:
    """Numbers (N, K), of a number or a row of K an image.

    names: of the columns; `number`, or `number 0`, ... if not given. Raises DataError with the item whose number is missing,
    infinite or none, and where all images have the same.
    """
    plain = [one if isinstance(one := _plain(label), list) else [one] for label in labels]
    for i, one in enumerate(plain):
        odd = next((v for v in one if not _is_number(v)), None)
        if odd is not None or not one:
            raise DataError(
                f"the target of item {i} of {where} is {_form(labels[i])}, and numbers are learned; give one, or as "
                "many for each image"
            )
        if not np.isfinite(np.array(one, dtype=np.float64)).all():
            raise DataError(
                f"the target of item {i} of {where} is missing or infinite ({', '.join(f'{v:g}' for v in one)}); leave that "
                "item out"
            )
    values = _rows(plain, where, "numbers")
    columns = _names(names, values.shape[1], "number", where)
    constant = next((k for k in range(len(columns)) if np.ptp(values[:, k]) == 0), None)
    if constant is not None:
        raise DataError(
            f"{columns[constant]} is {values[0, constant]:g} for every image of {where}; there is nothing to learn from it, "
            "so leave it out"
        )
    return _encoded(columns, values, number_strata(values))


def named_as(source: Source, classes: Sequence[str]) -> Source:
    """The source with a network's names, where its columns were given without any and are as many."""
    count = len(classes)
    neutral = (_names(None, count, word, source.where) for word in ("tag", "number"))
    return replace(source, classes=tuple(classes)) if source.classes in neutral else source


def columns_named(text: str | None) -> tuple[str, ...] | None:
    """The names that a setting `targets` lists, separated by commas; None for none."""
    return None if text is None else tuple(name.strip() for name in text.split(","))


def _plain(label: Any) -> Any:
    """A label as a list, or as what it is alone."""
    if hasattr(label, "detach"):
        label = label.detach().cpu().numpy()
    if isinstance(label, np.ndarray | np.generic):
        label = label.tolist()
    if isinstance(label, str):
        return [label]
    return list(label) if isinstance(label, list | tuple | set | frozenset) else label


def _are_words(one: Any) -> bool:
    return isinstance(one, list) and all(isinstance(v, str) for v in one)


def _are_flags(one: Any) -> bool:
    return isinstance(one, list) and bool(one) and all(_is_number(v) and v in (0, 1) for v in one)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real)  # a bool is one too: yes is 1


def _rows(plain: Sequence[list[Any]], where: str, what: str) -> np.ndarray:
    """Rows of one length as (N, K) float32. Raises DataError."""
    odd = next((i for i, one in enumerate(plain) if len(one) != len(plain[0])), None)
    if odd is not None:
        raise DataError(
            f"item {odd} of {where} has {len(plain[odd])} {what} and item 0 has {len(plain[0])}; give as many for each image"
        )
    return np.array(plain, dtype=np.float32)


def _names(names: Sequence[str] | None, count: int, word: str, where: str) -> tuple[str, ...]:
    if names is None:
        return (word,) if count == 1 else tuple(f"{word} {k}" for k in range(count))
    if len(names) != count:
        raise DataError(
            f"{where} names {len(names)} classes, and its items have {count} {word}s; name as many, in their order"
        )
    return tuple(map(str, names))


def _encoded(classes: tuple[str, ...], targets: np.ndarray, strata: np.ndarray) -> Encoded:
    rows, labels = np.unique(targets, axis=0, return_inverse=True)
    words = tuple(" ".join(f"{v:.9g}" for v in row) for row in rows.tolist())
    return Encoded(
        classes=classes, words=words, labels=labels.reshape(-1).astype(np.int64), targets=targets,
        strata=strata.astype(np.int64),
    )  # fmt: skip


def _form(label: Any) -> str:
    """What a label is, in a message."""
    shape = tuple(getattr(label, "shape", ()))
    if len(shape) > 1:
        return f"an array {shape}"
    return f"{label!r:.60}"
