"""Copies: how alike an image and an altered copy of it are to a network, which says what a near-duplicate is in these
data."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from striate.data.drawing import drawn
from striate.findings import Table

IMAGES = 32  # that are altered
KEPT = 0.95  # share of the copies that are to be found
REACH = 6.0  # robust standard deviations above the median of different images: 1 in 10^9 of a normal distribution
MAD = 1.4826  # of the median absolute deviation, to a normal's standard deviation
HIGHEST = 0.9999
DRAWN, PAIRS = 2000, 200_000  # images, and pairs of them, whose similarities are looked at


def _recompressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=50)
    return Image.open(buffer)


def _scaled(image: Image.Image) -> Image.Image:
    return image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.BILINEAR)  # fmt: skip


def _cropped(image: Image.Image) -> Image.Image:
    left, top = round(image.width * 0.06), round(image.height * 0.04)
    return image.crop(
        (
            left,
            top,
            image.width - round(image.width * 0.04),
            image.height - round(image.height * 0.06),
        )
    )


ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half the size": _scaled,
    "JPEG of quality 50": _recompressed,
    "a fifth brighter": lambda image: image.point(lambda value: min(255, round(value * 1.2))),
    "a tenth cut off": _cropped,
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


@dataclass(frozen=True, kw_only=True)
class Level:
    """From which similarity on two images are near-duplicates, and why.

    value: the threshold. copies: the similarity that `KEPT` of the altered copies have; different: what different images
    hardly reach. kept: the share of the copies that are found, by alteration. images: that were altered.
    """

    value: float
    copies: float
    different: float
    kept: dict[str, float]
    images: int

    @property
    def reason(self) -> str:
        """In a sentence."""
        kinds = ", ".join(ALTERATIONS)
        if self.value <= self.copies:
            return (
                f"{KEPT:.0%} of altered copies of {self.images} of these images ({kinds}) are {self.copies:.3f} alike "
                "or more"
            )
        return (
            f"different images of these data are so alike to the network that copies are told from them only above "
            f"{self.value:.3f} (altered copies are {self.copies:.3f} alike or more in {KEPT:.0%} of the cases)"
        )

    @property
    def table(self) -> Table:
        """The share of the altered copies that are found, a row an alteration."""
        return Table(
            columns=("altered copy", "found"), rows=tuple((name, self.kept[name]) for name in ALTERATIONS),
            formats=("", ".0%"),
            caption=(
                f"The share of altered copies that are found. The threshold is {self.value:.3f}: {self.reason}"
            ),
        )  # fmt: skip


def level_of(
    images: Sequence[np.ndarray],
    embed: Callable[[Sequence[np.ndarray]], np.ndarray],
    others: np.ndarray,
) -> Level:
    """What near-duplicates are, by altered copies of some images and by the similarity of different ones.

    images: (H, W, C) uint8 each. embed: images to unit vectors (n, d). others: (m,) similarities of pairs drawn at random,
    of which a few may be near-duplicates themselves: their median and spread count, which those do not move.
    """
    own = embed(images)
    similarities: dict[str, np.ndarray] = {}
    for name, alter in ALTERATIONS.items():
        altered = [np.asarray(alter(_picture(image))) for image in images]
        vectors = embed([a[..., None] if a.ndim == 2 else a for a in altered])
        similarities[name] = np.einsum("nd,nd->n", own, vectors)
    every = np.concatenate(list(similarities.values()))
    copies = float(np.quantile(every, 1 - KEPT))
    # Similarities crowd together below 1; Fisher's (1915) transform makes their distribution nearly normal there too.
    z = np.arctanh(np.clip(others, -HIGHEST, HIGHEST).astype(np.float64))
    middle = float(np.median(z)) if len(z) else 0.0
    spread = MAD * float(np.median(np.abs(z - middle))) if len(z) else 0.0
    different = min(HIGHEST, float(np.tanh(middle + REACH * spread)))
    value = max(copies, different)
    kept = {name: float((s >= value).mean()) for name, s in similarities.items()}
    return Level(value=value, copies=copies, different=different, kept=kept, images=len(images))


def random_similarities(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Similarities (m,) of different ones of unit vectors (N, d), drawn at random; none of fewer than two."""
    if len(vectors) < 2:
        return np.empty(0, np.float32)
    rng = np.random.default_rng(seed)
    some = vectors[drawn(len(vectors), DRAWN, seed=seed)]
    first = rng.integers(0, len(some), PAIRS)
    second = (first + rng.integers(1, len(some), PAIRS)) % len(some)
    scores = [
        np.einsum("nd,nd->n", some[a], some[b])
        for a, b in zip(np.array_split(first, 64), np.array_split(second, 64), strict=True)
    ]
    return np.concatenate(scores)


def _picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
