"""Explanation: every method's map of one prediction, each with how far to trust it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from striate.answer import Aim, answer_of
from striate.attribution.faithfulness import (
    BASELINES,
    FEW,
    MOVED,
    RANDOM,
    Curves,
    displaced,
    each_curve,
    likelihood,
    mean_curve,
)
from striate.attribution.gradients import as_baseline
from striate.attribution.hidden import Hidden, occlusion_probability
from striate.attribution.images import as_images, output_of
from striate.attribution.layers import geometry_of
from striate.attribution.methods import METHODS, Map, Method, Settings, attribute, find_method, row
from striate.attribution.randomisation import SAME, STAGES, shuffled, similarity
from striate.attribution.targets import Target
from striate.borrow import borrowed
from striate.errors import GeometryError, StriateError, UsageError
from striate.geometry import Geometry
from striate.inference.incremental.target import bare, batched, span
from striate.inference.repeating import refuse_memory
from striate.wording import counted

TOP = 5
# Faithfulness by which a map must beat the edge detector and chance. Maps of networks with shuffled weights are beyond
# chance too, because such a network is a function like others, by 0.06 to 0.18; those of trained digits by 0.1 to 0.7.
CLEAR = 0.15
LEVEL = 0.05  # of the test against chance, over all maps of a prediction and both looks
UPPER_SAME = 0.8  # a rank correlation from which a map counts as unchanged with half of the weights
SURE = 0.001  # of that level, spent on a first look after 8 random orders
UNSURE = 0.05  # a probability below which taking pixels away shows little
CHECK_STEPS, CHECK_SAMPLES, CHECK_MASKS = 8, 6, 200  # of the maps of shuffled networks
SECONDS = 120.0
Progress = Callable[[str, int, int], None]
Region = tuple[slice, slice]


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """One prediction explained. Tensors are on the CPU.

    image (C, H, W) in [0, 1] as it is drawn. target: its name; probability: the network's for it, None where the target
    is no class. top: the best classes, name and probability (in semantic segmentation: share of the pixels). maps: by
    method. curves: by method, and "random" and "edges"; empty without trust. shuffled_similarity: by method, the rank
    correlation with the map of the network whose weights are shuffled, a stage each; None where time was up. refused:
    methods that this network does not allow, and why. region: rows and columns of the image that the target lies in,
    where it is a place. chance: faithfulness of each random order; moved: of the best map put elsewhere. Empty where
    they were not asked for. cone: the part of the image outside which no pixel has any influence on the target, where
    that is known. beside: maps of other numbers of the same prediction, by name, such as the edges of a box. hidden: the
    target's probability with a patch at each place, where occlusion explains a class.
    """

    image: Tensor
    target: str
    probability: float | None
    top: tuple[tuple[str, float], ...]
    maps: Mapping[str, Map]
    curves: Mapping[str, Curves] = field(default_factory=dict)
    shuffled_similarity: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    seed: int = 0
    region: Region | None = None
    cone: Region | None = None
    beside: Mapping[str, Map] = field(default_factory=dict)
    chance: tuple[float, ...] = ()
    moved: tuple[float, ...] = ()
    hidden: Hidden | None = None

    def ignores_weights(self, method: str) -> float | None:
        """The rank correlation that shows a map not to depend on the weights, None where it does depend on them."""
        by_stage = self.shuffled_similarity.get(method, {})
        for stage, least in zip(reversed(STAGES), (SAME, UPPER_SAME), strict=True):
            value = by_stage.get(stage)
            if value is not None and value >= least:
                return value
        return None

    @property
    def best(self) -> str | None:
        """The most faithful method among those whose map depends on the weights, None without trust scores."""
        rated = [m for m in self.maps if m in self.curves and not self.maps[m].empty]
        rated = [m for m in rated if self.ignores_weights(m) is None] or rated
        return max(rated, key=lambda m: self.curves[m].faithfulness, default=None)

    @property
    def convincing(self) -> bool:
        """Whether the best map does better than an edge detector, than itself in other places, and than chance can."""
        best = self.best
        if best is None:
            return False
        beyond = not self.chance or (self.p or 0.0) < LEVEL - SURE
        mine = self.curves[best].faithfulness
        return self.ahead and beyond and mine > max(self.moved, default=-1.0)

    @property
    def ahead(self) -> bool:
        """Whether the best map is clearly above an edge detector and the mean of random orders."""
        if self.best is None:
            return False
        least = max(self.curves[b].faithfulness for b in BASELINES)
        return self.curves[self.best].faithfulness > max(least, 0) + CLEAR

    @property
    def settled(self) -> bool:
        """Whether no more random orders are needed: no chance could make the best map convincing, or chance is ruled out.

        To stop where p is below 0.001 adds no more than that to how often chance passes, and is taken off the last look.
        """
        best = self.best
        if best is None or self.curves[best].faithfulness <= max(self.curves["edges"].faithfulness, 0) + CLEAR:  # fmt: skip
            return True
        return self.ahead and self.p is not None and self.p < SURE

    @property
    def p(self) -> float | None:
        """How likely the best of as many random orders is as faithful as the best map; None where that was not asked."""
        if not self.chance or self.best is None:
            return None
        return likelihood(self.curves[self.best].faithfulness, self.chance, len(self.maps))

    @property
    def empty(self) -> bool:
        """Whether every pixel is the same, as in a black image."""
        flat = self.image.flatten(1)
        return bool((flat == flat[:, :1]).all())

    @property
    def verdict(self) -> str:
        """Which method is most faithful on this image and network, in one sentence."""
        if not self.maps:
            return "No method could be used on this network."
        if self.empty:
            return f"The image is one colour throughout: no pixel decides on “{self.target}”."
        if not self.curves:
            return f"{counted(len(self.maps), 'map')} of “{self.target}”, without trust scores."
        best = self.best
        if best is None:
            return f"No map marks anything that speaks for “{self.target}”."
        mine = self.curves[best].faithfulness
        edges, chance = (self.curves[b].faithfulness for b in ("edges", "random"))
        against = f"{signed(edges)} for an edge detector and {signed(chance)} for chance"
        if self.p is not None:
            against += f" (p {'< 0.001' if self.p < 0.001 else f'= {self.p:.2g}'})"
        if self.convincing:
            return (
                f"{row(best).title} is the most faithful map of “{self.target}” on this image and network: "
                f"{signed(mine)}, against {against}."
            )
        rare = (
            self.ahead and (self.p or 0.0) >= LEVEL - SURE
        )  # the best is well ahead, as chance is now and then
        beyond = " beyond what chance does now and then" if rare else ""
        return (
            f"No map explains {self._kind}“{self.target}”{beyond}: the best, {row(best).title}, has {signed(mine)}, "
            f"against {against}."
        )

    @property
    def _kind(self) -> str:
        return "" if self.probability is None else "the prediction "

    @property
    def advice(self) -> str:
        """What else to know before believing a map, or empty."""
        parts = []
        if self.probability is not None and self.probability < UNSURE:
            parts.append(
                f"The network gives “{self.target}” only {self.probability:.1%}, so that taking pixels away shows little; "
                "explain a class that it believes in."
            )
        elif self.curves and not self.convincing and len(self.top) > 1 and self.top[1][1] > 0.2:
            parts.append(
                f"“{self.top[0][0]}” and “{self.top[1][0]}” share the probability here: what marks one may mark both."
            )
        stay = [row(m).title for m in self.maps if self.ignores_weights(m) is not None]
        if stay:
            parts.append(
                f"Not to be read as the network's reasons: {', '.join(stay)}; shuffling the weights leaves "
                f"{'it' if len(stay) == 1 else 'them'} much the same."
            )
        left = [f"{row(m).title} ({why.rstrip('.')})" for m, why in self.refused.items()]
        if left:
            parts.append(f"Left out: {'; '.join(left)}.")
        return " ".join(parts)


def signed(value: float) -> str:
    """Two decimals with a sign, and nothing negative about zero."""
    return f"{round(value, 2) + 0.0:+.2f}"


def explain(
    module: nn.Module,
    image: Tensor,
    target: Target | None = None,
    *,
    methods: Sequence[str | Method] | None = None,
    classes: Sequence[str] | None = None,
    settings: Settings | None = None,
    temperature: float = 1.0,
    trust: bool = True,
    orders: int = RANDOM,
    name: str | None = None,
    seconds: float = SECONDS,
    progress: Progress | None = None,
) -> Explanation:
    """Explain one prediction of a network by several methods, with deletion, insertion and weight-shuffling checks.

    image (C, H, W) or (1, C, H, W) as `module` reads it, shown as it is, with 0 black and 1 white (put normalisation into
    the module). target: a class or what `scorer` takes, the best class if not given; name: what to call it.
    methods: of `METHODS`, or a `Method` of your own; all that the network allows if not given. classes: names in
    the order of the logits.
    temperature: of the softmax. trust: make the checks. orders: random ones that show what chance does; below 8 no map is
    tested against it, and after 8 no more are made where they cannot change the verdict. seconds: once they are spent,
    weight-shuffling checks that remain are left out. progress: called with (what, done, of).
    Raises UsageError for a method, a target or an image that does not fit, StriateError for a network whose output is
    not finite.
    """
    began = time.monotonic()
    settings = settings or Settings()
    x = as_images(module, image)
    if len(x) != 1:
        raise UsageError(f"one image at a time, got {len(x)}")
    chosen = [find_method(m) for m in methods] if methods is not None else list(METHODS)
    if not chosen:
        raise UsageError(f"there is no method to explain with; choose from {', '.join(METHODS)}")
    with borrowed(module), torch.no_grad():
        output = output_of(module, x)
    if not callable(target):
        output = answer_of(output)
    if bare(output):
        output = batched(output)
    if target is None:
        target = best_class(output)
    elif isinstance(target, np.integer):
        target = int(target)
    names = _names(classes, output, target)
    geometry = _geometry(module, x)
    if geometry is not None:
        with borrowed(module):
            refuse_memory(geometry, module, x)
    if methods is None:
        chosen = [m for m in chosen if row(m).suits(geometry, target)]
    tell = progress or (lambda what, done, of: None)
    maps: dict[str, Map] = {}
    refused: dict[str, str] = {}
    for i, method in enumerate(dict.fromkeys(chosen)):
        tell(row(method).title, i, len(chosen))
        try:
            maps[method] = attribute(
                module, x, target, method, settings=settings, geometry=geometry
            )
        except StriateError as error:
            if methods is not None or (method == chosen[-1] and not maps):
                raise
            refused[method] = str(error)
    if methods is None:
        drop_twin(maps, refused)
    hidden = None
    if "occlusion" in maps and is_class_of(target, output):
        hidden = occlusion_probability(
            module, x, target, patch=settings.patch, stride=settings.stride, baseline=settings.baseline,
            temperature=temperature,
        )  # fmt: skip
    aim = target if isinstance(target, Aim) else None
    region = region_of(target, output, (x.shape[2], x.shape[3])) if aim is None else aim.region
    beside = {}
    if aim is not None and "occlusion" in maps:
        for i, (other, number) in enumerate(aim.beside.items()):
            tell(other, i, len(aim.beside))
            beside[other] = moved_by(module, x, number, settings, geometry)
    shuffled_maps: dict[str, dict[str, float | None]] = {}
    if trust:
        score = partial(
            each_curve, module, x, target if aim is None else aim.kept or target,
            baseline=as_baseline(settings.baseline, x), temperature=temperature, seed=settings.seed,
            progress=lambda done, of: tell("taking pixels away", done, of),
        )  # fmt: skip
        shuffled_maps = check_weights(
            module, x, target, maps, geometry, settings=settings, region=region, until=began + seconds, tell=tell
        )  # fmt: skip
    top, probability = _answers(output, names, temperature, target)
    explanation = unrated = Explanation(
        image=x[0].detach().cpu().float().clamp(0, 1),
        target=name or words_of(target, names),
        probability=probability, top=top, maps=maps, shuffled_similarity=shuffled_maps, refused=refused,
        seed=settings.seed, region=region, cone=None if aim is None else aim.cone, beside=beside, hidden=hidden,
    )  # fmt: skip
    if trust:

        def rated(several: Mapping[str, list[Curves]]) -> Explanation:
            chance = several["random"] if orders >= FEW else []
            return replace(
                unrated,
                curves={m: mean_curve(c) for m, c in several.items()},
                chance=tuple(c.faithfulness for c in chance),
            )

        shown = {m: v.shown for m, v in maps.items()}
        explanation = rated(
            score(shown, orders=orders, enough=lambda several: rated(several).settled)
        )
    best = explanation.best
    if (
        explanation.chance and explanation.convincing and best is not None
    ):  # else there is nothing to doubt
        moved = score(displaced(maps[best].shown, MOVED, settings.seed), orders=0)
        explanation = replace(explanation, moved=tuple(c[0].faithfulness for c in moved.values()))
    return replace(explanation, seconds=time.monotonic() - began)


def words_of(target: Target, names: Sequence[str]) -> str:
    """What to call a target without a name."""
    if isinstance(target, Aim):
        return target.words
    return names[target] if isinstance(target, int) else "the target"


def moved_by(
    module: nn.Module, x: Tensor, number: Aim, settings: Settings, geometry: Geometry | None
) -> Map:
    """Occlusion's map of a number beside the one that is explained; its remark says by how much it moves at most."""
    made = attribute(module, x, number, "occlusion", settings=settings, geometry=geometry)
    return replace(
        made, remark=f"moves {number.words} by up to {float(made.shown.max()):.1f} pixels"
    )


