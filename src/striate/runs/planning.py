"""Planning: from what a person chose, and the data, to a recipe with every setting decided."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import torch

from striate.data import Source, check, choose_preparation, open_source
from striate.data.masks import MaskSource, is_mask_data
from striate.errors import RunError, UsageError
from striate.models import labels_pixels
from striate.models import preparation as preparation_of
from striate.runs.preparing import LEAST_IMAGES, require, require_memory
from striate.runs.record import now, versions
from striate.runs.run import FORMAT, Run
from striate.tasks.classify.defaults import Facts, choose, choose_model
from striate.tasks.plan import Plan
from striate.tasks.segment.train import open_mask_data, plan_masks
from striate.training.callbacks import Listener
from striate.training.recipe import Recipe


def source_name(data: str) -> str:
    """What a run is called after: the source's name, or the folder's."""
    name = Path(data).expanduser().resolve().name if any(c in data for c in "/\\.~") else data
    return name or "run"


# Settings that mean something for one kind of labels alone.
OF_CLASSES = ("shift", "scale", "erase", "mixup", "fit")
OF_MASKS = ("masks", "ignore", "foreground", "dice", "class_weights", "zoom", "jitter")


def refuse_other_kind(recipe: Recipe, *, masks: bool) -> None:
    """Raise UsageError for a setting that would have no effect: of masks for classes, or of classes for masks."""
    others, what, mine = (
        (OF_CLASSES, "images with one class each", "a class for every pixel")
        if masks
        else (OF_MASKS, "images with a class for every pixel", "one class an image")
    )
    given = next((name for name in others if getattr(recipe, name) is not None), None)
    if given is not None:
        instead = "; --set zoom=1 turns crops of other sizes off" if given == "scale" else ""
        raise UsageError(
            f"{given}={getattr(recipe, given)} is for {what} and has no effect on {recipe.data}, which has {mine}; "
            f"leave it out{instead}"
        )


def open_data(recipe: Recipe, listener: Listener, *, resumed: bool = False) -> Source | MaskSource:
    """The recipe's source, checked. Raises DataError or UsageError.

    resumed: the recipe is that of a run, which may hold settings of earlier versions.
    """
    listener.stage("reading images")
    masks = is_mask_data(recipe.data)
    if not resumed:
        refuse_other_kind(recipe, masks=masks)
    if masks:
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
    if recipe.scale is not None and source.train.deep.any():
        why.append(
            f"scale = {recipe.scale:g} is the least share of an image that a random crop keeps; the grey levels of deep "
            "images follow black and white."
        )
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
        black=recipe.black,
        white=recipe.white,
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
    source = open_data(run.recipe, listener, resumed=True)
    if source.fingerprint != run.info["data"]["fingerprint"]:
        raise RunError(
            f"the images of {run.recipe.data} changed since {run.path} began; train a new run"
        )
    return Plan(recipe=run.recipe, source=source, preparation=run.preparation, why=[])


def refuse_changes(run: Run, given: Recipe) -> None:
    """Raise UsageError for a setting that is not the one a resumed run began with: it would have no effect."""
    left_open = Recipe(data=given.data)
    for name in (field.name for field in fields(Recipe) if field.name not in ("data", "device")):
        value, kept = getattr(given, name), getattr(run.recipe, name)
        if value not in (getattr(left_open, name), kept):
            raise UsageError(
                f"a resumed run keeps its settings: {run.path} began with {name}={kept}, got {name}={value}; leave it out, "
                "or train anew without --resume"
            )


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
