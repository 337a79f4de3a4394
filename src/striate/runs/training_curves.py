"""Training curves, and whether training was long enough, too long, or went wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from striate.errors import DataError
from striate.figures import BLUE, VERMILLION, new_figure, render, style
from striate.findings import Figure, Finding, Status, Table
from striate.wording import percent

COLUMNS = {  # of metrics.csv: heading and format
    "epoch": ("epoch", ""),
    "train_loss": ("training loss", ".4f"),
    "val_loss": ("validation loss", ".4f"),
    "train_accuracy": ("training accuracy", ".1%"),
    "val_accuracy": ("validation accuracy", ".1%"),
    "val_iou": ("validation mean IoU", ".1%"),
    "val_map": ("validation mAP", ".1%"),
    "val_ap": ("validation AP", ".3f"),
    "val_ap50": ("validation AP50", ".3f"),
    "val_r2": ("validation R²", ".3f"),
    "lr": ("learning rate", ".2e"),
    "images_per_second": ("images/s", ",.0f"),
    "seconds": ("seconds", ",.1f"),
}
ENOUGH = 4  # epochs, below which there is no trend
IMPROVING = 0.03  # relative fall of the loss over the last quarter that promises more
# validation accuracy that a rising loss does not harm, and what it may fall from its best: one image of a hundred
HIGH, FELL = 0.97, 0.01
OVERFIT = 0.10  # relative rise of the validation loss above its best
RISING = 4  # epochs since the best one, below which a rise cannot be told from noise


def training_curves(rows: Sequence[Mapping[str, Any]]) -> Finding:
    """Loss and accuracy over the epochs of metrics.csv, and what they say.

    rows: one mapping an epoch with epoch, step, train_loss, train_accuracy, val_loss, val_accuracy,
    lr, images_per_second and seconds; numbers or their text, None or empty where not measured.
    Raises DataError if there is no row or something that is not a number.
    """
    if not rows:
        raise DataError(
            "training_curves needs one row an epoch, got none; was the training interrupted at "
            "once?"
        )
    series = {name: np.array([_number(row, name) for row in rows]) for name in COLUMNS}
    if np.isnan(series["epoch"]).any():
        series["epoch"] = np.arange(1, len(rows) + 1, dtype=np.float64)
    verdict, status, advice, trend = _judge(series)
    shown = [name for name in COLUMNS if not np.isnan(series[name]).all()]
    table = Table(
        columns=tuple(COLUMNS[name][0] for name in shown),
        rows=tuple(
            tuple(_cell(name, float(series[name][i])) for name in shown) for i in range(len(rows))
        ),
        formats=tuple(COLUMNS[name][1] for name in shown),
        caption="Every epoch, as in metrics.csv.",
    )
    figures = [
        _plot(series, what, hint)
        for what, hint in (("loss", "lower is better"), ("accuracy", "higher is better"))
        if np.isfinite([series[f"train_{what}"], series[f"val_{what}"]]).any()
    ]
    return Finding(
        name="training-curves",
        title="How training went",
        verdict=verdict,
        status=status,
        advice=advice,
        tables=(table,),
        figures=tuple(figures),
        data={
            "trend": trend,
            "epochs": len(rows),
            **{
                name: [None if not math.isfinite(v) else float(v) for v in values]
                for name, values in series.items()
            },
        },
    )


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    if value is None or value == "":
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DataError(
            f"metrics: {name} must be a number, got {value!r}; is the file altered?"
        ) from None


def _cell(name: str, value: float) -> int | float | None:
    if math.isnan(value):
        return None
    return int(value) if name == "epoch" else value


def _judge(series: Mapping[str, np.ndarray]) -> tuple[str, Status, str, str]:
    """Verdict, status, advice and the trend in one word."""
    epochs = series["epoch"]
    train, valid = series["train_loss"], series["val_loss"]
    measured = ~np.isnan(valid)
    watched, what = (valid[measured], "validation") if measured.any() else (train, "training")
    at = epochs[measured] if measured.any() else epochs
    n = len(watched)
    if not np.isfinite(train[-1]) and not (np.isnan(train).all() and np.isfinite(watched[-1])):
        return (
            f"Training broke: the loss was no longer a number at epoch {epochs[-1]:.0f}.",
            "problem",
            "Train again with a lower learning rate, or in fp32.",
            "diverged",
        )
    last, best = float(watched[-1]), int(np.argmin(watched))
    fell = f"the {what} loss went from {watched[0]:.3f} to {last:.3f} in {n} epochs"
    if n == 1:
        fell = f"the {what} loss is {last:.3f} after one epoch"
    if n < ENOUGH:
        return (
            f"Too short to see a trend: {fell}.",
            "note",
            "Train for more epochs.",
            "too short",
        )
    if last >= watched[0] * 0.98 and best == 0:
        return (
            f"It did not learn: {fell}.",
            "problem",
            "Try another learning rate, and check that labels and images belong together.",
            "not learning",
        )
    lowest = float(watched[best])
    later = train[measured][best:] if measured.any() else train[best:]
    risen, surely = rise_since(watched, best)
    if what == "validation" and risen > OVERFIT and surely > 0 and later[-1] < later[0]:
        accuracy = series["val_accuracy"][measured]
        if accuracy[-1] >= HIGH and accuracy[-1] >= np.nanmax(accuracy) - FELL:
            # A few images that are wrong with more confidence: nothing that the headline would not contradict.
            return (
                f"The validation loss rose from {lowest:.3f} to {last:.3f} after epoch {at[best]:.0f}, and accuracy did "
                f"not fall ({percent(accuracy[-1])}): single images weigh more, nothing is lost.",
                "good",
                "",
                "converged",
            )
        return (
            f"Overfitting after epoch {at[best]:.0f}: since then the validation loss rose from "
            f"{lowest:.3f} to "
            f"{last:.3f} while the training loss still fell.",
            "warning",
            "Add images or augmentation, use a smaller network, or train for fewer epochs.",
            "overfitting",
        )
    # The best of the last quarter against the best before it: one noisy epoch decides nothing.
    quarter = max(1, n // 4)
    gain = 1 - float(watched[-quarter:].min()) / float(watched[:-quarter].min())
    if gain > IMPROVING:
        return (
            f"Still improving when it stopped: {fell}; the last "
            f"{f'{quarter} epochs' if quarter > 1 else 'epoch'} alone took {percent(gain)} off it.",
            "note",
            "More epochs would probably help.",
            "still improving",
        )
    return (
        f"Converged: {fell}, and was at its best ({lowest:.3f}) at epoch {at[best]:.0f}.",
        "good",
        "",
        "converged",
    )


def rise_since(losses: np.ndarray, best: int) -> tuple[float, float]:
    """By how much losses (N,) rose since epoch `best`, as a share of their level there, and the least that it may be.

    Compared are means over the first and the last third of the epochs since then. The lowest of N noisy values is low by
    chance: at 10 % noise from epoch to epoch, a single last epoch lay 10 % above it in 50 to 83 % of simulated trainings of
    8 to 40 epochs whose loss did not rise at all; these means call 2 to 6 % of them so. The least is the lower end of a 99 %
    interval; its noise comes from second differences, in which a steady trend leaves nothing. (0, 0) with fewer than RISING
    epochs since the best.
    """
    since = len(losses) - 1 - best
    if since < RISING:
        return 0.0, 0.0
    width = max(2, since // 3)
    level = losses[best : best + width].mean()
    rise = losses[-width:].mean() - level
    noise = math.sqrt(float((np.diff(losses[best:], 2) ** 2).mean()) / 6)
    return float(rise / level), float((rise - 2.58 * noise * math.sqrt(2 / width)) / level)


def _plot(series: Mapping[str, np.ndarray], what: str, hint: str) -> Figure:
    epochs = series["epoch"]
    with style():
        figure = new_figure(4.8, 3.3)
        ax = figure.subplots()
        ends = []
        for kind, colour, dashes in (("train", VERMILLION, (0, (5, 2))), ("val", BLUE, "solid")):
            values = series[f"{kind}_{what}"]
            known = np.isfinite(values)
            if not known.any():
                continue
            word = {"train": "training", "val": "validation"}[kind]
            marker = "o" if known.sum() < 25 else ""
            ax.plot(
                epochs[known],
                values[known],
                color=colour,
                linestyle=dashes,
                linewidth=1.8,
                marker=marker,
                markersize=3.5,
                label=word,
            )
            end = float(values[known][-1])
            ends.append(f"{word} ends at {percent(end) if what == 'accuracy' else f'{end:.3f}'}")
        if what == "accuracy":
            ax.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.4g} %")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.set(xlabel="epoch", title=what.capitalize())
        ax.margins(x=0.03)
        ax.grid(axis="y")
        ax.legend(loc="best")
        return render(
            figure,
            caption=(
                f"{what.capitalize()} by epoch ({hint}). Training values are taken on augmented "
                "images while the "
                "weights still move, so they may well be worse than validation."
            ),
            alt=f"{what.capitalize()} over {len(epochs)} epochs: {'; '.join(ends)}.",
        )
