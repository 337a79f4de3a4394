"""Glyphs: generated identities, each a drawn sign on a patterned card, under pose, light and occlusion.

What is drawn makes the identity; where the card lies, how it is lit, what lies beside it and what covers it is an image's
own. So an embedding that is worth anything is the same for all images of a card, and identities can be had by the hundred.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from striate.data import Source
from striate.data.pool import ordered
from striate.data.source import ArraySplit
from striate.errors import UsageError

NAME = "glyphs"
ABOUT = "generated signs on cards under pose, light and occlusion, 64 x 64 colour: 250 identities, or as many as you like"
EACH, COUNT, LEAST = 16, 4_000, 96  # images of an identity; in all; and at least, of six identities
MOST = 500_000
SIDE, TEMPLATE, FINER = 64, 128, 2  # pixels of an image, of a card, and of its drawing, times
MARGIN = 10  # pixels of a card's template that are the table
STROKES = (3, 6)
COVERED = 0.4  # share of images in which something covers a part


Span = tuple[float, float]


def ink(rng: np.random.Generator, lightness: Span, colour: Span) -> tuple[int, int, int]:
    """A colour of a random hue."""
    rgb = colorsys.hls_to_rgb(rng.random(), rng.uniform(*lightness), rng.uniform(*colour))
    return (round(255 * rgb[0]), round(255 * rgb[1]), round(255 * rgb[2]))


def card(seed: int, identity: int) -> np.ndarray:
    """The card of an identity with its sign, (128, 128, 4) uint8, transparent beside it: a function of seed and identity."""
    rng = np.random.default_rng((seed, identity, 0))
    side = TEMPLATE * FINER
    low, high = MARGIN * FINER, side - MARGIN * FINER
    page = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(page)
    paper = (*ink(rng, (0.72, 0.88), (0.2, 0.7)), 255)
    draw.rounded_rectangle((low, low, high, high), radius=side // 12, fill=paper)
    sign, many = ink(rng, (0.12, 0.38), (0.3, 0.9)), int(rng.integers(*STROKES))
    places = (rng.permutation(9)[: many + 1], rng.uniform(-0.3, 0.3, (many + 1, 2)))
    ends = (np.stack([places[0] % 3, places[0] // 3], 1) + 0.5 + places[1]) / 3
    ends = low + side * 0.08 + ends * (high - low - side * 0.16)
    for k in range(many):
        a, b = ends[k], ends[k + 1] if rng.random() < 0.75 else ends[int(rng.integers(many))]
        bend = (a + b) / 2 + rng.normal(0, side * 0.12, 2)
        t = np.linspace(0, 1, 24)[:, None]
        points = ((1 - t) ** 2 * a + 2 * t * (1 - t) * bend + t**2 * b).clip(low + 6, high - 6)
        width = int(rng.integers(side // 24, side // 13))
        draw.line([tuple(p) for p in points.tolist()], fill=(*sign, 255), width=width, joint="curve")  # fmt: skip
        for x, y in points.tolist():  # round ends and bends
            draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=(*sign, 255))  # fmt: skip
    made = np.asarray(page.resize((TEMPLATE, TEMPLATE), Image.Resampling.LANCZOS), dtype=np.float32).copy()  # fmt: skip
    made[..., :3] += pattern(rng)[..., None]
    return np.clip(np.rint(made), 0, 255).astype(np.uint8)


def pattern(rng: np.random.Generator) -> np.ndarray:
    """The weave of a card, two waves in directions of its own, (128, 128) float in grey levels."""
    y, x = np.mgrid[:TEMPLATE, :TEMPLATE] / TEMPLATE
    weave = np.zeros((TEMPLATE, TEMPLATE))
    for _ in range(2):
        angle, cycles, phase = rng.uniform(0, np.pi), rng.uniform(4, 14), rng.uniform(0, 2 * np.pi)
        weave += np.sin(2 * np.pi * cycles * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    return 7.0 * weave


def placed(drawn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A card (128, 128, 4) as it lies: turned, moved, nearer or farther, seen askew; (64, 64, 4) uint8."""
    angle = np.deg2rad(rng.uniform(-25, 25))
    size = rng.uniform(0.72, 1.0) * SIDE / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=np.float64)
    corners = (
        SIDE / 2 + rng.uniform(-5, 5, 2) + size * (square * rng.uniform(0.85, 1.0, 2)) @ turn.T
    )
    corners += rng.uniform(-4, 4, (4, 2))  # the tilt
    source = (square + 1) * TEMPLATE / 2
    image = Image.fromarray(drawn)
    return np.asarray(
        image.transform((SIDE, SIDE), Image.Transform.PERSPECTIVE, perspective(corners, source), Image.Resampling.BICUBIC)
    )  # fmt: skip


