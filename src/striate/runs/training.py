"""Train: from a source and a recipe to a finished run. It brings data, models, training and evaluation together."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from striate.errors import RunError, StriateError, TrainingError, UsageError, WeightsWarning
from striate.findings import Finding
from striate.memory import keep_large_buffers
from striate.models import OwnModel
from striate.paths import given_folder
from striate.runs.allowance import BACKWARD, Allowance
from striate.runs.begun import begun_run, note_begun
from striate.runs.claiming import LOCK, Claim
from striate.runs.evaluate import evaluate_run, report_run
from striate.runs.kept import KeepEpochs
from striate.runs.own import Own
from striate.runs.planning import (
    first_info,
    plan_again,
    plan_from,
    refuse_changes,
    source_name,
)
from striate.runs.preparing import prepare, training_again
from striate.runs.rating import rates_of
from striate.runs.recipe_keys import flat, from_recipe
from striate.runs.record import write_metrics
from striate.runs.run import BEGUN, Run
from striate.runs.steering import Steering
from striate.runs.stored import signed
from striate.runs.together import LAUNCH, claimed, refuse_other_data, refuse_other_weights, words
from striate.runs.watching import UPDATES, noted_updates, updates_of
from striate.tasks.plan import Job, Plan
from striate.tasks.table import find_task, recipe_for, take_data, task_of
from striate.tasks.task import Task
from striate.training.callbacks import Callbacks, Listener
from striate.training.checkpoint import load_checkpoint, save_checkpoint
from striate.training.launch import launched
from striate.training.loop import EpochRecord, Moment, Training, fit
from striate.training.machine import choose_device
from striate.training.restoring import check_state
from striate.training.watch import Watch, write_updates
from striate.training.world import World, apart, here, joined
from striate.wording import as_text


def train(
    data: Any,
    *,
    model: str | nn.Module | Callable[..., nn.Module] | None = None,
    task: str | Task | None = None,
    loss: Callable[[Any, Any], Any] | str | None = None,
    augment: Callable[..., torch.Tensor] | None = None,
    callbacks: Sequence[Any] = (),
    out: str | Path | None = None,
    resume: bool = False,
    watch: bool = False,
    find_rate: bool = False,
    listener: Listener | None = None,
    started: float | None = None,
    **settings: Any,
) -> Run:
    """Train a network on `data` and return its run.

    data: the name of a source, a folder of images, a table of labels; or in Python a torch Dataset of (image, label),
    (images, labels) as arrays, a table of pandas, polars or pyarrow with paths and labels, or a `Source`; see `open_given`.
    task: what is learned from them, decided by the data if not given.
    model: a spec such as "resnet18"; a module, whose present weights are the beginning and which stays as it is, because a
    copy is trained; or a function factory(in_channels=, num_classes=), or factory(), that makes one: see `OwnModel`. With
    pretrained=True its weights are fine-tuned.
    loss: made small in place of the task's: (output, targets) -> the mean loss or one an image; see `OwnLoss`. A name
    chooses among those of a task that has several.
    augment: in place of the recipe's augmentation: (images (N, C, H, W) uint8, generator) -> such images, or a transform
    of one image; see `OwnAugmentation`. callbacks: see and change the training; see `Callback`.
    out: the run's folder; by default `runs/NAME-1`, `runs/NAME-2`, ...
    resume: resume the newest run of that name that was stopped. watch: note each layer's gradients and updates every
    few steps, in `updates.csv` and a finding; the training stays the same. find_rate: take the learning rate that a range
    test suggests. started: time.monotonic() from which a budget counts, now by default. settings: any setting of `Recipe`
    and of the task; what is left open is decided by the data. Raises a StriateError that says what to do; of data that are
    refused nothing is left.
    """
    launch = launched()
    with joined(launch, choose_device(str(settings.get("device") or "auto"))) as world:
        listener = listener if listener is not None and world.leads else Listener()
        started = time.monotonic() if started is None else started
        try:
            return train_in(
                world, data, model=model, task=task, loss=loss, augment=augment, callbacks=callbacks, out=out, resume=resume,
                watch=watch, find_rate=find_rate, listener=listener, started=started, **settings,
            )  # fmt: skip
        except StriateError as error:
            world.note(error)
            raise


def train_in(
    world: World, data: Any, *, model: Any, task: str | Task | None, loss: Any, augment: Any, callbacks: Sequence[Any],
    out: str | Path | None, resume: bool, watch: bool, find_rate: bool, listener: Listener, started: float, **settings: Any,
) -> Run:  # fmt: skip
    """As `train`, in one of the processes of a world."""
    keep_large_buffers()
    network = None if model is None or isinstance(model, str) else OwnModel(model)
    spec = network.spec if network is not None else model
    if isinstance(loss, str):
        settings, loss = {**settings, "loss": loss}, None
    given = {k: v for k, v in {"model": spec, **settings}.items() if v is not None}
    learned, source = task_of(data, task), None
    if isinstance(data, str | Path):
        given["data"] = str(data)
    else:
        listener.stage("reading images")
        draft = recipe_for(learned, {**given, "data": type(data).__name__})
        source = take_data(data, draft, learned, listener.count)
        given["data"] = source.name
    own = Own(loss=loss, augment=augment, callbacks=Callbacks(callbacks))
    given = own.settings(given, learned)
    recipe = recipe_for(learned, given)
    refuse_no_text(recipe.to_dict())
    if find_rate and (resume or recipe.lr is not None):
        what = "a resumed run keeps its rate" if resume else f"lr={recipe.lr:g} is given"
        raise UsageError(f"find_rate looks for a learning rate, and {what}; leave one of them out")
    folder = Path("runs") / source_name(recipe.data)
    if out is not None:
        folder = given_folder(out, "out")
    device = choose_device(recipe.device)
    factory = None if network is None else network.model
    with ExitStack() as stack:
        claim, path, resume = claimed(world, stack, folder, numbered=out is None, resume=resume)
        again = resume_words(data, path)
        kept = resume and (claim.path / "run.toml").is_file()
        if resume:
            run = Run.load(claim.path) if kept else begun_run(claim.path)
            refuse_changes(run, given if task is None else {**given, "task": learned.name})
            own.refuse_others(run)
            if (
                recipe.fsdp is not None
            ):  # how the processes share the work is the launch's, not the run's
                run.info["recipe"]["fsdp"] = recipe.fsdp
            learned, recipe, find_rate = run.task, run.recipe, run.info.get("find_rate", False)
        more = own.info() | ({"find_rate": True} if find_rate else {})
        with interrupted_is_kept(listener, again):
            if kept:
                run.factory = factory
                plan = world.together(lambda: own.into(plan_again(run, device, listener, source)))
                refuse_other_data(world, plan)
            else:
                with refused_leaves_nothing(claim, made=not resume):
                    if not resume:
                        note_begun(claim.path, recipe, more)
                    plan = world.together(
                        lambda: own.into(plan_from(learned, recipe, device, listener, source))
                    )
                    refuse_other_data(world, plan)
                run = Run(claim.path, first_info(plan) | more, factory=factory)
                if task is None:
                    words = f"task {learned.name}, by the data: {learned.about}"
                    listener.say(f"{words} (--task takes another)")
            run.source = source
            with noted_weights(plan, listener):
                plan, job = begin(run, plan, device, listener, fresh=None if kept else claim)
        listener.say(f"run: {run.path}")
        train_and_report(
            run, plan, job, own.callbacks, watch=watch, started=started, listener=listener, again=again
        )  # fmt: skip
        if world.size > 1:
            info = world.first(lambda: run.info)
            run = run if world.leads else Run(path, info, factory=factory)
            run.source = source
    return run


def resume_words(data: Any, path: Path) -> str:
    """How a stopped training of `data` in the folder `path` is resumed."""
    if isinstance(data, str | Path):
        return f"striate train {data} --out {path} --resume"
    return f"striate.train(data, out={str(path)!r}, resume=True)"


@contextmanager
def interrupted_is_kept(listener: Listener, again: str) -> Iterator[None]:
    """Ctrl-C before the first step says what begins the run again, since it is there already."""
    try:
        yield
    except KeyboardInterrupt:
        listener.say(f"stopped before its first step; `{again}` begins it again")
        raise


def refuse_no_text(recipe: dict[str, Any]) -> None:
    """Raise UsageError for a setting that is no UTF-8, such as the name of a file: a run could not write it down."""
    for key, value in flat(recipe).items():
        if isinstance(value, str) and as_text(value) != value:
            what = "the name of the data" if key == "data" else f"the value of {key}"
            raise UsageError(
                f"{what}, {value}, is no UTF-8, and a run could not say what it was trained on; rename the file or folder, "
                "or go into its folder and give what has a name that is text"
            )


def begin(
    run: Run, plan: Plan, device: torch.device, listener: Listener, *, fresh: Claim | None
) -> tuple[Plan, Job]:
    """Everything before the first step, or the first after the last checkpoint; the run is there from the beginning.

    Stopped before its first checkpoint, a run begins again with its recipe. fresh: of a new run; where that cannot begin for
    a reason, it is gone again, with the folders that were made for it.
    """
    if fresh is not None:
        with refused_leaves_nothing(fresh):
            run.save_info()
            (run.path / BEGUN).unlink(missing_ok=True)
            job = prepare(plan, device, listener)
            refuse_other_weights(here(), job)
    else:
        (run.path / BEGUN).unlink(missing_ok=True)  # of a training that was killed between the two
        with from_recipe(run.path, run.info["recipe"], "model"):
            job = prepare(plan, device, listener)
    if fresh is None and (run.path / "checkpoint" / "last.pt").is_file():
        restore(run, job.training)
    elif run.info.get("find_rate"):
        rated = rate(plan, job, listener)
        if rated.data["peak"] is not None:
            plan = replace(plan, recipe=plan.recipe.replace(lr=rated.data["peak"]))
            job.training = training_again(plan, job)
            run.info["recipe"] = plan.recipe.to_dict()
            vars(run).pop("recipe", None)  # as it was read before
        del run.info["find_rate"]
        run.save_info()
        run.add(rated)
    return plan, job


@contextmanager
def refused_leaves_nothing(claim: Claim, *, made: bool = True) -> Iterator[None]:
    """Take away a run that could not begin for a reason, unless it stood there before; one that is interrupted stays."""
    try:
        yield
    except Exception:
        if made:
            discard(claim)
        raise


def discard(claim: Claim) -> None:
    """Take away a run that could not begin, and what was made above it; a folder that holds more stays."""
    with suppress(OSError):
        for name in ("run.toml", BEGUN, LAUNCH, LOCK):
            (claim.path / name).unlink(missing_ok=True)
        for folder in (claim.path, *claim.made):
            folder.rmdir()


def restore(run: Run, training: Training) -> None:
    """Bring a training to where the run's checkpoint was taken. Raises RunError that names what does not fit."""
    state = load_checkpoint(run.path / "checkpoint", run=identity(run))
    try:
        check_state(training, state)
        training.load_state_dict(state)
    except (ValueError, RuntimeError, RecursionError) as error:
        raise RunError(
            f"the checkpoint {run.path / 'checkpoint' / 'last.pt'} does not fit this training: {error}; train again without "
            "--resume"
        ) from error


