"""Training on images with a class for every pixel: the plan, the crops, the loss and the validation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from striate.data import Preprocessing
from striate.errors import UsageError
from striate.models import is_own, is_segmenter
from striate.tasks.colours import own_size_preprocessing
from striate.tasks.decoded import fits
from striate.tasks.plan import Plan
from striate.tasks.segment.batches import (
    CropBatches,
    MaskAugmentation,
    OwnMaskAugmentation,
    Pairs,
    decoded_pairs,
)
from striate.tasks.segment.data import IGNORE, MaskSource
from striate.tasks.segment.data.source import MaskSplit
from striate.tasks.segment.defaults import MaskFacts, choose_for_masks, choose_mask_model
from striate.tasks.segment.forward import label
from striate.tasks.segment.loss import PixelCrossEntropy
from striate.tasks.segment.metrics import confusion_matrix, mean_iou
from striate.training.batch import Batch, Loss
from striate.training.machine import choose_precision
from striate.training.own import OwnAugmentation, OwnLoss
from striate.training.recipe import Recipe
from striate.training.world import here

MOST_VALIDATION = 64  # images that are labelled after each epoch


def plan_masks(recipe: Recipe, source: MaskSource, device: torch.device) -> Plan:
    """Decide everything that the recipe leaves open. Raises UsageError for a model that gives one class an image."""
    if recipe.model is not None and not (is_own(recipe.model) or is_segmenter(recipe.model)):
        raise UsageError(
            f"{recipe.model} gives one class an image, and {recipe.data} has a class for every pixel; take unet, "
            f"unet:BACKBONE, fcn8s:BACKBONE or segnet, such as unet:{recipe.model}"
        )
    train = source.train
    spec, pretrained, reason = choose_mask_model(recipe, photographs=source.photographs)
    why = [f"model = {spec}: {reason}"] if recipe.model is None else []
    pixels = train.pixels.sum(0)
    facts = MaskFacts(
        images=len(train),
        side=int(np.median(train.sizes.min(1))),
        pixels=int(train.sizes.prod(1).sum()),
        shares=tuple((pixels / max(pixels.sum(), 1)).tolist()),
        photographs=source.photographs,
        flip=source.horizontal_flip,
        generated=source.generated,
        gpu=device.type == "cuda",
    )
    chosen, more = choose_for_masks(recipe.replace(model=spec, pretrained=pretrained), facts)
    preprocessing, reasons = own_size_preprocessing(chosen, source)
    why += reasons
    return Plan(recipe=chosen, source=source, preprocessing=preprocessing, why=[*why, *more])


def crop_batches(plan: Plan, split: str, device: torch.device) -> CropBatches:
    """Endless batches of crops of a split."""
    recipe, preprocessing = plan.recipe, plan.preprocessing
    own = recipe.settings
    chosen: MaskSplit = plan.source.splits[split]
    if split == "train" and recipe.limit and recipe.limit < len(chosen):
        order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(recipe.seed))
        chosen = chosen.take(order[: recipe.limit].numpy())
    return CropBatches(
        pairs=pairs_of(chosen, preprocessing),
        preprocessing=preprocessing,
        augmentation=MaskAugmentation(
            flip=bool(recipe.flip),
            scale=own.zoom or 1.0,
            rotate=recipe.rotate or 0.0,
            jitter=own.jitter or 0.0,
        )
        if plan.augment is None
        else OwnMaskAugmentation(OwnAugmentation.of(plan.augment)),
        crop=preprocessing.size,
        batch=int(recipe.batch or 1),
        foreground=own.foreground or 0.0,
        seed=recipe.seed,
        device=device,
    )


def pairs_of(split: MaskSplit, preprocessing: Preprocessing) -> Pairs:
    """A split's images and masks: in memory when they fit into a quarter of what is free."""
    return Pairs(split, preprocessing, in_memory=fits(decoded_pairs(split, preprocessing.channels)))


def loss_of(plan: Plan) -> PixelCrossEntropy:
    """The loss of a plan."""
    own, pixels = plan.recipe.settings, plan.source.train.pixels.sum(0)
    return PixelCrossEntropy(
        dice=own.dice or 0.0,
        weights=class_weights(pixels) if own.class_weights else None,
        smoothing=plan.recipe.label_smoothing or 0.0,
    )


def validation_of(
    plan: Plan, device: torch.device
) -> Callable[[nn.Module], dict[str, float]] | None:
    """A function from a network to its loss, pixel accuracy and mean IoU on some validation images; None without any.

    The loss is the cross-entropy of the pixels, without what only helps a training, or a person's own.
    """
    recipe, source, preprocessing = plan.recipe, plan.source, plan.preprocessing
    drawn = np.random.default_rng(recipe.seed).permutation(len(source.val))[:MOST_VALIDATION]
    validation = source.val.take(np.sort(drawn))
    if not len(validation):
        return None
    held = pairs_of(validation, preprocessing)
    dtype, classes = choose_precision(recipe.precision, device), len(source.classes)
    own = plan.loss_or(loss_of(plan))
    # A loss that takes the whole batch may look at the images, which the network did not see in crops here.
    measured = own if isinstance(own, OwnLoss) and not own.whole else cross_entropy

    def evaluate(network: nn.Module) -> dict[str, float]:
        counts = np.zeros((classes, classes), dtype=np.int64)
        total = weight = 0.0
        world = here()
        for i in world.share(len(held)):
            image, mask = held[i]
            logits = label(network, preprocessing, image, device=device, dtype=dtype)
            target = mask.long()
            if (target != IGNORE).any():  # the mean over no pixel is not a number
                loss = measured(logits[None], Batch(logits[None], target[None]))
                total, weight = total + float(loss.sum), weight + float(loss.weight)
            counts += confusion_matrix(logits.argmax(0), target, classes)
        if world.size > 1:
            parts = world.gathered((counts, total, weight))
            counts = np.sum([part[0] for part in parts], axis=0)
            total = sum(part[1] for part in parts)
            weight = sum(part[2] for part in parts)
        accuracy = counts.trace() / max(counts.sum(), 1)
        return {
            "loss": total / max(weight, 1e-9),
            "accuracy": float(accuracy),
            "iou": mean_iou(counts),
        }

    return evaluate


def cross_entropy(output: torch.Tensor, batch: Batch) -> Loss:
    """Cross-entropy of logits (N, K, H, W) with masks (N, H, W), over all pixels that have a label."""
    target = batch.targets
    total = nn.functional.cross_entropy(output, target, ignore_index=IGNORE, reduction="sum")
    return Loss(total, float((target != IGNORE).sum()))


def class_weights(pixels: np.ndarray) -> torch.Tensor:
    """Weights (K,) that grow as the square root of a class's rarity, their mean over pixels 1; 0 for absent classes."""
    share = pixels / max(pixels.sum(), 1)
    weights = np.where(share > 0, 1 / np.sqrt(np.maximum(share, 1e-6)), 0.0)
    return torch.tensor(weights / (weights * share).sum(), dtype=torch.float32)
