"""Faster and Mask R-CNN: propose regions on a feature pyramid, then look at each again for class, box and mask."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import UsageError
from striate.models import resnet
from striate.models.backbones import Backbone
from striate.models.centernet import doubled
from striate.models.detections import Regions
from striate.models.initialise import start_layer

STRIDES = (
    4,
    8,
    16,
    32,
    64,
)  # pixels between two cells of each level; the last is every other cell of the one before
WIDE, HIDDEN = 256, 1024  # channels of the pyramid, and of the second pass's fully connected layers
RATIOS = (0.5, 1.0, 2.0)  # height over width of a cell's anchors
ANCHOR = 8  # cells; their side
SIDES = (7, 14)  # cells of a region's features for its box and for its mask
START = 0.01  # standard deviation of the weights that propose


class Stages(nn.ModuleDict):
    """ResNet-50 without its head, its parts called as torchvision calls them: (N, C, H, W) -> maps at 4, 8, 16 and 32."""

    channels: tuple[int, ...] = (256, 512, 1024, 2048)

    def __init__(self, in_channels: int, eps: float) -> None:
        whole = resnet.resnet50(in_channels=in_channels, num_classes=1, size=(224, 224))
        tail = ("avgpool", "flatten", "fc")
        super().__init__(OrderedDict((n, m) for n, m in whole.named_children() if n not in tail))
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = eps

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for name, part in self.items():
            x = part(x)
            if name.startswith("layer"):
                maps.append(x)
        return maps


class FeaturePyramid(nn.Module):
    """Maps at 4, 8, 16 and 32 brought to one number of channels, coarse added to fine: five maps, the last at 64.

    Source: Lin et al., "Feature pyramid networks" (2017).
    """

    def __init__(self, channels: tuple[int, ...], wide: int) -> None:
        super().__init__()
        # Each in a sequence of its own: so torchvision's weights are called.
        self.inner_blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(c, wide, 1)) for c in channels)
        self.layer_blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(wide, wide, 3, padding=1)) for _ in channels
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        y = [inner(m) for inner, m in zip(self.inner_blocks, maps, strict=True)]
        for i in range(len(y) - 2, -1, -1):
            y[i] = y[i] + doubled(y[i + 1], y[i])
        levels = [layer(m) for layer, m in zip(self.layer_blocks, y, strict=True)]
        return [*levels, F.max_pool2d(levels[-1], 1, 2)]


class Proposer(nn.Module):
    """What a level's map (N, C, h, w) says of the anchors of its cells: (N, 5 * A, h, w), see `Regions`.

    Source: Ren et al., "Faster R-CNN" (2015), section 3.1.
    """

    def __init__(self, wide: int) -> None:
        super().__init__()
        anchors = len(RATIOS)
        self.conv = nn.Sequential(
            nn.Sequential(nn.Conv2d(wide, wide, 3, padding=1), nn.ReLU(inplace=True))
        )
        self.cls_logits = nn.Conv2d(wide, anchors, 1)
        self.bbox_pred = nn.Conv2d(wide, 4 * anchors, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                _start(layer, START)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return torch.cat([self.cls_logits(y), self.bbox_pred(y)], 1)


class BoxHead(nn.Module):
    """Two fully connected layers on the features of regions (n, C, 7, 7): (n, hidden)."""

    def __init__(self, wide: int, hidden: int) -> None:
        super().__init__()
        self.fc6 = nn.Linear(wide * SIDES[0] ** 2, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        for layer in (self.fc6, self.fc7):
            start_layer(layer)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.fc7(F.relu(self.fc6(x.flatten(1)))))


class BoxPredictor(nn.Module):
    """(n, hidden) -> class logits (n, 1 + K) and boxes (n, 1 + K, 4)."""

    def __init__(self, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(hidden, 1 + num_classes)
        self.bbox_pred = nn.Linear(hidden, 4 * (1 + num_classes))
        _start(self.cls_score, START)
        _start(self.bbox_pred, START / 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.cls_score(x), self.bbox_pred(x).unflatten(1, (-1, 4))


class MaskPredictor(nn.Sequential):
    """(n, C, 14, 14) -> mask logits (n, 1 + K, 28, 28)."""

    def __init__(self, wide: int, num_classes: int) -> None:
        super().__init__(
            OrderedDict(
                conv5_mask=nn.ConvTranspose2d(wide, wide, 2, 2),
                relu=nn.ReLU(inplace=True),
                mask_fcn_logits=nn.Conv2d(wide, 1 + num_classes, 1),
            )
        )


class RegionHeads(nn.Module):
    """The second pass, on the features of regions. Source: He et al., "Mask R-CNN" (2017), figure 4, right."""

    def __init__(self, num_classes: int, wide: int, hidden: int, *, masks: bool) -> None:
        super().__init__()
        self.box_head = BoxHead(wide, hidden)
        self.box_predictor = BoxPredictor(hidden, num_classes)
        if masks:
            convs = [
                nn.Sequential(nn.Conv2d(wide, wide, 3, padding=1), nn.ReLU(inplace=True))
                for _ in range(4)
            ]
            self.mask_head = nn.Sequential(*convs)
            self.mask_predictor = MaskPredictor(wide, num_classes)
            for conv in convs:
                start_layer(conv[0])

    def box(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (n, 1 + K) and boxes (n, 1 + K, 4) of the features of regions (n, C, 7, 7)."""
        made: tuple[Tensor, Tensor] = self.box_predictor(self.box_head(x))
        return made

    def mask(self, x: Tensor) -> Tensor:
        """Mask logits (n, 1 + K, 28, 28) of the features of regions (n, C, 14, 14)."""
        made: Tensor = self.mask_predictor(self.mask_head(x))
        return made