def identity(run: Run) -> str:
    """What tells a run's checkpoint from those of others: when it was made, and its images."""
    digests = signed({name: run.info[name] for name in ("created", "data")})
    return "-".join(digests.values())


def train_and_report(
    run: Run, plan: Plan, job: Job, callbacks: Callbacks, *, watch: bool, started: float, listener: Listener, again: str,
) -> None:  # fmt: skip
    """Train, evaluate and report; what is left of the time of the command is kept. again: what resumes it, in words."""
    device = job.training.device
    if watch:
        job.training.watch = Watch(noted_updates(run, before=job.training.pace.step))
    # What a stopped training spent before counts.
    allowance = Allowance(seconds=plan.recipe.budget, started=started - job.training.seconds)
    finished = train_run(run, plan, job, allowance, listener, callbacks)
    run.info["finished"] = finished
    world = here()
    try:
        if world.leads:
            with apart():
                evaluate_and_report(run, plan, device, callbacks, watch, listener, allowance)
    finally:
        world.wait_for_the_first()
    if finished:
        remove_checkpoint(run)
    else:
        listener.say(f"stopped before its end; `{again}` resumes it")


def evaluate_and_report(
    run: Run, plan: Plan, device: torch.device, callbacks: Callbacks, watch: bool, listener: Listener, allowance: Allowance
) -> None:  # fmt: skip
    """All that follows a training, by one process."""
    if run.info["finished"]:
        decide_mirroring(run, plan, device, listener)
    run.info.update(run.task.calibrate(run.trained, plan.source, device))
    evaluate_run(run, plan.source, listener, device=device, why=plan.why, allowance=allowance)
    run.save_info()
    if watch:
        listener.finding(run.add(updates_of(run)))
    report_run(run)
    callbacks.on_end(run)


