"""Probes of networks that label every pixel: shift, scale, flip, corruption and calibration, scored by mean IoU."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.errors import UsageError
from striate.findings import Finding, Status, Table
from striate.robustness.calibration import judged
from striate.robustness.chart import bars, curves
from striate.robustness.corruptions import CORRUPTIONS, corrupted
from striate.robustness.map_shift import map_shift
from striate.robustness.maps import IGNORE, MapExam
from striate.robustness.probes import resolve_probes
from striate.robustness.transforms import scaled

SCALES = (0.5, 0.65, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0)
SEVERITIES = (1, 3, 5)
MOVING = frozenset({"elastic", "zoom blur"})  # they move objects away from their masks
NOTABLE = 0.05
SAMPLED = 400  # pixels an image for calibration


def map_scale(exam: MapExam) -> Finding:
    """Mean IoU against the size of what is shown; masks are enlarged with the image, what was outside does not count."""
    started = time.perf_counter()
    found = []
    for factor in SCALES:
        maps = exam.maps(scaled(exam.images, factor), note=f"scale {factor:g}")
        found.append((f"×{factor:g}", exam.counts(maps, scaled_masks(exam.masks, factor))))
    x = [*SCALES[:4], 1.0, *SCALES[4:]]
    values = [exam.iou(c) for _, c in found]
    values.insert(4, exam.iou(exam.clean))
    chart = curves(
        [float(i) for i in range(len(x))], {"mean IoU": values}, xlabel="size of what is shown", xlog=False,
        ticks=[f"×{v:g}" if v != 1 else "as is" for v in x], title="Larger and smaller objects", share=False,
        caption="Mean IoU when the image, and its mask with it, is enlarged about its centre.",
        alt=f"Mean IoU from {min(values):.2f} to {max(values):.2f}.",
    )  # fmt: skip
    # An image in use may well come at these sizes; a loss beyond them is told but no warning.
    usual = {f"×{f:g}" for f in SCALES if 0.8 <= f <= 1.25}
    return _told(
        exam, "scale", "Larger and smaller objects", found, (chart,), started, usual,
        "Train with a wider zoom (`--set zoom=1.5`), or resize so that objects come at the size they had in training.",
    )  # fmt: skip


def map_flip(exam: MapExam) -> Finding:
    """Mean IoU for images mirrored left to right, top to bottom, and both, with their masks."""
    started = time.perf_counter()
    found = []
    for name, dims in {"left-right": (-1,), "top-bottom": (-2,), "both": (-2, -1)}.items():
        maps = exam.maps(exam.images.flip(dims), note=f"a flip {name}")
        found.append((f"a flip {name}", exam.counts(maps, exam.masks.flip(dims))))
    chart = _bars(exam, [(n.removeprefix("a flip "), c) for n, c in found], "Mirrored images")
    return _told(
        exam, "flip", "Mirrored images", found, (chart,), started, set(),
        "If mirrored images will come, train with `--set flip=true`.",
    )  # fmt: skip


def map_corruption(exam: MapExam) -> Finding:
    """Mean IoU under each corruption that leaves objects where they are, at severities 1, 3 and 5."""
    started = time.perf_counter()
    found = []
    for name in CORRUPTIONS:
        if name in MOVING:
            continue
        for severity in SEVERITIES:
            note = f"{name} at severity {severity}"
            images = corrupted(exam.images, name, severity, seed=exam.seed)
            found.append((note, exam.counts(exam.maps(images, note=note))))
    hardest = [f for f in found if f[0].endswith("3")]
    hardest.sort(key=lambda f: exam.iou(f[1]))
    figure = _bars(
        exam, [(n.split(" at ")[0], c) for n, c in hardest], "Under corruption of severity 3"
    )
    return _told(
        exam, "corruption", "Corrupted images", found, (figure,), started,
        {n for n, _ in found if not n.endswith("5")},
        "Train with images changed in that way (`--set jitter=` for contrast and brightness), or keep such images out.",
    )  # fmt: skip


def map_calibration(
    exam: MapExam, validation: tuple[Tensor, Tensor] | None = None, *, current: float = 1.0
) -> Finding:
    """Calibration over pixels, 400 an image; the temperature is fitted on validation images and masks, or on half."""
    logits, labels = sampled_pixels(exam, exam.images, exam.masks)
    if validation is not None and len(validation[0]):
        others = sampled_pixels(exam, validation[0], validation[1])
        return judged(
            logits, labels, *others, current=current, seed=exam.seed, noun="pixels", halved=False
        )
    half = len(logits) // 2  # whole images, in their order: pixels of one image are alike
    return judged(
        logits[half:], labels[half:], logits[:half], labels[:half], current=current, seed=exam.seed, noun="pixels",
        halved=True,
    )  # fmt: skip


def sampled_pixels(exam: MapExam, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (M, K) and labels (M,) of some pixels of each image, in the images' order."""
    images = images.float() / 255 if images.dtype == torch.uint8 else images
    g = exam.generator(41)
    rows, labels = [], []
    for image, mask in zip(images, masks, strict=True):
        valid = (mask.flatten() != IGNORE).nonzero().flatten()
        at = valid[torch.randperm(len(valid), generator=g)[:SAMPLED]]
        rows.append(exam.logits(image[None])[0].flatten(1)[:, at].T)
        labels.append(mask.flatten()[at].long())
    return torch.cat(rows), torch.cat(labels)


