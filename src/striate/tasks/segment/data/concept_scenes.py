"""Concept scenes: colours, stripes, textures, shapes, digits and clothes over photographs, with the exact pixels of each.

What network dissection (Bau et al. 2017) needs to name units, without a download: an item may show several concepts, such
as a red disc, and every pixel's are known.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image

from striate.data.digits import open_digits
from striate.data.fashion import open_fashion
from striate.errors import StriateError
from striate.tasks.segment.data.scenes import INSIDE, background

COLOURS = {
    "red": (0.85, 0.10, 0.10), "orange": (0.95, 0.55, 0.05), "yellow": (0.95, 0.90, 0.10), "green": (0.10, 0.65, 0.15),
    "cyan": (0.10, 0.80, 0.85), "blue": (0.10, 0.20, 0.85), "magenta": (0.85, 0.10, 0.80), "white": (0.97, 0.97, 0.97),
    "black": (0.03, 0.03, 0.03),
}  # fmt: skip
ANGLES = (0, 45, 90, 135)  # of stripes: 0 horizontal, 90 vertical
PERIODS = {"fine": 4.0, "middle": 8.0, "coarse": 16.0}  # pixels of a scene of 112
TEXTURES = ("checks", "dots", "noise", "crosshatch")
SHAPES = ("disc", "ring", "square", "triangle", "cross", "diamond")
SIDE = 112  # pixels; at this size items have 14 to 34 pixels a side
LEAST, MOST = 14, 34  # pixels of an item's side there
SMALLEST = 0.75  # of these sizes, in a smaller scene: stripes of 3 pixels are the finest that pixels can show
WIDEST = 0.8  # of a scene
ITEMS = 14
GROUND = (
    0.2,
    0.8,
)  # grey levels of what lies behind: it is neither white nor black, and has no colour
HIDDEN = 0.2  # share of an item that later ones may cover
NOISE = 0.02

Painted = tuple[np.ndarray, np.ndarray, tuple[str, ...]]
"""Pixels (s, s, 3) in [0, 1], where they belong to the item (s, s) bool, and the concepts that they show."""


class ConceptScenes:
    """`count` scenes of `size` (height, width) pixels, each from the seed and its number alone.

    colours: False for networks that read grey: then there are white and black alone.
    names, kinds (K,): the concepts. missing: why there are no clothes, or empty.
    """

    def __init__(
        self, size: tuple[int, int], count: int, seed: int = 0, *, colours: bool = True
    ) -> None:
        self.size, self.count, self.seed = size, count, seed
        self.unit = max(SMALLEST, min(size) / SIDE)
        self.items = max(1, round(ITEMS * size[0] * size[1] / (SIDE * self.unit) ** 2))
        self.palette = tuple(COLOURS) if colours else ("white", "black")
        items: dict[str, tuple[str, ...]] = {
            "colour": self.palette,
            "stripes": tuple(f"{kind} stripes {a}°" for kind in PERIODS for a in ANGLES),
            "texture": TEXTURES,
            "shape": SHAPES,
        }
        self.pictures: dict[str, tuple[np.ndarray, np.ndarray, tuple[str, ...], float]] = {}
        self.missing = ""
        openers: dict[str, Callable[..., object]] = {"digit": open_digits, "clothes": open_fashion}
        for kind, opener in openers.items():
            try:
                source = opener()
            except StriateError as error:
                self.missing = f"there are no {kind} in the scenes: {error}"
                continue
            split = source.test  # type: ignore[attr-defined]
            names = tuple(f"digit {c}" if kind == "digit" else c for c in source.classes)  # type: ignore[attr-defined]
            inside = INSIDE[source.name]  # type: ignore[attr-defined]
            self.pictures[kind] = (split.array[..., 0], split.labels, names, inside)
            items[kind] = names
        self.names = tuple(name for names in items.values() for name in names)
        self.kinds = tuple(kind for kind, names in items.items() for _ in names)
        self._place = {name: i for i, name in enumerate(self.names)}
        # A rendered scene is asked for twice, for its image and for its masks.
        self.render = lru_cache(maxsize=64)(self._render)

    def _render(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Scene `number`: image (H, W, 3) uint8 and masks (K, H, W) bool."""
        rng = np.random.default_rng((self.seed, number, *self.size))
        height, width = self.size
        grey = background(rng, max(self.size))[:height, :width].mean(2, keepdims=True)
        image = grey.clip(*GROUND).repeat(3, 2)
        masks = np.zeros((len(self.names), height, width), dtype=bool)
        taken = np.zeros((height, width), dtype=bool)
        for _ in range(self.items):
            side = round(min(self.unit * rng.uniform(LEAST, MOST), WIDEST * min(self.size)))
            side = max(2, side)
            pixels, inside, shown = self._item(rng, side)
            top, left = (int(rng.integers(0, n - side + 1)) for n in self.size)
            rows, columns = slice(top, top + side), slice(left, left + side)
            if not inside.any() or (taken[rows, columns] & inside).sum() > HIDDEN * inside.sum():
                continue
            image[rows, columns][inside] = pixels[inside]
            masks[:, rows, columns][:, inside] = False
            for name in shown:
                masks[self._place[name], rows, columns][inside] = True
            taken[rows, columns] |= inside
        image = image + rng.normal(0, NOISE, image.shape)
        return (image.clip(0, 1) * 255).round().astype(np.uint8), masks

    def _item(self, rng: np.random.Generator, side: int) -> Painted:
        """An item of a kind drawn at random, and of a concept of that kind."""
        kinds = list(dict.fromkeys(self.kinds))
        shares = np.array([self.kinds.count(kind) for kind in kinds], dtype=float) ** 0.5
        kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
        if kind in self.pictures:
            return self._picture(rng, side, kind)
        mine = [name for name, its in zip(self.names, self.kinds, strict=True) if its == kind]
        name = mine[int(rng.integers(len(mine)))]
        if kind == "stripes":
            return stripes(rng, side, name, self.unit)
        if kind == "texture":
            return texture(rng, side, name, self.unit)
        if kind == "shape":
            colour = self.palette[int(rng.integers(len(self.palette)))]
            return painted(shape(rng, side, name), colour, name)
        return painted(blob(rng, side), name)

    def _picture(self, rng: np.random.Generator, side: int, kind: str) -> Painted:
        pictures, labels, names, inside = self.pictures[kind]
        at = int(rng.integers(len(pictures)))
        big = Image.fromarray(pictures[at]).resize((side, side), Image.Resampling.BICUBIC)
        ink = np.asarray(big, dtype=np.float32) / 255
        colour = self.palette[int(rng.integers(len(self.palette)))]
        name = names[int(labels[at])]
        if kind == "digit":
            return painted(ink > inside, colour, name)
        grey = (0.15 + 0.8 * ink)[..., None].repeat(3, 2)  # clothes keep their folds, in grey
        return grey, ink > inside, (name,)


