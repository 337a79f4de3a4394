"""Spectrum: the sinusoidal modulation of lecture 003 and the Fourier heat map of Yin et al. 2019."""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from torch import Tensor

from striate.figures import SEQUENTIAL, new_figure, render, style
from striate.findings import Cell, Figure, Finding, Table
from striate.robustness.chart import curves
from striate.robustness.context import Context
from striate.statistics.intervals import paired
from striate.wording import percent, points

PERIODS = (2.0, 2.5, 3.0, 4.0, 6.0, 8.0, 12.0)
GRID = 13  # frequencies along each axis of the heat map, at most
MAPPED = 128  # images of the heat map
STRENGTH = 0.1  # root mean square of the perturbation, in grey levels of [0, 1]


def modulation(images: Tensor, period: float, *, across: bool) -> Tensor:
    """Images (N, C, H, W) times (1 + cos) / 2 with `period` pixels, across the columns or down the rows (lecture 003)."""
    n = images.shape[-1 if across else -2]
    wave = (1 + torch.cos(2 * math.pi * torch.arange(n) / period)) / 2
    return images * (wave if across else wave[:, None])


def basis(size: tuple[int, int], row: int, column: int) -> Tensor:
    """The real Fourier basis image (H, W) of a frequency, cycles per image, of unit root mean square (Yin et al. 2019)."""
    h, w = size
    spectrum = torch.zeros(h, w, dtype=torch.complex64)
    spectrum[row % h, column % w] += 1
    spectrum[-row % h, -column % w] += 1
    image = torch.fft.ifft2(spectrum).real
    return image / image.square().mean().sqrt()


def spectrum(context: Context) -> Finding:
    """Accuracy when images are multiplied by a wave, and the error for a perturbation along each frequency."""
    started = time.perf_counter()
    rows: list[tuple[Cell, ...]] = []
    across_all: list[float] = []
    down_all: list[float] = []
    worst = ("", 0.0, 0.0, 0.0)
    for period in [p for p in PERIODS if p <= context.side / 2]:
        hits = []
        for across in (True, False):
            name = f"a wave of {period:g} pixels {'across' if across else 'down'}"
            is_correct = context.is_correct(
                modulation(context.images, period, across=across), note=name
            )
            hits.append(float(is_correct.mean()))
            value, low, high = paired(context.clean_correct, is_correct)
            if value < worst[1] or not worst[0]:
                worst = (name, value, low, high)
        across_all.append(hits[0])
        down_all.append(hits[1])
        rows.append((f"{period:g} px", *hits))
    heat, some = heat_map(context)
    r, c = np.unravel_index(int(np.nanargmax(heat)), heat.shape)
    half = heat.shape[0] // 2
    step = frequency_step(context.side)
    fr, fc = (int(r) - half) * step, int(c) * step
    peak = float(np.nanmax(heat))
    pitch = context.side / max(1e-9, math.hypot(fr, fc))
    name, value, low, high = worst
    serious = value < -0.05 and high < 0
    verdict = (
        f"Multiplying images by {name} costs {points(min(0, value))} (95 % interval {max(0, -100 * high):.1f} to {-100 * low:.1f}); "  # noqa: E501
        f"of added waves of strength {STRENGTH:g} the worst has a period of {pitch:.1f} pixels: error {percent(peak)} "
        f"({percent(1 - some.accuracy)} without, {len(some):,} images)."
    )
    n = min(len(across_all), len(down_all))
    at = [p for p in PERIODS if p <= context.side / 2][:n]
    chart = curves(
        at, {"across": across_all, "down": down_all}, xlabel="period (pixels)", title="Multiplied by a wave",
        chance=1 / len(context.classes), xlog=True, ticks=[f"{p:g}" for p in at],
        caption="Accuracy when images are multiplied by a sinusoidal wave; "
        f"{percent(context.accuracy)} without.",
        alt=f"Lowest at {name}.",
    )  # fmt: skip
    return Finding(
        name="probe-spectrum",
        title="Waves and textures",
        verdict=verdict,
        status="warning" if serious and value < -0.2 else "note" if serious or peak > 0.3 else "good",
        advice="Its predictions depend on detail of that size: train with blurred and noisy images and changes of contrast, "
        "and look at its first kernels with `striate units RUN`." if serious else "",
        tables=(
            Table(columns=("period", "across", "down"), rows=tuple(rows), formats=("", ".1%", ".1%"),
                  caption="Accuracy when multiplied by a wave of lecture 003."),
        ),
        figures=(chart, _heat(heat, step, context.side)),
        data={
            "clean": context.accuracy, "periods": at, "across": across_all, "down": down_all,
            "worst": name, "change": value, "heat": np.round(heat, 4).tolist(), "step": step, "images": len(context),
        },
        seed=context.seed,
        seconds=time.perf_counter() - started,
    )  # fmt: skip


def frequency_step(side: int) -> int:
    """Cycles per image between neighbours of the heat map."""
    return max(1, math.ceil(side / 2 / (GRID // 2)))


def heat_map(context: Context, *, strength: float = STRENGTH) -> tuple[np.ndarray, Context]:
    """Error (rows, columns) when each Fourier basis image is added with a random sign, and the images it was taken on.

    Entry (r, c) is the frequency (r - rows // 2, c) times the step, in cycles per image; the other half is its mirror.
    The frequency 0 is left out (nan).
    """
    some = context.take(MAPPED)
    n, h, w = len(some), *some.images.shape[-2:]
    step = frequency_step(context.side)
    half = context.side // 2 // step
    signs = (torch.randint(0, 2, (n, 1, 1, 1), generator=context.generator(300)) * 2 - 1).float()
    error = np.full((2 * half + 1, half + 1), np.nan)
    for r in range(-half, half + 1):
        for c in range(half + 1):
            if (r, c) == (0, 0) or (c == 0 and r < 0):
                continue
            wave = strength * basis((h, w), r * step, c * step)
            changed = (some.images + signs * wave).clamp(0, 1)
            error[r + half, c] = 1 - float(some.is_correct(changed).mean())
            if c == 0:
                error[half - r, 0] = error[r + half, 0]
    return error, some


def _heat(heat: np.ndarray, step: int, side: int) -> Figure:
    half = heat.shape[0] // 2
    full = np.concatenate([heat[::-1, :0:-1], heat], axis=1)
    reach = (half + 0.5) * step
    with style():
        figure = new_figure(4.8, 4.0)
        axes = figure.subplots()
        shown = axes.imshow(
            full,
            cmap=SEQUENTIAL,
            vmin=0,
            vmax=1,
            extent=(-reach, reach, reach, -reach),
            interpolation="nearest",
        )
        axes.set(
            xlabel="cycles per image, across",
            ylabel="cycles per image, down",
            title="Fourier heat map",
        )
        bar = figure.colorbar(shown, ax=axes, shrink=0.8)
        bar.ax.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
        bar.outline.set_visible(False)
        return render(
            figure,
            caption=f"Error when a wave of root mean square {STRENGTH:g} is added: low frequencies in the middle, "
            f"the finest ({side / 2:g} cycles) at the edges.",
            alt="Error for each frequency.",
        )
