"""Learning-rate range test: the rate rises a little each step until the loss leaves (Smith 2015, section 3.3)."""

from __future__ import annotations

import math
from collections.abc import Callable

from striate.errors import DataError, UsageError
from striate.figures import BLUE, GREEN, GRID, VERMILLION, new_figure, render, style
from striate.findings import Figure, Finding, Status, Table

LEFT = 1.5  # times the loss at the start, on average: the loss has left
SMOOTH = 0.85  # share of the running mean that stays
FALLS = 0.1  # share of the whole fall at which learning begins to show
SAFE = 3.0  # a peak lies at least so many times below the rate of the lowest loss
LEARNS = 0.05  # share of the first loss by which it must fall

Step = Callable[[float], float]  # a training step at a rate; gives the loss before it


def rates(
    step: Step,
    *,
    low: float = 1e-5,
    high: float = 10.0,
    steps: int = 150,
    used: float | None = None,
    setting: str = "lr",
) -> Finding:
    """Find the learning rates at which a network learns, by one that rises from `low` to `high` in `steps` steps.

    step: makes a training step at the rate given and returns the loss before it, as a float. used: the rate of a training,
    judged. setting: what the advice calls it. The suggestion, a peak for a schedule with warm-up and decay, is the rate at
    which the loss falls fastest, and at most a third of that at which it is lowest. L. Smith, "Cyclical learning rates for
    training neural networks" (2015), section 3.3. Raises UsageError for rates out of order, DataError where the loss is
    not finite at the first step.
    """
    if not 0 < low < high or steps < 10:
        raise UsageError(
            f"a range test needs 0 < low < high and 10 or more steps, got {low:g}, {high:g} and {steps}"
        )
    high = max(high, 2 * used) if used is not None else high
    tried, losses, smooth = sweep(step, low, high, steps)
    begins, fastest, bottom, leaves = landmarks(tried, losses, smooth)
    best = min(smooth)
    learns = best < (1 - LEARNS) * smooth[0]
    peak = float(f"{min(fastest, bottom / SAFE):.1g}") if learns else None
    verdict, status, advice = verdict_of(tried, smooth, begins, bottom, leaves, peak, used, setting)
    return Finding(
        name="diagnose-rates",
        title="Learning-rate range test",
        verdict=verdict,
        status=status,
        advice=advice,
        tables=(
            Table(
                columns=("what", "learning rate"),
                rows=(
                    ("the loss begins to fall", begins if learns else None),
                    ("the loss falls fastest", fastest if learns else None),
                    ("the loss is lowest", bottom if learns else None),
                    ("the loss leaves", leaves),
                    ("suggested", peak),
                    ("used", used),
                ),
                formats=("", ".2g"),
                caption=f"{len(tried)} steps from {tried[0]:.2g} to {tried[-1]:.2g}.",
            ),
        ),
        figures=(draw(tried, losses, smooth, peak, used),),
        data={
            "rates": tried, "losses": [v if math.isfinite(v) else None for v in losses], "begins": begins,
            "fastest": fastest, "bottom": bottom, "leaves": leaves, "peak": peak, "used": used,
        },
    )  # fmt: skip


def sweep(
    step: Step, low: float, high: float, steps: int
) -> tuple[list[float], list[float], list[float]]:
    """Rates, losses and their running mean, until the loss has left."""
    tried: list[float] = []
    losses: list[float] = []
    smooth: list[float] = []
    mean = 0.0
    for i in range(steps):
        rate = low * (high / low) ** (i / (steps - 1))
        loss = step(rate)
        if not math.isfinite(loss) and not losses:
            raise DataError(
                "the loss is not finite before the first step; look at the images and the first weights"
            )
        tried.append(rate)
        losses.append(loss)
        shown = loss if math.isfinite(loss) else 10 * max(v for v in losses if math.isfinite(v))
        mean = SMOOTH * mean + (1 - SMOOTH) * shown
        smooth.append(
            mean / (1 - SMOOTH ** (i + 1))
        )  # the mean starts at 0: its bias is divided out, as in Adam
        if not math.isfinite(loss) or (i > 10 and smooth[-1] > LEFT * smooth[0]):
            break
    return tried, losses, smooth


