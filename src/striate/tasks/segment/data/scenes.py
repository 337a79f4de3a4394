"""Scenes: real digits or clothes laid over photographs at random places and sizes, with exact labels for every pixel."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from striate.data.source import Source, Split
from striate.data.splitting import fractions
from striate.errors import UsageError
from striate.tasks.segment.data.source import ArrayMaskSplit, MaskSource

COUNT, SIZE = 3_000, 96
SIDES = range(32, 8193)
LEAST, MOST = 0.17, 0.34  # side of an item, over the side of a scene of SIZE pixels
ITEMS = 8 / SIZE**2  # items a pixel of canvas
HIDDEN = 0.25  # share of an item that later ones may cover
MOST_BYTES = 8 * 2**30
INSIDE = {
    "digits": 0.45,
    "fashion-mnist": 0.12,
}  # of full ink: from here on a pixel belongs to the item


@cache
def _backgrounds() -> tuple[np.ndarray, ...]:
    """The photographs that scikit-learn carries (a temple, a flower), (H, W, 3) float in [0, 1]."""
    from sklearn.datasets import load_sample_images

    return tuple(image.astype(np.float32) / 255 for image in load_sample_images().images)


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """A piece of a photograph, (size, size, 3) in [0, 1], at a random place and scale, turned and faded at random."""
    photo = _backgrounds()[rng.integers(len(_backgrounds()))]
    side = int(rng.integers(64, min(photo.shape[:2]) + 1))
    top = int(rng.integers(photo.shape[0] - side + 1))
    left = int(rng.integers(photo.shape[1] - side + 1))
    piece = photo[top : top + side, left : left + side]
    pixels = Image.fromarray((piece * 255).astype(np.uint8)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    turned = np.rot90(np.asarray(pixels), int(rng.integers(4))).astype(np.float32) / 255
    contrast = rng.uniform(0.3, 0.9)
    return (turned - 0.5) * contrast + rng.uniform(0.35, 0.65)


@dataclass(frozen=True, eq=False)
class Scene:
    """An image with the exact place of every item in it.

    image: (S, S, 3) uint8. mask: (S, S) uint8, 0 background, 1 + label where an item is. numbers: (S, S) int32, which item
    is seen, from 1 in the order in which they were laid, 0 background. laid: pixels of each item before others covered it.
    """

    image: np.ndarray
    mask: np.ndarray
    numbers: np.ndarray
    laid: tuple[int, ...]


def scene(
    items: np.ndarray, labels: np.ndarray, rng: np.random.Generator, *, size: int, inside: float
) -> Scene:
    """One scene of `size` pixels a side.

    items: (N, h, w) uint8, dark ground; labels: (N,). Each is scaled to 17 to 34 % of 96 pixels and takes one colour that
    differs from the ground under it; it may cover up to a quarter of another. inside: share of full ink from which a pixel
    is labelled.
    """
    image = background(rng, size)
    mask = np.zeros((size, size), dtype=np.uint8)
    numbers = np.zeros((size, size), dtype=np.int32)
    laid: list[int] = []
    count = max(1, int(rng.poisson(ITEMS * size * size)))
    for index in rng.integers(0, len(items), count).tolist():
        side = int(rng.integers(int(LEAST * SIZE), int(MOST * SIZE) + 1))
        big = Image.fromarray(items[index]).resize((side, side), Image.Resampling.BICUBIC)
        ink = np.asarray(big, dtype=np.float32) / 255
        top, left = (int(rng.integers(-side // 4, size - side * 3 // 4)) for _ in range(2))
        rows = slice(max(top, 0), min(top + side, size))
        cols = slice(max(left, 0), min(left + side, size))
        ink = ink[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left]
        covered = ink > inside
        before = mask[rows, cols]
        if not covered.any() or (covered & (before > 0)).sum() > HIDDEN * covered.sum():
            continue
        under = image[rows, cols]
        colour = rng.uniform(0, 1, 3).astype(np.float32)
        ground = under[covered].mean(0)
        if np.abs(colour - ground).mean() < 0.35:
            colour = np.where(ground < 0.5, np.maximum(colour, 0.85), np.minimum(colour, 0.15))
        # What is labelled is opaque, shaded by its ink; its outline is smoothed over a pixel by the resize itself.
        texture = (0.7 + 0.3 * ink)[..., None]
        image[rows, cols] = np.where(covered[..., None], colour * texture, under)
        mask[rows, cols][covered] = labels[index] + 1
        laid.append(int(covered.sum()))
        numbers[rows, cols][covered] = len(laid)
    noise = rng.normal(0, 0.02, image.shape).astype(np.float32)
    pixels = (np.clip(image + noise, 0, 1) * 255).round().astype(np.uint8)
    return Scene(pixels, mask, numbers, tuple(laid))


def drawn_scenes(
    items: Source, *, seed: int, val: float | None, test: float | None, count: int, size: int
) -> dict[str, Iterator[Scene]]:
    """The scenes of each split, in order. Training scenes show training items, test scenes test items.

    A scene depends on seed, split, number and size alone. Raises UsageError if a number is out of range.
    """
    if count < 10 or count * size * size * 4 > MOST_BYTES:
        raise UsageError(f"count must be 10 or more and fit into 8 GiB of memory, got {count}")
    if size not in SIDES:
        raise UsageError(f"size must be {SIDES[0]} to {SIDES[-1]} pixels, got {size}")
    val, test = fractions(count, val, test)
    counts = {"val": round(val * count), "test": round(test * count)}
    counts["train"] = count - sum(counts.values())

    def draw(number: int, name: str, split: Split) -> Iterator[Scene]:
        array = split.array
        assert array is not None
        for i in range(counts[name]):
            rng = np.random.default_rng((seed, number, i, size))
            yield scene(array[..., 0], split.labels, rng, size=size, inside=INSIDE[items.name])

    return {name: draw(n, name, split) for n, (name, split) in enumerate(items.splits.items())}


def open_scenes(
    opener: Callable[..., Source],
    *,
    seed: int = 0,
    val: float | None = None,
    test: float | None = None,
    count: int = COUNT,
    size: int = SIZE,
) -> MaskSource:
    """Generate `count` scenes of `size` pixels a side from the items of a classification source.

    See `drawn_scenes`, whose errors it raises.
    """
    items = opener(seed=seed)
    drawn = drawn_scenes(items, seed=seed, val=val, test=test, count=count, size=size)
    classes = ("background", *items.classes)
    splits = {}
    digest = hashlib.sha256()
    for name, scenes in drawn.items():
        pairs = [(s.image, s.mask) for s in scenes]
        images = (
            np.stack([i for i, _ in pairs]) if pairs else np.empty((0, size, size, 3), np.uint8)
        )
        masks = np.stack([m for _, m in pairs]) if pairs else np.empty((0, size, size), np.uint8)
        digest.update(images.tobytes())
        keys = [f"scenes/{name}/{i}" for i in range(len(images))]
        splits[name] = ArrayMaskSplit.of(images, masks, keys, len(classes))
    return MaskSource(
        name="scenes" if items.name == "digits" else "scenes-fashion",
        classes=classes,
        where=f"generated from {items.name} and seed {seed}",
        fingerprint=digest.hexdigest(),
        horizontal_flip=items.horizontal_flip or False,
        generated=True,
        train=splits["train"],
        val=splits["val"],
        test=splits["test"],
    )