def scaled_masks(masks: Tensor, factor: float) -> Tensor:
    """Masks (N, H, W) enlarged about their centre, nearest; 255 where nothing was."""
    theta = torch.tensor([[1 / factor, 0.0, 0.0], [0.0, 1 / factor, 0.0]])
    n, h, w = masks.shape
    grid = F.affine_grid(theta.expand(n, 2, 3), [n, 1, h, w], align_corners=False)
    shown = masks[:, None].float() - IGNORE  # so that the zeros outside become 255
    moved = F.grid_sample(shown, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return (moved[:, 0] + IGNORE).round().to(masks.dtype)


def _bars(exam: MapExam, found: Sequence[tuple[str, object]], title: str):  # type: ignore[no-untyped-def]
    values = [exam.iou(c) for _, c in found]  # type: ignore[arg-type]
    return bars(
        [n for n, _ in found], values, title=title, reference=exam.iou(exam.clean), reference_name="as is", share=False,
        caption="Mean IoU; the dashed line is that of the images as they are.", alt=f"Least {min(values):.2f}.",
    )  # fmt: skip


def _told(
    exam: MapExam, kind: str, title: str, found: Sequence[tuple[str, object]], figures: tuple, started: float,  # type: ignore[type-arg]
    usual: set[str], advice: str,
) -> Finding:  # fmt: skip
    rows = [(n, exam.iou(c), *exam.against_clean(c)) for n, c in found]  # type: ignore[arg-type]
    clean = exam.iou(exam.clean)
    costly = [r for r in rows if r[2] <= -NOTABLE and r[4] < 0]
    common = [r for r in costly if r[0] in usual]
    worst = min(common or costly or rows, key=lambda r: r[2])
    status: Status = "good" if not costly else "warning" if common and worst[2] < -0.2 else "note"
    interval = f"95 % interval {worst[3]:+.3f} to {worst[4]:+.3f}"
    verdict = (
        f"Mean IoU falls by {-worst[2]:.2f} under {worst[0]} ({clean:.2f} to {worst[1]:.2f}; {interval}; "
        f"{len(exam):,} images)"
        if costly
        else f"No {kind} tried here costs {NOTABLE:g} of mean IoU: the worst, {worst[0]}, changes {clean:.2f} by "
        f"{worst[2]:+.3f} ({interval}; {len(exam):,} images)"
    )
    most = min(rows, key=lambda r: r[2])
    if costly and most is not worst:
        verdict += f", by {-most[2]:.2f} under {most[0]}"
    return Finding(
        name=f"probe-{kind}",
        title=title,
        verdict=f"{verdict}.",
        status=status,
        advice=advice if costly else "",
        tables=(
            Table(
                columns=(kind, "mean IoU", "change", "from", "to"),
                rows=tuple(rows),
                formats=("", ".3f", "+.3f", "+.3f", "+.3f"),
                caption=f"{len(exam):,} images, {clean:.3f} as they are; the change with its 95 % interval over resampled "
                "images.",
            ),
        ),
        figures=figures,
        data={"clean": clean, "iou": {r[0]: r[1] for r in rows}, "change": {r[0]: r[2] for r in rows}, "images": len(exam)},
        seed=exam.seed,
        seconds=time.perf_counter() - started,
    )  # fmt: skip


MAP_PROBES: dict[str, Callable[[MapExam], Finding]] = {
    "shift": map_shift, "scale": map_scale, "flip": map_flip, "corruption": map_corruption, "calibration": map_calibration,
}  # fmt: skip
REFUSED = {
    "rotation": "what turns out of the frame has no mask; crop and rotate a folder of your own and give it with --data",
    "domain": "its scores compare one answer an image; give labelled images of the other domain with --data instead",
    "spectrum": "it is measured by one answer an image; corruption has the noises and blurs",
    "attack": "its strength is measured by one answer an image",
    "shortcuts": "hiding parts of an image asks for one answer an image",
}


def resolve_map_probes(names: Sequence[str]) -> list[str]:
    """The probes' names in their order, all that there are for maps if none is given. Raises UsageError with the reason."""
    resolve_probes(names)
    for name in names:
        if name in REFUSED:
            raise UsageError(
                f"there is no probe {name} for a network that labels pixels: {REFUSED[name]}; "
                f"there are {', '.join(MAP_PROBES)}"
            )
    return [name for name in MAP_PROBES if not names or name in names]
