"""Train: from a source and a recipe to a finished run. It brings data, models, training and evaluation together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from striate.data import (
    Source,
    SplitDataset,
    check,
    choose_preparation,
    decoded_bytes,
    load_memory,
    open_source,
)
from striate.data.augment import Augmentation
from striate.data.batches import DiskImages, Images, MemoryImages, OrderedBatches, TrainingBatches
from striate.data.masks import MaskSource, is_mask_data
from striate.errors import GeometryError, RunError, TrainingError, UsageError
from striate.findings import Finding
from striate.geometry import trace
from striate.memory import keep_large_buffers
from striate.models import build, full_size, head, labels_pixels, layer_groups
from striate.models import preparation as preparation_of
from striate.runs.evaluate import calibrate, evaluate_run, report_run
from striate.runs.listener import Listener
from striate.runs.mask_evaluation import calibrate_masks, evaluate_masks
from striate.runs.mask_training import open_mask_data, plan_masks, prepare_masks
from striate.runs.plan import Job, Plan
from striate.runs.rating import rates_of
from striate.runs.record import now, versions, write_metrics
from striate.runs.run import FORMAT, Run, latest_unfinished, new_folder
from striate.runs.watching import UPDATES, updates_of
from striate.training.averaging import WeightAverage
from striate.training.checkpoint import load_checkpoint, save_checkpoint
from striate.training.choose import Facts, choose, choose_model
from striate.training.loop import Batches, EpochRecord, Training, fit, predict_logits
from striate.training.machine import (
    available_memory,
    choose_device,
    choose_precision,
)
from striate.training.objectives import Classes, Objective
from striate.training.optimizers import make_optimizer
from striate.training.recipe import Recipe
from striate.training.schedule import Pace
from striate.training.watch import Watch, read_updates, write_updates

EVALUATION_BATCH = 512


def train(
    data: str | Path,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    watch: bool = False,
    find_rate: bool = False,
    listener: Listener | None = None,
    **settings: Any,
) -> Run:
    """Train a network on `data` and return its run.

    data: the name of a source or a folder of images. out: the run's folder; by default `runs/NAME-1`, `runs/NAME-2`, ...
    resume: go on with the newest run of that name that was stopped. watch: note each layer's gradients and updates every
    few steps, in `updates.csv` and a finding; the training stays the same. find_rate: take the learning rate that a range
    test suggests. settings: any setting of `Recipe`; what is left open is decided by the data. Raises a StriateError that
    says what to do; nothing is written before the data was checked.
    """
    started = time.monotonic()
    listener = listener or Listener()
    keep_large_buffers()
    recipe = Recipe.from_dict(
        {"data": str(data), **{k: v for k, v in settings.items() if v is not None}}
    )
    if find_rate and (resume or recipe.lr is not None):
        what = "a training that goes on has its rate" if resume else f"lr={recipe.lr:g} is given"
        raise UsageError(f"find_rate looks for a learning rate, and {what}; leave one of them out")
    wanted = Path(out) if out else Path("runs") / source_name(recipe.data)
    device = choose_device(recipe.device)
    if resume:
        run = latest_unfinished(wanted)
        plan = plan_again(run, listener)
        job = prepare(plan, device, listener)
        job.training.load_state_dict(load_checkpoint(run.path / "checkpoint"))
    else:
        plan = plan_from(recipe, device, listener)
        job = prepare(plan, device, listener)
        rated = rate(plan, job, listener) if find_rate else None
        if rated is not None and rated.data["peak"] is not None:
            plan = replace(plan, recipe=plan.recipe.replace(lr=rated.data["peak"]))
            job.training = training_again(plan, job)
        info = first_info(plan)
        run = Run(new_folder(wanted, numbered=out is None), info)
        run.save_info()
        if rated is not None:
            run.add(rated)
    listener.say(f"run: {run.path}")
    if watch:
        noted = run.path / UPDATES
        job.training.watch = Watch(read_updates(noted, before=job.training.pace.step))
    finished = train_run(run, plan, job, started, listener)
    run.info["finished"] = finished
    if isinstance(plan.source, MaskSource):
        calibrate_masks(run, plan.source, device)
        evaluate_masks(run, plan.source, listener, device=device, why=plan.why)
    else:
        calibrate(run, plan.source, device)
        evaluate_run(run, plan.source, listener, device=device, why=plan.why)
    run.save_info()
    if watch:
        listener.finding(run.add(updates_of(run)))
    report_run(run)
    if finished:
        remove_checkpoint(run)
    else:
        listener.say(
            f"stopped before its end; `striate train {recipe.data} --out {run.path} --resume` goes on"
        )
    return run


def source_name(data: str) -> str:
    """What a run is called after: the source's name, or the folder's."""
    name = Path(data).expanduser().resolve().name if any(c in data for c in "/\\.~") else data
    return name or "run"


def open_data(recipe: Recipe, listener: Listener) -> Source | MaskSource:
    """The recipe's source, checked. Raises DataError or UsageError."""
    listener.stage("reading images")
    if is_mask_data(recipe.data):
        return open_mask_data(recipe, listener)
    source = open_source(
        recipe.data,
        seed=recipe.seed,
        val=recipe.val,
        test=recipe.test,
        count=recipe.count,
        progress=listener.count,
    )
    listener.finding(check(source))
    return source


