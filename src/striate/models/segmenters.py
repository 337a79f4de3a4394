"""Networks for semantic segmentation, by name: `unet`, `unet-valid`, `segnet`, `fcn8s:BACKBONE`, `unet:BACKBONE`."""

from __future__ import annotations

from torch import nn

from striate.errors import UsageError
from striate.models import fcn, resnet, segnet, unet
from striate.models.backbones import zoo_backbone
from striate.models.detectors import is_detector
from striate.models.spelling import architecture
from striate.nn.full_size import FullSize

SEGMENTERS = ("unet", "unet-valid", "segnet", "fcn", "fcn8s", "fcn16s", "fcn32s")
MAPS = {"fcn": 3, "fcn8s": 3, "fcn16s": 2, "fcn32s": 1}  # resolutions that are summed
BACKBONE = "resnet18"  # of an FCN that names none
IMAGENET = 1000  # classes of the head that is cut off
SIZE = (256, 256)


def is_segmenter(spec: str) -> bool:
    """Whether `spec` names a network that gives a class for every pixel, rather than one for the image."""
    name = str(architecture(spec.partition(":")[0])).strip().lower().replace("_", "-")
    return name in SEGMENTERS


def has_backbone(spec: str) -> bool:
    """Whether `spec` is `kind:BACKBONE`, and not a layer pattern or a plain name."""
    return ":" in spec and (is_segmenter(spec) or is_detector(spec))


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
    if pretrained:
        raise UsageError(
            f"no weights of {BACKBONE} come with the installation; use fcn8s:efficientnet-lite0 or fcn8s:timm/NAME, or "
            "weights=FILE"
        )
    network = resnet.resnet18(in_channels=in_channels, num_classes=IMAGENET, size=size)
    return fcn.FCN(zoo_backbone(BACKBONE, network, in_channels), num_classes, maps=maps)


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
