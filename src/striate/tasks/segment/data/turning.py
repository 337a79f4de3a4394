"""Turning masks as their images are turned: which EXIF orientation a mask takes, decided for all masks of a set alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from striate.data.drawing import drawn
from striate.images.pixels import upright

LOOKED_AT = 24  # pairs whose edges are compared
CLEARER = 1.25  # times the contrast along the mask's outline, from which one reading is taken


@dataclass(frozen=True, kw_only=True)
class Posture:
    """image, mask: orientation (1 to 8) that each file states. size, shape: (height, width) of both, as stored."""

    image: int
    mask: int
    size: tuple[int, int]
    shape: tuple[int, int]

    @property
    def candidates(self) -> list[int]:
        """Orientations under which the mask has the upright image's size: its own, the image's, none; likeliest first."""
        goal = _turned(self.size, self.image)
        several = dict.fromkeys((self.mask, self.image, 1))
        return [turn for turn in several if _turned(self.shape, turn) == goal]


@dataclass(frozen=True, kw_only=True)
class Turns:
    """turns[i]: the orientation that is applied to mask i. notes: what was decided; warnings: what had to be assumed."""

    turns: tuple[int, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def settle(
    postures: Sequence[Posture], read: Callable[[int], tuple[np.ndarray, np.ndarray]]
) -> Turns:
    """Decide for each mask how it is turned.

    Sizes decide where they can, for the other masks of that kind too; then the contrast of the images along the outlines of
    the masks; else a mask without orientation is taken as drawn on the upright image, with a warning.
    read: number of a pair -> upright image (H, W, C) and mask (H, W) as stored.
    """
    turns = [next(iter(p.candidates), p.mask) for p in postures]
    notes: list[str] = []
    warnings: list[str] = []
    for tagged_image, tagged_mask in ((True, False), (False, True), (True, True)):
        group = [
            i
            for i, p in enumerate(postures)
            if (p.image > 1, p.mask > 1) == (tagged_image, tagged_mask) and p.image != p.mask
        ]
        if not group:
            continue
        # A reading is the mask's own orientation (0), the image's (1) or none (2), whatever numbers these are.
        sure = {_reading(postures[i], turns[i]) for i in group if len(postures[i].candidates) == 1}
        open_ones = [i for i in group if len(postures[i].candidates) > 1]
        if len(sure) == 1:
            reading = sure.pop()
            how = f"as the sizes{' of others' if open_ones else ''} show"
        elif open_ones and (seen := _by_edges(postures, open_ones, read)) is not None:
            reading, how = seen, "as the edges in the images show"
        else:
            reading, how = 0, ""
        for i in open_ones:
            turns[i] = _orientation(postures[i], reading)
        words = _words(len(group), tagged_image, tagged_mask, reading)
        if open_ones and not how:
            warnings.append(
                f"{words}; look at the figure, and if they are turned remove the orientation from the files that carry it"
            )
        else:
            notes.append(f"{words}, {how}" if how else words)
    return Turns(turns=tuple(turns), notes=tuple(notes), warnings=tuple(warnings))


def _turned(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    return (size[1], size[0]) if orientation > 4 else size


def _orientation(posture: Posture, reading: int) -> int:
    return (posture.mask, posture.image, 1)[reading]


def _reading(posture: Posture, turn: int) -> int:
    return [posture.mask, posture.image, 1].index(turn)


def _words(n: int, image: bool, mask: bool, reading: int) -> str:
    have = "has a mask" if n == 1 else "have masks"
    who = f"{n:,} image{'s' * (n != 1)} with an EXIF orientation {have}"
    if image and not mask:
        drawn = "the stored pixels and turned with them" if reading == 1 else "the upright image"
        return f"{who} without: taken as drawn on {drawn}"
    if image:
        return f"{who} with another: {'the image' if reading == 1 else 'the mask'}'s is applied to the mask"
    applied = "applied" if reading == 0 else "not applied"
    return f"{n:,} mask{'s' * (n != 1)} with an EXIF orientation belong{'s' * (n == 1)} to images without: it is {applied}"


def _by_edges(
    postures: Sequence[Posture],
    group: Sequence[int],
    read: Callable[[int], tuple[np.ndarray, np.ndarray]],
) -> int | None:
    """The reading under which masks' outlines follow the edges of the images, if one does clearly."""
    readings = [
        r
        for r in (0, 1, 2)
        if any(_orientation(postures[i], r) in postures[i].candidates for i in group)
    ]
    at = drawn(
        len(group), LOOKED_AT
    )  # at random: names stand in the order of days, places or cameras
    scores = dict.fromkeys(readings, 0.0)
    for i in (group[int(k)] for k in at):
        image, mask = read(i)
        for r in readings:
            turned = upright(mask[..., None], _orientation(postures[i], r))[..., 0]
            if turned.shape == image.shape[:2]:
                scores[r] += contrast(image, turned)
    # Equal transformations have equal scores: the likelier of them comes first.
    ranked = sorted(readings, key=lambda r: -scores[r])
    other = [r for r in ranked if not np.isclose(scores[r], scores[ranked[0]])]
    if not other or scores[ranked[0]] < CLEARER * scores[other[0]]:
        return None
    return ranked[0]


def contrast(image: np.ndarray, mask: np.ndarray) -> float:
    """How much steeper an image (H, W, C) is along the outline of a mask (H, W) than elsewhere; 0 without an outline."""
    grey = image.astype(np.float64).mean(-1)
    across = np.abs(np.diff(grey, axis=1)), mask[:, 1:] != mask[:, :-1]
    down = np.abs(np.diff(grey, axis=0)), mask[1:] != mask[:-1]
    steps = np.concatenate([a[0].ravel() for a in (across, down)])
    lines = np.concatenate([a[1].ravel() for a in (across, down)])
    if not lines.any() or lines.all() or steps.mean() == 0:
        return 0.0
    return float(steps[lines].mean() / steps.mean())
