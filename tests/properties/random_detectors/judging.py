"""One random detector on one random image, by every tile: the same objects, or what differs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pycocotools.mask import decode as mask_of
from scipy.spatial import cKDTree

import striate
from random_detectors.decoding import Found, decode
from random_detectors.networks import KINDS, Detector
from striate.geometry import map_tensors

TOPS = 200  # proposals of the R-CNNs, so that trials are quick
PIXELS, SCORES = 5e-3, 1e-4  # that an object may be off
MASK = 2  # pixels; of a mask that is laid over a box, or that votes, at a threshold
ROUNDING = 2e-5  # of a map's largest number: noise by which it is asked what rounding may tip
DRAWS = 16
PRIMES = (2, 3, 5, 7, 11, 13, 17, 31, 61, 97, 127, 131, 193, 211, 257, 263, 311, 337, 401)
LARGE = (521, 641, 769, 1031, 1087, 1153, 1283)


@dataclass(frozen=True)
class Trial:
    """A seed, drawn out. size: (height, width). tiles: sides; whole: also by `predict`."""

    seed: int
    kind: str
    classes: int
    double: bool
    size: tuple[int, int]
    tiles: tuple[int, ...]


def drawn(seed: int, *, large: bool = False) -> Trial:
    """The trial of a number; large: of an image that a tile of 1024 pixels does not cover."""
    rng = np.random.default_rng((seed, large))
    kind = KINDS[seed % len(KINDS)]
    if large:
        size = (int(rng.choice(LARGE[3:])), int(rng.choice(LARGE)))
        size = size if rng.random() < 0.5 else size[::-1]
        tiles: tuple[int, ...] = (256, 333, 1024)
    else:
        sides = [
            int(rng.choice(PRIMES) if rng.random() < 0.5 else rng.integers(1, 420))
            for _ in range(2)
        ]
        size = sides[0], sides[1]
        tiles = (int(rng.integers(8, 100)), *((256, 333) if max(size) > 256 else (33,)))
    # In float64 nothing tips: there every decision must be the same. float32 is what is used.
    return Trial(seed, kind, int(rng.integers(1, 4)), bool(rng.random() < 0.5), size, tiles)


def picture(trial: Trial) -> np.ndarray:
    """(H, W, 3) uint8: noise over waves and flat places, with dark and bright ends."""
    rng = np.random.default_rng((trial.seed, 3))
    h, w = trial.size
    y, x = np.mgrid[:h, :w]
    waves = sum(
        60 * np.sin(x / rng.uniform(3, 60) + rng.uniform(0, 6)) * np.sin(y / rng.uniform(3, 60) + rng.uniform(0, 6))
        for _ in range(3)
    )  # fmt: skip
    noise = rng.normal(0, rng.uniform(5, 60), (h, w, 3))
    made = 128 + np.asarray(waves)[..., None] + noise
    if rng.random() < 0.3:  # a flat part, as a slide has
        made[: h // 3] = 255
    return made.clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Verdict:
    """objects: of the whole image. larger: of them larger than a tile. tipped: told otherwise by rounding alone. fault: what
    differs, or nothing."""

    objects: int = 0
    larger: int = 0
    tipped: int = 0
    fault: str = ""


def judge(trial: Trial, folder: Path) -> Verdict:
    """Every tile and `predict` against the plain module on the whole image. Needs `regions.TOP` to be `TOPS`."""
    torch.manual_seed(trial.seed)
    network = Detector(trial.kind, trial.seed, classes=trial.classes)
    pixels = picture(trial)
    path = folder / f"{trial.seed}.png"
    Image.fromarray(pixels).save(path)
    mean, std = (0.5, 0.4, 0.6), (0.25, 0.3, 0.2)
    task = "instances" if trial.kind in ("voting", "region-masks") else "detect"
    names = [f"class {i}" for i in range(trial.classes)]
    trained = striate.wrap(network, classes=names, preprocessing=(64, mean, std), task=task)
    if trial.double:
        trained.model.double()
        network.double()
    x = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float() / 255
    x = (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    with torch.no_grad():
        output = network(x[None])
    truth = decode(trial.kind, output, trial.classes, trial.size, TOPS)
    sides = (truth[0][:, 4:] - truth[0][:, 2:4]).max(1, initial=0)
    tipped = 0
    for tile in (None, *trial.tiles):
        made = _predicted(trained, path) if tile is None else _tiled(trained, path, folder, tile)
        odd = _unmatched(made, truth)
        if odd and not trial.double:
            known = [
                decode(trial.kind, _noisy(output, i), trial.classes, trial.size, TOPS)
                for i in range(DRAWS)
            ]
            tipped += len(odd)
            odd = [one for one in odd if not _unsure(one, known)]
            tipped -= len(odd)
        if odd:
            where, row = odd[0]
            return Verdict(
                len(truth[0]), fault=f"{trial}: tile {tile}: {len(odd)} objects differ of {len(truth[0])}, one {where}: "
                f"class {row[0]:.0f} score {row[1]:.6f} box {np.round(row[2:6], 3).tolist()}",
            )  # fmt: skip
    return Verdict(len(truth[0]), int((sides > min(trial.tiles)).sum()), tipped)


def _predicted(trained: Any, path: Path) -> Found:
    (made,) = trained.predict([path])
    assert not made.error, made.error
    o = made.objects
    masks = None if o.regions is None else [r.full(*made.size) for r in o.regions]
    return np.concatenate([o.labels[:, None], o.scores[:, None], o.boxes], 1), masks


def _tiled(trained: Any, path: Path, folder: Path, tile: int) -> Found:
    out = folder / f"{path.stem}-{tile}.json"
    trained.tile(path, out=out, tile=tile)
    rows, masks = [], []
    for one in json.loads(out.read_text())["annotations"]:
        left, top, width, height = one["bbox"]
        rows.append([one["category_id"] - 1, one["score"], left, top, left + width, top + height])
        if "segmentation" in one:
            masks.append(mask_of(one["segmentation"]).astype(bool))
    out.unlink()
    return np.array(rows).reshape(-1, 6), masks if masks or not rows else None


def _near(rows: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of rows (n, 6) the nearest of the others, and how far off in units of what is allowed."""
    if not len(rows) or not len(other):
        return np.zeros(len(rows), int), np.full(len(rows), np.inf)
    unit = np.array([0.5, SCORES, PIXELS, PIXELS, PIXELS, PIXELS])
    apart, at = cKDTree(other / unit).query(rows / unit, p=np.inf)
    return at, apart