def perspective(output: np.ndarray, source: np.ndarray) -> list[float]:
    """The eight numbers by which Pillow finds, for a place in the output, the one in the source. Both (4, 2): x, y."""
    rows, ends = [], []
    for (x, y), (u, v) in zip(output.tolist(), source.tolist(), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        ends += [u, v]
    solved: list[float] = np.linalg.solve(np.array(rows), np.array(ends)).tolist()
    return solved


def glyph_image(seed: int, identity: int, sample: int, *, drawn: np.ndarray | None = None) -> np.ndarray:  # fmt: skip
    """Image `sample` of an identity: (64, 64, 3) uint8, a function of the three numbers alone.

    drawn: what `card` gives for the identity, (128, 128, 4), where it is at hand.
    """
    rng = np.random.default_rng((seed, identity, sample + 1))
    layer = placed(card(seed, identity) if drawn is None else drawn, rng).astype(np.float32)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) / (SIDE - 1) - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    slope = x * np.cos(angle) + y * np.sin(angle)
    table = np.array(ink(rng, (0.2, 0.75), (0.0, 0.45)), dtype=np.float32)
    grain = rng.normal(0, rng.uniform(1, 9), (SIDE, SIDE, 1))
    opacity = layer[..., 3:] / 255
    picture = (1 - opacity) * (table + grain) + opacity * layer[..., :3]
    if rng.random() < COVERED:
        picture = covered(picture, x, y, rng)
    light = rng.uniform(0.55, 1.15) * (1 + rng.uniform(0, 0.7) * slope)[..., None]
    cast = rng.uniform(0.88, 1.12, 3)
    noise = rng.normal(0, rng.uniform(0.5, 4), picture.shape)
    return np.clip(np.rint(picture * light * cast + noise), 0, 255).astype(np.uint8)


def covered(picture: np.ndarray, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:  # fmt: skip
    """A picture (64, 64, 3) with something round or a bar over a part of it. x, y: (64, 64), -0.5 to 0.5."""
    angle, (u, v) = rng.uniform(0, np.pi), rng.uniform(-0.4, 0.4, 2)
    along = (x - u) * np.cos(angle) + (y - v) * np.sin(angle)
    across = -(x - u) * np.sin(angle) + (y - v) * np.cos(angle)
    if rng.random() < 0.5:
        inside = np.abs(across) < rng.uniform(0.05, 0.11)
    else:
        a, b = rng.uniform(0.12, 0.26, 2)
        inside = (along / a) ** 2 + (across / b) ** 2 < 1
    colour = np.array(ink(rng, (0.1, 0.9), (0.0, 0.8)), dtype=np.float32)
    return np.where(inside[..., None], colour, picture)


def open_glyphs(
    *, seed: int = 0, count: int | None = None, progress: Callable[[int, int], None] | None = None
) -> Source:
    """Generate `count` images, 16 of each identity, all in the training split: whoever takes them splits by identity.

    Raises UsageError for a count out of range.
    """
    count = COUNT if count is None else count
    if not LEAST <= count <= MOST:
        raise UsageError(
            f"count must be {LEAST} to {MOST:,} for glyphs, {EACH} images of each identity, got {count:,}"
        )
    identities = -(-count // EACH)
    images = np.empty((count, SIDE, SIDE, 3), dtype=np.uint8)

    def draw(identity: int) -> list[np.ndarray]:
        drawn = card(seed, identity)
        mine = range(min(EACH, count - identity * EACH))
        return [glyph_image(seed, identity, sample, drawn=drawn) for sample in mine]

    for identity, made in enumerate(ordered(draw, range(identities))):
        at = identity * EACH
        images[at : at + len(made)] = np.stack(made)
        if progress is not None:
            progress(at + len(made), count)
    labels = np.arange(count) // EACH
    digits = len(str(identities - 1))
    split = ArraySplit.of(images, labels, [f"{NAME}/{n // EACH}/{n % EACH}" for n in range(count)])
    return Source(
        name=NAME,
        classes=tuple(f"glyph {i:0{digits}d}" for i in range(identities)),
        train=split,
        val=split.take([]),
        test=split.take([]),
        where=f"generated from seed {seed}",
        fingerprint="",
        horizontal_flip=False,
    )
