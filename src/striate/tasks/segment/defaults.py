"""What a recipe leaves open where every pixel has a class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from striate.models import architecture
from striate.training.recipe import Recipe
from striate.training.settings import names_of

WHOLE = 128  # pixels; images up to here are taken whole
CROP = 192
RARE = 0.02  # share of all pixels under which a class counts as rare
STRIDE = 32  # crops are multiples of it


@dataclass(frozen=True, kw_only=True)
class MaskFacts:
    """What the choices look at: training images, their median side and all their pixels, the share of pixels of each
    class, whether they are photographs, whether left and right may be exchanged (None: not known), whether they are drawn
    at random anyway, and the device.
    """

    images: int
    side: int
    pixels: int
    shares: tuple[float, ...]
    photographs: bool
    flip: bool | None
    generated: bool
    gpu: bool


def choose_mask_model(recipe: Recipe, *, photographs: bool) -> tuple[str, bool, str]:
    """(spec, whether to start from pretrained weights, the reason)."""
    if recipe.model is not None:
        return recipe.model, bool(recipe.pretrained), "as asked"
    if recipe.pretrained or (recipe.pretrained is None and photographs):
        if recipe.weights and not recipe.pretrained:
            return "unet:efficientnet-lite0", False, "colour pictures, from the weights of the file"
        return "unet:efficientnet-lite0", True, "colour pictures: an encoder with ImageNet weights"
    return "unet", False, "few colours or small images: U-Net, from nothing"


def choose_for_masks(recipe: Recipe, facts: MaskFacts) -> tuple[Recipe, list[str]]:
    """Fill every open setting of `recipe` (its model already chosen); returns it and the reasons."""
    why: list[str] = []

    own = recipe.settings
    mine = set(names_of(type(own)))

    def pick(name: str, value: object, reason: str) -> object:
        given = getattr(own if name in mine else recipe, name)
        if given is not None:
            return given
        why.append(f"{name} = {value}: {reason}")
        return value

    tuned = bool(recipe.pretrained or recipe.weights)
    plain_unet = architecture(recipe.model) == "unet"
    size = pick(
        "size",
        -(-min(facts.side, CROP) // STRIDE) * STRIDE if facts.side > WHOLE else facts.side,
        "side of the crops that train" if facts.side > WHOLE else "the images' own size",
    )
    assert isinstance(size, int)
    optimizer = pick(
        "optimizer",
        "muon" if plain_unet else "adamw",
        "fine-tuning" if tuned else "the fastest here",
    )
    batch = pick("batch", 16, "crops a step")
    rare = min((s for s in facts.shares if s > 0), default=1.0) < RARE / 10
    flip = facts.flip if facts.flip is not None else True
    drawn = facts.generated
    changes: dict[str, Any] = {
        "size": size,
        "optimizer": optimizer,
        "batch": batch,
        "lr": pick(
            "lr",
            {"muon": 0.04, "sgd": 0.05, "adamw": 1e-3}[str(optimizer)],
            f"usual for {optimizer}",
        ),
        "weight_decay": pick(
            "weight_decay",
            {"muon": 0.01, "sgd": 5e-4, "adamw": 0.05}[str(optimizer)],
            f"usual for {optimizer}",
        ),
        "warmup": pick("warmup", 0.1, "share of the schedule in which the rate rises"),
        "label_smoothing": pick("label_smoothing", 0.0, "masks are exact"),
        "average": pick("average", 0.99, "the mean of the last hundred steps' weights is kept"),
        "layer_decay": pick(
            "layer_decay",
            0.7 if tuned else 1.0,
            "the encoder moves less" if tuned else "no fine-tuning",
        ),
        "head_epochs": pick("head_epochs", 0.0, "all layers from the start"),
        "foreground": pick("foreground", 0.5, "half of the crops lie over a rarer class"),
        "dice": pick("dice", 1.0, "counts small classes as much as large ones"),
        "class_weights": pick(
            "class_weights", rare, "a class is very rare" if rare else "no class is very rare"
        ),
        "flip": pick(
            "flip",
            flip,
            "left and right mean the same here"
            if flip
            else "a mirrored image may mean something else",
        ),
        "zoom": pick("zoom", 1.1 if drawn else 1.25, "in or out"),
        "rotate": pick("rotate", 6.0 if drawn else 10.0, "degrees, either way"),
        "jitter": pick("jitter", 0.0 if drawn else 0.15, "of contrast and brightness"),
        "flip_test": pick("flip_test", False, "each image is labelled once"),
    }
    if plain_unet and recipe.width is None:
        changes["width"] = pick(
            "width", 16, "channels at the top; 32 learns more, at 3 times the cost"
        )
    if recipe.budget is None:
        crops = max(facts.pixels / size**2, facts.images)
        seen = 8_000 if tuned else 15_000 if drawn else 24_000
        epochs = float(round(min(max(seen * 96**2 / size**2 / crops, 4), 400)))
        changes["epochs"] = pick("epochs", epochs, f"about {epochs * crops:,.0f} crops seen")
    settings = replace(own, **{k: v for k, v in changes.items() if k in mine})
    rest = {k: v for k, v in changes.items() if k not in mine}
    return recipe.replace(settings=settings, **rest), why
