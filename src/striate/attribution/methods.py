"""Methods: the table of names, and one way to call them all."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from striate.answer import Aim
from striate.attribution.attention import token_map
from striate.attribution.classmap import window_map
from striate.attribution.drise import drise
from striate.attribution.gradcam import grad_cam
from striate.attribution.gradients import (
    Baseline,
    gradient,
    gradient_x_input,
    integrated_gradients,
    smoothgrad,
)
from striate.attribution.images import as_images
from striate.attribution.layers import geometry_of
from striate.attribution.occluding import occlusion_map, patch_for
from striate.attribution.rectifiers import ruled
from striate.attribution.targets import Target
from striate.errors import UsageError
from striate.geometry import Geometry
from striate.plugins import Table
from striate.wording import in_quotes

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the methods need besides network, image and target.

    baseline: "nothing there": where integrated gradients start and what occlusion hides with. steps: of integrated
    gradients. samples, noise, seed: of SmoothGrad. patch, stride: of occlusion, in pixels. layer: of Grad-CAM. masks: of
    D-RISE.
    """

    baseline: Baseline = 0.0
    steps: int = 32
    samples: int = 16
    noise: float = 0.15
    seed: int = 0
    patch: int | tuple[int, int] | None = None
    stride: int | tuple[int, int] | None = None
    layer: str | None = None
    masks: int = 1000


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is to be explained: a network's prediction `target` for one image (1, C, H, W)."""

    module: nn.Module
    image: Tensor
    target: Target
    settings: Settings = field(default_factory=Settings)
    known: Geometry | None = None
    progress: Progress | None = None

    @cached_property
    def geometry(self) -> Geometry:
        """The network's; traced when first needed."""
        return self.known or geometry_of(self.module, self.image)


@dataclass(frozen=True, kw_only=True)
class Map:
    """One method's map.

    values: as the method gives it, a number a pixel and channel (C, H, W), or a pixel (H, W). shown (H, W): how
    much each pixel speaks for the target, never negative; what is drawn, and what the trust scores rank. remark: how it
    was made, to be read under it.
    """

    method: str
    values: Tensor
    shown: Tensor
    remark: str = ""

    @property
    def title(self) -> str:
        """The method's name as people write it."""
        return row(self.method).title

    @property
    def empty(self) -> bool:
        """Whether it marks nothing at all."""
        return not bool((self.shown > 0).any())


@dataclass(frozen=True, kw_only=True)
class Method:
    """A row of the table. compute gives values (C, H, W) or (H, W) and a remark; `signed`: negative speaks against.

    needs: a part of an operation's name, such as "softmax"; unless it is asked for by name, the method is left out for
    networks in whose trace no operation has it. detections: it asks what becomes of a detection, and nothing else.
    """

    title: str
    source: str
    compute: Callable[[Question], tuple[Tensor, str]]
    signed: bool
    needs: str = ""
    detections: bool = False

    def suits(self, geometry: Geometry | None, target: Target | None = None) -> bool:
        """Whether network and target may have what the method needs; True where the network could not be traced."""
        if self.detections and not (isinstance(target, Aim) and target.detected is not None):
            return False
        return (
            geometry is None or not self.needs or any(self.needs in r.op for r in geometry.records)
        )


def _gradient(q: Question) -> tuple[Tensor, str]:
    return gradient(q.module, q.image, q.target)[0], "how strongly each pixel moves the score"


def _gradient_x_input(q: Question) -> tuple[Tensor, str]:
    return gradient_x_input(q.module, q.image, q.target)[0], "the gradient times the pixel"


def _integrated(q: Question) -> tuple[Tensor, str]:
    s = q.settings
    result = integrated_gradients(q.module, q.image, q.target, baseline=s.baseline, steps=s.steps)
    return result[0], f"from an empty image to this one in {s.steps} steps"


