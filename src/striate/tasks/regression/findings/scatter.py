"""Predicted against true numbers, a point an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate.data.numbers import unit_of
from striate.figures import BLUE, any_script, new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.tasks.regression.findings.headline import spec_for
from striate.wording import quoted

POINTS = 3000  # drawn; of more images, some
PARTS = 4  # ranges of the true number in the table
SHRUNK = 0.25  # a slope that is this much below 1 is named


def predicted_against_true(
    values: np.ndarray, targets: np.ndarray, names: Sequence[str], radii: Sequence[float] | None
) -> Finding:
    """Where the numbers are wrong, from values (N, K) for targets (N, K), in units: mean errors by range of the true number.

    radii: (K,) how far intervals reach, drawn as a band, or None.
    """
    rows: list[tuple[str, str, int, str, str]] = []
    slopes: list[float | None] = []
    for i, heading in enumerate(names):
        name, unit = unit_of(heading)
        y, error = targets[:, i], values[:, i] - targets[:, i]
        slopes.append(_slope(values[:, i], y))
        edges = np.unique(np.quantile(y, np.linspace(0, 1, PARTS + 1)))
        if len(edges) < 2:
            continue
        part = np.clip(np.searchsorted(edges, y, side="right") - 1, 0, len(edges) - 2)
        spec = spec_for(float(np.abs(error).mean()))
        for p in np.unique(part):
            mine = error[part == p]
            span = f"{edges[p]:.4g} to {edges[p + 1]:.4g}{f' {unit}' if unit else ''}"
            rows.append((name, span, len(mine), f"{mine.mean():+{spec}}", f"{np.abs(mine).mean():{spec}}"))  # fmt: skip
    known = [(s, name) for s, name in zip(slopes, names, strict=True) if s is not None]
    flat = min(known, default=None)
    if flat is not None and flat[0] < 1 - SHRUNK:
        verdict = (
            f"Predictions of {quoted(unit_of(flat[1])[0])} are drawn to the middle: where the true number rises by 1, they "
            f"rise by {flat[0]:.2f}; small ones come out too large and large ones too small."
        )
    elif flat is not None:
        verdict = f"Predictions follow the true numbers from end to end: where these rise by 1, they rise by {flat[0]:.2f}."
    else:
        verdict = "The held-out images have one number throughout, so that no trend can be seen."
    return Finding(
        name="predicted-true",
        title="Predicted against true",
        verdict=verdict,
        status="note",
        tables=(
            Table(
                columns=("number", "true value", "images", "mean error", "mean absolute error"),
                rows=tuple(rows),
                formats=("", "", ",", "", ""),
                caption="Quarters of the images by their true number. Mean error: predicted less true.",
            ),
        ),
        figures=tuple(
            _scatter(values[:, i], targets[:, i], name, None if radii is None else radii[i])
            for i, name in enumerate(names)
        ),
        data={"slopes": dict(zip(names, slopes, strict=True))},
    )  # fmt: skip


def _slope(values: np.ndarray, targets: np.ndarray) -> float | None:
    """Of the line of least squares from true to predicted numbers; None where the true ones do not vary."""
    off = targets - targets.mean()
    spread = float((off**2).sum())
    return float((off * values).sum() / spread) if spread > 0 else None


def _scatter(values: np.ndarray, targets: np.ndarray, heading: str, radius: float | None) -> Figure:
    name, unit = unit_of(heading)
    label = f"{name} [{unit}]" if unit else name
    at = np.linspace(0, len(values) - 1, min(len(values), POINTS)).astype(int)
    both = np.concatenate((values, targets))
    low, high = float(both.min()), float(both.max())
    low, high = low - 0.04 * (high - low + 1e-9), high + 0.04 * (high - low + 1e-9)
    line = np.array([low, high])
    with style(), any_script():
        figure = new_figure(4.8, 4.6)
        ax = figure.subplots()
        ax.plot(line, line, color="#8c959f", linewidth=1, linestyle=(0, (4, 3)))
        if radius is not None:
            ax.fill_between(line, line - radius, line + radius, color="#8c959f", alpha=0.15, linewidth=0)  # fmt: skip
        ax.scatter(targets[at], values[at], s=16, color=BLUE, alpha=0.55, linewidths=0)
        ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        ax.set_xlabel(f"true {label}", parse_math=False)
        ax.set_ylabel(f"predicted {label}", parse_math=False)
        ax.grid(alpha=0.3)
        band = "" if radius is None else " The band is as wide as the 90 % intervals."
        some = (
            "a point an image"
            if len(at) == len(values)
            else f"{len(at):,} of {len(values):,} images"
        )
        return render(
            figure,
            caption=f"{name}: {some}; on the dashed line the prediction is the true number.{band}",
            alt=f"Predicted against true {name} of {len(values):,} images, from {targets.min():.4g} to {targets.max():.4g}.",
        )
