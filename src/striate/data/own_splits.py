"""Splits given in Python: a dict of train, val and test, each data of its own, joined into one row of items."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from striate.data.naming import SPLIT_NAMES
from striate.data.source import SPLITS
from striate.errors import DataError, UsageError


class Joined:
    """Rows of items one after another, (image, label) by number; each item is read when it is asked for."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = parts
        self.ends = list(accumulate(len(part) for part in parts))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, number: int) -> Any:
        part = bisect_right(self.ends, number)
        return self.parts[part][number - (self.ends[part - 1] if part else 0)]


def parts_of(data: Any) -> dict[str, Any] | None:
    """What a dict gives as `train`, `val` and `test`, in this order; None where no key names a split.

    Training items stand first, so that a transform that draws at random is found in them. Raises UsageError for a key that
    names no split, two that name the same, and a dict without `train`.
    """
    if not isinstance(data, Mapping):
        return None
    named = {key: SPLIT_NAMES.get(str(key).strip().casefold()) for key in data}
    if not any(named.values()):
        return None
    odd = [str(key) for key, split in named.items() if split is None]
    if odd:
        raise UsageError(
            f"{', '.join(odd)} in a dict of splits is no split; splits are {', '.join(SPLITS)}"
        )
    given = list(named.values())
    twice = next((split for split in given if given.count(split) > 1), None)
    if twice is not None:
        keys = [repr(key) for key, split in named.items() if split == twice]
        raise UsageError(f"{' and '.join(keys)} both name the split {twice}; give one of them")
    if "train" not in given:
        raise UsageError(
            f"the dict gives {' and '.join(map(str, given))}, and no 'train' to learn from; give it, or give one Dataset, "
            "whose splits are drawn"
        )
    parts = {split: data[key] for key, split in named.items() if split is not None}
    return {split: parts[split] for split in SPLITS if split in parts}


def names_in(parts: Mapping[str, Sequence[str] | None]) -> Sequence[str] | None:
    """The class names of all splits. Raises DataError where two splits name them otherwise: label 0 would be two classes."""
    known = {split: tuple(names) for split, names in parts.items() if names is not None}
    if len(set(known.values())) > 1:
        told = "; ".join(
            f"{split}: {', '.join(map(str, names[:5]))}" for split, names in known.items()
        )
        raise DataError(
            f"the splits have different classes ({told}); give all of them the same, in the same order"
        )
    return next(iter(known.values()), None)


def codes_of(lengths: Mapping[str, int]) -> np.ndarray:
    """(N,) int8 codes of the splits of joined items. lengths: items of each split, in the order in which they are joined."""
    return np.repeat([SPLITS.index(split) for split in lengths], list(lengths.values())).astype(np.int8)  # fmt: skip
