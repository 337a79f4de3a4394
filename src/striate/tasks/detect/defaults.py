"""What a recipe leaves open where every object has a box."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from striate.models import architecture
from striate.training.recipe import Recipe
from striate.training.settings import names_of

WHOLE = 160  # pixels; images up to here are taken whole
CROP = 256
STRIDE = 32  # crops are multiples of it
ROOM = 0.75  # of what a cell sees, the most that nine of ten objects take of it once images are reduced
WIDTHS = {  # of the networks that learn from nothing, and why
    "centernet": (24, "channels at half the size; 32 learns more, at 1.7 times the cost"),
    "centernet-masks": (24, "channels at half the size"),
    "fcos": (32, "channels at half the size"),
    "yolo": (16, "channels of the first layer"),
}
TWO_PASSES = ("faster-rcnn", "mask-rcnn")
SMALL = 256  # pixels of a crop up to which a lighter second pass is recommended
TAUGHT, AT = 512, 800  # regions that an image of so many pixels a side teaches them by
EDGES = {
    "fcos": 1.0,
    "yolo": 5.0,
    "faster-rcnn": 1.0,
    "mask-rcnn": 1.0,
}  # weight of the boxes where it is not 2, as in the papers


def weight_of_edges(kind: str, spec: str) -> float:
    """How much the boxes count beside the scores for a kind of network; YOLO's later head is learned as FCOS's."""
    return EDGES["fcos"] if "anchor-free" in spec else EDGES.get(kind, 2.0)


@dataclass(frozen=True, kw_only=True)
class BoxFacts:
    """What the choices look at: training images, their median shorter and longer side and all their pixels, the larger
    side that nine of ten objects stay below, whether images are photographs, whether left and right may be exchanged
    (None: not known), whether they are drawn at random anyway.
    """

    images: int
    side: int
    longer: int
    pixels: int
    largest: float
    photographs: bool
    flip: bool | None
    generated: bool


def choose_box_model(
    recipe: Recipe, *, photographs: bool, kind: str = "centernet"
) -> tuple[str, bool, str]:
    """(spec, whether to start from pretrained weights, the reason). kind: of network, whatever its backbone."""
    if recipe.model is not None:
        return recipe.model, bool(recipe.pretrained), "as asked"
    if recipe.pretrained or (recipe.pretrained is None and photographs):
        given = recipe.weights and not recipe.pretrained
        reason = "from the weights of the file" if given else "an encoder with ImageNet weights"
        return f"{kind}:efficientnet-lite0", not given, f"colour pictures: {reason}"
    return kind, False, "small or few images: our own network, from nothing"


def choose_frame(
    recipe: Recipe, facts: BoxFacts, field: int | None
) -> tuple[dict[str, Any], list[str]]:
    """At which size images are seen, {"longest", "enlarge"}, and the reasons: as they are, unless one of ten objects is
    larger than what a cell sees, so that it could only be guessed from a part.

    facts: of the images as they are. field: pixels that a cell of the network sees; None where that is not known.
    """
    own = recipe.settings
    enlarge = 1.0 if own.enlarge is None else float(own.enlarge)
    if own.longest is not None or own.enlarge is not None:
        return {"longest": own.longest or 0, "enlarge": enlarge}, []
    if field is None or facts.largest <= field:
        return {"longest": 0, "enlarge": 1.0}, []
    longest = max(int(ROOM * field / facts.largest * facts.longer) // STRIDE, 1) * STRIDE
    reason = (
        f"longest = {longest}: larger images are reduced to it, since a tenth of the objects is larger than "
        f"{facts.largest:.0f} pixels and a cell of the network sees {field}; --set longest=0 keeps them as they are"
    )
    return {"longest": longest, "enlarge": 1.0}, [reason]


def choose_for_boxes(recipe: Recipe, facts: BoxFacts) -> tuple[Recipe, list[str]]:
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
    kind = str(architecture(str(recipe.model).partition(":")[0]))
    small = kind in WIDTHS and ":" not in str(recipe.model)
    # A crop holds the largest of nine of ten objects with room around it.
    wanted = max(CROP, 1.5 * facts.largest)
    size = pick(
        "size",
        facts.side if facts.side <= WHOLE else -(-int(min(facts.side, wanted)) // STRIDE) * STRIDE,
        "the images' own size" if facts.side <= WHOLE else "side of the crops that train",
    )
    assert isinstance(size, int)
    optimizer = pick(
        "optimizer", "muon" if small else "adamw", "fine-tuning" if tuned else "the fastest here"
    )
    flip = facts.flip if facts.flip is not None else True
    drawn = facts.generated
    decay = {"muon": 0.01, "sgd": 5e-4, "adamw": 0.05}[str(optimizer)]
    changes: dict[str, Any] = {
        "size": size,
        "optimizer": optimizer,
        "batch": pick("batch", 16, "crops a step"),
        "lr": pick("lr", {"muon": 0.02, "sgd": 0.02, "adamw": 1e-3}[str(optimizer)], f"usual for {optimizer}"),
        "weight_decay": pick("weight_decay", decay, f"usual for {optimizer}"),
        "warmup": pick("warmup", 0.1, "share of the schedule in which the rate rises"),
        "average": pick("average", 0.99, "the mean of the last hundred steps' weights is kept"),
        "layer_decay": pick("layer_decay", 0.7 if tuned else 1.0, "the encoder moves less" if tuned else "no fine-tuning"),
        "head_epochs": pick("head_epochs", 0.0, "all layers from the start"),
        "edges": pick("edges", weight_of_edges(kind, str(recipe.model)), "weight of the boxes beside the scores"),
        "aimed": pick("aimed", 0.7, "share of crops that are laid over an object, rare classes as often as others"),
        "flip": pick("flip", flip, "left and right mean the same" if flip else "a mirrored image may mean something else"),
        "zoom": pick("zoom", 1.1 if drawn else 1.25, "in or out"),
        "jitter": pick("jitter", 0.0 if drawn else 0.15, "of contrast and brightness"),
    }  # fmt: skip
    if kind in TWO_PASSES:
        if "(" not in str(recipe.model) and size <= SMALL:
            why.append(
                f"model = {recipe.model}: as asked; its second pass is made for images of 800 pixels, and its "
                f"anchors begin at 32 pixels: {kind}(channels=64,hidden=256,anchor=4):resnet18 is lighter, with smaller ones"
            )
        regions = min(max(16 * round(TAUGHT * size / AT / 16), 64), TAUGHT)
        words = (
            "that an image teaches by, and half as many anchors; 512 are for images of 800 pixels"
        )
        changes["regions"] = pick("regions", regions, words)
    if small and recipe.width is None:
        changes["width"] = pick("width", *WIDTHS[kind])
    if recipe.budget is None:
        crops = max(facts.pixels / size**2, facts.images)
        seen = 8_000 if tuned else 16_000
        epochs = float(round(min(max(seen * 96**2 / size**2 / crops, 6), 400)))
        changes["epochs"] = pick("epochs", epochs, f"about {epochs * crops:,.0f} crops seen")
    settings = replace(own, **{k: v for k, v in changes.items() if k in mine})
    rest = {k: v for k, v in changes.items() if k not in mine}
    return recipe.replace(settings=settings, **rest), why
