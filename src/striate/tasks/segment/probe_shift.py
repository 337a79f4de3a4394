"""Shift equivariance of masks: the predicted mask of a shifted image against the shifted mask, and seams on the lattice."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.errors import DataError
from striate.figures import BLUE, GRID, VERMILLION, new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.tasks.segment.data import IGNORE
from striate.wording import percent

NOTABLE = 0.01  # share of pixels that change class


def offsets(stride: int, most: int) -> list[int]:
    """Shifts to try in pixels: 1 to the stride and two strides beyond, as far as `most` goes; about 20 of them."""
    distances = {1, 2, 3, stride - 1, stride, stride + 1, 2 * stride, 2 * stride + 1}
    step = max(1, stride // 8)
    distances |= set(range(step, 2 * stride + 1, step))
    return sorted(d for d in distances if 1 <= d <= most)


def mask_shift(context: Any) -> Finding:
    """Share of pixels whose class differs between the predicted mask of a shifted image and the shifted mask, by shift.

    Two windows of the same image, apart by the shift, so that no pixel is invented; compared are the pixels that both
    hold and that lie an eighth of the window from their borders. At multiples of the stride a network whose layers all
    move along agrees but for what the border changes (lecture 001: f(translate(x)) = translate(f(x))).

    context: the probe context, with its stride. Raises DataError for images that are too small to be shifted.
    """
    started = time.perf_counter()
    h, w = context.images.shape[-2:]
    side, stride = min(h, w), context.stride
    most = min(2 * stride + 1, side // 3)
    size = side - most
    size = size // stride * stride if size >= 2 * stride else size  # no padding to the lattice
    margin = size // 8
    if size - 2 * margin - most < 4:
        raise DataError(
            f"images of {h} x {w} pixels are too small to be shifted under a stride of {stride}; give larger ones"
        )
    first = context.predicted(context.images[..., :size, :size])
    truth = context.targets[..., :size, :size]
    rows, seams = [], torch.zeros(stride)
    seen = torch.zeros(stride)
    shown: tuple[int, Tensor] | None = None
    for d in offsets(stride, most):
        share, score = [], []
        for down in (False, True):
            r, c = (d, 0) if down else (0, d)
            moved = context.predicted(
                context.images[..., r : r + size, c : c + size], note=f"a shift of {d}"
            )
            a = first[..., margin + r : size - margin, margin + c : size - margin]
            b = moved[..., margin : size - margin - r, margin : size - margin - c]
            differs = a != b
            share.append(float(differs.float().mean()))
            mask = truth[..., margin + r : size - margin, margin + c : size - margin]
            score.append(float((b == mask)[mask != IGNORE].float().mean()))
            if d % stride:
                axis = 1 if down else 2
                along = differs.float().mean((0, 3 - axis))
                at = (torch.arange(len(along)) + margin + d) % stride
                seams.index_add_(0, at, along)
                seen.index_add_(0, at, torch.ones(len(along)))
            if shown is None or share[-1] > shown[0]:
                shown = share[-1], torch.tensor([r, c])  # type: ignore[assignment]
        rows.append((d, d % stride == 0, float(np.mean(share)), max(share), float(np.mean(score))))
    between = [x for x in rows if not x[1]]
    multiples = [x for x in rows if x[1]]
    worst = max(rows, key=lambda x: x[2])
    lattice = (seams / seen.clamp_min(1)).tolist()
    uneven = max(lattice) / max(1e-9, float(np.mean(lattice))) if stride > 1 else 1.0
    at_stride = float(np.mean([x[2] for x in multiples])) if multiples else None
    elsewhere = float(np.mean([x[2] for x in between])) if between else 0.0
    verdict = (
        f"Shifted by {worst[0]} pixels {percent(worst[2])} of pixels change their class, "
        f"on average {percent(elsewhere)} at shifts between multiples of its stride of {stride}"
        if between
        else f"Shifted by {worst[0]} pixels {percent(worst[2])} of pixels change their class"
    )
    if at_stride is not None and between:
        verdict += f" and {percent(at_stride)} at multiples"
    verdict += (
        f" ({len(context):,} images, {size} x {size} windows, an eighth from the borders left out)"
    )
    seamed = elsewhere > NOTABLE and uneven > 1.5 and stride > 1
    if seamed:
        verdict += (
            f"; changes are {uneven:.1f} times as frequent on some lines of its lattice: seams"
        )
    bad = worst[2] > NOTABLE
    assert shown is not None
    return Finding(
        name="probe-shift",
        title="Whether the mask moves with the image",
        verdict=f"{verdict}.",
        status="warning" if worst[2] > 0.05 else "note" if bad else "good",
        advice="Train with random crops at every offset and up-sample by interpolation; where it matters take the mean "
        "over shifted copies." if bad else "",
        tables=(
            Table(
                columns=("shift", "multiple of the stride", "pixels that change", "worse direction", "accuracy there"),
                rows=tuple((d, "yes" if m else "", s, x, a) for d, m, s, x, a in rows),
                formats=("d", "", ".2%", ".2%", ".1%"),
                caption="Mean of a shift to the right and one down.",
            ),
        ),
        figures=(_chart(rows, stride), _example(context, size, tuple(shown[1].tolist()))),
        data={
            "stride": stride, "window": size, "shifts": [x[0] for x in rows], "changed": [x[2] for x in rows],
            "at_stride": at_stride, "between": elsewhere, "uneven": uneven, "lattice": lattice, "images": len(context),
        },
        seed=context.seed,
        seconds=time.perf_counter() - started,
    )  # fmt: skip


def _chart(rows: list, stride: int) -> Figure:  # type: ignore[type-arg]
    with style():
        figure = new_figure(6.4, 3.2)
        axes = figure.subplots()
        top = max(0.01, 1.15 * max(r[2] for r in rows))
        for m in range(stride, rows[-1][0] + 1, stride):
            axes.axvline(m, color=GRID, linewidth=1, linestyle=(0, (4, 3)))
        axes.plot(
            [0] + [r[0] for r in rows], [0.0] + [r[2] for r in rows], color=BLUE, linewidth=1.4
        )
        for multiple, colour, mark, name in (
            (False, BLUE, "o", "between"),
            (True, VERMILLION, "D", f"multiples of the stride ({stride})"),
        ):
            here = [r for r in rows if r[1] == multiple]
            axes.plot(
                [r[0] for r in here],
                [r[2] for r in here],
                mark,
                color=colour,
                markersize=5,
                label=name,
            )
        axes.set(
            xlabel="shift (pixels)",
            ylim=(0, top),
            xlim=(0, rows[-1][0] + 0.5),
            title="Pixels that change their class",
        )
        axes.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.1f} %")
        axes.grid(axis="y")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
        return render(
            figure,
            caption="The mask of a shifted image against the shifted mask; 0 is a network that moves along exactly.",
            alt=f"At most {percent(max(r[2] for r in rows))} of pixels change.",
        )  # fmt: skip


def _example(context: Any, size: int, move: tuple[int, ...]) -> Figure:
    """The image that suffers most, its two predicted masks, and where they differ."""
    r, c = move
    a = context.predicted(context.images[..., :size, :size])[..., r:, c:]
    b = context.predicted(context.images[..., r : r + size, c : c + size])[
        ..., : size - r, : size - c
    ]
    i = int((a != b).flatten(1).sum(1).argmax())
    with style():
        image = context.images[i, :, r:size, c:size].permute(1, 2, 0).numpy().squeeze()
        figure = new_figure(7.2, 0.4 + min(1.7 * image.shape[0] / image.shape[1], 3.4))
        panels = figure.subplots(1, 4)
        k = max(1, len(context.classes) - 1)
        for axes, (title, picture, more) in zip(
            panels,
            (
                ("image", image, {"cmap": "gray", "vmin": 0, "vmax": 1}),
                ("mask, shifted", a[i].numpy(), {"cmap": "cividis", "vmin": 0, "vmax": k}),
                (
                    "mask of the shifted image",
                    b[i].numpy(),
                    {"cmap": "cividis", "vmin": 0, "vmax": k},
                ),
                (
                    "where they differ",
                    (a[i] != b[i]).numpy(),
                    {"cmap": "gray", "vmin": 0, "vmax": 1},
                ),
            ),
            strict=True,
        ):
            axes.imshow(picture, interpolation="nearest", **more)
            axes.set_title(title, fontsize=9, fontweight="normal", loc="center")
            axes.axis("off")
        way = f"{c} pixels across" if c else f"{r} pixels down"
        return render(
            figure,
            caption=f"The image whose mask changes most under a shift of {way}; white: pixels that change their class. "
            "Those at the borders see another surrounding and are left out of the numbers.",
            alt="An image, its two predicted masks and their difference.", png=True, dpi=110,
        )  # fmt: skip
