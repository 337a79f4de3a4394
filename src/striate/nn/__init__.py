"""Layers and blocks that torch.nn lacks, on torch's kernels and with torch's argument names."""

from __future__ import annotations

from striate.nn.dense import DenseBlock, DenseLayer, Transition
from striate.nn.inception import ConvNormReLU, InceptionBlock
from striate.nn.nin import NiNBlock
from striate.nn.residual import BasicBlock, Bottleneck

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "ConvNormReLU",
    "DenseBlock",
    "DenseLayer",
    "InceptionBlock",
    "NiNBlock",
    "Transition",
]