def landmarks(
    tried: list[float], losses: list[float], smooth: list[float]
) -> tuple[float, float, float, float | None]:
    """The rates at which the loss begins to fall, falls fastest, is lowest, and leaves (None where it never does)."""
    best = smooth.index(min(smooth))
    level = smooth[0] - FALLS * (smooth[0] - smooth[best])
    begins = next(r for r, s in zip(tried, smooth, strict=True) if s <= level or s == smooth[best])
    gone = not math.isfinite(losses[-1]) or smooth[-1] > LEFT * smooth[0]
    reach = max(1, len(tried) // 20)  # steps on each side between which the slope is taken
    middle = range(reach, best - reach + 1) or [best]
    steep = min(middle, key=lambda i: smooth[min(i + reach, best)] - smooth[max(i - reach, 0)])
    return begins, tried[steep], tried[best], tried[-1] if gone else None


def verdict_of(
    tried: list[float],
    smooth: list[float],
    begins: float,
    bottom: float,
    leaves: float | None,
    peak: float | None,
    used: float | None,
    setting: str,
) -> tuple[str, Status, str]:
    """What the curve shows, and where the rate that was used lies on it: verdict, status, advice."""
    if peak is None:
        return (
            f"At no rate from {tried[0]:.0e} to {tried[-1]:.2g} does the loss fall: it stays above {min(smooth):.3g}.",
            "problem",
            "Look at the gradients and at one batch by heart first.",
        )
    text = f"The loss begins to fall at a rate of {begins:.1g} and is lowest at {bottom:.2g}"
    text += f"; at {leaves:.2g} it leaves" if leaves is not None else ""
    text += f": about {peak:g} is a good peak"
    advice = f"Train with --set {setting}={peak:g}."
    if used is None:
        return f"{text}.", "note", advice
    if leaves is not None and used >= leaves:
        return f"{text}; the {used:g} that was used is where the loss leaves.", "warning", advice
    if used > bottom:
        return f"{text}; the {used:g} that was used is beyond that.", "warning", advice
    if used < begins / 3:
        return f"{text}; the {used:g} that was used is too low to learn by.", "warning", advice
    return f"{text}; the {used:g} that was used lies where it learns.", "good", ""


def draw(
    tried: list[float],
    losses: list[float],
    smooth: list[float],
    peak: float | None,
    used: float | None,
) -> Figure:
    """Loss over the rate, with the suggested rate and the one that was used."""
    top = 1.35 * smooth[0]
    with style():
        figure = new_figure(6.4, 3.6)
        axes = figure.subplots()
        finite = [v if math.isfinite(v) else math.nan for v in losses]
        axes.plot(tried, finite, color=GRID, alpha=0.5, linewidth=1)
        axes.plot(tried, smooth, color=BLUE, linewidth=2)
        marks = ((peak, "suggested", GREEN, (0, (4, 2)), 1.0), (used, "used", VERMILLION, (0, (1, 1.5)), 0.92))  # fmt: skip
        for at, name, colour, dash, height in marks:
            if at is not None:
                axes.axvline(at, color=colour, linestyle=dash, linewidth=1.6)
                axes.annotate(
                    f" {name} {at:g}",
                    (at, height),
                    xycoords=("data", "axes fraction"),
                    fontsize=9,
                    va="top",
                    color=colour,
                )
        axes.set_xscale("log")
        axes.set(xlabel="learning rate", ylim=(0, top), title="Loss as the learning rate rises")
        axes.grid(axis="y")
        return render(
            figure,
            caption="Grey each batch, blue their running mean. Learning begins where it falls and breaks where it rises "
            "(Smith 2015).",
            alt="Loss over the learning rate on a log scale.",
        )