def plan_from(recipe: Recipe, device: torch.device, listener: Listener) -> Plan:
    """Open and check the data, and decide everything that the recipe leaves open."""
    source = open_data(recipe, listener)
    if isinstance(source, MaskSource):
        plan = plan_masks(recipe, source, device)
        listener.decided(plan.recipe, plan.why)
        require_memory(plan, device)
        return plan
    if recipe.model is not None and labels_pixels(recipe.model):
        raise UsageError(
            f"{recipe.model} labels every pixel, and {recipe.data} has one class an image; give images with masks (a "
            "folder of images/ and masks/), or a model that classifies, such as resnet18"
        )
    largest = int(source.train.sizes.max())
    spec, pretrained, reason = choose_model(
        recipe, photographs=source.photographs, size=recipe.size or largest
    )
    why = [f"model = {spec}: {reason}"] if recipe.model is None else []
    if recipe.size is not None:  # before any image is brought to that size
        require(4 * 16 * LEAST_IMAGES * recipe.size**2, f"{recipe.size} x {recipe.size}", device)
    known = preparation_of(spec) if pretrained else None
    preparation = choose_preparation(
        source,
        size=recipe.size or (known.size if known else None),
        channels=recipe.channels or (3 if known else None),
        mean=known.mean if known else None,
        std=known.std if known else None,
        fit=cast(Any, recipe.fit),
        interpolation=cast(Any, known.interpolation) if known else None,
    )
    facts = Facts(
        images=min(len(source.train), recipe.limit or len(source.train)),
        height=preparation.height,
        width=preparation.width,
        channels=preparation.channels,
        classes=len(source.classes),
        photographs=source.photographs,
        flip=source.horizontal_flip,
        gpu=device.type == "cuda",
    )
    chosen, more = choose(recipe.replace(model=spec, pretrained=pretrained), facts)
    listener.decided(chosen, [*why, *preparation.why, *more])
    plan = Plan(
        recipe=chosen, source=source, preparation=preparation, why=[*why, *preparation.why, *more]
    )
    require_memory(plan, device)
    return plan


def plan_again(run: Run, listener: Listener) -> Plan:
    """The plan of a run that was stopped. Raises RunError when its data changed."""
    if run.finished:
        raise RunError(f"{run.path} is finished; train a new run instead of resuming this one")
    source = open_data(run.recipe, listener)
    if source.fingerprint != run.info["data"]["fingerprint"]:
        raise RunError(
            f"the images of {run.recipe.data} changed since {run.path} began; train a new run"
        )
    return Plan(recipe=run.recipe, source=source, preparation=run.preparation, why=[])


def first_info(plan: Plan) -> dict[str, Any]:
    """What `run.toml` says before the first step."""
    source = plan.source
    return {
        "format": FORMAT,
        "task": "masks" if isinstance(source, MaskSource) else "classes",
        "created": now(),
        "finished": False,
        "classes": list(source.classes),
        "recipe": plan.recipe.to_dict(),
        "preparation": plan.preparation.to_dict(),
        "data": {
            "where": source.where,
            "fingerprint": source.fingerprint,
            **{name: len(split) for name, split in source.splits.items()},
        },
        "versions": versions(),
    }


LEAST_IMAGES = 8  # that a training step must be able to hold


def require_memory(plan: Plan, device: torch.device) -> None:
    """Build the network without memory, and raise UsageError when a few images would not fit.

    Raises UsageError also for a model that does not exist or does not fit the images.
    """
    preparation = plan.preparation
    with torch.device("meta"):
        skeleton = build_model(plan, fresh=True)
    shape = (1, preparation.channels, preparation.height, preparation.width)
    try:
        geometry = trace(skeleton, shape)
    except GeometryError:
        return  # a network that cannot be traced may still train
    least = 8 * geometry.total_params + LEAST_IMAGES * geometry.total_activation_bytes
    require(least, f"{preparation.height} x {preparation.width}", device)


