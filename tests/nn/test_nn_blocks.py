"""The blocks of the architectures: shapes, what they compute, and what they refuse."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import striate.nn
from striate.errors import UsageError
from striate.nn import (
    BasicBlock,
    Bottleneck,
    ConvNormReLU,
    DenseBlock,
    DenseLayer,
    DoubleConv,
    InceptionBlock,
    NiNBlock,
    Transition,
    UNetDown,
    UNetUp,
)


def shuffled_statistics(module: nn.Module) -> nn.Module:
    """Batch norms as after training: a fresh one is the identity in evaluation, which hides
    mistakes.
    """
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.normal_(m.running_mean)
            nn.init.uniform_(m.running_var, 0.5, 2)
            nn.init.uniform_(m.weight, 0.5, 2)
            nn.init.normal_(m.bias)
    return module.double().eval()


def norm(x: Tensor, bn: nn.BatchNorm2d) -> Tensor:
    """Batch norm at inference, from its formula (lecture 001)."""
    assert bn.running_mean is not None
    assert bn.running_var is not None
    mean, var, scale, shift = (
        t.view(-1, 1, 1) for t in (bn.running_mean, bn.running_var, bn.weight, bn.bias)
    )
    return scale * (x - mean) / (var + bn.eps).sqrt() + shift


BLOCKS = [
    (NiNBlock(2, 3, 3, padding=1), (3, 8, 6)),
    (NiNBlock(2, 3, 3, stride=2), (3, 3, 2)),
    (BasicBlock(2, 2), (2, 8, 6)),
    (BasicBlock(2, 4, 2), (4, 4, 3)),
    (BasicBlock(2, 2, projection=True), (2, 8, 6)),
    (Bottleneck(2, 8), (8, 8, 6)),
    (Bottleneck(2, 8, 2, expansion=2), (8, 4, 3)),
    (ConvNormReLU(2, 3, 3), (3, 6, 4)),
    (InceptionBlock(2, 1, (2, 3), (2, 4), 5), (13, 8, 6)),
    (DenseLayer(2, 3), (3, 8, 6)),
    (DenseBlock(3, 2, 4), (14, 8, 6)),
    (Transition(2, 1), (1, 4, 3)),
    (DoubleConv(2, 3), (3, 4, 2)),
    (DoubleConv(2, 3, padded=True, norm=True), (3, 8, 6)),
]


@pytest.mark.parametrize(("block", "shape"), BLOCKS, ids=lambda b: type(b).__name__)
def test_shapes_and_gradients(block: nn.Module, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    shuffled_statistics(block)
    x = torch.randn(1, 2, 8, 6, dtype=torch.float64, requires_grad=True)
    assert block(x).shape == (1, *shape)
    assert torch.autograd.gradcheck(block, (x,), fast_mode=True)


@pytest.mark.parametrize(
    "block",
    [
        NiNBlock(2, 3, 3, padding=1),
        BasicBlock(2, 2),
        Bottleneck(2, 8),
        InceptionBlock(2, 1, (2, 3), (2, 4), 5),
        DenseBlock(2, 2, 4),
        DoubleConv(2, 3, padded=True),
    ],
    ids=lambda b: type(b).__name__,
)
def test_a_moved_image_gives_moved_maps(block: nn.Module) -> None:
    """f(translate(x)) = translate(f(x)) (lecture 003), away from the border."""
    torch.manual_seed(1)
    shuffled_statistics(block)
    x = torch.zeros(1, 2, 24, 24, dtype=torch.float64)
    x[..., 8:14, 8:14] = torch.randn(6, 6, dtype=torch.float64)
    y, moved = block(x), block(torch.roll(x, (2, 3), (2, 3)))
    inner = (..., slice(6, -6), slice(6, -6))
    torch.testing.assert_close(moved[inner], torch.roll(y, (2, 3), (2, 3))[inner])


def test_a_nin_block_is_a_small_network_at_every_pixel() -> None:
    # Lin et al. (2013), section 3.1: the 1 x 1 convolutions are fully connected layers a pixel
    torch.manual_seed(2)
    block = NiNBlock(2, 3, 3, padding=1).double()
    x = torch.randn(1, 2, 5, 5, dtype=torch.float64)
    maps = block[1](block[0](x))
    pixel = maps[0, :, 2, 3]
    for conv in (block[2], block[4]):
        pixel = F.relu(conv.weight[:, :, 0, 0] @ pixel + conv.bias)
    torch.testing.assert_close(block(x)[0, :, 2, 3], pixel)


def test_basic_block_adds_its_input() -> None:
    torch.manual_seed(3)
    block = BasicBlock(2, 2)
    shuffled_statistics(block)
    x = torch.randn(2, 2, 5, 5, dtype=torch.float64)
    y = F.conv2d(
        F.relu(norm(F.conv2d(x, block.conv1.weight, padding=1), block.bn1)),
        block.conv2.weight,
        padding=1,
    )
    torch.testing.assert_close(block(x), F.relu(x + norm(y, block.bn2)))


def test_bottleneck_adds_a_projection_where_the_shape_changes() -> None:
    torch.manual_seed(4)
    block = Bottleneck(2, 8, 2)
    shuffled_statistics(block)
    x = torch.randn(2, 2, 6, 6, dtype=torch.float64)
    y = F.relu(norm(F.conv2d(x, block.conv1.weight), block.bn1))
    y = F.relu(norm(F.conv2d(y, block.conv2.weight, stride=2, padding=1), block.bn2))
    y = norm(F.conv2d(y, block.conv3.weight), block.bn3)
    assert isinstance(block.downsample, nn.Sequential)
    conv, bn = block.downsample
    assert isinstance(bn, nn.BatchNorm2d)
    projected = torch.einsum("ok,nkhw->nohw", conv.weight[:, :, 0, 0], x[..., ::2, ::2])
    torch.testing.assert_close(block(x), F.relu(y + norm(projected, bn)))


@pytest.mark.parametrize(
    "block", [BasicBlock(4, 4, projection=False), Bottleneck(8, 8, projection=False)], ids=repr
)
def test_a_block_whose_branch_gives_zero_is_the_identity(block: nn.Module) -> None:
    # "nested function classes" (lecture 001): the identity is the easiest thing to learn
    last = block.bn3 if isinstance(block, Bottleneck) else block.bn2
    nn.init.zeros_(last.weight)  # type: ignore[arg-type]
    x = torch.rand(2, 8 if isinstance(block, Bottleneck) else 4, 5, 5)
    torch.testing.assert_close(block.eval()(x), x)


def test_residual_blocks_say_what_is_wrong() -> None:
    with pytest.raises(
        UsageError, match=r"projection=False needs stride=1.*stride=2, in_channels=2"
    ):
        BasicBlock(2, 2, 2, projection=False)
    with pytest.raises(
        UsageError, match=r"expansion must divide out_channels, got expansion=4, out_channels=6"
    ):
        Bottleneck(2, 6)


def test_inception_stacks_its_four_branches() -> None:
    torch.manual_seed(5)
    block = InceptionBlock(2, 1, (2, 3), (2, 4), 5)
    shuffled_statistics(block)
    x = torch.randn(1, 2, 7, 7, dtype=torch.float64)
    y = block(x)
    parts = y.split([1, 3, 4, 5], 1)

    def conv(layer: ConvNormReLU, x: Tensor) -> Tensor:
        width = layer.conv.weight.shape[-1]
        return F.relu(norm(F.conv2d(x, layer.conv.weight, padding=width // 2), layer.bn))

    torch.testing.assert_close(parts[0], conv(block.branch1, x))
    torch.testing.assert_close(parts[1], conv(block.branch2[1], conv(block.branch2[0], x)))
    torch.testing.assert_close(parts[2], conv(block.branch3[1], conv(block.branch3[0], x)))
    torch.testing.assert_close(parts[3], conv(block.branch4[1], F.max_pool2d(x, 3, 1, 1)))
    assert block.branch3[1].conv.weight.shape[-1] == 5, "the paper's third branch is 5 x 5"
    with pytest.raises(UsageError, match=r"wide_kernel must be odd.*got 4"):
        InceptionBlock(2, 1, (2, 3), (2, 4), 5, wide_kernel=4)


def test_a_dense_block_hands_every_layer_all_the_maps_before_it() -> None:
    torch.manual_seed(6)
    block = DenseBlock(3, 2, 4)
    shuffled_statistics(block)
    x = torch.randn(1, 2, 5, 5, dtype=torch.float64)
    y = block(x)
    torch.testing.assert_close(y[:, :2], x)
    layer = block["denselayer3"]
    assert isinstance(layer, DenseLayer)
    seen = y[:, :10]  # the input's 2 maps and 4 of each of two layers
    hidden = F.conv2d(F.relu(norm(seen, layer.norm1)), layer.conv1.weight)
    expected = F.conv2d(F.relu(norm(hidden, layer.norm2)), layer.conv2.weight, padding=1)
    torch.testing.assert_close(y[:, 10:], expected)
    assert layer.conv1.out_channels == 16, "a bottleneck of four times the growth rate"
    assert block.out_channels == 14


def test_a_transition_halves_by_average_pooling() -> None:
    torch.manual_seed(7)
    block = Transition(2, 3)
    shuffled_statistics(block)
    x = torch.randn(1, 2, 6, 6, dtype=torch.float64)
    maps = F.conv2d(F.relu(norm(x, block.norm)), block.conv.weight)
    expected = (
        maps[..., ::2, ::2] + maps[..., ::2, 1::2] + maps[..., 1::2, ::2] + maps[..., 1::2, 1::2]
    ) / 4
    torch.testing.assert_close(block(x), expected)


def test_the_papers_unet_sizes_come_out() -> None:
    # Ronneberger et al. (2015), figure 1: 572 -> 568 -> 284 ... and 392 x 392 cut from 568
    sizes, up_sizes = [], []
    x = torch.zeros(1, 1, 572, 572, device="meta")
    bridges = []
    channels = 1
    for width in (64, 128, 256, 512):
        x, bridge = UNetDown(channels, width).to("meta")(x)
        bridges.append(bridge)
        sizes.append((bridge.shape[-1], x.shape[-1]))
        channels = width
    x = DoubleConv(512, 1024).to("meta")(x)
    assert x.shape[-1] == 28
    for width in (512, 256, 128, 64):
        x = UNetUp(2 * width, width).to("meta")(x, bridges.pop())
        up_sizes.append(x.shape[-1])
    assert sizes == [(568, 284), (280, 140), (136, 68), (64, 32)]
    assert up_sizes == [52, 100, 196, 388]


def test_unet_up_cuts_the_centre_of_the_bridge() -> None:
    torch.manual_seed(8)
    up = UNetUp(4, 2).double()
    x = torch.randn(1, 4, 4, 4, dtype=torch.float64)
    bridge = torch.randn(1, 2, 14, 13, dtype=torch.float64)
    expected = up.conv(torch.cat([bridge[..., 3:11, 2:10], up.up(x)], 1))
    torch.testing.assert_close(up(x, bridge), expected)


@pytest.mark.parametrize("side", [16, 17, 18, 19])
def test_a_padded_unet_keeps_every_size(side: int) -> None:
    down, deeper = UNetDown(1, 2, padded=True, norm=True), UNetDown(2, 4, padded=True)
    up, last = UNetUp(8, 4, padded=True, norm=True), UNetUp(4, 2, padded=True)
    bottom = DoubleConv(4, 8, padded=True)
    x, first = down(torch.randn(2, 1, side, side + 1))
    x, second = deeper(x)
    assert last(up(bottom(x), second), first).shape == (2, 2, side, side + 1)


def test_unet_up_says_what_is_wrong() -> None:
    with pytest.raises(
        UsageError, match=r"8 x 8 pixels come from below.*at least that size, got 6 x 9"
    ):
        UNetUp(4, 2)(torch.zeros(1, 4, 4, 4), torch.zeros(1, 2, 6, 9))
    with pytest.raises(UsageError, match=r"the same size, or one pixel more, got 10 x 8"):
        UNetUp(4, 2, padded=True)(torch.zeros(1, 4, 4, 4), torch.zeros(1, 2, 10, 8))


def test_unet_gradients() -> None:
    torch.manual_seed(9)
    up = UNetUp(2, 1, padded=True).double()
    x = torch.randn(1, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    bridge = torch.randn(1, 1, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(up, (x, bridge))


def test_the_public_list_is_complete_and_sorted() -> None:
    assert sorted(striate.nn.__all__) == list(striate.nn.__all__)
    for name in striate.nn.__all__:
        public = getattr(striate.nn, name)
        assert public.__doc__, f"{name} has no docstring"
