"""FCN: a classification network whose last maps are scored, summed and brought to full size (lecture 001)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.errors import UsageError
from striate.models.backbones import Backbone
from striate.nn.full_size import fit, on_lattice


class FCN(nn.Module):
    """(N, C, H, W) -> (N, K, H, W) logits, any size.

    maps: how many resolutions are scored by a 1 x 1 convolution and summed, coarsest first: 1, 2 and 3 are FCN-32s,
    FCN-16s and FCN-8s of a backbone with a stride of 32. Each map that is summed is doubled by a transposed convolution
    that starts as bilinear interpolation and learns; the last, to full size, stays bilinear.
    Source: Long, Shelhamer, Darrell, "Fully convolutional networks for semantic segmentation" (2015), section 4. Here the
    scores come from the last map of each resolution, where the paper takes the pooled one and turns VGG's fully connected
    layers into convolutions of 4096 channels.
    Raises UsageError for a backbone with fewer resolutions.
    """

    def __init__(self, backbone: Backbone, num_classes: int, *, maps: int = 3) -> None:
        super().__init__()
        if maps > len(backbone.strides):
            raise UsageError(
                f"this backbone has maps of {len(backbone.strides)} resolutions (strides "
                f"{', '.join(map(str, backbone.strides))}), so it cannot be summed over {maps}; take fcn32s or fcn16s"
            )
        self.backbone = backbone
        self.stride = backbone.strides[-1]
        self.margin = 0
        self.maps = maps
        strides, channels = backbone.strides[-maps:], backbone.channels[-maps:]
        self.doubles = nn.ModuleList(
            bilinear(num_classes, coarse // fine, learn=True)
            for fine, coarse in zip(strides[-2::-1], strides[:0:-1], strict=True)
        )
        self.enlarge = bilinear(num_classes, strides[0], learn=False)
        self.scores = nn.ModuleList(nn.Conv2d(c, num_classes, 1) for c in reversed(channels))
        for parameter in self.scores.parameters():  # as in the paper: nothing is known at first
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return on_lattice(self.label, x, self.stride)

    def label(self, x: Tensor) -> Tensor:
        """The network on a multiple of its stride."""
        maps = self.backbone(x)[-self.maps :][::-1]
        y = self.scores[0](maps[0])
        for double, score, finer in zip(self.doubles, self.scores[1:], maps[1:], strict=True):
            y = fit(double(y), finer) + score(finer)
        return fit(self.enlarge(y), x)


def bilinear(channels: int, factor: int, *, learn: bool) -> nn.ConvTranspose2d:
    """A transposed convolution that enlarges each of `channels` maps `factor` times by bilinear interpolation.

    learn: whether its weights are parameters that train.
    Source: Long, Shelhamer, Darrell (2015), section 3.3; dive into deep learning, section 14.11.
    """
    kernel = 2 * factor - factor % 2
    centre = factor - 1 if kernel % 2 else factor - 0.5
    tent = 1 - (torch.arange(kernel) - centre).abs() / factor
    layer = nn.ConvTranspose2d(
        channels, channels, kernel, stride=factor, padding=factor // 2, groups=channels, bias=False
    )
    with torch.no_grad():
        layer.weight.copy_((tent[:, None] * tent[None, :]).expand_as(layer.weight))
    layer.weight.requires_grad_(learn)
    return layer
