"""Roles: what the names of folders and files say, as the well-known data sets and annotation tools give them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Literal

from striate.data.naming import normal
from striate.data.reading import SUFFIXES

IMAGE_WORDS = frozenset((
    "image", "images", "img", "imgs", "im", "jpeg", "jpegs", "rgb", "photo", "photos", "picture", "pictures",
    "input", "inputs", "orig", "original", "originals", "frame", "frames", "sat", "satellite", "tile",
    "tiles", "patch", "patches", "slide", "slides", "scan", "scans", "leftimg8bit", "imagery", "camera",
))  # fmt: skip
# images only beside masks
WEAK_WORDS = frozenset((
    "data", "x", "source", "raw", "pics",
))  # fmt: skip
MASK_WORDS = frozenset((
    "mask", "masks", "label", "labels", "annotation", "annotations", "annotated", "annot", "annots", "ann",
    "anns", "anno", "annos", "labelled", "labeled",
    "gt", "gts", "truth", "groundtruth", "segmentation", "segmentations", "seg", "segs", "segmap",
    "segmaps", "trimap", "trimaps", "manual", "semantic", "stuffthingmaps", "pixelmaps", "parsing", "target",
    "targets", "labelids", "labeltrainids", "gtfine", "gtcoarse", "y", "1stho", "2ndho", "ah", "vk",
))  # fmt: skip
LETTERS = frozenset(
    {"l", "p"}
)  # CamVid: x_L.png, x_P.png; too short to mark a mask beside its image
# Words that belong to the one beside them: im_cp_masks (Cellpose), im_Simple Segmentation (ilastik), Mask of im (Fiji).
JOINING = frozenset(("cp", "simple", "of"))
# "no_mask", "with_mask": classes of pictures of people, not masks of pictures.
NEITHER = frozenset((
    "no", "non", "not", "without", "with", "wearing", "worn", "incorrect", "unmasked",
))  # fmt: skip
SPLIT_WORDS = {
    "train": "train", "training": "train", "tr": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "ts": "test",
}  # fmt: skip
BESIDE_SPLITS = frozenset((
    "stage", "set", "data", "split", "subset", "fold", "dataset",
))  # fmt: skip
# Kinds of masks that other masks are preferred to: of single objects, drawn for the eye, coarse, of a second person.
BETTER = frozenset(
    {"png", "manual", "manual1", "1stho", "labeltrainids", "trainids", "raw", "semantic"}
)
WORSE = frozenset((
    "object", "objects", "instance", "instances", "inst", "instanceids", "instancetrainids", "color",
    "colors", "colour", "colours", "colored", "viz", "vis", "visualization", "visualisation", "overlay",
    "overlays", "human", "preview", "previews", "coarse", "gtcoarse", "nd", "2nd", "2ndho", "second",
    "manual2", "vk", "parts", "part", "edge", "edges", "contour", "contours", "boundary", "boundaries", "fov",
    "roi", "weights", "panoptic", "depth", "disparity", "pseudo", "cutout", "colormap", "colormaps",
))  # fmt: skip
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_JOINED = re.compile(
    r"^(train|training|val|valid|validation|test)(annot|annotations?|masks?|labels?|gt|images?|imgs?)$|^(.{3,}?)(annots?|masks)$"
)


@dataclass(frozen=True, kw_only=True)
class Role:
    """What a folder's name says. rank: 0 to 9, masks of the least are preferred. pure: it says nothing but a split."""

    kind: Literal["image", "mask", "weak", ""]
    split: str | None
    rank: int
    pure: bool


