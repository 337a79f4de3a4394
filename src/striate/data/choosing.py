"""The choice of a preprocessing from what the data look like, with its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from striate.data.depth import BYTES, there
from striate.data.drawing import drawn, shuffled
from striate.data.pool import ordered
from striate.data.preprocessed import preprocessed
from striate.data.preprocessing import Fit, Interpolation, Preprocessing
from striate.data.scale import check_together, measure
from striate.data.source import Source, Split, refuse_empty
from striate.errors import DataError

SIDES = (32, 48, 64, 96, 128, 160, 192, 224)
NATIVE = 96  # pixels; images that all have one size up to this are taken as they are
PIXELS = 2**27  # resized for the mean and standard deviation, at most
SAMPLE = 200  # images for mean and standard deviation where they must be decoded


def choose_preprocessing(
    source: Source,
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    fit: Fit | None = None,
    interpolation: Interpolation | None = None,
    crop_fraction: float | None = None,
    black: float | None = None,
    white: float | None = None,
) -> Preprocessing:
    """Choose how images are preprocessed by looking at the training split; what is given is kept.

    size: pixels a side, or (height, width). `why` of the result has a sentence for each choice.
    black, white: the values of images deeper than 8 bits that become 0 and 255. Raises DataError if there is nothing to
    train on, or depths that nothing relates to each other; UsageError for levels that cannot be.
    """
    split = source.train
    refuse_empty(source)
    why: list[str] = []
    height, width = _size(split, size, why)
    sample = _sample(split)
    channels = channels if channels is not None else _channels(split, why)
    fit = fit if fit is not None else _fit(split, height, width, why)
    scale = measure(split, black=black, white=white)
    check_together(source.splits.values(), scale)
    why += scale.why
    draft = Preprocessing(
        channels=channels,
        height=height,
        width=width,
        fit=fit,
        interpolation=interpolation or "bilinear",
        crop_fraction=1.0 if crop_fraction is None else crop_fraction,
        **scale.levels,
    )
    if mean is None or std is None:
        found_mean, found_std = _statistics(split, sample, draft, why)
        mean, std = mean or found_mean, std or found_std
    return Preprocessing.from_dict(
        {**draft.to_dict(), "mean": list(mean), "std": list(std), "why": why}
    )


def _sample(split: Split) -> np.ndarray:
    most = len(split) if split.array is not None else SAMPLE
    return drawn(len(split), most)


def _size(split: Split, size: int | tuple[int, int] | None, why: list[str]) -> tuple[int, int]:
    if size is not None:
        return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    height, width = (int(v) for v in split.sizes[0])
    if (split.sizes == split.sizes[0]).all() and max(height, width) <= NATIVE:
        why.append(f"All images are {height} x {width} pixels, so they enter as they are.")
        return height, width
    middle = float(np.median(split.sizes.min(axis=1)))
    side = max([s for s in SIDES if s <= middle], default=SIDES[0])
    why.append(
        f"Half of the images have a shorter side of {middle:,.0f} pixels or more, so they enter at "
        f"{side} x {side}; larger costs time with the square of the side."
    )
    return side, side


def _channels(split: Split, why: list[str]) -> int:
    if (split.channels == 1).all():
        why.append("All images are grey: one channel.")
        return 1
    if split.array is None and _all_grey(split):
        why.append("The images are stored in colour but hold only greys: one channel.")
        return 1
    if (split.channels == 1).any():
        share = float((split.channels == 1).mean())
        why.append(
            f"{share:.0%} of the images are grey, the others colour: three channels for all."
        )
    else:
        why.append("The images are in colour: three channels.")
    return 3


def _all_grey(split: Split) -> bool:
    """Whether no training image has any colour: all are looked at, pixel by pixel, until one has."""
    at = np.flatnonzero(split.channels == 3)
    images = ordered(lambda i: split.image(int(i)), at[shuffled(len(at))])
    return all(bool((image == image[..., :1]).all()) for image in images)


def _fit(split: Split, height: int, width: int, why: list[str]) -> Fit:
    lost = {
        fit: np.array(
            [
                Preprocessing(channels=1, height=height, width=width, fit=fit).lost_fraction(h, w)
                for h, w in np.unique(split.sizes, axis=0)
            ]
        )
        for fit in ("crop", "squash")
    }
    counts = np.unique(split.sizes, axis=0, return_counts=True)[1]
    cut, squeeze = (float(np.average(lost[fit], weights=counts)) for fit in ("crop", "squash"))
    if squeeze == 0:
        return "squash"
    if cut <= 0.1:
        why.append(f"A crop to the middle loses only {cut:.0%} of the area: crop.")
        return "crop"
    if squeeze <= 0.5:
        why.append(
            f"A crop would lose {cut:.0%} of the area, so images are squashed to the shape instead "
            f"(one axis by {squeeze:.0%} more than the other)."
        )
        return "squash"
    why.append(
        f"A crop would lose {cut:.0%} of the area and squashing would distort by {squeeze:.0%}, "
        "so bars are added."
    )
    return "pad"


def _without_data(split: Split, draft: Preprocessing) -> np.ndarray:
    """(N,) bool: images deeper than 8 bits of which some pixels may be no data."""
    missing = np.zeros(len(split)) if split.missing is None else split.missing
    return np.asarray(split.deep & ((missing > 0) | bool(draft.nodata)))


def _statistics(
    split: Split, sample: np.ndarray, draft: Preprocessing, why: list[str]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if draft.fit == "pad":  # the bars are to take the mean, not to make it
        draft = replace(draft, fit="squash")
    most = max(8, PIXELS // (draft.height * draft.width))
    if len(sample) > most:
        sample = sample[:: -(-len(sample) // most)]
    counts = np.zeros((draft.channels, 256), dtype=np.int64)
    gaps = sample[_without_data(split, draft)[sample]]
    for part in preprocessed(split, draft, np.setdiff1d(sample, gaps)):
        for channel in range(draft.channels):
            counts[channel] += np.bincount(part[:, channel].reshape(-1), minlength=256)
    for index in gaps.tolist():  # no data is black to the network, and no brightness of the images
        image = split.image(index)
        lost = 0.0 if split.missing is None else float(split.missing[index])
        held = there(image, draft, lost)[..., None].astype(np.uint8) * 255
        inside = replace(
            draft, channels=1, mean=(), std=(), black=0.0, white=255.0, full_scale=BYTES, nodata=()
        )
        seen = inside.apply(held)[0] == 255
        for channel, values in enumerate(draft.apply(image)):
            counts[channel] += np.bincount(values[seen], minlength=256)
    if not counts.any():
        raise DataError(
            f"no pixel of {len(sample):,} training images holds data; look at the files"
        )
    levels = np.arange(256) / 255
    total = counts.sum(axis=1)
    mean = counts @ levels / total
    std = np.sqrt(np.maximum(counts @ levels**2 / total - mean**2, 0))
    seen = "all" if len(sample) == len(split) else f"{len(sample)} of {len(split):,}"
    why.append(f"Mean and standard deviation are those of {seen} training images.")
    # An image set of one value has no spread; a grey level is the least difference there is.
    return tuple(mean.round(5).tolist()), tuple(np.maximum(std, 1 / 255).round(5).tolist())
