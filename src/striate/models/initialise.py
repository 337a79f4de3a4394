"""Starting weights for every architecture, written once."""

from __future__ import annotations

import math
from typing import Literal

from torch import nn

from striate.models.finetuning import WEIGHTED, head

Nonlinearity = Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu"]

# How much larger the weights must be where the nonlinearity makes values smaller: half of them are
# cut off by ReLU, and the sigmoid's slope at zero is 1/4, the tanh's 1 but less beside it.
GAINS: dict[Nonlinearity, float] = {
    "linear": 1.0,
    "sigmoid": 4.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "leaky_relu": math.sqrt(2),
}


def start_layer(layer: nn.Module, nonlinearity: Nonlinearity = "relu") -> None:
    """Draw one layer's weights so that its output varies as its input did; zero its bias.

    Normal with variance gain^2 / fan_in: He et al., "Delving deep into rectifiers" (2015),
    equation 10; for sigmoid and tanh, Glorot and Bengio, "Understanding the difficulty of training
    deep feedforward neural networks" (2010).
    nonlinearity: what follows the layer, "linear" for logits.
    """
    assert isinstance(layer, WEIGHTED)
    if layer.weight.is_meta:
        return  # no memory, nothing to draw; torch takes seconds to find that out
    fan_in = layer.weight[0].numel()
    nn.init.normal_(layer.weight, std=GAINS[nonlinearity] / math.sqrt(fan_in))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def initialise(module: nn.Module, nonlinearity: Nonlinearity = "relu") -> None:
    """Draw the weights of every layer of `module` by `start_layer`; the head's are linear.

    Batch norm keeps torch's start: scale 1, shift 0.
    """
    last = {id(m) for m in head(module).modules()} if any(True for _ in module.parameters()) else ()
    for layer in module.modules():
        if isinstance(layer, WEIGHTED):
            start_layer(layer, "linear" if id(layer) in last else nonlinearity)