@cache
def role_of(folder: str) -> Role:
    """The role of a folder by its name."""
    words = tokens(folder)
    splits = {SPLIT_WORDS[w] for w in words if w in SPLIT_WORDS}
    split = splits.pop() if len(splits) == 1 else None  # TrainVal says none
    rest = [w for w in words if w not in SPLIT_WORDS and not w.isdecimal()]
    pure = split is not None and not set(rest) - BESIDE_SPLITS
    if "ground" in words and "truth" in words:
        rest.append("groundtruth")
    kind: Literal["image", "mask", "weak", ""] = ""
    if not set(rest) & NEITHER:
        if set(rest) & MASK_WORDS - {"y", "im"} or rest == ["y"]:
            kind = "mask"
        elif set(rest) & IMAGE_WORDS:
            kind = "image"
        elif rest and set(rest) & WEAK_WORDS and not pure:
            kind = "weak"
    if kind == "" and not pure:
        split = None
    drawn = kind == "mask" and "rgb" in words  # KITTI's semantic_rgb
    return Role(kind=kind, split=split, rank=9 if drawn else rank_of(words), pure=pure)


def tokens(name: str) -> list[str]:
    """The words of a name in lower case: `leftImg8bit` is left, img, 8, bit; `trainannot` train and annot."""
    words = []
    for word in _TOKEN.findall(normal(name)):
        joined = _JOINED.match(word.casefold())
        words += [g for g in joined.groups() if g] if joined else [word.casefold()]
    return words


def rank_of(words: list[str]) -> int:
    """How willingly a mask is taken, by the words of its folder or of its ending: 0 first, 9 last."""
    if set(words) & WORSE:
        return 9
    return 0 if set(words) & BETTER else 1


def stem_of(name: str) -> str:
    """A file's name without its suffix, and without an image's suffix before it (`a.jpg.png`); composed, in lower case."""
    stem = PurePosixPath(normal(name)).stem
    inner = PurePosixPath(stem)
    if inner.suffix.casefold() in SUFFIXES:
        stem = inner.stem
    return stem.casefold()


@cache
def base_of(stem: str, mask: bool) -> tuple[str, tuple[str, ...]]:
    """A stem without the words before and behind it that say "mask" (or "image"), and these words.

    >>> base_of("aachen_0_19_gtfine_labelids", True)
    ('aachen_0_19', ('gtfine', 'labelids'))
    >>> base_of("x_mask_2", True), base_of("104_sat", False)
    (('x', ('mask', '2')), ('104', ('sat',)))
    """
    own = (
        MASK_WORDS | WORSE | BETTER | LETTERS | {"ground"}
        if mask
        else IMAGE_WORDS | {"training", "test", "photo"}
    )
    parts = re.split(r"([ _.\-]+)", stem)
    words, marks = parts[::2], parts[1::2]
    taken: list[str] = []
    while words and (
        _is(words[-1], own)
        or (mask and taken and len(words) > 1 and words[-1] in JOINING)
        or (len(words) > 1 and words[-1].isdecimal() and _is(words[-2], own) and mask)
    ):
        taken.insert(0, words.pop())
        if marks:
            marks.pop()
    led = False
    while words and (
        (_is(words[0], own) and len(words[0]) > 1)
        or (led and mask and len(words) > 1 and words[0] in JOINING)
    ):
        led = True
        taken.insert(0, words.pop(0))
        if marks:
            marks.pop(0)
    whole = "".join(w + m for w, m in zip(words, [*marks, ""], strict=False)) if words else ""
    return whole, tuple(taken)


def bare(stem: str) -> str:
    """A stem without any word that says "mask" or "image", wherever it stands (A2D2: 7_camera_left_1, 7_label_left_1)."""
    return "_".join(w for w in re.split(r"[ _.\-]+", stem) if w not in MASK_WORDS | IMAGE_WORDS)


def without_mask(folder: str) -> str:
    """A folder's name, in lower case, without the words that say that it holds masks: train of train_masks or trainannot."""
    name = folder.casefold()
    base = base_of(name, True)[0]
    joined = _JOINED.match(name)
    return base if base != name or joined is None else next(g for g in joined.groups() if g)


def _is(word: str, own: frozenset[str]) -> bool:
    return word in own or (word.rstrip("0123456789") in own and len(word.rstrip("0123456789")) > 2)
