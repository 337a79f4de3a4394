"""Stamps: cut-outs of Tux Paint pasted on backgrounds of GNOME, with the exact pixels of each object.

Both come with Debian's packages tuxpaint-stamps-default and gnome-backgrounds, and are used where these are installed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from striate.data.splitting import TEST, TRAIN, VAL, assign, fractions
from striate.errors import DataError, UsageError
from striate.images import decode
from striate.tasks.detect.data.source import ArrayBoxSplit, BoxSource
from striate.tasks.detect.objects import Objects, Region

STAMPS, BACKGROUNDS = Path("/usr/share/tuxpaint/stamps"), Path("/usr/share/backgrounds/gnome")
PACKAGES = ("tuxpaint-stamps-default", "gnome-backgrounds")
COUNT, SIZE = 1_000, 192
SIDES = range(48, 4_097)
MOST_BYTES = 8 * 2**30
LEAST = 25  # stamps of a category
HELD = (
    0.15,
    0.25,
)  # shares of the stamps and backgrounds that validation and test have for themselves
SEEN = 0.5  # alpha above which a pixel belongs to the object
LEAST_SEEN = 0.25  # share of an object below which nobody could say what it is
PER_AREA = 6 / 192**2  # objects a pixel of the scene
SMALLEST, LARGEST = 0.08, 0.45  # longer side of an object, as a share of the scene's
TURN = 20.0  # degrees to either side
DETAIL = 512  # pixels that are kept of a stamp's longer side
COVER = 0.4  # share of an earlier object that a later one may cover
TRIES = 8
# Tux Paint has some stamps mirrored or in several forms, and GNOME each background light and dark.
_FORM = re.compile(r"(_(mirror|flip|mirrorflip))+$|-[ld]$")


@dataclass(frozen=True, kw_only=True, eq=False)
class Stamp:
    """One cut-out: its class, and its file's name without what its forms differ in."""

    path: Path
    label: int
    family: str


def open_stamps(
    *,
    seed: int = 0,
    val: float | None = None,
    test: float | None = None,
    count: int = COUNT,
    size: int = SIZE,
    stamps: Path = STAMPS,
    backgrounds: Path = BACKGROUNDS,
) -> BoxSource:
    """Paste cut-outs on `count` scenes of `size` pixels a side.

    Classes are the stamps' categories; validation and test have stamps and backgrounds of their own. A scene depends on
    seed, split, number and size. Raises UsageError for numbers out of range, DataError where the packages are missing.
    """
    if count < 10 or count * size * size * 4 > MOST_BYTES:
        raise UsageError(f"count must be 10 or more and fit into 8 GiB of memory, got {count}")
    if size not in SIDES:
        raise UsageError(f"size must be {SIDES[0]} to {SIDES[-1]} pixels, got {size}")
    val, test = fractions(count, val, test)
    found, classes = find_stamps(stamps)
    grounds = find_backgrounds(backgrounds)
    parts = _parts([s.family for s in found], np.array([s.label for s in found]))
    ground_parts = _parts(sorted(grounds), np.zeros(len(grounds), np.int64))
    names = sorted(grounds)
    counts = {"val": round(val * count), "test": round(test * count)}
    counts["train"] = count - sum(counts.values())
    splits = {}
    state = hashlib.sha256()
    for code, name in ((TRAIN, "train"), (VAL, "val"), (TEST, "test")):
        mine = [s for s, part in zip(found, parts.tolist(), strict=True) if part == code]
        under = [
            p
            for n, part in zip(names, ground_parts.tolist(), strict=True)
            if part == code
            for p in grounds[n]
        ]
        images, objects = [], []
        for image, own in _scenes(mine, under, seed, code, counts[name], size):
            images.append(image)
            objects.append(own)
        pixels = np.stack(images) if images else np.empty((0, size, size, 3), np.uint8)
        state.update(pixels.tobytes())
        splits[name] = ArrayBoxSplit.of(
            pixels, objects, [f"stamps/{name}/{i}" for i in range(len(pixels))]
        )
    return BoxSource(
        name="stamps",
        classes=classes,
        where=f"{len(found)} stamps of Tux Paint on {sum(map(len, grounds.values()))} backgrounds of GNOME, seed {seed}",
        fingerprint=state.hexdigest(),
        format="generated",
        horizontal_flip=False,
        photographs=True,
        generated=True,
        train=splits["train"],
        val=splits["val"],
        test=splits["test"],
    )


