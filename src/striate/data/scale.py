"""The scale of images deeper than 8 bits: which values become black and white, decided once for a data set.

Few pixels must not decide: a dead sensor element, a value that stands for "no data", a glare. So the scale follows the
values between which 99.8 % of the pixels lie, after values that stand far outside for "no data" are set aside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np

from striate.data.depth import BYTES, LADDER, NUMBERS, SHORTS, Levels, nominal
from striate.data.pool import ordered
from striate.errors import DataError, UsageError

SAMPLE = 200  # images that are looked at
PIXELS = 20_000  # of each
TAIL = 0.001  # of the pixels, at either end, that do not decide
NEAR = 0.5  # of that range: values that begin as near to 0 begin at 0
ROOM = 0.25  # of that range: how far beyond it a value may lie to be taken in
# The value at an end, the next one, the rest, and the share of the pixels that must hold it: at the upper end, where fewer
# may as well be a glare, which is to stay white; at the lower end no data and cut off are both black.
ENDS = ((0, 1, slice(1, None), 1e-4), (-1, -2, slice(None, -1), TAIL))


class Images(Protocol):
    """What a split of images with labels and one with masks share."""

    @property
    def keys(self) -> tuple[str, ...]: ...

    @property
    def deep(self) -> np.ndarray: ...

    @property
    def low(self) -> np.ndarray: ...

    @property
    def high(self) -> np.ndarray: ...

    @property
    def white_stated(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def image(self, index: int) -> np.ndarray: ...


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Which values become black (0) and white (255).

    full_scale: what the files state as white: 255 (8 bits), 65535 (16 bits), 0 where they state nothing.
    nodata: values that are taken as no data, and become black. why: a sentence for each decision.
    values: the sampled values (n,) float32, without those that are no data; outside: the share of them beyond the scale.
    """

    black: float = 0.0
    white: float = 65535.0
    full_scale: float = BYTES
    nodata: tuple[float, ...] = ()
    why: tuple[str, ...] = ()
    values: np.ndarray = field(
        default_factory=lambda: np.zeros(0, np.float32), repr=False, compare=False
    )

    @property
    def levels(self) -> dict[str, Any]:
        """What a `Preprocessing` takes of it."""
        return {
            "black": self.black,
            "white": self.white,
            "full_scale": self.full_scale,
            "nodata": self.nodata,
        }

    def to_dict(self) -> dict[str, Any]:
        """The levels as JSON has them, and the share of the pixels beyond."""
        return {**self.levels, "nodata": list(self.nodata), "outside": self.outside}

    @property
    def outside(self) -> float:
        """Share of the sampled values that lie beyond black or white."""
        if not len(self.values):
            return 0.0
        return float(((self.values < self.black) | (self.values > self.white)).mean())


_measured: WeakKeyDictionary[Images, Scale] = (
    WeakKeyDictionary()
)  # a check, a figure and a plan ask for the same


def measure(split: Images, *, black: float | None = None, white: float | None = None) -> Scale:
    """The scale of a split's images; `black` and `white` are kept where they are given.

    Raises UsageError for a scale that is given for 8-bit images or upside down, DataError where the depths of the images
    cannot be brought together.
    """
    if not split.deep.any():
        if black is not None or white is not None:
            raise UsageError(
                "black and white are for images deeper than 8 bits, and all of these are of 8 bits, from 0 to 255; "
                "leave them out"
            )
        return Scale()
    given = black is not None or white is not None
    if not given and split in _measured:
        return _measured[split]
    stated = {int(s) for s in np.unique(split.white_stated)}
    full = NUMBERS if NUMBERS in stated else SHORTS
    sampled = sample(split)
    nodata, values = set_aside(sampled)
    if not len(values):
        raise DataError("the images deeper than 8 bits hold no number; look at them")
    robust = _robust(values, split, nodata)
    chosen = (robust[0] if black is None else black, robust[1] if white is None else white)
    if not chosen[1] > chosen[0]:
        black_is, white_is = (
            f"{name} {value:g}{' (robust in the images)' if own is None else ''}"
            for name, value, own in zip(("black", "white"), chosen, (black, white), strict=True)
        )
        raise UsageError(
            f"white must be above black, got {black_is} and {white_is}; the images hold values from {values.min():g} to "
            f"{values.max():g}"
        )
    scale = Scale(black=chosen[0], white=chosen[1], full_scale=full, nodata=nodata, values=values)
    scale = replace(scale, why=tuple(_why(scale, sampled, given=given)))
    if not given:
        _measured[split] = scale
    return scale


def sample(split: Images) -> np.ndarray:
    """Values (n,) float32 of the pixels of deep images, drawn at random over the split and its classes; no NaN."""
    deep = np.flatnonzero(split.deep)
    labels = getattr(split, "labels", None)
    rng = np.random.default_rng(0)
    order = rng.permutation(deep)
    if labels is not None:  # classes in turn, so that a rare one is seen too
        turn = np.zeros(len(order), dtype=np.int64)
        for label in np.unique(labels[order]):
            turn[labels[order] == label] = np.arange((labels[order] == label).sum())
        order = order[np.argsort(turn, kind="stable")]
    chosen = np.sort(order[:SAMPLE])
    parts = list(ordered(lambda i: _some(split.image(int(i)), int(i)), chosen))
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _some(image: np.ndarray, seed: int) -> np.ndarray:
    values = image.reshape(-1)
    if len(values) > PIXELS:
        values = values[np.random.default_rng(seed).integers(0, len(values), PIXELS)]
    values = values.astype(np.float32)
    return values[np.isfinite(values)]