def decide_mirroring(run: Run, plan: Plan, device: torch.device, listener: Listener) -> None:
    """Keep the mirrored pass where it gains something on the validation images, unless the recipe says; stored."""
    if run.recipe.flip_test is not None:
        return
    found = run.task.mirroring(run.trained, plan.source, device)
    on = False
    if found is not None:
        on = bool(found.data["on"])
        listener.say(found.verdict)
        run.add(found)
    run.info["recipe"] = run.recipe.replace(flip_test=on).to_dict()
    vars(run).pop("recipe", None)  # as it was read before


@contextmanager
def noted_weights(plan: Plan, listener: Listener) -> Iterator[None]:
    """What was left out of a weights file is shown once and stands in the report; without a display it stays a warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    notes: list[str] = []
    for one in caught:
        if not issubclass(one.category, WeightsWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        elif str(one.message) not in notes:
            notes.append(str(one.message))
            if type(listener) is Listener:
                warnings.warn(str(one.message), WeightsWarning, stacklevel=4)
    for text in notes:
        listener.say(text)
    plan.why.extend(notes)


def rate(plan: Plan, job: Job, listener: Listener, *, used: float | None = None) -> Finding:
    """The learning-rate range test of a job, on a training of its own; the job stays as it was."""
    listener.stage("learning rates")
    unit = replace(plan, recipe=plan.recipe.replace(lr=1.0))
    spare = training_again(unit, job)
    spare.head_steps = 0
    finding = rates_of(spare, job.batches, used=used, seconds_per_step=job.seconds_per_step)
    listener.say(finding.verdict)
    return finding


def train_run(
    run: Run,
    plan: Plan,
    job: Job,
    allowance: Allowance,
    listener: Listener,
    callbacks: Callbacks | None = None,
) -> bool:
    """The training itself; leaves weights, metrics and, if stopped, a checkpoint in the run.

    allowance: of the whole command; what evaluation and report will need is kept from it, by measured rates. Returns
    whether it went to its end.
    """
    recipe, training = plan.recipe, job.training
    pace, per_epoch, device = training.pace, job.batches.steps_per_epoch, training.device
    evaluate, world = job.evaluate, here()
    # The studio steers the first process alone, and several must do the same.
    steering = [Steering(run.path)] if world.size == 1 else []
    keeping = [KeepEpochs(run.path, recipe.snapshots, per_epoch)] if recipe.snapshots else []
    hearing = Callbacks([*(callbacks.parts if callbacks else ()), *keeping, *steering])
    if world.size > 1:
        listener.say(words(world, int(recipe.batch or 1)))
    if recipe.budget is not None:
        learned = find_task(str(recipe.task))
        after = learned.passes(plan)
        allowance.forward = job.seconds_per_step / int(recipe.batch or 1) / BACKWARD
        allowance.measure_figure()
        training.deadline = allowance.deadline(after)
        if pace.step == 0:
            late = world.highest(allowance.clock() - training.deadline)[0]
            pace.replan(-late, job.seconds_per_step)
            training.head_steps = min(training.head_steps, pace.total // 4)
        if evaluate is not None:
            evaluate = timed(evaluate, training, allowance, learned.validated(plan), after)
    left = pace.total - pace.step
    listener.say(
        f"{left:,} steps of {recipe.batch} images, {left / per_epoch:.1f} epochs: about "
        f"{left * job.seconds_per_step:.0f} s on {device.type} in {name_of(training.dtype)}"
    )

    def on_step(moment: Moment) -> bool:
        listener.step(moment)
        return hearing.on_step(moment)

    def on_epoch(history: list[EpochRecord]) -> bool:
        write_metrics(run.path / "metrics.csv", history)
        listener.epoch(history[-1])
        return hearing.on_epoch(history[-1])

    known = identity(run)

    def save(state: dict[str, Any]) -> None:
        if world.leads:  # all of them hold the same
            save_checkpoint(run.path / "checkpoint", state, run=known)

    listener.stage("training")
    hearing.on_start(training)
    try:
        ended = fit(
            training,
            job.batches,
            evaluate=evaluate,
            on_step=on_step,
            on_epoch=on_epoch,
            on_watch=listener.watched,
            save=save,
            save_every=recipe.checkpoint_seconds,
        )
    except TrainingError:
        if training.watch is not None:
            listener.say(f"`striate diagnose {run.path} updates` shows what was noted until then")
        raise
    finally:  # what was noted up to a divergence shows where it began
        for one in steering:
            one.end()
        if training.watch is not None:
            write_updates(run.path / UPDATES, training.watch.rows)
    listener.stage("saving")
    with training.average.applied() as averaged:
        run.save_weights(averaged.state_dict())
    if recipe.budget is not None:  # a budget is a length in another unit: note the length itself
        run.info["recipe"]["epochs"] = training.pace.step / per_epoch
    run.info["training"] = {
        "steps": training.pace.step,
        "seconds": round(training.seconds, 2),
        "device": device.type,
        "precision": name_of(training.dtype),
        "threads": torch.get_num_threads(),
    }
    if world.size > 1:
        run.info["training"]["processes"] = world.size
    if hearing.ended_by is not None:
        run.info["training"]["ended_by"] = hearing.ended_by
        who = "the studio" if hearing.ended_by == Steering.__name__ else hearing.ended_by
        listener.say(f"{who} ended the training after {training.pace.step:,} steps")
    run.save_info()
    return ended


def timed(
    evaluate: Callable[[nn.Module], dict[str, float]],
    training: Training,
    allowance: Allowance,
    images: int,
    after: int,
) -> Callable[[nn.Module], dict[str, float]]:
    """`evaluate` on `images` validation images, which also measures what a pass costs now and moves the deadline."""

    def measured(network: nn.Module) -> dict[str, float]:
        began = allowance.clock()
        scores = evaluate(network)
        allowance.forward = (allowance.clock() - began) / max(images, 1)
        training.deadline = allowance.deadline(after)
        return scores

    return measured


def name_of(dtype: torch.dtype) -> str:
    """`bfloat16` of `torch.bfloat16`."""
    return str(dtype).removeprefix("torch.")


def remove_checkpoint(run: Run) -> None:
    """A finished run needs no checkpoint."""
    (run.path / LAUNCH).unlink(missing_ok=True)
    folder = run.path / "checkpoint"
    (folder / "last.pt").unlink(missing_ok=True)
    if folder.is_dir():
        folder.rmdir()
