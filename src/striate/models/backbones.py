"""Backbone: the maps of a classification network, one a resolution, for networks that label pixels."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, fx, nn

from striate.errors import UsageError
from striate.models import hub, lite0

PROBE = 256  # pixels: a side on which every stride of a power of two shows
LARGEST = 64  # stride that still counts as a map
TAIL = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten, nn.Linear)  # where maps end


class Backbone(nn.Module):
    """(N, C, H, W) -> the last map of each resolution, finest first.

    channels, strides: of the maps; strides are powers of two in input pixels.
    """

    def __init__(self, network: nn.Module, channels: list[int], strides: list[int]) -> None:
        super().__init__()
        self.network = network
        self.channels = channels
        self.strides = strides

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: Any = self.network(x)
        return list(maps.values() if isinstance(maps, dict) else maps)


def zoo_backbone(name: str, network: nn.Module, in_channels: int) -> Backbone:
    """The maps of a network of the zoo, found by running it on tensors without memory; what follows them is cut off.

    Raises UsageError for a network without maps of two resolutions at least.
    """
    from torchvision.models.feature_extraction import create_feature_extractor

    last = _last_of_each(name, network, in_channels)
    strides = sorted(last)
    nodes = {last[stride][0]: str(stride) for stride in strides}
    extractor = create_feature_extractor(
        network, train_return_nodes=nodes, eval_return_nodes=nodes, suppress_diff_warning=True
    )
    return Backbone(extractor, [last[s][1] for s in strides], strides)


def _last_of_each(name: str, network: nn.Module, in_channels: int) -> dict[int, tuple[str, int]]:
    """Stride -> (name of the last node of that resolution, its channels)."""
    from torchvision.models.feature_extraction import NodePathTracer

    bare = copy.deepcopy(network).to("meta").eval()
    tracer = NodePathTracer()
    try:
        graph = tracer.trace(bare)
    except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"{name} cannot be taken apart into its maps ({type(error).__name__}); take another backbone"
        ) from error
    interpreter = fx.Interpreter(fx.GraphModule(bare, graph))
    last: dict[int, tuple[str, int]] = {}
    finest = 1
    interpreter.args_iter = iter([torch.empty(1, in_channels, PROBE, PROBE, device="meta")])
    for node in graph.nodes:
        if node.op == "output" or (
            node.op == "call_module" and isinstance(bare.get_submodule(str(node.target)), TAIL)
        ):
            break
        try:
            with torch.no_grad():
                y = interpreter.env[node] = interpreter.run_node(node)
        except RuntimeError:  # a layer that takes one size alone
            break
        if not isinstance(y, Tensor) or y.ndim != 4 or y.shape[-1] < PROBE // LARGEST:
            continue
        stride = 2 ** round(math.log2(PROBE / y.shape[-1]))
        if stride >= finest and stride > 1:
            last[stride] = (tracer.node_to_qualname[node], y.shape[1])
            finest = stride
    if len(last) < 2:
        raise UsageError(
            f"{name} has no maps of several resolutions; take a convolutional backbone such as resnet18"
        )
    return last


def lite0_backbone(*, in_channels: int, pretrained: bool) -> Backbone:
    """The maps of EfficientNet-Lite0."""
    network = lite0.maps(in_channels=in_channels, pretrained=pretrained)
    return Backbone(network, list(network.channels), list(network.strides))


def timm_backbone(name: str, *, in_channels: int, pretrained: bool) -> Backbone:
    """The maps of one of timm's networks. Raises UsageError where timm offers none."""
    if pretrained and name == lite0.ARCHITECTURE:
        return lite0_backbone(in_channels=in_channels, pretrained=True)
    try:
        network = hub.maps(name, in_channels=in_channels, pretrained=pretrained)
        known: Any = network.feature_info
    except (RuntimeError, ValueError, AssertionError, AttributeError, TypeError) as error:
        raise UsageError(
            f"timm/{name} offers no maps of several resolutions ({error}); take a convolutional backbone such as "
            "timm/resnet18"
        ) from error
    return Backbone(network, list(known.channels()), list(known.reduction()))