def find_stamps(root: Path = STAMPS) -> tuple[list[Stamp], tuple[str, ...]]:
    """The stamps with transparency, and their categories that have enough. Raises DataError where there are none."""
    by_class: dict[str, list[Path]] = {}
    for path in sorted(root.glob("*/**/*.png")):
        by_class.setdefault(path.relative_to(root).parts[0], []).append(path)
    classes = tuple(
        name for name, paths in sorted(by_class.items()) if len(_families(paths)) >= LEAST
    )
    if not classes:
        raise DataError(_missing(root))
    return [
        Stamp(path=path, label=label, family=f"{name}/{_family(path)}")
        for label, name in enumerate(classes)
        for path in by_class[name]
    ], classes


def find_backgrounds(root: Path = BACKGROUNDS) -> dict[str, list[Path]]:
    """The backgrounds, light and dark together, by name. Raises DataError where there are fewer than three."""
    found: dict[str, list[Path]] = {}
    for path in sorted(root.glob("*")):
        if path.suffix.lower() in (".webp", ".jpg", ".jpeg", ".png"):
            found.setdefault(_family(path), []).append(path)
    if len(found) < 3:
        raise DataError(_missing(root))
    return found


def _missing(root: Path) -> str:
    return (
        f"stamps needs Debian's packages {' and '.join(PACKAGES)}, and {root} has too little; apt-get install "
        f"{' '.join(PACKAGES)}"
    )


def _family(path: Path) -> str:
    return _FORM.sub("", path.stem)


def _families(paths: list[Path]) -> set[str]:
    return {_family(path) for path in paths}


def _parts(families: list[str], labels: np.ndarray) -> np.ndarray:
    """Each family on one side, the same for every seed, so that a test is never trained on."""
    return assign([f.encode() for f in families], labels, seed=0, val=HELD[0], test=HELD[1])


def _scenes(
    stamps: list[Stamp], grounds: list[Path], seed: int, part: int, count: int, size: int
) -> Iterator[tuple[np.ndarray, Objects]]:
    for i in range(count):
        rng = np.random.default_rng((seed, part, i, size))
        yield scene(stamps, grounds, rng, size)


def scene(
    stamps: list[Stamp], grounds: list[Path], rng: np.random.Generator, size: int
) -> tuple[np.ndarray, Objects]:
    """An image (size, size, 3) uint8, and the objects in it that can be seen, the lowest first.

    A later object covers earlier ones; one of which less than a quarter is left is a crowd. A pixel belongs to an object
    where its alpha is above a half.
    """
    page = background(grounds[int(rng.integers(len(grounds)))], rng, size)
    laid: list[tuple[int, np.ndarray, tuple[int, int], int]] = []
    taken = np.zeros((size, size), dtype=np.int32)  # which object is seen, from 1
    for _ in range(max(1, int(rng.poisson(PER_AREA * size * size)))):
        stamp = stamps[int(rng.integers(len(stamps)))]
        cut = _shaped(stamp, rng, size)
        if cut is None:
            continue
        solid = cut[..., 3] > SEEN
        height, width = solid.shape
        for _ in range(TRIES):
            top, left = int(rng.integers(size - height + 1)), int(rng.integers(size - width + 1))
            under = taken[top : top + height, left : left + width]
            if _leaves(under[solid], laid):
                break
        else:
            continue
        number = len(laid) + 1
        laid.append((stamp.label, solid, (top, left), int(solid.sum())))
        alpha = cut[..., 3:]
        view = page[top : top + height, left : left + width]
        view[...] = alpha * cut[..., :3] + (1 - alpha) * view
        under[solid] = number
    return (page * 255).round().astype(np.uint8), _objects(laid, taken)


