"""How many more labels a run needs: its recipe trained again on parts of its images, and the curve beyond them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from striate.answer import answer_of
from striate.borrow import forward
from striate.data.subsets import sample_sizes, stratified_order
from striate.errors import RunError, UsageError
from striate.figures import CYCLE, new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.models import is_own
from striate.robustness import Context
from striate.runs.preparing import prepare
from striate.runs.run import Run
from striate.statistics.intervals import wilson
from striate.statistics.learning_curve import LearningCurve, Trial, fit_curve
from striate.statistics.learning_drawing import draw_curve, frame
from striate.statistics.learning_words import backtest, curve_data, curve_tables, forecast
from striate.tasks.plan import Job, Plan
from striate.tasks.trained import FromPixels
from striate.training.callbacks import Listener
from striate.training.loop import fit
from striate.training.schedule import Pace
from striate.wording import counted, percent

BUDGET = 180.0  # seconds
LEAST = 5  # training images
# Sizes and seeds, the best first: what does not fit into the budget has fewer seeds, then fewer sizes.
GRIDS = ((8, 3), (7, 3), (7, 2), (6, 2), (5, 2))
SHORTER = (
    1.0,
    0.5,
)  # of the run's own length; below, it is another training, whose curve is flat too early
SHARE = 0.8  # of the time that is planned for steps


@dataclass(frozen=True)
class Plans:
    """sizes: numbers of images. seeds: trainings of each. length: the share of the run's own steps that each takes."""

    sizes: tuple[int, ...]
    seeds: int
    length: float


def choose(images: int, classes: int, steps: int, seconds_per_step: float, seconds: float) -> Plans:
    """The longest trainings on the best grid that fit into the time; the coarsest of the shortest where none does.

    Every size takes as many steps as all images do: with as many passes, few images would be learned for a shorter time, and
    the curve would show the length of the training instead of the number of images.
    """
    least = min(max(LEAST, classes) if classes <= 2 * LEAST else classes, images)
    for length in SHORTER:
        for count, seeds in GRIDS:
            sizes = tuple(sample_sizes(least, images, count))
            taken = seeds * len(sizes) * max(1, round(length * steps))
            if taken * seconds_per_step <= seconds:
                return Plans(sizes, seeds, length)
    return Plans(sizes, seeds, length)


def refuse_retraining(run: Run, source: Any) -> None:
    """Raise RunError where a run has not its own images, UsageError where it has no recipe that can be repeated."""
    own = run.info.get("data", {}).get("fingerprint")
    if own is None or source.fingerprint != own:
        raise RunError(
            f"the probe samples trains {run.path.name} again on parts of its own training images, and these are others; "
            "leave --data out, or train a network on these images with `striate train`"
        )
    if run.recipe.model is None or is_own(run.recipe.model):
        raise UsageError(
            f"the probe samples trains a run again by its recipe, and the network of {run.path.name} was given in Python, "
            "whose code is not stored; name other probes, or train a model that has a name"
        )
    if len(source.train) < 2 * LEAST:
        raise UsageError(
            f"the probe samples needs at least {2 * LEAST} training images, got {len(source.train)}; give more images"
        )


def samples_probe(
    run: Run,
    source: Any,
    context: Context,
    *,
    budget: float | None,
    progress: Callable[[str, int, int], None] | None,
) -> Finding:
    """The learning curve of a run's recipe on its own images. context: the images that it is tested on. budget: seconds."""
    began = time.perf_counter()
    limit = run.recipe.limit
    if limit is not None and limit < len(source.train):
        chosen = stratified_order(source.train.labels, run.recipe.seed)[:limit]
        source = replace(source, train=source.train.take(np.sort(chosen)))
    plans, trials, dropped = retrained(run, source, context, budget or BUDGET, progress)
    seconds = time.perf_counter() - began
    return page(run, context, plans, trials, dropped, len(source.train), seconds)


def retrained(
    run: Run,
    source: Any,
    context: Context,
    budget: float,
    progress: Callable[[str, int, int], None] | None,
) -> tuple[Plans, list[Trial], list[int]]:
    """All trainings; those of sizes that the time did not suffice for are left out, and named."""
    began = time.perf_counter()
    images, labels = len(source.train), source.train.labels
    whole = job_of(run, source, np.arange(images), run.recipe.seed, images, 1.0)
    steps = whole.training.pace.total
    left = max(0.0, SHARE * (budget - (time.perf_counter() - began)))
    plans = choose(images, len(context.classes), steps, whole.seconds_per_step, left)
    trials: list[Trial] = []
    dropped: list[int] = []
    slower, done, of = 1.0, 0, len(plans.sizes) * plans.seeds
    for i, count in enumerate(plans.sizes):
        now = time.perf_counter()
        expected = plans.seeds * plans.length * steps * whole.seconds_per_step
        if i and now - began + slower * expected > budget:
            dropped.append(count)
            continue
        for k in range(plans.seeds):
            if progress is not None:
                progress(f"samples: {count:,} images, seed {k + 1} of {plans.seeds}", done, of)
            seed = run.recipe.seed + 1000 * k
            chosen = np.sort(stratified_order(labels, seed)[:count])
            job = job_of(run, source, chosen, seed, images, plans.length)
            if not fit(job.training, job.batches):
                raise KeyboardInterrupt
            trials.append(Trial(count, correct(job, run, context), len(context), seed))
            done += 1
        slower = max(0.5, (time.perf_counter() - now) / max(expected, 1e-9))
    return plans, trials, dropped


