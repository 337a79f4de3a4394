"""Networks that find objects, by name: `yolo`, and with a backbone of another, as in `fcos:resnet18`, all others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from striate.models.backbones import Backbone
from striate.models.centernet import BackboneCenterNet, CenterNet
from striate.models.centernet_masks import BackboneMaskCenterNet, MaskCenterNet
from striate.models.fcos import FCOS, Trunk
from striate.models.rcnn import ANCHOR, HIDDEN, RCNN, WIDE
from striate.models.spelling import architecture
from striate.models.yolo import YOLO

SIZE = (128, 128)


def rcnn_on(
    backbone: Backbone, num_classes: int, *, masks: bool, channels: int = WIDE, hidden: int = HIDDEN, anchor: int = ANCHOR
) -> nn.Module:  # fmt: skip
    """Faster R-CNN, or Mask R-CNN, on the maps of a backbone."""
    return RCNN(
        3,
        num_classes,
        masks=masks,
        backbone=backbone,
        channels=channels,
        hidden=hidden,
        anchor=anchor,
    )


RCNN_OPTIONS = frozenset({"channels", "hidden", "anchor"})

# What stands before the colon in kind:BACKBONE: (backbone, classes, options) -> the network, and its own options.
ON_BACKBONE: dict[str, tuple[Callable[..., nn.Module], frozenset[str]]] = {
    "centernet": (BackboneCenterNet, frozenset()),
    "centernet-masks": (BackboneMaskCenterNet, frozenset()),
    "fcos": (FCOS, frozenset({"channels", "finest", "levels", "depth"})),
    "faster-rcnn": (partial(rcnn_on, masks=False), RCNN_OPTIONS),
    "mask-rcnn": (partial(rcnn_on, masks=True), RCNN_OPTIONS),
}
WITH_MASKS = ("centernet-masks", "mask-rcnn")
DETECTORS = (*(kind for kind in ON_BACKBONE if kind not in WITH_MASKS), "yolo")


def is_detector(spec: str) -> bool:
    """Whether `spec` names a network that gives the objects of an image, by boxes or with masks."""
    return _kind(spec) in (*DETECTORS, *WITH_MASKS)


def finds_masks(spec: str) -> bool:
    """Whether `spec` names a network that gives a mask for each object."""
    return _kind(spec) in WITH_MASKS


def _kind(spec: str) -> str:
    name = architecture(
        spec.partition(":")[0]
    )  # with options of its own, as in fcos(finest=8):resnet18
    return str(name).strip().lower().replace("_", "-")


def on_backbone(kind: str, backbone: Backbone, num_classes: int, **options: object) -> nn.Module:
    """A detector of that kind on the maps of a backbone."""
    return ON_BACKBONE[kind][0](backbone, num_classes, **options)


def centernet_entry(
    *, in_channels: int, num_classes: int, size: tuple[int, int], width: int = 32
) -> nn.Module:
    """CenterNet without a backbone of another; `size` does not change it."""
    return CenterNet(in_channels, num_classes, width=width)


def masks_entry(
    *,
    in_channels: int,
    num_classes: int,
    size: tuple[int, int],
    width: int = 32,
    wide: int | None = None,
) -> nn.Module:
    """CenterNet with masks, without a backbone of another; `size` does not change it."""
    return MaskCenterNet(in_channels, num_classes, width=width, wide=wide)


def fcos_entry(
    *, in_channels: int, num_classes: int, size: tuple[int, int], width: int = 32, finest: int = 4, levels: int = 3,
    depth: int = 2,
) -> nn.Module:  # fmt: skip
    """FCOS on a small network of its own, from finer cells on than the paper's, as small images have small objects; `size`
    does not change it."""
    trunk = Trunk(in_channels, width)
    return FCOS(trunk, num_classes, channels=2 * width, finest=finest, levels=levels, depth=depth)


def yolo_entry(
    *, in_channels: int, num_classes: int, size: tuple[int, int], width: int = 32, cell: int = 8, boxes: int = 2,
    head: str = "2016",
) -> nn.Module:  # fmt: skip
    """YOLO; `size` does not change it."""
    return YOLO(in_channels, num_classes, width=width, cell=cell, boxes=boxes, head=str(head))


def rcnn_entry(
    *, in_channels: int, num_classes: int, size: tuple[int, int], masks: bool, channels: int = WIDE, hidden: int = HIDDEN,
    anchor: int = ANCHOR, eps: float = 1e-5,
) -> nn.Module:  # fmt: skip
    """Faster or Mask R-CNN on ResNet-50; `size` does not change it."""
    return RCNN(
        in_channels,
        num_classes,
        masks=masks,
        channels=channels,
        hidden=hidden,
        anchor=anchor,
        eps=eps,
    )
