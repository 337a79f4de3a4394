"""Training on images with boxes: the plan, the crops and the validation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.data import Preprocessing
from striate.errors import UsageError
from striate.models import DETECTORS, RFDETR, WITH_MASKS, build, finds_masks, is_detector, is_own
from striate.tasks.colours import own_size_preprocessing
from striate.tasks.decoded import Decoded, fits
from striate.tasks.detect.batches import BoxAugmentation, BoxBatches, target_of
from striate.tasks.detect.data.source import BoxSource, BoxSplit
from striate.tasks.detect.defaults import (
    BoxFacts,
    choose_box_model,
    choose_for_boxes,
    choose_frame,
)
from striate.tasks.detect.evaluate import Matched
from striate.tasks.detect.forms.form import Forms
from striate.tasks.detect.forms.table import DetectionLoss, form_of
from striate.tasks.detect.forward import outputs_of
from striate.tasks.detect.frame import framed
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.reach import Sight, sentence
from striate.tasks.detect.region_loss import TAUGHT
from striate.tasks.detect.sight import sight_of
from striate.tasks.plan import Plan
from striate.tasks.task import Evaluate
from striate.training.batch import Batch, LossFunction
from striate.training.machine import choose_precision
from striate.training.own import OwnAugmentation, OwnLoss
from striate.training.recipe import Recipe
from striate.training.world import here

FIELD_SIDE = 256  # pixels of the image on which what a cell sees is traced
MOST_VALIDATION = 128  # images that are looked at after each epoch


def plan_boxes(
    recipe: Recipe, source: BoxSource, device: torch.device, *, masks: bool = False
) -> Plan:
    """Decide everything that the recipe leaves open. masks: of objects are wanted beside boxes.

    Raises UsageError for a model that finds no objects, or no masks where these are wanted.
    """
    if str(recipe.model).startswith(RFDETR):
        raise UsageError(
            f"{recipe.model} is not trained here: train it with its package rfdetr and wrap the checkpoint (docs/detect.md)"
        )
    if masks and recipe.model is not None and not (is_own(recipe.model) or finds_masks(recipe.model)):  # fmt: skip
        raise UsageError(
            f"{recipe.model} learns no masks of objects; take {' or '.join(WITH_MASKS)}, or one of these on a backbone, "
            "such as centernet-masks:resnet18"
        )
    if not masks and recipe.model is not None and finds_masks(recipe.model):
        raise UsageError(
            f"{recipe.model} learns masks of objects; take --task instances, or for boxes {', '.join(DETECTORS)}"
        )
    if recipe.model is not None and not (is_own(recipe.model) or is_detector(recipe.model)):
        raise UsageError(
            f"{recipe.model} finds no objects, and {recipe.data} has boxes; take {', '.join(DETECTORS)}, or one of "
            f"these on a backbone, such as centernet:{recipe.model}"
        )
    spec, pretrained, reason = choose_box_model(
        recipe, photographs=source.photographs, kind="centernet-masks" if masks else "centernet"
    )
    why = [f"model = {spec}: {reason}"] if recipe.model is None else []
    channels = recipe.channels or (3 if (source.train.channels == 3).any() else 1)
    named = recipe.replace(model=spec, pretrained=pretrained)
    sight = _planned_sight(named, channels, len(source.classes))
    field = None if sight is None else sight.field
    frame, reasons = choose_frame(named, facts_of(source, source.train), field)
    why += reasons
    # All else is decided for the images as the network sees them.
    whole = Preprocessing(channels=channels, height=1, width=1, **frame)
    train = framed(source.train, whole)
    chosen, more = choose_for_boxes(named, facts_of(source, train))
    chosen = chosen.replace(settings=replace(chosen.settings, **frame))
    preprocessing, reasons = own_size_preprocessing(chosen, source)
    preprocessing = replace(preprocessing, **frame)
    why += reasons
    limits = "" if sight is None else sentence(list(train.objects), sight)
    if limits:
        more.append(limits)
    if not masks and not source.generated and all(o.regions or not len(o) for o in train.objects):
        more.append("every object has a mask: --task instances learns these beside boxes")
    return Plan(recipe=chosen, source=source, preprocessing=preprocessing, why=[*why, *more])


def facts_of(source: BoxSource, train: BoxSplit) -> BoxFacts:
    """What the choices look at. train: the training images, at the size at which they are seen."""
    sides = np.concatenate([objects.sides.max(1) for objects in train.objects] or [np.zeros(0)])
    return BoxFacts(
        images=len(train),
        side=int(np.median(train.sizes.min(1))),
        longer=int(np.median(train.sizes.max(1))),
        pixels=int(train.sizes.prod(1).sum()),
        largest=float(np.quantile(sides, 0.9)) if len(sides) else 0.0,
        photographs=source.photographs,
        flip=source.horizontal_flip,
        generated=source.generated,
    )


def _planned_sight(recipe: Recipe, channels: int, classes: int) -> Sight | None:
    """What limits the recipe's network, without any of its weights; None where that is not known before."""
    if is_own(recipe.model):
        return None
    with torch.device("meta"):
        network = build(
            str(recipe.model), in_channels=channels, num_classes=classes, **recipe.model_options
        )
    # In evaluation: a batch norm that trains looks at the whole image.
    return sight_of(network.eval(), (1, channels, FIELD_SIDE, FIELD_SIDE))


