"""ResNet: blocks that add to their input, so that a hundred layers still train.

Source: He, Zhang, Ren, Sun, "Deep residual learning for image recognition" (2016), table 1; seeds
001 and 003.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import nn

from striate.models.initialise import initialise
from striate.models.stem import is_small
from striate.nn import BasicBlock, Bottleneck

# depth -> (block, blocks in each of the four stages): table 1 of the paper
DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


def build(
    depth: int,
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    size: tuple[int, int] = (224, 224),
    small_stem: bool | None = None,
) -> nn.Sequential:
    """A ResNet of `depth` layers with weights; parameter names are torchvision's.

    small_stem: begin with a 3 x 3 convolution of stride 1 in place of 7 x 7, stride 2 and max
    pooling; None decides by `size`.
    """
    block, repeats = DEPTHS[depth]
    small = is_small(size) if small_stem is None else small_stem
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if small:
        layers["conv1"] = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
    else:
        layers["conv1"] = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
    layers["bn1"] = nn.BatchNorm2d(64)
    layers["relu"] = nn.ReLU()
    if not small:
        layers["maxpool"] = nn.MaxPool2d(3, stride=2, padding=1)
    channels = 64
    for stage, count in enumerate(repeats):
        width = 64 * 2**stage * (4 if block is Bottleneck else 1)
        blocks = []
        for i in range(count):
            blocks.append(block(channels, width, stride=2 if stage > 0 and i == 0 else 1))
            channels = width
        layers[f"layer{stage + 1}"] = nn.Sequential(*blocks)
    layers["avgpool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["fc"] = nn.Linear(channels, num_classes)
    network = nn.Sequential(layers)
    initialise(network)
    start_residuals(network)
    return network


def start_residuals(network: nn.Module) -> None:
    """Let each of the d blocks add a variance of 1 / d: depth alone then adds little.

    The scale of a block's last norm starts at 1 / sqrt(d): De and Smith, "Batch normalization
    biases residual blocks towards the identity function" (2020), section 4.
    """
    blocks = [m for m in network.modules() if isinstance(m, (BasicBlock, Bottleneck))]
    for block in blocks:
        last = block.bn3 if isinstance(block, Bottleneck) else block.bn2
        nn.init.constant_(last.weight, len(blocks) ** -0.5)


resnet18, resnet34, resnet50, resnet101, resnet152 = (partial(build, d) for d in DEPTHS)