def job_of(run: Run, source: Any, chosen: np.ndarray, seed: int, of: int, length: float) -> Job:
    """A training of the run's recipe on some of its images, `length` of its own length, before its first step."""
    epochs = run.recipe.epochs or 1.0
    none = source.train.take([])
    part = replace(source, train=source.train.take(chosen), val=none, test=none)
    recipe = run.recipe.replace(budget=None, limit=None, epochs=epochs, seed=seed)
    job = prepare(
        Plan(recipe=recipe, source=part, preprocessing=run.preprocessing, why=[]), torch.device("cpu"), Listener()
    )  # fmt: skip
    per_epoch = max(1, of // int(recipe.batch or 1))
    total = max(1, round(length * epochs * per_epoch))
    job.training.pace = Pace(total)
    job.training.head_steps = min(job.training.head_steps, total // 4)
    return job


def correct(job: Job, run: Run, context: Context) -> int:
    """How many of the probe's images the trained network gets right."""
    with job.training.average.applied() as model, torch.inference_mode():
        network = FromPixels(model, run.preprocessing).eval()
        right = 0
        for x, y in zip(context.images.split(256), context.labels.split(256), strict=True):
            right += int((answer_of(forward(network, x)).argmax(1) == y).sum())
    return right


def page(
    run: Run,
    context: Context,
    plans: Plans,
    trials: list[Trial],
    dropped: list[int],
    images: int,
    seconds: float,
) -> Finding:
    """What was measured and what twice the images would give."""
    least = len(context.classes)
    curve = fit_curve(trials, least=least, seed=context.seed)
    check = backtest(trials, least=least, seed=context.seed)
    own = float(context.clean_correct.mean())
    low, high = wilson(context.clean_correct.sum(), len(context))
    verdict = f"{forecast(curve)}."
    if check is not None:
        verdict += f" {check.sentence}."
    if plans.length < 1:
        verdict += (
            f" Each training took {percent(plans.length, 0)} of the run's own length to keep to the budget; the run itself, "
            f"trained longer, gets {percent(own)} ({percent(low)} to {percent(high)})."
        )
    if dropped:
        verdict += f" {', '.join(f'{n:,}' for n in dropped)} images did not fit into the time; give more with --budget."
    gain = curve.predict(2 * curve.largest)[1] - curve.points[-1].accuracy
    return Finding(
        name="probe-samples",
        title="How many more labels?",
        verdict=verdict,
        status="warning" if curve.undetermined else "note",
        advice=advice(curve, gain),
        tables=(
            *curve_tables({run.path.name: curve}, len(context)),
            Table(
                columns=("what", "value"),
                rows=(
                    ("training images of the run", f"{images:,}"),
                    ("trainings", f"{len(trials)}, {counted(plans.seeds, 'seed')} a size"),
                    ("length of each", f"{percent(plans.length, 0)} of the run's own"),
                    ("the run itself", percent(own)),
                ),
            ),
        ),
        figures=(drawn(curve, context, own, plans),),
        data={
            "curve": curve_data(curve),
            "run": {"accuracy": own, "low": low, "high": high, "images": images},
            "backtest": None
            if check is None
            else {"predicted": check.predicted, "low": check.low, "high": check.high, "measured": check.measured},
            "length": plans.length,
            "dropped": dropped,
        },
        seed=context.seed,
        seconds=seconds,
    )  # fmt: skip


def advice(curve: LearningCurve, gain: float) -> str:
    """What to do: label more images, or not."""
    if curve.undetermined:
        return "Give more time with --budget, or more test images, and probe again."
    if gain > 0:
        return "More labels help for certain: even the lower end of the forecast lies above what is reached today."
    return "That more labels help is not certain here: look at suspected label errors and the mistakes first."


def drawn(curve: LearningCurve, context: Context, own: float, plans: Plans) -> Figure:
    """The curve with its forecast, and the run itself."""
    with style():
        figure = new_figure(6.4, 3.6)
        axes = figure.subplots()
        draw_curve(
            axes, curve, colour=CYCLE[0], marker="o", label="the recipe on parts of the images"
        )
        axes.plot([curve.largest], [own], "*", color=CYCLE[3], markersize=9, label="the run itself")
        frame(axes, curve.largest, chance=1 / len(context.classes))
        axes.set(title="Accuracy against training images")
        axes.legend(loc="best")
        return render(
            figure,
            caption=f"Mean over {counted(plans.seeds, 'seed')} with 95 % intervals; dashed: the fitted law beyond what "
            "there is, with the 95 % interval of one new training.",
            alt="A rising curve with a widening band at its end.",
        )  # fmt: skip