def painted(inside: np.ndarray, colour: str, *more: str) -> Painted:
    """One colour over the pixels `inside` (s, s)."""
    pixels = np.broadcast_to(np.array(COLOURS[colour]), (*inside.shape, 3))
    return pixels, inside, (colour, *more)


def grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns from -1 to 1 at the middles of pixels, (side, side) each."""
    at = (np.arange(side) + 0.5) * 2 / side - 1
    rows, columns = np.meshgrid(at, at, indexing="ij")
    return rows, columns


def blob(rng: np.random.Generator, side: int) -> np.ndarray:
    """A smooth patch without corners, (side, side) bool."""
    y, x = grid(side)
    angle = np.arctan2(y, x)
    edge = (
        0.75
        + 0.12 * np.sin(2 * angle + rng.uniform(0, 6))
        + 0.1 * np.sin(3 * angle + rng.uniform(0, 6))
    )
    return np.hypot(y, x) < edge  # fmt: skip


def shape(rng: np.random.Generator, side: int, name: str) -> np.ndarray:
    """A shape by its name, (side, side) bool, turned by up to 10 degrees."""
    y, x = grid(side)
    turn = np.radians(rng.uniform(-10, 10))
    y, x = y * np.cos(turn) - x * np.sin(turn), y * np.sin(turn) + x * np.cos(turn)
    far = np.hypot(y, x)
    forms: dict[str, np.ndarray] = {
        "disc": far < 0.85,
        "ring": (far < 0.9) & (far > 0.55),
        "square": np.maximum(abs(y), abs(x)) < 0.75,
        "triangle": (y < 0.75) & (y > 2.2 * abs(x) - 0.85),
        "cross": (np.minimum(abs(y), abs(x)) < 0.25) & (np.maximum(abs(y), abs(x)) < 0.85),
        "diamond": abs(y) + abs(x) < 0.9,
    }
    return forms[name]


def stripes(rng: np.random.Generator, side: int, name: str, unit: float) -> Painted:
    """A round patch of a grating, of a period that varies by an eighth and an angle by 6 degrees."""
    kind, _, angle = name.split()
    period = PERIODS[kind] * unit * rng.uniform(0.88, 1.12)
    turn = np.radians(float(angle[:-1]) + rng.uniform(-6, 6))
    rows, columns = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    # 0 degrees is a horizontal stripe: the brightness changes from row to row.
    along = rows * np.cos(turn) + columns * np.sin(turn)
    wave = np.sin(2 * np.pi * along / period + rng.uniform(0, 2 * np.pi))
    grey = 0.5 + rng.uniform(0.3, 0.45) * wave
    y, x = grid(side)
    return grey[..., None].repeat(3, 2), np.hypot(y, x) < 0.95, (name,)


def texture(rng: np.random.Generator, side: int, name: str, unit: float) -> Painted:
    """A patch of a texture, in grey."""
    rows, columns = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    period = max(2.0, 6 * unit * rng.uniform(0.85, 1.15))
    if name == "noise":
        pattern = rng.integers(0, 2, (side, side)).astype(float)
    elif name == "dots":
        pattern = np.sin(2 * np.pi * rows / period) * np.sin(2 * np.pi * columns / period) > 0.35
    elif name == "checks":
        pattern = (rows // (period / 2) + columns // (period / 2)) % 2
    else:
        pattern = (rows % period < period / 3) | (columns % period < period / 3)
    grey = 0.1 + 0.8 * np.asarray(pattern, dtype=float)
    return grey[..., None].repeat(3, 2), blob(rng, side), (name,)
