"""Networks that label every pixel, by name: `unet`, `unet-valid`, `segnet`, `fcn8s:BACKBONE`, `unet:BACKBONE`."""

from __future__ import annotations

from typing import Any

from torch import nn

from striate.errors import UsageError
from striate.models import fcn, hub, lite0, segnet, unet
from striate.models.backbones import Backbone, timm_backbone, zoo_backbone
from striate.models.finetuning import start_head
from striate.nn.full_size import FullSize

LABELLERS = ("unet", "unet-valid", "segnet", "fcn", "fcn8s", "fcn16s", "fcn32s")
MAPS = {"fcn": 3, "fcn8s": 3, "fcn16s": 2, "fcn32s": 1}  # resolutions that are summed
BACKBONE = "resnet18"  # of an FCN that names none
SIZE = (256, 256)


def labels_pixels(spec: str) -> bool:
    """Whether `spec` names a network that labels every pixel, rather than the whole image."""
    return spec.strip().lower().replace("_", "-").partition(":")[0] in LABELLERS


def has_backbone(spec: str) -> bool:
    """Whether `spec` is `kind:BACKBONE`, and not a layer pattern or a plain name."""
    return ":" in spec and labels_pixels(spec)


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
    kind = kind.strip().lower()
    if kind not in ("unet", *MAPS):
        raise UsageError(f"{kind} takes no backbone; unet and {', '.join(MAPS)} do")
    if not name:
        raise UsageError(f"{spec!r} names no backbone; write {kind}:resnet18")
    backbone = find_backbone(name, in_channels=in_channels, size=size, pretrained=pretrained)
    allowed = {"up"} if kind == "unet" else set()
    unknown = sorted(set(options) - allowed)
    if unknown:
        raise UsageError(
            f"{spec} has no option {unknown[0]!r}; it has {', '.join(allowed) or 'none'}"
        )
    if kind == "unet":
        network = unet.EncoderUNet(backbone, num_classes, **options)
        if pretrained:
            start_head(network)
        return network
    return fcn.FCN(backbone, num_classes, maps=MAPS[kind])


def find_backbone(
    name: str, *, in_channels: int, size: tuple[int, int] | None, pretrained: bool
) -> Backbone:
    """The maps of a network of the zoo, or of timm's."""
    from striate.models.building import build, is_pattern
    from striate.models.zoo import find

    if name.startswith(hub.PREFIX):
        short = name.removeprefix(hub.PREFIX)
        return timm_backbone(short, in_channels=in_channels, pretrained=pretrained)
    if not is_pattern(name) and find(name)[0] == "efficientnet-lite0":
        return timm_backbone(lite0.ARCHITECTURE, in_channels=in_channels, pretrained=pretrained)
    if labels_pixels(name):
        raise UsageError(f"{name} labels pixels itself; a backbone classifies, such as resnet18")
    network = build(
        name, in_channels=in_channels, num_classes=1000, size=size, pretrained=pretrained
    )
    return zoo_backbone(name, network, in_channels)


def full_size(network: nn.Module) -> nn.Module:
    """`network`, or FullSize around it where it loses a margin (a U-Net of valid convolutions)."""
    if isinstance(network, unet.UNet) and network.margin:
        return FullSize(network, margin=network.margin, stride=network.stride, least=network.least)
    return network


def fcn_entry(
    *,
    in_channels: int,
    num_classes: int,
    size: tuple[int, int],
    maps: int,
    pretrained: bool = False,
) -> nn.Module:
    """FCN on its usual backbone."""
    backbone = find_backbone(BACKBONE, in_channels=in_channels, size=size, pretrained=pretrained)
    return fcn.FCN(backbone, num_classes, maps=maps)


def unet_entry(
    *,
    in_channels: int,
    num_classes: int,
    size: tuple[int, int],
    depth: int = 4,
    width: int = 32,
    padded: bool = True,
    norm: bool = True,
    up: str = "transposed",
    dropout: float = 0.0,
) -> nn.Module:
    """U-Net; `size` does not change it."""
    return unet.UNet(
        in_channels,
        num_classes,
        depth=depth,
        width=width,
        padded=padded,
        norm=norm,
        up=up,
        dropout=dropout,
    )


def unet_valid_entry(
    *,
    in_channels: int,
    num_classes: int,
    size: tuple[int, int],
    depth: int = 4,
    width: int = 64,
    dropout: float = 0.0,
) -> nn.Module:
    """U-Net of the paper: valid convolutions, no batch norm."""
    return unet.UNet(
        in_channels,
        num_classes,
        depth=depth,
        width=width,
        padded=False,
        norm=False,
        dropout=dropout,
    )


def segnet_entry(
    *, in_channels: int, num_classes: int, size: tuple[int, int], depth: int = 4, width: int = 32
) -> nn.Module:
    """SegNet; `size` does not change it."""
    return segnet.SegNet(in_channels, num_classes, depth=depth, width=width)