def _unmatched(made: Found, truth: Found) -> list[tuple[str, np.ndarray]]:
    """What is in one and not in the other, each once: (where, its row); masks count where both have them."""
    odd = []
    at, apart = _near(truth[0], made[0])
    back, off = _near(made[0], truth[0])
    odd += [("missed", truth[0][i]) for i in np.flatnonzero(apart > 1)]
    odd += [("invented", made[0][i]) for i in np.flatnonzero(off > 1)]
    if len(made[0]) != len(truth[0]) and not odd:  # one stands twice
        twice = [i for i, n in Counter(back.tolist()).items() if n > 1]
        odd += [("doubled", truth[0][i]) for i in twice] or [("merged", truth[0][0])]
    if made[1] is not None and truth[1] is not None:
        for i in np.flatnonzero(apart <= 1):
            differing = int((truth[1][i] ^ made[1][at[i]]).sum())
            if differing > MASK:
                odd.append((f"of another mask by {differing} pixels", truth[0][i]))
    return odd


def _noisy(output: Any, draw: int) -> Any:
    generator = torch.Generator().manual_seed(draw)

    def noise(m: torch.Tensor) -> torch.Tensor:
        part = torch.randn(m.shape, generator=generator, dtype=m.dtype)
        return m + part * ROUNDING * m.abs().amax((2, 3), keepdim=True)

    return map_tensors(output, noise)


def _unsure(one: tuple[str, np.ndarray], known: list[Found]) -> bool:
    """Whether an object is there with some noise of the size of rounding and not with other, or with another mask."""
    where, row = one
    there = [bool((_near(row[None], rows)[1] <= 5).any()) for rows, _ in known]
    if where.startswith("of another mask"):
        masks = [m[int(_near(row[None], rows)[0][0])] for rows, m in known if m and len(rows)]
        return any((m != masks[0]).any() for m in masks[1:])
    return any(there) if where == "invented" else not all(there)