def _smoothgrad(q: Question) -> tuple[Tensor, str]:
    s = q.settings
    result = smoothgrad(
        q.module, q.image, q.target, samples=s.samples, noise=s.noise, seed=s.seed
    )  # fmt: skip
    return result[0], f"the gradient of {s.samples} noisy copies"


def _ruled(rule: str, remark: str) -> Callable[[Question], tuple[Tensor, str]]:
    return lambda q: (ruled(q.module, q.image, q.target, rule)[0], remark)


def _grad_cam(q: Question) -> tuple[Tensor, str]:
    result = grad_cam(q.module, q.image, q.target, layer=q.settings.layer, geometry=q.geometry)
    rows, columns = result.maps.shape[1:]
    return result.pixels[0], f"layer {result.layer.name}, {rows} × {columns} places"


def _occlusion(q: Question) -> tuple[Tensor, str]:
    s = q.settings
    sides = s.patch or patch_for(q.target, (q.image.shape[2], q.image.shape[3]))
    cone = q.target.cone if isinstance(q.target, Aim) else None
    result = occlusion_map(
        q.module, q.image, q.target, patch=sides, stride=s.stride, baseline=s.baseline, cone=cone,
        progress=q.progress,
    )  # fmt: skip
    rows, columns = (sides, sides) if isinstance(sides, int) else sides
    return result, f"hidden by patches of {rows} × {columns} pixels"


def _drise(q: Question) -> tuple[Tensor, str]:
    s = q.settings
    detected = q.target.detected if isinstance(q.target, Aim) else None
    if detected is None:
        raise UsageError(
            "D-RISE asks what becomes of one detection in masked images, and this target is none; use occlusion"
        )
    result = drise(
        q.module, q.image, detected, masks=s.masks, seed=s.seed, baseline=s.baseline, progress=q.progress
    )  # fmt: skip
    return result, f"{s.masks:,} random masks; what becomes of the detection"


def _class_map(q: Question) -> tuple[Tensor, str]:
    found = window_map(q.module, q.image, q.target)
    rows, columns = found.window
    how = f"what windows of {rows} × {columns} pixels score by themselves"
    return found.values, "; ".join(filter(None, (how, found.blank)))


def _attention(rolled: bool) -> Callable[[Question], tuple[Tensor, str]]:
    def compute(q: Question) -> tuple[Tensor, str]:
        found = token_map(q.module, q.image, q.geometry, rolled=rolled)
        rows, columns = found.patches
        return (
            found.pixels,
            f"{found.reader}, {rows} × {columns} patches, same for all classes",
        )

    return compute


_OWN: dict[str, Method] = {
    "gradient": Method(
        title="Gradient", source="Simonyan et al. 2013", compute=_gradient, signed=False
    ),
    "gradient-x-input": Method(
        title="Gradient × input", source="Shrikumar et al. 2016", compute=_gradient_x_input, signed=True
    ),
    "integrated-gradients": Method(
        title="Integrated gradients", source="Sundararajan et al. 2017", compute=_integrated, signed=True
    ),
    "smoothgrad": Method(
        title="SmoothGrad", source="Smilkov et al. 2017", compute=_smoothgrad, signed=False
    ),
    "guided-backpropagation": Method(
        title="Guided backprop",
        source="Springenberg et al. 2014",
        compute=_ruled("guided-backpropagation", "negative gradients cut at each ReLU"),
        signed=False,
    ),
    "deconvnet": Method(
        title="Deconvnet, ReLU rule",
        source="Simonyan et al. 2013",
        compute=_ruled("deconvnet", "each ReLU applied to the signal going back"),
        signed=False,
    ),
    "deconvnet-switches": Method(
        title="Deconvnet, switches",
        source="Zeiler and Fergus 2014",
        compute=_ruled("deconvnet-switches", "un-pooled to where the maxima were"),
        signed=False,
    ),
    "grad-cam": Method(
        title="Grad-CAM", source="Selvaraju et al. 2017", compute=_grad_cam, signed=True
    ),
    "occlusion": Method(
        title="Occlusion", source="Zeiler and Fergus 2014", compute=_occlusion, signed=True
    ),
    "d-rise": Method(
        title="D-RISE", source="Petsiuk et al. 2021", compute=_drise, signed=True, detections=True
    ),
    "class-map": Method(
        title="Class map", source="Sermanet et al. 2013", compute=_class_map, signed=True
    ),
    "attention": Method(
        title="Attention",
        source="Dosovitskiy et al. 2021",
        compute=_attention(False),
        signed=False,
        needs="softmax",
    ),
    "attention-rollout": Method(
        title="Attention rollout",
        source="Abnar and Zuidema 2020",
        compute=_attention(True),
        signed=False,
        needs="softmax",
    ),
}  # fmt: skip


