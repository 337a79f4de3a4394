"""From a spec, a string that names a model, to a network."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from striate.errors import UsageError, WeightsWarning
from striate.models import fcn, hub, pattern, rfdetr, unet
from striate.models.backbones import Backbone, lite0_backbone, timm_backbone, zoo_backbone
from striate.models.detectors import ON_BACKBONE, is_detector, on_backbone
from striate.models.finetuning import start_head
from striate.models.fitting import check_fits
from striate.models.own import find_own, is_own
from striate.models.room import refuse_larger, room_of
from striate.models.segmenters import MAPS, has_backbone, is_segmenter
from striate.models.spelling import spelled
from striate.models.weights import load_weights
from striate.models.zoo import MODELS, find

LARGEST = 1024  # pixels up to which the networks of the zoo fit any machine
PATTERN_SIZE = (32, 32)  # the images of lecture 000's toy ConvNet


def is_pattern(spec: str) -> bool:
    """True for a layer pattern, not a name: it has brackets or arrows, or begins with a layer."""
    if has_backbone(spec):
        return False
    if re.search(r"[\[\]*→]|->", spec):
        return True
    first = re.match(r"\s*([A-Za-z]+)", spec)
    return first is not None and first[1].lower() in (*pattern.LAYERS, "input")


def build(
    spec: str,
    *,
    in_channels: int = 3,
    num_classes: int,
    size: int | tuple[int, int] | None = None,
    pretrained: bool = False,
    weights: str | Path | None = None,
    check: bool = True,
    **options: Any,
) -> nn.Module:
    """The network that `spec` names: (N, in_channels, H, W) -> (N, num_classes) logits.

    spec: a name of `names()`, also with options as in `vit(patch_size=8, depth=6)` or a size as in `vit-s16` (see
        `striate.models.spelling`), a layer pattern such as `[[conv32-relu]*2-pool]*2-[fc128-relu]-fc`
        (its grammar is in `striate.models.pattern`), `timm/NAME`, or a network that labels every
        pixel, (N, num_classes, H, W), on a backbone: `unet:timm/NAME`, `fcn8s:resnet18`.
    size: of the images, (height, width) or one number for both; None: the size that the
        architecture was drawn for, and 32 for patterns. Up to 64 pixels the architectures of 224
        begin with a stem for small images.
    pretrained: start from published weights: packaged for `efficientnet-lite0`, from the hub for
    `timm/NAME`.
    weights: start from the tensors in this file, as any trainer saved them; a head for other classes
    is left out, and that and every choice among its contents is a WeightsWarning.
    check: run shapes through, so that an image of `size` that does not fit is refused with the layer where it gets stuck.
    options: the architecture's own, such as small_stem, dropout, aux, hidden.
    Raises UsageError for what does not exist or does not fit, PatternError at a wrong character of
    a pattern.
    """
    if not isinstance(spec, str) or not spec.strip():
        raise UsageError(f"a model is named by a string such as 'resnet18', got {spec!r}")
    spec = spec.strip()
    for what, number in (("in_channels", in_channels), ("num_classes", num_classes)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise UsageError(f"{what} must be a whole number of at least 1, got {number!r}")
    pixels = None if size is None else _size(size)
    if pretrained and weights is not None:
        raise UsageError("give pretrained or weights, not both: each fills the whole network")
    spelled_out = _spelled(spec)
    refuse_negative(spec, {**spelled_out, **options})
    # Written by a person: any number may stand in it.
    written = (
        bool(spelled_out) or is_pattern(spec) or "width" in options or max(pixels or (0,)) > LARGEST
    )
    if written and not is_own(spec):
        refuse_planned(spec, in_channels, num_classes, pixels, options)
    network = _network(spec, in_channels, num_classes, pixels, pretrained, options)
    if written and not is_own(spec):
        refuse_empty(network, spec)
    if pixels is not None and check and not is_own(spec):
        check_fits(spec, network, in_channels, pixels)
    if weights is not None:
        for note in load_weights(network, weights, skip_head=True).notes:
            warnings.warn(note, WeightsWarning, stacklevel=2)
    return network


def _spelled(spec: str) -> dict[str, Any]:
    """The options that a spec spells itself; none where it names no architecture of the table."""
    if is_own(spec) or has_backbone(spec) or spec.startswith(hub.PREFIX) or is_pattern(spec):
        return {}
    return spelled(spec)[1]


def refuse_planned(
    spec: str,
    in_channels: int,
    num_classes: int,
    size: tuple[int, int] | None,
    options: dict[str, Any],
) -> None:
    """Raise UsageError where the network would take more than is free; none of it is made."""
    if torch.get_default_device().type == "meta":  # where torch makes none anyway
        return
    try:
        with torch.device("meta"):
            planned = _network(spec, in_channels, num_classes, size, False, options)
    except RuntimeError as error:  # more values than a tensor can count
        raise UsageError(
            f"{spec} is larger than any memory ({error}); give it fewer channels or units"
        ) from error
    refuse_empty(planned, spec)
    refuse_larger(room_of(planned, in_channels, size or PATTERN_SIZE), spec)


def refuse_negative(spec: str, options: Mapping[str, Any]) -> None:
    """Raise UsageError for a number below zero: options count channels, layers and pixels, or are shares."""
    for name, value in options.items():
        for number in value if isinstance(value, tuple | list) else (value,):
            if isinstance(number, int | float) and number < 0:
                raise UsageError(f"{name} of {spec} is {value}, and no option is below zero")


def refuse_empty(network: nn.Module, spec: str) -> None:
    """Raise UsageError where a layer has no weights at all, as of a width of 0: shapes run through it, images do not."""
    for name, tensor in network.named_parameters():
        if not tensor.numel():
            shape = " x ".join(map(str, tensor.shape))
            raise UsageError(
                f"{spec} has a layer of no channels: {name} is {shape}; give it a width of at least 1"
            )


def _network(
    spec: str,
    in_channels: int,
    num_classes: int,
    size: tuple[int, int] | None,
    pretrained: bool,
    options: dict[str, Any],
) -> nn.Module:
    if is_own(spec):
        if options:
            raise UsageError(
                f"a network of your own takes no options, got {', '.join(options)}; give a function that sets them"
            )
        return find_own(spec).build(in_channels, num_classes)
    if has_backbone(spec):
        return build_with_backbone(
            spec,
            in_channels=in_channels,
            num_classes=num_classes,
            size=size,
            pretrained=pretrained,
            options=options,
        )
    if spec.startswith(hub.PREFIX):
        return hub.build(
            spec.removeprefix(hub.PREFIX),
            in_channels=in_channels,
            num_classes=num_classes,
            size=size,
            pretrained=pretrained,
            **options,
        )
    if spec.startswith(rfdetr.PREFIX):
        return rfdetr.build_rfdetr(
            spec.removeprefix(rfdetr.PREFIX),
            in_channels=in_channels,
            num_classes=num_classes,
            **options,
        )
    if is_pattern(spec):
        if pretrained:
            raise UsageError("a layer pattern has no published weights; leave out pretrained")
        if options:
            raise UsageError(f"a layer pattern takes no options, got {', '.join(options)}")
        return pattern.build(
            spec, in_channels=in_channels, num_classes=num_classes, size=size or PATTERN_SIZE
        )
    name, entry = find(spec)
    spelled_options = _spelled(spec)
    twice = sorted(spelled_options.keys() & options.keys())
    if twice:
        raise UsageError(
            f"{twice[0]} is given in {spec} and beside it ({options[twice[0]]!r}); leave one out"
        )
    options = {**spelled_options, **options}
    unknown = [option for option in options if option not in entry.options]
    if unknown:
        raise UsageError(
            f"{name} has no option {unknown[0]!r}; it has {', '.join(entry.options) or 'none'}"
        )
    if pretrained and not entry.pretrained:
        ready = ", ".join(n for n, e in MODELS.items() if e.pretrained)
        raise UsageError(
            f"no weights of {name} come with the installation; use {ready}, timm/NAME, or "
            "weights=FILE"
        )
    if pretrained:
        options = {**options, "pretrained": True}
    try:
        return entry.build(
            in_channels=in_channels, num_classes=num_classes, size=size or entry.size, **options
        )
    except (TypeError, ValueError, ArithmeticError) as error:
        if not spelled_options or isinstance(error, UsageError):
            raise
        raise UsageError(f"{spec} makes no network: {error}; give other values") from error


def build_with_backbone(
    spec: str,
    *,
    in_channels: int,
    num_classes: int,
    size: tuple[int, int] | None,
    pretrained: bool,
    options: dict[str, Any],
) -> nn.Module:
    """`fcn8s:resnet18`, `unet:timm/NAME` and the like. Raises UsageError."""
    kind, _, name = spec.partition(":")
    kind, own = spelled(kind)
    kind = kind.strip().lower().replace("_", "-")
    if kind not in ("unet", *MAPS, *ON_BACKBONE):
        taking = ", ".join(("unet", *MAPS, *ON_BACKBONE))
        raise UsageError(f"{kind} takes no backbone; these do: {taking}")
    if not name:
        raise UsageError(f"{spec!r} names no backbone; write {kind}:resnet18")
    allowed = {"up"} if kind == "unet" else ON_BACKBONE[kind][1] if kind in ON_BACKBONE else set()
    if not name.startswith(hub.PREFIX) and not is_pattern(name):
        _refuse_misplaced(kind, *spelled(name), set(allowed))
    if twice := sorted(own.keys() & options.keys()):
        raise UsageError(
            f"{twice[0]} is given in {spec} and beside it ({options[twice[0]]!r}); leave one out"
        )
    options = {**own, **options}
    backbone = find_backbone(name, in_channels=in_channels, size=size, pretrained=pretrained)
    unknown = sorted(set(options) - allowed)
    if unknown:
        raise UsageError(
            f"{spec} has no option {unknown[0]!r}; it has {', '.join(sorted(allowed)) or 'none'}"
        )
    if kind in ON_BACKBONE:
        return on_backbone(kind, backbone, num_classes, **options)
    if kind == "unet":
        network = unet.EncoderUNet(backbone, num_classes, **options)
        if pretrained:
            start_head(network)
        return network
    return fcn.FCN(backbone, num_classes, maps=MAPS[kind])


def _refuse_misplaced(kind: str, name: str, given: dict[str, Any], allowed: set[str]) -> None:
    """Raise UsageError where options of the whole stand behind its backbone, or a backbone has none."""
    own = [option for option in given if option in allowed]
    if own:
        raise UsageError(
            f"{own[0]} is an option of {kind}, not of {name}; write it before the colon: "
            f"{kind}({own[0]}={given[own[0]]}):{name}"
        )
    if given and find(name)[0] == "efficientnet-lite0":
        raise UsageError(f"{name} has no option {next(iter(given))!r} as a backbone; leave it out")


def find_backbone(
    name: str, *, in_channels: int, size: tuple[int, int] | None, pretrained: bool
) -> Backbone:
    """The maps of a network of the zoo, or of timm's."""
    if name.startswith(hub.PREFIX):
        short = name.removeprefix(hub.PREFIX)
        return timm_backbone(short, in_channels=in_channels, pretrained=pretrained)
    if not is_pattern(name) and find(name)[0] == "efficientnet-lite0":
        return lite0_backbone(in_channels=in_channels, pretrained=pretrained)
    if is_segmenter(name) or is_detector(name):
        raise UsageError(f"{name} has a backbone itself; a backbone classifies, such as resnet18")
    network = build(
        name, in_channels=in_channels, num_classes=1000, size=size, pretrained=pretrained
    )
    return zoo_backbone(name, network, in_channels)


def _size(size: int | tuple[int, int]) -> tuple[int, int]:
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or any(
        isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in sides
    ):
        raise UsageError(
            "size is (height, width) in pixels, each at least 1, or one number for both, got "
            f"{size!r}"
        )
    return sides
