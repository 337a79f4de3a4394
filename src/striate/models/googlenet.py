"""GoogLeNet: nine Inception blocks, and two auxiliary classifiers on the way for training.

Source: Szegedy et al., "Going deeper with convolutions" (2015), table 1; lecture 001. `googlenet` has the
paper's kernels, with batch norm (Ioffe and Szegedy 2015) in place of its response normalisation, without
which so deep a network hardly learns from the start; `googlenet-torchvision` has 3 x 3 where the paper has
5 x 5, as torchvision's network and its weights do.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from striate.models.initialise import initialise
from striate.models.stem import is_small
from striate.nn import ConvNormReLU, InceptionBlock


class GoogLeNetLogits(NamedTuple):
    """The answer in training with auxiliary classifiers, whose losses the paper weighs by 0.3."""

    logits: Tensor
    aux2: Tensor
    aux1: Tensor


class AuxiliaryClassifier(nn.Module):
    """Logits from the maps in mid-network: (N, C, H, W) -> (N, classes); section 5 of the paper."""

    def __init__(self, in_channels: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(4)
        self.conv = ConvNormReLU(in_channels, 128, 1)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.flatten(self.conv(self.avgpool(x)))
        return self.fc2(self.dropout(self.relu(self.fc1(x))))


class GoogLeNet(nn.Module):
    """(N, C, H, W) -> (N, classes); in training with `aux`, GoogLeNetLogits."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        small_stem: bool,
        aux: bool,
        wide_kernel: int,
        transform_input: bool,
        dropout: float,
        dropout_aux: float,
    ) -> None:
        super().__init__()

        def inception(
            channels: int, one: int, three: tuple[int, int], five: tuple[int, int], pool: int
        ) -> InceptionBlock:
            return InceptionBlock(channels, one, three, five, pool, wide_kernel=wide_kernel)

        self.transform_input = transform_input
        if small_stem:
            self.conv1 = ConvNormReLU(in_channels, 64, 3, padding=1)
            self.maxpool1: nn.Module = nn.Identity()
        else:
            self.conv1 = ConvNormReLU(in_channels, 64, 7, stride=2, padding=3)
            self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = ConvNormReLU(64, 64, 1)
        self.conv3 = ConvNormReLU(64, 192, 3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = inception(192, 64, (96, 128), (16, 32), 32)
        self.inception3b = inception(256, 128, (128, 192), (32, 96), 64)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = inception(480, 192, (96, 208), (16, 48), 64)
        self.inception4b = inception(512, 160, (112, 224), (24, 64), 64)
        self.inception4c = inception(512, 128, (128, 256), (24, 64), 64)
        self.inception4d = inception(512, 112, (144, 288), (32, 64), 64)
        self.inception4e = inception(528, 256, (160, 320), (32, 128), 128)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.inception5a = inception(832, 256, (160, 320), (32, 128), 128)
        self.inception5b = inception(832, 384, (192, 384), (48, 128), 128)
        self.aux1 = AuxiliaryClassifier(512, num_classes, dropout_aux) if aux else None
        self.aux2 = AuxiliaryClassifier(528, num_classes, dropout_aux) if aux else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor | GoogLeNetLogits:
        if self.transform_input:
            x = from_imagenet_statistics(x)
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        early = x = self.inception4a(x)
        late = x = self.inception4d(self.inception4c(self.inception4b(x)))
        x = self.maxpool4(self.inception4e(x))
        x = self.inception5b(self.inception5a(x))
        logits = self.fc(self.dropout(self.flatten(self.avgpool(x))))
        if self.training and self.aux1 is not None and self.aux2 is not None:
            return GoogLeNetLogits(logits, self.aux2(late), self.aux1(early))
        return logits


def from_imagenet_statistics(x: Tensor) -> Tensor:
    """RGB by ImageNet's mean and deviation -> over [-1, 1], as published weights expect."""
    mean = x.new_tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = x.new_tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    return (x * std + mean - 0.5) / 0.5


def build(
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    size: tuple[int, int] = (224, 224),
    small_stem: bool | None = None,
    aux: bool = False,
    wide_kernel: int = 5,
    transform_input: bool = False,
    dropout: float = 0.2,
    dropout_aux: float = 0.7,
) -> GoogLeNet:
    """Parameter names are torchvision's.

    small_stem: begin with a 3 x 3 convolution of stride 1 in place of 7 x 7, stride 2 and max
    pooling; None decides by `size`.
    aux: add the two auxiliary classifiers, which speak only in training.
    wide_kernel: of the third branch; 3 in torchvision's.
    transform_input: for torchvision's published weights, which were trained on images over [-1, 1].
    """
    small = is_small(size) if small_stem is None else small_stem
    network = GoogLeNet(
        in_channels,
        num_classes,
        small_stem=small,
        aux=aux,
        wide_kernel=wide_kernel,
        transform_input=transform_input,
        dropout=dropout,
        dropout_aux=dropout_aux,
    )
    initialise(network)
    return network


__all__ = [
    "AuxiliaryClassifier",
    "GoogLeNet",
    "GoogLeNetLogits",
    "build",
    "from_imagenet_statistics",
]