METHODS: Table[Method] = Table("striate.attributions", _OWN, lambda name, value: _checked(value))

_GIVEN: dict[str, Method] = {}  # passed as objects, by their titles


def row(method: str) -> Method:
    """A method by the name that `find_method` gives it."""
    return _GIVEN[method] if method in _GIVEN else METHODS[method]


def _checked(method: Any) -> Method:
    if not isinstance(method, Method):
        raise UsageError(f"a method is a striate.attribution.Method, got {type(method).__name__}")
    return method


def attribute(
    module: nn.Module,
    image: Tensor,
    target: Target,
    method: str | Method = "integrated-gradients",
    *,
    settings: Settings | None = None,
    geometry: Geometry | None = None,
    progress: Progress | None = None,
) -> Map:
    """Which pixels of an image (C, H, W) decided the target's score, by one of `METHODS`, or a `Method` of your own.

    Raises UsageError for a method that does not exist, an image or a target that does not fit, and a method that this
    network does not allow.
    """
    name = find_method(method)
    chosen = row(name)
    x = as_images(module, image)
    if len(x) != 1:
        raise UsageError(
            f"one image at a time, got {len(x)}; the functions of each method take more"
        )
    question = Question(
        module=module, image=x, target=target, settings=settings or Settings(), known=geometry,
        progress=progress,
    )  # fmt: skip
    values, remark = chosen.compute(question)
    values = values.cpu()
    either = isinstance(target, Aim) and target.either
    return Map(method=name, values=values, shown=shown(values, chosen.signed, either), remark=remark)  # fmt: skip


def shown(values: Tensor, signed: bool, either: bool = False) -> Tensor:
    """(C, H, W) or (H, W) -> (H, W), never negative.

    Signed values are summed over the channels and what speaks against the target is 0, unless a change in either direction
    counts; of the others the largest of the channels counts, whatever its sign (Simonyan et al. 2013, section 3.1).
    """
    if values.dim() == 3:
        values = values.sum(0) if signed else values.abs().amax(0)
    return values.clamp(min=0) if signed and not either else values.abs()


def find_method(name: str | Method) -> str:
    """The table's spelling of a method's name, or the name of a method of your own. Raises UsageError with the nearest."""
    if not isinstance(name, str):
        given = _checked(name)
        own = given.title.strip().lower().replace(" ", "-")
        if own in METHODS:
            raise UsageError(f"there is a method {own!r} already; give yours another title")
        _GIVEN[own] = given
        return own
    plain = name.strip().lower().replace("_", "-").replace(" ", "-")
    plain = ALIASES.get(plain, plain)
    if plain in METHODS or plain in _GIVEN:
        return plain
    near = difflib.get_close_matches(plain, [*METHODS, *ALIASES], n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(METHODS)}"
    raise UsageError(f"there is no method {in_quotes(name)}; {hint}")


ALIASES = {
    "drise": "d-rise",
    "saliency": "gradient",
    "guided": "guided-backpropagation",
    "guided-backprop": "guided-backpropagation",
    "gradcam": "grad-cam",
    "cam": "grad-cam",
    "dense": "class-map",
    "ig": "integrated-gradients",
    "zeiler-fergus": "deconvnet-switches",
    "input-x-gradient": "gradient-x-input",
    "rollout": "attention-rollout",
}
