"""Preparing: from a plan to everything that a training needs in memory, and whether it fits."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn

from striate.data import Source, SplitDataset, decoded_bytes, load_memory
from striate.data.augment import Augmentation
from striate.data.batches import DiskImages, Images, MemoryImages, OrderedBatches, TrainingBatches
from striate.data.masks import MaskSource
from striate.errors import GeometryError, UsageError
from striate.geometry import trace
from striate.models import head, layer_groups
from striate.tasks.network import build_network, first_network
from striate.tasks.plan import Job, Plan
from striate.tasks.segment.train import prepare_masks
from striate.training.averaging import WeightAverage
from striate.training.callbacks import Listener
from striate.training.loop import Batches, Training, fit, predict_logits
from striate.training.machine import available_memory, choose_precision
from striate.training.objectives import Classes, Objective
from striate.training.optimizers import make_optimizer
from striate.training.recipe import Recipe
from striate.training.schedule import Pace

EVALUATION_BATCH = 512
LEAST_IMAGES = 8  # that a training step must be able to hold


def require_memory(plan: Plan, device: torch.device) -> None:
    """Build the network without memory, and raise UsageError when a few images would not fit.

    Raises UsageError also for a model that does not exist or does not fit the images.
    """
    recipe, preparation, classes = plan.recipe, plan.preparation, len(plan.source.classes)
    with torch.device("meta"):
        skeleton = build_network(recipe, preparation, classes, fresh=True)
    shape = (1, preparation.channels, preparation.height, preparation.width)
    try:
        geometry = trace(skeleton, shape)
    except GeometryError:
        with torch.device("meta"):
            build_network(recipe, preparation, classes, fresh=True, check=True)
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


def make_model(plan: Plan, device: torch.device) -> nn.Module:
    """The network with its first weights: drawn from the recipe's seed, or pretrained."""
    model = first_network(plan.recipe, plan.preparation, len(plan.source.classes))
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