class RCNN(nn.Module):
    """Faster R-CNN, or with masks Mask R-CNN, on a feature pyramid: (N, C, H, W) -> `Regions`.

    Running it gives the first pass, which is dense; the regions that are chosen from it and looked at again depend on what
    it found, so that `Regions` holds the second pass as functions. Names of parameters are torchvision's, for ResNet-50:
    the weights of its `fasterrcnn_resnet50_fpn` and `maskrcnn_resnet50_fpn` load (whose published ones have eps=0).
    backbone: in place of ResNet-50. channels: of the pyramid; hidden: of the second pass. anchor: the side of anchors, in
    cells. eps: of the batch norms of ResNet-50.
    """

    def __init__(
        self, in_channels: int, num_classes: int, *, masks: bool, backbone: Backbone | None = None, channels: int = WIDE,
        hidden: int = HIDDEN, anchor: int = ANCHOR, eps: float = 1e-5,
    ) -> None:  # fmt: skip
        super().__init__()
        if anchor < 1:
            raise UsageError(
                f"anchor = {anchor}: it is the side of an anchor in cells, 1 and more; 8 is usual"
            )
        body: nn.Module
        if backbone is None:
            body, given = Stages(in_channels, eps), Stages.channels
            self.used = list(range(len(given)))
        else:
            self.used = [i for i, stride in enumerate(backbone.strides) if stride in STRIDES[:-1]]
            if [backbone.strides[i] for i in self.used] != list(STRIDES[:-1]):
                raise UsageError(
                    f"this backbone has maps at strides of {', '.join(map(str, backbone.strides))} pixels, and regions are "
                    "proposed at 4, 8, 16 and 32; take a backbone such as resnet18"
                )
            body, given = backbone, tuple(backbone.channels[i] for i in self.used)
        self.backbone = nn.ModuleDict({"body": body, "fpn": FeaturePyramid(given, channels)})
        for module in self.backbone["fpn"].modules():
            if isinstance(module, nn.Conv2d):
                start_layer(module, "linear")
        self.rpn = nn.ModuleDict({"head": Proposer(channels)})
        self.roi_heads = RegionHeads(num_classes, channels, hidden, masks=masks)
        self.masks, self.anchor = masks, anchor

    def forward(self, x: Tensor) -> Regions:
        maps = self.backbone["body"](x)
        levels = self.backbone["fpn"]([maps[i] for i in self.used])
        proposals = tuple(self.rpn["head"](level) for level in levels)
        heads = self.roi_heads
        return Regions(
            tuple(levels[:-1]), proposals, STRIDES, heads.box, heads.mask if self.masks else None, self.anchor
        )  # fmt: skip


def _start(layer: nn.Conv2d | nn.Linear, std: float) -> None:
    if not layer.weight.is_meta:
        nn.init.normal_(layer.weight, std=std)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