def _leaves(covered: np.ndarray, laid: list[tuple[int, np.ndarray, tuple[int, int], int]]) -> bool:
    """Whether what would be covered leaves enough of every object below."""
    numbers = np.bincount(covered, minlength=len(laid) + 1)[1:]
    return all(n <= COVER * whole for n, (*_, whole) in zip(numbers.tolist(), laid, strict=True))


def _objects(
    laid: list[tuple[int, np.ndarray, tuple[int, int], int]], taken: np.ndarray
) -> Objects:
    labels, crowd, regions = [], [], []
    for number, (label, solid, (top, left), whole) in enumerate(laid, 1):
        height, width = solid.shape
        seen = taken[top : top + height, left : left + width] == number
        if seen.any():
            region = Region.of(seen, top=top, left=left)
            labels.append(label)
            crowd.append(region.area < LEAST_SEEN * whole)
            regions.append(region)
    return Objects.of([r.box for r in regions], labels, crowd=crowd, regions=regions)


def background(path: Path, rng: np.random.Generator, size: int) -> np.ndarray:
    """A piece of a background, (size, size, 3) in [0, 1], float32."""
    picture = _ground(path)
    shorter = min(picture.size)
    side = int(rng.integers(max(shorter // 4, min(size, shorter)), shorter + 1))
    left, top = (int(rng.integers(n - side + 1)) for n in picture.size)
    piece = picture.crop((left, top, left + side, top + side)).resize(
        (size, size), Image.Resampling.LANCZOS
    )
    if rng.random() < 0.5:
        piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(piece).astype(np.float32) / 255


@lru_cache(maxsize=64)
def _ground(path: Path) -> Image.Image:
    picture = Image.fromarray(_rgb(decode(path).pixels))
    picture.thumbnail((1_600, 1_600))
    return picture


@lru_cache(maxsize=2_048)
def _cut_out(path: Path) -> Image.Image | None:
    """A stamp cut to what is seen of it, RGBA; None for one without transparency or too small."""
    pixels = decode(path, alpha=True).pixels
    if pixels.shape[-1] != 4 or pixels.dtype != np.uint8:
        return None
    solid = pixels[..., 3] > 127
    if not 0.03 < solid.mean() < 0.97 or min(pixels.shape[:2]) < 16:
        return None
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    kept = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    picture = Image.fromarray(np.ascontiguousarray(kept))
    picture.thumbnail((DETAIL, DETAIL))
    return picture


def _shaped(stamp: Stamp, rng: np.random.Generator, size: int) -> np.ndarray | None:
    """A stamp turned a little and scaled, (h, w, 4) in [0, 1]; None for one that cannot be used or fills nothing."""
    turn = float(rng.uniform(-TURN, TURN))
    side = size * float(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST))))
    picture = _cut_out(stamp.path)
    if picture is None:
        return None
    # Alpha and colour are smoothed together, with the colour weighed by the alpha, so that edges take none from outside.
    fine = min(
        1.0, 2 * side / max(picture.size)
    )  # twice as fine as wanted, so that turning it is soon done and not seen
    larger = picture.resize(
        [max(2, round(n * fine)) for n in picture.size], Image.Resampling.LANCZOS, reducing_gap=3.0
    )
    turned = larger.rotate(turn, Image.Resampling.BICUBIC, expand=True)
    zoom = side / max(turned.size)
    wanted = max(2, round(turned.width * zoom)), max(2, round(turned.height * zoom))
    pixels = np.asarray(turned.resize(wanted, Image.Resampling.LANCZOS)).astype(np.float32) / 255
    return pixels if (pixels[..., 3] > SEEN).sum() >= 4 else None


def _rgb(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels, 3, -1) if pixels.shape[-1] == 1 else pixels
