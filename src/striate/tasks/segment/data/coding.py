"""Coding: from what a mask file holds to class indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from striate.data.source import Damage
from striate.tasks.segment.data.reading import TRANSPARENT, RawMask

IGNORE = 255  # the label of pixels that neither train nor count
MOST_CLASSES = 255


@dataclass(frozen=True, kw_only=True)
class Coding:
    """Which raw value is which class.

    colour: whether raw values are colours, 0xRRGGBB. values: raw values that have a class; classes: the class index of each,
    0, 1, 2, ... if not given, IGNORE for pixels without a label. other: what any other value becomes. nearest: any other
    value takes the class of the nearest of `values` instead.
    """

    colour: bool
    values: tuple[int, ...]
    classes: tuple[int, ...] | None = None
    other: int = IGNORE
    nearest: bool = False

    @property
    def table(self) -> dict[int, int]:
        """Raw value -> class index or IGNORE."""
        return dict(zip(self.values, self.classes or range(len(self.values)), strict=True))

    def read(self, mask: RawMask) -> np.ndarray:
        """Class indices (H, W) uint8 of a mask, as its rows stand in the file."""
        return self.apply(mask.colours() if self.colour else mask.numbers())

    def apply(self, raw: np.ndarray) -> np.ndarray:
        """Raw values (H, W) to class indices (H, W) uint8."""
        known, classes = self._sorted()
        place = np.searchsorted(known, raw).clip(max=len(known) - 1)
        hit = known[place] == raw
        coded = np.where(hit, classes[place], self.other)
        if self.nearest and not hit.all():
            strange, inverse = np.unique(raw[~hit], return_inverse=True)
            coded[~hit] = classes[self._near(strange, known)][inverse]
        return coded.astype(np.uint8)

    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        table = self.table
        known = np.array(sorted(table), dtype=np.int64)
        return known, np.array([table[v] for v in known.tolist()], dtype=np.int64)

    def _near(self, strange: np.ndarray, known: np.ndarray) -> np.ndarray:
        return np.array([int(distance(int(v), known, self.colour).argmin()) for v in strange])


def distance(value: int, others: np.ndarray, colour: bool) -> np.ndarray:
    """How far a raw value lies from others: by number, or by the root of the squared differences of red, green and blue."""
    if not colour:
        return np.abs(others - value).astype(np.float64)
    a = np.array([value >> 16 & 255, value >> 8 & 255, value & 255])
    b = np.stack([others >> 16 & 255, others >> 8 & 255, others & 255], -1)
    far = np.sqrt(((a - b) ** 2).sum(-1))
    return np.where((others == TRANSPARENT) != (value == TRANSPARENT), np.inf, far)


def shown(value: int, colour: bool) -> str:
    """A raw value as people write it: 7, #ff8000, or transparent."""
    if not colour:
        return str(value)
    return "transparent" if value == TRANSPARENT else f"#{value:06x}"


def unknown_values(
    each: Sequence[dict[int, int]], keys: Sequence[str], coding: Coding
) -> tuple[Damage, ...]:
    """Masks that hold values that are no class, with the values; such pixels are ignored."""
    if coding.nearest or coding.other != IGNORE:
        return ()
    allowed = set(coding.values)
    damage = []
    for key, one in zip(keys, each, strict=True):
        wrong = sorted(set(one) - allowed, key=lambda v: -one[v])
        if wrong:
            pixels = sum(one[v] for v in wrong)
            listed = ", ".join(shown(v, coding.colour) for v in wrong[:4])
            damage.append(Damage(path=key, reason=f"{pixels:,} pixels of no class ({listed})"))
    return tuple(damage)
