"""The headline: how far off numbers are on images the network never saw, and against what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate.data.numbers import unit_of
from striate.findings import Cell, Finding, Status, Table
from striate.statistics.bootstrap import Interval
from striate.statistics.resampling import weighted_bootstrap
from striate.tasks.regression.metric import mean_absolute_error, r_squared
from striate.wording import quoted

FEW_IMAGES = 100


def headline(
    values: np.ndarray,
    targets: np.ndarray,
    names: Sequence[str],
    taught: np.ndarray,
    *,
    seed: int = 0,
) -> Finding:
    """Mean absolute error and R-squared of values (N, K) for targets (N, K), in units, with bootstrap 95 % intervals.

    taught: (M, K) targets of the training images, whose median and mean are the baselines. R-squared is taken against the
    mean of the held-out targets, as everywhere.
    """
    n, k = targets.shape
    median, mean = np.median(taught, axis=0), taught.mean(0)

    def statistic(weights: np.ndarray) -> np.ndarray:
        mae = mean_absolute_error(values, targets, weights)
        rmse = np.sqrt(weights @ (values - targets) ** 2 / weights.sum(-1, keepdims=True))
        r2 = r_squared(values, targets, weights)
        gain = mean_absolute_error(np.broadcast_to(median, targets.shape), targets, weights) - mae
        return np.concatenate((mae, rmse, r2, r2.mean(-1, keepdims=True), gain), axis=-1)

    interval = weighted_bootstrap(statistic, n, seed=seed)

    def part(first: int) -> Interval:
        return Interval(*(bound[first : first + k] for bound in interval))

    mae, rmse, r2 = part(0), part(k), part(2 * k)
    gain = part(3 * k + 1)
    overall = Interval(*(bound[3 * k] for bound in interval))
    always = mean_absolute_error(np.broadcast_to(median, targets.shape), targets)
    rmse_always = np.sqrt(((targets - mean) ** 2).mean(0))
    r2_always = r_squared(np.broadcast_to(mean, targets.shape), targets)
    rows: list[tuple[Cell, ...]] = []
    for i, name in enumerate(names):
        bare, unit = unit_of(name)
        for measure, one, base in (
            ("mean absolute error", mae, always), ("root mean squared error", rmse, rmse_always), ("R²", r2, r2_always)
        ):  # fmt: skip
            own = "" if measure == "R²" else unit
            if np.isnan(one.value[i]):
                rows.append((bare, measure, None, None, None, own))
                continue
            scale = float(one.high[i] - one.low[i]) if measure != "R²" else 0.0
            spec = spec_for(scale) if measure != "R²" else ".3f"
            bounds = f"{one.low[i]:{spec}}–{one.high[i]:{spec}}"
            rows.append((bare, measure, f"{one.value[i]:{spec}}", bounds, f"{base[i]:{spec}}", own))  # fmt: skip
    data: dict[str, object] = {
        "images": n,
        "targets": [
            {
                "name": name, "mae": _numbers(mae, i), "rmse": _numbers(rmse, i), "r2": _numbers(r2, i),
                "mae_of_median": float(always[i]), "r2_of_mean": _finite(r2_always[i]),
            }
            for i, name in enumerate(names)
        ],
    }  # fmt: skip
    value = float(overall.value)
    if not np.isnan(value):
        data["key_figure"] = {
            "label": "of the variance explained (R²)", "value": max(value, 0.0), "low": max(float(overall.low), 0.0),
            "high": float(overall.high), "baseline": 0.0, "baseline_label": "always predicting the mean",
        }  # fmt: skip
    useless = [name for i, name in enumerate(names) if gain.low[i] <= 0]
    status: Status = "good"
    advice = ""
    if useless:
        which = ", ".join(quoted(unit_of(name)[0]) for name in useless)
        status = "problem" if len(useless) == k else "warning"
        advice = (
            f"{'It' if k == 1 else which} is not better than always predicting the median: train longer, look at the "
            "images, or ask whether they show the number at all."
        )
    elif n < FEW_IMAGES:
        status, advice = "note", f"With {n:,} images the numbers are uncertain: read the intervals."
    return Finding(
        name="headline",
        title="How good it is",
        verdict=_verdict(names, mae, always, r2, overall, n),
        status=status,
        advice=advice,
        tables=(
            Table(
                columns=("number", "measure", "value", "95 % interval", "baseline", "unit"),
                rows=tuple(rows),
                caption=f"Measured on {n:,} held-out images; intervals from 1,000 bootstrap resamples. Baseline: "
                "always predicting the median of the training images (absolute error), or their mean (squared error, R²). "
                "R²: the share of the variance that is explained; 1 is perfect, 0 no better than the mean.",
            ),
        ),
        data=data,
        seed=seed,
    )


def spec_for(width: float) -> str:
    """A format that shows numbers whose interval is `width` wide with two digits of that."""
    if not width > 0:
        return ".3g"
    return f".{max(0, 1 - int(np.floor(np.log10(width))))}f"


def _verdict(
    names: Sequence[str], mae: Interval, always: np.ndarray, r2: Interval, overall: Interval, n: int
) -> str:  # fmt: skip
    images = f"{n:,} held-out image{'s' * (n != 1)}"
    if len(names) == 1:
        name, unit = unit_of(names[0])
        end = f" {unit}" if unit else ""
        spec = spec_for(float(mae.high[0] - mae.low[0]))
        explained = "" if np.isnan(r2.value[0]) else f" (R² {r2.value[0]:.2f})"
        return (
            f"{quoted(name)} is off by {mae.value[0]:{spec}}{end} on average{explained} on {images} (95 % interval "
            f"{mae.low[0]:{spec}}–{mae.high[0]:{spec}}); always giving the median is off by {always[0]:{spec}}{end}."
        )
    each = []
    for i, heading in enumerate(names[:4]):
        name, unit = unit_of(heading)
        spec = spec_for(float(mae.high[i] - mae.low[i]))
        end = f" {unit}" if unit else ""
        each.append(
            f"{quoted(name)} by {mae.value[i]:{spec}}{end} (always the median: {always[i]:{spec}})"
        )
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    explained = "" if np.isnan(overall.value) else (
        f"R² {float(overall.value):.2f} on average over {len(names)} numbers (95 % interval {overall.low:.2f}–"
        f"{overall.high:.2f}); "
    )  # fmt: skip
    return f"{explained}on {images} it is off on average in {', '.join(each)}{more}."


def _numbers(interval: Interval, i: int) -> dict[str, float | None]:
    return {name: _finite(part[i]) for name, part in interval._asdict().items()}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
