"""The charts of the line experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from striate.figures import BLUE, DIVERGING, GRID, INK, SEQUENTIAL, VERMILLION, new_figure, style
from striate.lectures.experiments.drawing import Chart, chart, per_cent
from striate.lectures.experiments.lines.images import waved, wide_lines
from striate.lectures.experiments.lines.spectra import gains
from striate.units.tuning import UnitTuning

if TYPE_CHECKING:
    from striate.lectures.experiments.lines.run import Cell


def draw_starts(losses: Sequence[float], errors: Sequence[int], kept: int) -> Chart:
    """Each start's training loss and test errors; the one kept is marked."""
    from matplotlib.ticker import LogLocator, NullLocator

    with style():
        figure = new_figure(6.4, 3.2)
        axes = figure.subplots()
        rest = [s for s in range(len(losses)) if s != kept]
        axes.scatter(
            [losses[s] for s in rest],
            [errors[s] for s in rest],
            s=34,
            color=GRID,
            label="other starts",
        )
        axes.scatter(
            [losses[kept]],
            [errors[kept]],
            s=60,
            color=VERMILLION,
            marker="D",
            label="kept",
            zorder=3,
            clip_on=False,
        )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
        axes.set_yscale("symlog", linthresh=10)
        axes.set_yticks([t for t in (0, 5, 10, 30, 100, 1000, 10_000) if t <= 4 * max(*errors, 5)])
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(lambda v, _: f"{v:,.0f}")
        axes.set_ylim(0, 1.4 * max(*errors, 5))
        axes.set(
            xlabel="loss on the training images",
            ylabel="test images missed",
            title="One start of several is kept",
        )
        axes.grid(axis="y")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
        return chart(
            figure,
            caption="Every start's loss on the training images, by which one is chosen, and its errors in the "
            "test images, which "
            "take no part in the choice. A network of two kernels may end with both on one class, and then misses more.",
            alt=f"{len(losses)} starts; the kept one misses {errors[kept]}.",
        )


def draw_kernels(kernels: np.ndarray, W: np.ndarray, votes: Sequence[float]) -> Chart:
    """The two kernels (2, KH, KW) and the matrix W (2, 2) behind them."""
    with style():
        figure = new_figure(8.4, 2.9)
        left, middle, right = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1, 1, 0.8]})
        top = float(np.abs(kernels).max())
        for k, axes in enumerate((left, middle)):
            shown = axes.imshow(
                kernels[k], cmap=DIVERGING, vmin=-top, vmax=top, interpolation="nearest"
            )
            axes.set_title(
                f"kernel {k + 1}: votes {'vertical' if votes[k] > 0 else 'horizontal'}", fontsize=9
            )
            axes.set_xticks([0, 4, 8])
            axes.set_yticks([0, 4, 8])
        bar = figure.colorbar(shown, ax=[left, middle], shrink=0.75, label="weight")
        bar.outline.set_visible(False)
        reach = float(np.abs(W).max())
        right.imshow(W, cmap=DIVERGING, vmin=-reach, vmax=reach)
        for i in range(2):
            for j in range(2):
                dark = abs(W[i, j]) > 0.6 * reach
                right.text(
                    j,
                    i,
                    f"{W[i, j]:+.2f}",
                    ha="center",
                    va="center",
                    color="white" if dark else "#1f2329",
                )
        right.set_xticks([0, 1], ["kernel 1", "kernel 2"], fontsize=8)
        right.set_yticks([0, 1], ["vertical", "horizontal"], fontsize=8)
        right.set_title("W", fontsize=9)
        for axes in (left, middle, right):
            for spine in axes.spines.values():
                spine.set_visible(False)
            axes.tick_params(length=0)
        return chart(
            figure,
            caption="The learned 9 x 9 kernels, and W, which turns their mean responses into the two classes: "
            "the class with the "
            "smaller sum wins, since the lecture's softmax has a minus.",
            alt="Two kernels and a two by two matrix.",
        )


def draw_tuning(tuned: Sequence[UnitTuning]) -> Chart:
    """Each kernel's response to gratings of every orientation."""
    with style():
        figure = new_figure(6.4, 3.0)
        axes = figure.subplots()
        for k, unit in enumerate(tuned):
            curve = unit.curves["orientation"]
            at, response = np.append(curve.at, 180.0), np.append(curve.response, curve.response[:1])
            name = f"kernel {k + 1}" + (
                f", {unit.frequency:.2f} cycles a pixel" if unit.driven else " (silent)"
            )
            axes.plot(
                at,
                response / max(float(response.max()), 1e-12),
                color=(BLUE, VERMILLION)[k],
                marker="os"[k],
                markersize=3,
                label=name,
            )
        axes.set_xticks(
            [0, 45, 90, 135, 180], ["0\nhorizontal", "45", "90\nvertical", "135", "180\nhorizontal"]
        )
        axes.set(
            xlabel="stripes of the grating (degrees)",
            ylabel="response",
            ylim=(0, 1.05),
            title="Orientation tuning",
        )
        per_cent(axes.yaxis)
        axes.grid(axis="y")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
        return chart(
            figure,
            caption="Response of each kernel behind its ReLU to drifting gratings, at the frequency that it "
            "likes best, over its "
            "largest: simple cells, measured as in the striate cortex.",
            alt="Two tuning curves over orientation.",
        )


