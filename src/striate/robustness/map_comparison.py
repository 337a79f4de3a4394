"""Comparison of two networks that label pixels, under the same changes of the same images."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from striate.errors import DataError, UsageError
from striate.findings import Finding
from striate.robustness.comparison import Row, concluded
from striate.robustness.corruptions import CORRUPTIONS, corrupted
from striate.robustness.map_probes import MOVING, scaled_masks
from striate.robustness.maps import MapExam
from striate.robustness.transforms import scaled

Change = Callable[[MapExam], tuple[Tensor, Tensor]]


def map_conditions() -> dict[str, tuple[str, Change]]:
    """{name: (probe, the images and masks of an exam, changed)}."""
    found: dict[str, tuple[str, Change]] = {"clean": ("clean", lambda e: (e.images, e.masks))}
    for factor in (0.8, 1.25):
        found[f"scale ×{factor}"] = ("scale", _scaling(factor))
    found["flip left-right"] = ("flip", lambda e: (e.images.flip(3), e.masks.flip(2)))
    for name in CORRUPTIONS:
        if name not in MOVING:
            found[f"{name} 3"] = ("corruption", _corrupting(name))
    return found


def _scaling(factor: float) -> Change:
    return lambda e: (scaled(e.images, factor), scaled_masks(e.masks, factor))


def _corrupting(name: str) -> Change:
    return lambda e: (corrupted(e.images, name, 3, seed=e.seed), e.masks)


def compare_maps(
    a: MapExam, b: MapExam, names: tuple[str, str], probes: Sequence[str] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> Finding:  # fmt: skip
    """Which of two networks is more robust: mean IoU of both under each change, and b minus a with paired intervals.

    Both exams hold the same pictures with the same masks in the same order, each prepared for its network. Intervals
    are from resampling images, the same ones for both. probes: only the changes of these. Raises DataError where they
    are not the same pictures, UsageError where no probe named changes images.
    """
    started = time.perf_counter()
    if a.masks.shape != b.masks.shape or not bool((a.masks == b.masks).all()):
        raise DataError("two runs are compared on the same images with the same masks; pass --data")
    known = map_conditions()
    wanted = {k: v for k, v in known.items() if not probes or v[0] in (*probes, "clean")}
    if len(wanted) < 2:
        have = ", ".join(dict.fromkeys(v[0] for k, v in known.items() if k != "clean"))
        raise UsageError(
            f"two runs are compared under changes of images, and {' and '.join(probes)} has none; name some of {have}"
        )
    rows: list[Row] = []
    differences = []
    for i, (name, (_, change)) in enumerate(wanted.items()):
        if progress is not None:
            progress(name, i, len(wanted))
        counts = []
        for exam in (a, b):
            images, masks = change(exam)
            counts.append(exam.counts(exam.maps(images, note=name), masks))
        first, second = a.iou(counts[0]), b.iou(counts[1])
        drawn = a.resampled(counts[1]) - a.resampled(counts[0])
        low, high = np.nanquantile(drawn, (0.025, 0.975))
        rows.append((name, first, second, second - first, float(low), float(high), len(a)))
        if name != "clean":
            differences.append((second - first, drawn))
    low, high = np.nanquantile(np.mean([d for _, d in differences], 0), (0.025, 0.975))
    value = float(np.mean([v for v, _ in differences]))
    return concluded(
        names, rows, (value, float(low), float(high), len(differences)), len(a), measure="Mean IoU",
        seed=a.seed, started=started,
    )  # fmt: skip