def box_batches(
    plan: Plan, split: str, device: torch.device, kind: type[BoxBatches] = BoxBatches
) -> BoxBatches:
    """Endless batches of crops of a split. kind: of batches, by what they teach."""
    recipe, preprocessing, own = plan.recipe, plan.preprocessing, plan.recipe.settings
    chosen = framed(plan.source.splits[split], preprocessing)
    if split == "train" and recipe.limit and recipe.limit < len(chosen):
        order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(recipe.seed))
        chosen = chosen.take(order[: recipe.limit].numpy())
    return kind(
        images=images_of(chosen, preprocessing),
        split=chosen,
        preprocessing=preprocessing,
        augmentation=BoxAugmentation(
            flip=bool(recipe.flip), zoom=own.zoom or 1.0, jitter=own.jitter or 0.0
        )
        if plan.augment is None
        else BoxAugmentation(own=OwnAugmentation.of(plan.augment)),
        crop=preprocessing.size,
        batch=int(recipe.batch or 1),
        aimed=own.aimed or 0.0,
        seed=recipe.seed,
        device=device,
    )


def images_of(split: BoxSplit, preprocessing: Preprocessing) -> Decoded[Tensor]:
    """A split's images (C, H, W) uint8 at their own size: in memory when they fit into a quarter of what is free."""
    needed = int(split.sizes.prod(1).sum()) * preprocessing.channels

    def decode(index: int) -> Tensor:
        return torch.from_numpy(split.preprocess(index, preprocessing))

    return Decoded(decode, len(split), in_memory=fits(needed))


def loss_of(plan: Plan) -> DetectionLoss:
    """The loss of a plan."""
    own = plan.recipe.settings
    return DetectionLoss(
        len(plan.source.classes), 2.0 if own.edges is None else own.edges, own.regions or TAUGHT
    )


def validation_of(
    plan: Plan, device: torch.device, loss: LossFunction, metric: Matched, *, forms: Forms = form_of,
    target: Callable[[Objects, int, int], Any] = lambda objects, height, width: target_of(objects),
) -> Evaluate | None:  # fmt: skip
    """A function from a network to its loss and metric on some validation images; None without any.

    loss: the task's. forms: which one an output has. target: of the objects of a whole image (height, width), for `loss`.
    """
    recipe, source, preprocessing = plan.recipe, plan.source, plan.preprocessing
    drawn = np.random.default_rng(recipe.seed).permutation(len(source.val))[:MOST_VALIDATION]
    validation = framed(source.val.take(np.sort(drawn)), preprocessing)
    if not len(validation):
        return None
    images = images_of(validation, preprocessing)
    dtype, classes = choose_precision(recipe.precision, device), len(source.classes)
    own = plan.loss_or(loss)
    # A loss that takes the whole batch may look at the images, which the network did not see in crops here.
    measured = own if isinstance(own, OwnLoss) and not own.whole else loss

    def evaluate(network: nn.Module) -> dict[str, float]:
        total = weight = 0.0
        predictions: list[Objects] = []
        world = here()
        for i in world.share(len(images)):
            image, objects = images[i], validation.objects[i]
            height, width = image.shape[-2:]
            out = outputs_of(network, preprocessing, [image], device=device, dtype=dtype)[0]
            # A second pass runs only here; one that draws at random leaves the training's random numbers as they are.
            with torch.no_grad(), own_draws(recipe.seed + i):
                part = measured(out, Batch(image[None], [target(objects, height, width)]))
            total, weight = total + float(part.sum), weight + float(part.weight)
            predictions += forms(out).decode(out, classes, (height, width))
        if world.size > 1:
            predictions = world.assembled(len(images), predictions)
            sums = world.gathered((total, weight))
            total, weight = (sum(part[k] for part in sums) for k in (0, 1))
        scores = metric.score(metric.matched(predictions, validation.objects))
        return {"loss": total / max(weight, 1e-9), **{k: float(v) for k, v in scores.items()}}

    return evaluate


@contextmanager
def own_draws(seed: int) -> Iterator[None]:
    """Random numbers of the CPU from a seed, for the duration of a `with`."""
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before)
