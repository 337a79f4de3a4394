"""RF-DETR of the package `rfdetr` (Apache 2.0), an optional extra: read, explained and measured here as every detector is.

It looks at the whole image, resized to a square, so that it is not exactly tileable. It is trained by its own package,
whose checkpoints load by name.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import UsageError
from striate.models.detections import Queries

PREFIX = "rfdetr/"
SIZES = {"nano": "RFDETRNano", "small": "RFDETRSmall", "medium": "RFDETRMedium", "large": "RFDETRLarge"}  # fmt: skip


class RFDETR(nn.Module):
    """(N, 3, H, W), normalised as ImageNet's -> `Queries`; the images are resized to the square that it was trained on.

    inner: a network of `rfdetr`. side: of the square in pixels. num_classes: K of its logits are read, the class `first` and
    those after it. Parameters have `rfdetr`'s names.
    Source: Robinson et al., "RF-DETR: neural architecture search for real-time detection transformers" (2025).
    """

    inner: Any

    def __init__(self, inner: nn.Module, side: int, num_classes: int, first: int = 0) -> None:
        super().__init__()
        # The parts are ours under their own names, and the network that runs them is no part: checkpoints load by name.
        for name, part in inner.named_children():
            self.add_module(name, part)
        for name, values in inner.named_parameters(recurse=False):
            self.register_parameter(name, values)
        kept = inner.state_dict()
        for name, buffer in inner.named_buffers(recurse=False):
            self.register_buffer(name, buffer, persistent=name in kept)
        object.__setattr__(self, "inner", inner)
        self.side, self.num_classes, self.first = side, num_classes, first

    def forward(self, x: Tensor) -> Queries:
        self.inner.training = self.training
        square = F.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False)
        made = self.inner(square)
        logits = made["pred_logits"][..., self.first : self.first + self.num_classes]
        return Queries(logits, made["pred_boxes"], (x.shape[-2], x.shape[-1]))


def build_rfdetr(name: str, *, in_channels: int, num_classes: int, first: int = 0) -> RFDETR:
    """`rfdetr/nano`, small, medium or large, with random weights. first: the logit of the first class: 0 of networks that
    were trained on other data, and 1 of the published ones, which number COCO's classes from 1 to 90.

    Raises UsageError where the package is missing, for another name, and for images that are not of 3 channels.
    """
    if name not in SIZES:
        raise UsageError(
            f"{PREFIX}{name} is not known; take {', '.join(PREFIX + n for n in SIZES)}"
        )
    if in_channels != 3:
        raise UsageError(f"{PREFIX}{name} takes images of 3 channels, got {in_channels}")
    try:
        import rfdetr  # optional, and it takes seconds
    except ImportError as error:
        raise UsageError(
            f"{PREFIX}{name} needs the package rfdetr: pip install 'striate[rf-detr]' ({error})"
        ) from error
    made = getattr(rfdetr, SIZES[name])(
        pretrain_weights=None, num_classes=num_classes + first, device="cpu"
    )
    return RFDETR(made.model.model, int(made.model.resolution), num_classes, first)