def draw_waves(cells: Sequence[Cell], widths: Sequence[int], periods: Sequence[float]) -> Chart:
    """Share right for every width and period, of both waves."""
    with style():
        figure = new_figure(8.6, 0.42 * (1 + len(widths)) + 1.3)
        both = figure.subplots(1, 2, sharey=True)
        titles = {"raised": "times (1 + cos) / 2", "pure": "times cos"}
        for axes, (wave, title) in zip(both, titles.items(), strict=True):
            grid = np.array(
                [
                    [
                        next(c.right for c in cells if (c.width, c.wave, c.period) == key)
                        for key in row
                    ]
                    for row in [
                        [(w, "none", 0.0), *((w, wave, p) for p in periods)] for w in widths
                    ]
                ]
            )
            shown = axes.imshow(
                grid, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto", interpolation="nearest"
            )
            for r, row in enumerate(grid):
                for c, value in enumerate(row):
                    axes.text(
                        c,
                        r,
                        f"{100 * value:.0f}",
                        ha="center",
                        va="center",
                        fontsize=8,
                        color="white" if value < 0.5 else "#1f2329",
                    )
            axes.axvline(0.5, color="white", linewidth=3)
            axes.set_xticks(range(1 + len(periods)), ["none", *(f"{p:g}" for p in periods)])
            axes.set_yticks(range(len(widths)), [f"{w} px" for w in widths])
            axes.set(xlabel="period of the wave (pixels)", title=title)
            axes.tick_params(length=0)
            for spine in axes.spines.values():
                spine.set_visible(False)
        both[0].set_ylabel("width of the lines")
        bar = figure.colorbar(shown, ax=both, shrink=0.9, pad=0.02)
        bar.outline.set_visible(False)
        per_cent(bar.ax.yaxis)
        return chart(
            figure,
            caption="Per cent answered right, by the width of the lines and the period of the wave along them; "
            "50 is guessing, 0 "
            "means that every vertical line is called horizontal and the other way round.",
            alt="Two tables of colours: share right against width and period.",
        )


def draw_spectra(kernels: Tensor, vertical: int, width: int, period: float, side: int) -> Chart:
    """The spectra of the kernels (2, KH, KW), and those of a wide vertical line before and after each wave, on the same
    axes.
    """
    from matplotlib.lines import Line2D

    line, label = wide_lines(width, 1, size=side, seed=7)
    line[0] = 0
    line[0, :, side // 2 - width // 2 : side // 2 - width // 2 + width] = 1
    images = {"vertical line": torch.from_numpy(line)[0]}
    images |= {
        f"{wave} wave": waved(line, label, period=period, wave=wave)[0, 0]
        for wave in ("raised", "pure")
    }
    order = (vertical, 1 - vertical)
    with style():
        figure = new_figure(7.4, 5.0)
        grid = figure.subplots(2, 3, sharex=True, sharey=True)
        whole = (-0.5, 0.5, 0.5, -0.5)
        power = gains(kernels)
        for axes, k, name in zip(
            grid[0], order, ("kernel for vertical", "kernel for horizontal"), strict=False
        ):
            axes.imshow(
                power[k].sqrt().numpy(),
                cmap=SEQUENTIAL,
                vmin=0,
                extent=whole,
                interpolation="nearest",
            )
            axes.set_title(name, fontsize=10)
            axes.axhline(0, color="white", linewidth=1.2)
            for f in (-1 / period, 1 / period):
                axes.axhline(f, color="white", linewidth=1.2, linestyle=(0, (3, 3)))
        blank = grid[0][2]
        blank.axis("off")
        blank.legend(
            [Line2D([], [], color=INK), Line2D([], [], color=INK, linestyle=(0, (3, 3)))],
            ["where a vertical\nline lies", f"where a wave of\n{period:g} px moves it"],
            loc="center left",
            labelspacing=1.2,
        )
        for axes, (name, image) in zip(grid[1], images.items(), strict=True):
            spectrum = torch.fft.fftshift(torch.fft.fft2(image, s=(128, 128)).abs())
            axes.imshow(
                spectrum.sqrt().numpy(), cmap=SEQUENTIAL, extent=whole, interpolation="nearest"
            )
            axes.set_title(name, fontsize=10)
            axes.set_xlabel("across (cycles a pixel)", fontsize=9)
        for axes in [*grid[0][:2], *grid[1]]:
            axes.set_xticks([-0.5, 0, 0.5], ["-½", "0", "½"])
            axes.set_yticks([-0.5, 0, 0.5], ["-½", "0", "½"])
            axes.tick_params(length=2)
            for spine in axes.spines.values():
                spine.set_visible(False)
        for row in grid:
            row[0].set_ylabel("down (cycles a pixel)", fontsize=9)
        return chart(
            figure,
            caption=f"Above, what each kernel lets through (magnitude). Below, a vertical line of {width} "
            "pixels (square root of the magnitude): "
            f"plain it lies on the row 0; the raised wave of {period:g} pixels moves half of it to two other "
            "rows, the pure one all.",
            alt="Five spectra.",
        )
