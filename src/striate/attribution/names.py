"""Names: which layers run which operation, for messages."""

from __future__ import annotations

from torch import Tensor, nn

from striate.attribution.graph import squeezed
from striate.errors import StriateError
from striate.geometry import trace


def layers_of(module: nn.Module, images: Tensor) -> dict[str, list[str]]:
    """Operation, spelt as `graph.kind` does, -> names of the layers that run it.

    Empty where the network cannot be traced.
    """
    try:
        geometry = trace(module, tuple(images.shape))
    except StriateError:
        return {}
    layers: dict[str, list[str]] = {}
    for layer in geometry:
        layers.setdefault(squeezed(layer.op), []).append(layer.name)
    return layers
