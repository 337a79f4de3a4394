"""Preparing: from a plan to everything that a training needs in memory, and whether it fits."""

from __future__ import annotations

import functools
import time

import torch
from torch import nn

from striate.borrow import borrowed, forward
from striate.errors import GeometryError, UsageError
from striate.geometry import trace
from striate.inference.parts import FoldedParts
from striate.models import freeze, head, is_own, layer_groups
from striate.tasks.network import first_network
from striate.tasks.plan import Job, Plan
from striate.tasks.table import find_task
from striate.tasks.task import Task
from striate.training.averaging import WeightAverage
from striate.training.batch import LossFunction
from striate.training.callbacks import Listener
from striate.training.fsdp import ShardedAverage, cut_where_called, shard
from striate.training.loop import Batches, Training, fit
from striate.training.machine import choose_precision, require_memory
from striate.training.optimizers import make_optimizer
from striate.training.schedule import Pace
from striate.training.world import here

LEAST_IMAGES = 8  # that a training step must be able to hold


def require_room(task: Task, plan: Plan, device: torch.device) -> None:
    """Build the network without memory, and raise UsageError when a few images would not fit.

    Raises UsageError also for a model that does not exist or does not fit the images.
    """
    recipe, preprocessing = plan.recipe, plan.preprocessing
    outputs = len(task.output_names(recipe, plan.source))
    with torch.device("meta"):
        skeleton = task.build(recipe, preprocessing, outputs, fresh=True)
    shape = (1, preprocessing.channels, preprocessing.height, preprocessing.width)
    try:
        geometry = trace(skeleton, shape)
    except GeometryError:
        with torch.device("meta"):
            task.build(recipe, preprocessing, outputs, fresh=True, check=True)
        return  # a network that cannot be traced may still train
    require_memory(
        LEAST_IMAGES * geometry.total_activation_bytes,
        f"{preprocessing.height} x {preprocessing.width}",
        device,
        images=LEAST_IMAGES,
        weights=8 * geometry.total_params,
    )


def make_model(plan: Plan, device: torch.device) -> nn.Module:
    """The network with its first weights: drawn from the recipe's seed, or pretrained."""
    task = find_task(str(plan.recipe.task))
    model = first_network(
        task, plan.recipe, plan.preprocessing, len(task.output_names(plan.recipe, plan.source))
    )
    return model.to(device).to(memory_format=torch.channels_last)


def make_training(
    plan: Plan,
    model: nn.Module,
    loss: LossFunction,
    device: torch.device,
    total: int,
    head_steps: int,
) -> Training:
    """The state that the loop changes."""
    recipe = plan.recipe
    assert recipe.average is not None and recipe.warmup is not None
    tuned, dtype = (
        bool(recipe.pretrained or recipe.weights),
        choose_precision(recipe.precision, device),
    )
    world, average = here(), None
    if recipe.frozen:
        if not tuned:
            raise UsageError(
                f"frozen = {recipe.frozen:g} keeps the first layers' weights, which are random without --set "
                "pretrained=true or weights=FILE; add one of them, or leave frozen out"
            )
        freeze(model, recipe.frozen)
    if recipe.fsdp and world.size > 1:
        how = plan.preprocessing
        images = torch.zeros(1, how.channels, how.height, how.width, device=device)
        plain = shard(model, world, images)
        average = ShardedAverage(model, recipe.average, plain)
    return Training(
        model=model,
        optimizers=make_optimizer(recipe, layer_groups(model)),
        average=average or WeightAverage(model, recipe.average),
        pace=Pace(total),
        warmup=recipe.warmup,
        loss=loss,
        dtype=dtype,
        device=device,
        head=head(model) if head_steps else None,
        head_steps=head_steps,
        fine_tuning=tuned,
        faster=functools.partial(FoldedParts, dtype=dtype)
        if device.type == "cpu" and average is None
        else None,
    )


def prepare(plan: Plan, device: torch.device, listener: Listener) -> Job:
    """Load the images, build the model and measure a step; nothing is written yet."""
    recipe, task = plan.recipe, find_task(str(plan.recipe.task))
    listener.stage("preparing images")
    batches = task.batches(plan, "train", device=device, progress=listener.count)
    evaluate = task.validation(plan, device=device, progress=listener.count)
    loss = plan.loss_or(task.loss(plan))
    listener.stage("measuring")
    if is_own(recipe.model):
        refuse_network(task, plan, batches, device)
    torch.manual_seed(recipe.seed)
    total = max(1, round((recipe.epochs or 1) * batches.steps_per_epoch))
    head_steps = min(round((recipe.head_epochs or 0) * batches.steps_per_epoch), total // 4)
    return Job(
        batches=batches,
        evaluate=evaluate,
        training=make_training(plan, make_model(plan, device), loss, device, total, head_steps),
        seconds_per_step=seconds_per_step(plan, batches, loss, device),
    )


def refuse_network(task: Task, plan: Plan, batches: Batches, device: torch.device) -> None:
    """Raise UsageError where a person's own network cannot take the images, or gives what the task does not know."""
    images = next(batches.from_step(0)).images[:2]
    if not len(images):  # another process has them, and says so
        return
    with borrowed(make_model(plan, device)) as network, torch.no_grad():
        try:
            output = forward(network, images)
        except Exception as error:  # whatever somebody else's network raises
            n, channels, height, width = images.shape
            raise UsageError(
                f"the network cannot take {n} images of {channels} channels and {height} x {width} pixels: "
                f"{type(error).__name__}: {error}; choose others with channels=1 or channels=3 and size=PIXELS, or change "
                "its first layer"
            ) from error
    task.refuse_output(output, images, len(task.output_names(plan.recipe, plan.source)))


def training_again(plan: Plan, job: Job) -> Training:
    """A job's training before its first step, as a plan with another learning rate makes it."""
    t = job.training
    return make_training(
        plan, make_model(plan, t.device), t.loss, t.device, t.pace.total, t.head_steps
    )


def seconds_per_step(
    plan: Plan, batches: Batches, loss: LossFunction, device: torch.device
) -> float:
    """How long a step takes, measured on a copy that is thrown away; the random state is as before afterwards."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        trial = make_training(plan, make_model(plan, device), loss, device, 4, 0)
        times: list[float] = []
        with cut_where_called(trial):
            fit(trial, batches, on_step=lambda moment: times.append(time.monotonic()))
    seconds = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.01
    return here().highest(seconds)[0]  # the slowest process decides