def require(least: int, pixels: str, device: torch.device) -> None:
    """Raise UsageError when `least` bytes are not free."""
    have = available_memory() if device.type == "cpu" else torch.cuda.mem_get_info(device)[0]
    if least > have:
        raise UsageError(
            f"training on images of {pixels} pixels needs at least {least / 2**30:.0f} GiB and "
            f"{have / 2**30:.0f} GiB are free; choose a smaller --size or model"
        )


def images_of(plan: Plan, split_name: str, device: torch.device, listener: Listener) -> Images:
    """A split's prepared images: in memory when they fit into a quarter of what is free, else decoded by workers."""
    source, recipe = plan.source, plan.recipe
    assert isinstance(source, Source)
    split = source.splits[split_name]
    if split_name == "train" and recipe.limit and recipe.limit < len(split):
        split = split.take(
            torch.randperm(len(split), generator=seeded(recipe.seed))[: recipe.limit].numpy()
        )
    if decoded_bytes(source, plan.preparation) <= available_memory() // 4:
        images, labels = load_memory(split, plan.preparation, progress=listener.count)
        return MemoryImages(images.to(device), labels)
    workers = (
        recipe.workers if recipe.workers is not None else max(1, (torch.get_num_threads() + 1) // 2)
    )
    return DiskImages(
        SplitDataset(split, plan.preparation), torch.from_numpy(split.labels), workers
    )


def seeded(seed: int) -> torch.Generator:
    """A generator of its own."""
    return torch.Generator().manual_seed(seed)


def build_model(plan: Plan, *, fresh: bool = False) -> nn.Module:
    """The recipe's network for the plan's images and classes; `fresh` without any given weights."""
    recipe, preparation = plan.recipe, plan.preparation
    network = build(
        str(recipe.model),
        in_channels=preparation.channels,
        num_classes=len(plan.source.classes),
        size=None if labels_pixels(str(recipe.model)) else preparation.size,
        pretrained=bool(recipe.pretrained) and not fresh,
        weights=None if fresh else recipe.weights,
        **recipe.model_options,
    )
    return full_size(network)


def make_model(plan: Plan, device: torch.device) -> nn.Module:
    """The network with its first weights: drawn from the recipe's seed, or pretrained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.recipe.seed)
        model = build_model(plan)
    return model.to(device).to(memory_format=torch.channels_last)


def make_training(
    plan: Plan,
    model: nn.Module,
    objective: Objective,
    device: torch.device,
    total: int,
    head_steps: int,
) -> Training:
    """The state that the loop changes."""
    recipe = plan.recipe
    assert recipe.average is not None and recipe.warmup is not None
    return Training(
        model=model,
        optimizers=make_optimizer(recipe, layer_groups(model)),
        average=WeightAverage(model, recipe.average),
        pace=Pace(total),
        warmup=recipe.warmup,
        objective=objective,
        dtype=choose_precision(recipe.precision, device),
        device=device,
        head=head(model) if head_steps else None,
        head_steps=head_steps,
        fine_tuning=bool(recipe.pretrained or recipe.weights),
    )


def prepare(plan: Plan, device: torch.device, listener: Listener) -> Job:
    """Load the images, build the model and measure a step; nothing is written yet."""
    recipe = plan.recipe
    listener.stage("preparing images")
    if isinstance(plan.source, MaskSource):
        return make_job(plan, *prepare_masks(plan, device), device, listener)
    batches = TrainingBatches(
        images=images_of(plan, "train", device, listener),
        preparation=plan.preparation,
        augmentation=augmentation_of(recipe),
        classes=len(plan.source.classes),
        batch=int(recipe.batch or 1),
        seed=recipe.seed,
        device=device,
    )
    validation = images_of(plan, "val", device, listener) if len(plan.source.val) else None

    def evaluate(network: nn.Module) -> tuple[float, float]:
        assert validation is not None
        ordered = OrderedBatches(
            images=validation,
            preparation=plan.preparation,
            batch=EVALUATION_BATCH,
            device=device,
        )
        dtype = choose_precision(recipe.precision, device)
        logits = predict_logits(network, ordered, dtype=dtype)
        loss = nn.functional.cross_entropy(logits, validation.labels)
        return float(loss), float((logits.argmax(1) == validation.labels).float().mean())

    objective = Classes(recipe.label_smoothing or 0.0)
    return make_job(
        plan, batches, evaluate if validation is not None else None, objective, device, listener
    )


def make_job(
    plan: Plan,
    batches: Batches,
    evaluate: Callable[[nn.Module], tuple[float, ...]] | None,
    objective: Objective,
    device: torch.device,
    listener: Listener,
) -> Job:
    """Build the model and measure a step."""
    recipe = plan.recipe
    listener.stage("measuring")
    torch.manual_seed(recipe.seed)
    total = max(1, round((recipe.epochs or 1) * batches.steps_per_epoch))
    head_steps = min(round((recipe.head_epochs or 0) * batches.steps_per_epoch), total // 4)
    training = make_training(plan, make_model(plan, device), objective, device, total, head_steps)
    return Job(
        batches=batches,
        evaluate=evaluate,
        training=training,
        seconds_per_step=seconds_per_step(plan, batches, objective, device),
    )


def training_again(plan: Plan, job: Job) -> Training:
    """A job's training before its first step, as a plan with another learning rate makes it."""
    t = job.training
    model = make_model(plan, t.device)
    return make_training(plan, model, t.objective, t.device, t.pace.total, t.head_steps)


def rate(plan: Plan, job: Job, listener: Listener, *, used: float | None = None) -> Finding:
    """The learning-rate range test of a job, on a training of its own; the job stays as it was."""
    listener.stage("learning rates")
    unit = replace(plan, recipe=plan.recipe.replace(lr=1.0))
    spare = training_again(unit, job)
    spare.head_steps = 0
    found = rates_of(spare, job.batches, used=used, seconds_per_step=job.seconds_per_step)
    listener.say(found.verdict)
    return found


def train_run(run: Run, plan: Plan, job: Job, started: float, listener: Listener) -> bool:
    """The training itself; leaves weights, metrics and, if stopped, a checkpoint in the run.

    started: time.monotonic() from which a budget counts. Returns whether it went to its end.
    """
    recipe, training = plan.recipe, job.training
    pace, per_epoch, device = training.pace, job.batches.steps_per_epoch, training.device
    if recipe.budget is not None:
        training.deadline = started + recipe.budget - training.seconds
        if pace.step == 0:
            pace.replan((training.deadline - time.monotonic()) * 0.95, job.seconds_per_step)
            training.head_steps = min(training.head_steps, pace.total // 4)
    left = pace.total - pace.step
    listener.say(
        f"{left:,} steps of {recipe.batch} images, {left / per_epoch:.1f} epochs: about "
        f"{left * job.seconds_per_step:.0f} s on {device.type} in {name_of(training.dtype)}"
    )

    def on_epoch(history: list[EpochRecord]) -> None:
        write_metrics(run.path / "metrics.csv", history)
        listener.epoch(history[-1])

    listener.stage("training")
    try:
        ended = fit(
            training,
            job.batches,
            evaluate=job.evaluate,
            on_step=listener.step,
            on_epoch=on_epoch,
            on_watch=listener.watched,
            save=lambda state: save_checkpoint(run.path / "checkpoint", state),
            save_every=recipe.checkpoint_seconds,
        )
    except TrainingError:
        if training.watch is not None:
            listener.say(f"`striate diagnose {run.path} updates` tells what was noted until then")
        raise
    finally:  # what was noted up to a divergence tells where it began
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
    run.save_info()
    return ended


def name_of(dtype: torch.dtype) -> str:
    """`bfloat16` of `torch.bfloat16`."""
    return str(dtype).removeprefix("torch.")


def augmentation_of(recipe: Recipe) -> Augmentation:
    """The recipe's augmentation."""
    return Augmentation(
        shift=recipe.shift or 0,
        flip=bool(recipe.flip),
        scale=recipe.scale or 1.0,
        rotate=recipe.rotate or 0.0,
        erase=recipe.erase or 0.0,
        mixup=recipe.mixup or 0.0,
    )


def seconds_per_step(
    plan: Plan, batches: Batches, objective: Objective, device: torch.device
) -> float:
    """How long a step takes, measured on a copy that is thrown away; the random state is as before afterwards."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        trial = make_training(plan, make_model(plan, device), objective, device, 4, 0)
        times: list[float] = []
        fit(trial, batches, on_step=lambda moment: times.append(time.monotonic()))
    return (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.01


def remove_checkpoint(run: Run) -> None:
    """A finished run needs no checkpoint."""
    folder = run.path / "checkpoint"
    (folder / "last.pt").unlink(missing_ok=True)
    if folder.is_dir():
        folder.rmdir()