def set_aside(values: np.ndarray) -> tuple[tuple[float, ...], np.ndarray]:
    """Values that stand for no data, and the rest: one value that many pixels hold, farther from the next value than all
    of the rest is wide, such as -9999 beside heights from 200 to 323.
    """
    values_aside: list[float] = []
    while len(values):
        unique, counts = np.unique(values, return_counts=True)
        if len(unique) < 4:
            break
        for at, other, body, part in ENDS:
            least = max(2.0, part * len(values))
            rest = np.repeat(unique[body], np.minimum(counts[body], 2**31))
            low, high = _percentiles(rest)
            if counts[at] >= least and high > low and abs(unique[other] - unique[at]) > high - low:
                values_aside.append(float(unique[at]))
                values = values[values != unique[at]]
                break
        else:
            break
    return tuple(sorted(values_aside)), values


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    # The values that lie inside, not beyond: one of a thousand pixels must not pull them out.
    low = np.quantile(values, TAIL, method="higher")
    high = np.quantile(values, 1 - TAIL, method="lower")
    return float(min(low, high)), float(max(low, high))


def _robust(values: np.ndarray, split: Images, nodata: Sequence[float]) -> tuple[float, float]:
    """Black and white that use the grey levels, whatever few pixels hold."""
    low, high = _percentiles(values)
    room = ROOM * (high - low)
    near = [
        values,
        *(ends[split.deep & ~np.isin(ends, nodata)] for ends in (split.low, split.high)),
    ]
    every = np.concatenate(near)
    every = every[(every >= low - room) & (every <= high + room)]
    black, white = float(every.min()), float(every.max())
    width = white - black
    if 0 <= black <= width * NEAR:
        black = 0.0  # costs a third of the grey levels at most, and black stays black
    steps = [step for step in LADDER if step >= white]
    # A full scale that the data fill by less than half would waste grey levels of the 8 bits.
    if black == 0 and white == int(white) and steps and width > steps[0] / 2:
        white = float(steps[0])
    return black, white if white > black else black + 1


def scale_of(split: Images, levels: Levels | None = None) -> Scale | None:
    """The scale of a split by which its deep images are shown, that of `levels` if given; None without deep images."""
    if not len(split) or not split.deep.any():
        return None
    try:
        scale = measure(split)
    except DataError:
        return None
    if levels is None or levels.full_scale == BYTES:
        return scale
    return replace(scale, black=levels.black, white=levels.white, nodata=levels.nodata, why=())


def check_together(splits: Iterable[Images], scale: Scale) -> None:
    """Raise DataError if a split holds images of a depth that nothing relates to the scale."""
    whole = scale.full_scale == SHORTS and nominal(scale.black, scale.white)
    for split in splits:
        odd = NUMBERS if scale.full_scale == BYTES else BYTES
        at = np.flatnonzero(split.white_stated == odd)
        if not len(at) or (odd == BYTES and whole):
            continue
        learned = _KINDS[int(scale.full_scale)]
        if scale.full_scale != BYTES:
            learned += f" from {scale.black:g} to {scale.white:g}"
        remedy = ""
        if scale.full_scale == SHORTS:
            remedy = (
                ", or say that a full scale is meant, such as black=0 and white=4095 for 12 bits"
            )
        raise DataError(
            f"{len(at):,} of {len(split):,} images are of {_KINDS[odd]} ({split.keys[int(at[0])]}), others of "
            f"{learned}, and no file states how the two relate; save all in one depth{remedy}"
        )


_KINDS = {BYTES: "8 bits", SHORTS: "16 bits", NUMBERS: "floating, signed or 32-bit numbers"}


def _why(scale: Scale, sampled: np.ndarray, *, given: bool) -> list[str]:
    values = scale.values
    chosen = "as given" if given else "where the pixels lie"
    lines = [
        f"Images deeper than 8 bits hold values from {values.min():g} to {values.max():g}; {scale.black:g} becomes black "
        f"and {scale.white:g} white in every image, {chosen}."
    ]
    if scale.outside:
        lines.append(f"{share(scale.outside)} of their pixels lie beyond and are cut off there.")
    for value in scale.nodata:
        held = share(float((sampled == np.float32(value)).mean()))
        lines.append(
            f"{value:g} stands far outside all other values in {held} of the pixels: taken as no data, which becomes black."
        )
    return lines


def share(part: float) -> str:
    """A share of pixels, never rounded to nothing."""
    return "fewer than 0.01%" if 0 < part < 1e-4 else f"{part:.2%}" if part < 0.1 else f"{part:.0%}"
