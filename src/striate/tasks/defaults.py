"""What a recipe leaves open is decided by the data, and said in words."""

from __future__ import annotations

from dataclasses import dataclass

from striate.models import architecture, is_own
from striate.training.recipe import Recipe

TRANSFORMERS = ("vit", "cct", "patch-mlp")  # trained with AdamW in their papers
PACKAGED, WHOSE = "efficientnet-lite0", "the ImageNet weights that come with the installation"
AS_ASKED = "as asked"
SMALL = 64  # pixels; up to here images count as small and the default network learns from nothing


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the choices look at: training images, height and width in pixels after preprocessing, channels, classes, whether
    the images are photographs, whether left and right may be exchanged (None: not known), and the device's kind.
    """

    images: int
    height: int
    width: int
    channels: int
    classes: int
    photographs: bool
    flip: bool | None
    gpu: bool


def choose_model(recipe: Recipe, *, photographs: bool, size: int) -> tuple[str, bool, str]:
    """(spec, whether to start from pretrained weights, the reason) for a recipe that may name neither."""
    if recipe.model is not None:
        if recipe.model == PACKAGED and recipe.pretrained is None and not recipe.weights:
            return recipe.model, False, f"from nothing; pretrained=true starts from {WHOSE}"
        return recipe.model, bool(recipe.pretrained), AS_ASKED
    if recipe.pretrained is False or (
        recipe.pretrained is None and (not photographs or size <= SMALL)
    ):
        return "compact", False, "small images: our own network, from nothing"
    if recipe.weights:
        return PACKAGED, False, "photographs, from the weights of the file"
    return PACKAGED, True, "photographs: ImageNet weights, fine-tuned"


def choose(recipe: Recipe, facts: Facts) -> tuple[Recipe, list[str]]:
    """Fill every open setting of `recipe` (its model and preprocessing already chosen); returns it and the reasons."""
    why: list[str] = []

    def pick(name: str, value: object, reason: str) -> object:
        given = getattr(recipe, name)
        if given is not None:
            return given
        why.append(f"{name} = {value}: {reason}")
        return value

    small = max(facts.height, facts.width) <= SMALL
    tuned = bool(recipe.pretrained or recipe.weights)
    own, name = is_own(recipe.model), architecture(recipe.model)
    optimizer = pick(
        "optimizer",
        "adamw" if tuned or own or name in TRANSFORMERS else "muon" if name == "compact" else "sgd",
        "fine-tuning"
        if tuned
        else "the one that suits most networks"
        if own
        else "the fastest here"
        if name == "compact"
        else "the architecture's own",
    )
    batch = pick(
        "batch",
        max(8, min(256 if small else 64, 2 ** max(3, (facts.images // 12).bit_length() - 1))),
        "at least a dozen steps an epoch",
    )
    assert isinstance(batch, int)
    lr = {"muon": 0.02, "sgd": 0.1 * batch / 256, "adamw": 1e-3 if tuned else 2e-3}[str(optimizer)]
    if optimizer == "sgd" and name in ("lenet5", "lenet5-tanh", "mlp"):
        lr = 0.05
    changes = {
        "optimizer": optimizer,
        "batch": batch,
        "lr": pick("lr", lr, f"usual for {optimizer} at batch {batch}"),
        "weight_decay": pick(
            "weight_decay",
            {"muon": 0.01, "sgd": 5e-4, "adamw": 0.05}[str(optimizer)],
            f"usual for {optimizer}",
        ),
        "warmup": pick("warmup", 0.15, "share of the schedule in which the rate rises"),
        "label_smoothing": pick("label_smoothing", 0.1, "keeps confidence honest"),
        "average": pick("average", 0.99, "the mean of the last hundred steps' weights is kept"),
        "layer_decay": pick(
            "layer_decay",
            0.8 if tuned else 1.0,
            "early layers move less" if tuned else "no fine-tuning",
        ),
        "head_epochs": pick(
            "head_epochs",
            1.0 if tuned else 0.0,
            "the new head first" if tuned else "no fine-tuning",
        ),
    }
    side = min(facts.height, facts.width)
    flip = facts.flip if facts.flip is not None else facts.photographs
    photo = facts.photographs and not small
    changes |= {
        "shift": pick("shift", 0 if photo else max(1, side // 14), "pixels, either way"),
        "flip": pick(
            "flip",
            flip,
            "left and right mean the same here"
            if flip
            else "a mirrored image may mean something else",
        ),
        "scale": pick(
            "scale",
            0.35 if photo else 1.0 if flip else 0.8,
            "smallest share of the image that a crop keeps",
        ),
        "rotate": pick("rotate", 0.0 if flip or photo else 8.0, "degrees, either way"),
        "erase": pick("erase", 0.25 if small and side >= 24 else 0.0, "share of the side"),
        "mixup": pick("mixup", 0.0, "off"),
        # None: decided when the network is trained, see `striate.tasks.mirroring`
        "flip_test": recipe.flip_test
        if (flip if recipe.flip is None else recipe.flip)
        else pick("flip_test", False, "no mirror images"),
    }
    if changes["flip_test"] is None:
        why.append("flip_test: by what it gains on the validation images")
    if recipe.budget is None:
        seen = 5_000 if photo else 700_000 if side >= 24 else 80_000
        least, most = (4, 15) if photo else (8, 100)
        epochs = float(round(min(max(seen / facts.images, least), most)))
        changes["epochs"] = pick("epochs", epochs, f"{int(epochs * facts.images):,} images seen")
    return recipe.replace(**changes), why
