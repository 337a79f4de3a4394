"""Layers and blocks that torch.nn lacks, on torch's kernels and with torch's argument names."""

from __future__ import annotations

from striate.nn.attention import MixerBlock, SelfAttention, TransformerBlock
from striate.nn.blurring import BlurPool2d, MaxBlurPool2d
from striate.nn.dense import DenseBlock, DenseLayer, Transition
from striate.nn.inception import ConvNormReLU, InceptionBlock
from striate.nn.local import LocallyConnected1d, LocallyConnected2d
from striate.nn.nin import NiNBlock
from striate.nn.patches import PatchEmbedding, grid_of, resized_positions, sinusoids
from striate.nn.pooling import ChannelPool, L2Pool2d, Maxout
from striate.nn.residual import BasicBlock, Bottleneck
from striate.nn.switches import EncoderDecoder, Switch, SwitchUnpool2d, record_switches
from striate.nn.unet import DoubleConv, UNetDown, UNetUp
from striate.nn.unpooling import BedOfNailsUnpool2d, NearestUnpool2d

__all__ = [
    "BasicBlock",
    "BedOfNailsUnpool2d",
    "BlurPool2d",
    "Bottleneck",
    "ChannelPool",
    "ConvNormReLU",
    "DenseBlock",
    "DenseLayer",
    "DoubleConv",
    "EncoderDecoder",
    "InceptionBlock",
    "L2Pool2d",
    "LocallyConnected1d",
    "LocallyConnected2d",
    "MaxBlurPool2d",
    "Maxout",
    "MixerBlock",
    "NearestUnpool2d",
    "NiNBlock",
    "PatchEmbedding",
    "SelfAttention",
    "Switch",
    "SwitchUnpool2d",
    "TransformerBlock",
    "Transition",
    "UNetDown",
    "UNetUp",
    "grid_of",
    "record_switches",
    "resized_positions",
    "sinusoids",
]

# Files of this room that other rooms import from, beside the names above.
OPEN = ("attention", "full_size", "unet")