def is_class_of(target: Target, output: Any) -> TypeGuard[int]:
    """Whether the target is one of several classes of a classifier, which have a probability."""
    return (
        isinstance(target, int)
        and isinstance(output, Tensor)
        and output.dim() == 2
        and output.shape[1] > 1
    )


def region_of(target: Target, output: Any, size: tuple[int, int]) -> Region | None:
    """Rows and columns of the image under a target (class, row, column) of a predicted mask; None for other targets."""
    if not isinstance(target, Sequence) or len(target) != 3 or output.dim() != 4:
        return None
    boxes = []
    for place, n, pixels in zip(target[1:], output.shape[2:], size, strict=True):
        start, stop = span(place, n)
        boxes.append(
            slice(start * pixels // n, max(-(-stop * pixels // n), start * pixels // n + 1))
        )
    return boxes[0], boxes[1]


def around(region: Region, size: tuple[int, int]) -> Region:
    """The region and half of its side on each side, 8 pixels at least."""
    parts = []
    for side, n in zip(region, size, strict=True):
        more = max(8, (side.stop - side.start) // 2)
        parts.append(slice(max(0, side.start - more), min(n, side.stop + more)))
    return parts[0], parts[1]


def drop_twin(maps: dict[str, Map], refused: dict[str, str]) -> None:
    """Leave out the deconvnet with switches where it is the ReLU rule: no windows of a max pooling overlap."""
    first, second = maps.get("deconvnet"), maps.get("deconvnet-switches")
    if first is not None and second is not None and torch.equal(first.shown, second.shown):
        del maps["deconvnet-switches"]
        refused["deconvnet-switches"] = (
            "the same map as by the ReLU rule here, because no windows of a max pooling share a maximum"
        )


def check_weights(
    module: nn.Module,
    image: Tensor,
    target: Target,
    maps: Mapping[str, Map],
    geometry: Geometry | None,
    *,
    settings: Settings,
    region: Region | None,
    until: float,
    tell: Progress,
) -> dict[str, dict[str, float | None]]:
    """For each map the rank correlation with the same method's on networks with shuffled weights, a stage each.

    region: where the target lies, if it is a place. Then the maps are compared there and around it: that both are dark
    far away follows from the place, whatever the weights.
    """
    near = (slice(None), slice(None)) if region is None else around(region, (image.shape[2], image.shape[3]))  # fmt: skip
    light = replace(settings, steps=CHECK_STEPS, samples=CHECK_SAMPLES, masks=CHECK_MASKS)
    similarities: dict[str, dict[str, float | None]] = {m: dict.fromkeys(STAGES) for m in maps}
    done = 0
    try:
        for stage in STAGES:
            with shuffled(module, image, geometry, stage, seed=settings.seed) as other:
                for method, mine in maps.items():
                    tell("shuffling the weights", done, len(maps) * len(STAGES))
                    done += 1
                    if time.monotonic() > until:
                        continue
                    theirs = attribute(
                        other.module, image, target, method, settings=light, geometry=geometry
                    )
                    similarities[method][stage] = similarity(mine.shown[near], theirs.shown[near])
    except (StriateError, RuntimeError):  # a network that breaks with other weights
        pass
    return similarities


def best_class(output: Any) -> int:
    """The class that a classifier gives the image, or, in semantic segmentation, most pixels. Raises UsageError."""
    if not isinstance(output, Tensor) or output.dim() not in (2, 4):
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise UsageError(
            f"the network gives {got}, not logits (N, classes) or (N, classes, H, W); choose a target to explain: a "
            "function of its output that gives one number an image"
        )
    if output.dim() == 2:
        return int(output[0].argmax())
    if output.shape[1] == 1:
        return 0
    return int(output[0].argmax(0).flatten().bincount(minlength=output.shape[1]).argmax())


def _geometry(module: nn.Module, x: Tensor) -> Geometry | None:
    try:
        with borrowed(module):
            return geometry_of(module, x)
    except GeometryError:
        return None


def _names(classes: Sequence[str] | None, output: Any, target: Target) -> Sequence[str]:
    count = output.shape[1] if isinstance(output, Tensor) and output.dim() > 1 else 0
    if classes is None:
        return [f"class {i}" for i in range(count)]
    # A target that is a function may look at channels that are no classes, such as the edges of boxes.
    if count and len(classes) != count and not callable(target):
        raise UsageError(f"there are {len(classes)} class names for {count} classes; give one each")
    return classes


def _answers(
    output: Any, names: Sequence[str], temperature: float, target: Target
) -> tuple[tuple[tuple[str, float], ...], float | None]:
    """The best classes with their probabilities, and the target's; nothing for a target that is a function of the output."""
    if callable(target):  # whose outputs need not be logits of classes, one of which is correct
        return (), None
    if not isinstance(output, Tensor) or output.dim() not in (2, 4) or output.shape[1] < 2:
        return (), None
    shares = torch.softmax(output[0].float().cpu() / temperature, 0)
    if shares.dim() == 3:
        labels = shares.argmax(0).flatten()
        shares = labels.bincount(minlength=len(shares)).float() / len(labels)
    values, indices = shares.topk(min(TOP, len(shares)))
    top = [(names[i], v) for i, v in zip(indices.tolist(), values.tolist(), strict=True)]
    return tuple(top), float(shares[target]) if isinstance(target, int) else None
