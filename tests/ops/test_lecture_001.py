"""Every worked example of lecture 001, "Computer Vision with CNNs", at its place; misprints are said
here."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from striate import ops


def tensor(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def plane(x: Tensor) -> Tensor:
    return x[None, None]


X = tensor([0, 1, 2], [3, 4, 5], [6, 7, 8])
K = tensor([0, 1], [2, 3])


def test_convolution_operation() -> None:
    """Slide "Convolution Operation": 19, 25, 37, 43."""
    assert ops.correlate(X, K).tolist() == [[19, 25], [37, 43]]
    assert 0 * 0 + 1 * 1 + 3 * 2 + 4 * 3 == 19
    assert ops.conv(plane(X), plane(K))[0, 0].tolist() == [[19, 25], [37, 43]]


def test_convolution_code() -> None:
    """Slide "Convolution Code in Pytorch": its listing, with the `return` moved back into the
    function.

    In the lecture's text `return Y` stands outside; the Conv2D class adds one bias to every output.
    """

    def conv2d(X: Tensor, K: Tensor) -> Tensor:
        h, w = K.shape
        Y = torch.zeros((X.shape[0] - h + 1, X.shape[1] - w + 1), dtype=X.dtype)
        for i in range(Y.shape[0]):
            for j in range(Y.shape[1]):
                Y[i, j] = (X[i : i + h, j : j + w] * K).sum()
        return Y

    A, B = torch.randn(6, 7).double(), torch.randn(3, 2).double()
    torch.testing.assert_close(conv2d(A, B), ops.correlate(A, B))
    torch.testing.assert_close(conv2d(A, B) + 0.5, ops.conv(plane(A), plane(B), tensor(0.5))[0, 0])


@pytest.mark.parametrize(
    ("kernel", "counts"),
    [
        (1, [[1] * 5] * 5),
        (2, [[1, 2, 2, 2, 1], *[[2, 4, 4, 4, 2]] * 3, [1, 2, 2, 2, 1]]),
        (3, [[1, 2, 3, 2, 1], [2, 4, 6, 4, 2], [3, 6, 9, 6, 3], [2, 4, 6, 4, 2], [1, 2, 3, 2, 1]]),
    ],
)
def test_corner_pixels_are_little_used(kernel: int, counts: list[list[int]]) -> None:
    """Slide on corner pixels: the 3x3 table as printed; those for 1x1 and 2x2, lost with the
    figure, completed."""
    assert ops.pixel_use((5, 5), (kernel, kernel)).tolist() == counts


def test_padding() -> None:
    """Slide "Padding": a border of zeros, 4x4 out."""
    y = ops.conv(plane(X), plane(K), padding=1)[0, 0]
    assert y.tolist() == [[0, 3, 8, 4], [9, 19, 25, 10], [21, 37, 43, 16], [6, 7, 8, 0]]


def test_padding_with_the_nearby_pixel() -> None:
    """The same slide names the other option; its corner is then 0 (0 + 1 + 2 + 3) = 0, its last 8 *
    6 = 48."""
    y = ops.conv(plane(X), plane(K), padding=1, padding_mode="replicate")[0, 0]
    assert y[0, 0] == 0
    assert y[3, 3] == 48
    assert y[1:3, 1:3].tolist() == [[19, 25], [37, 43]]


def test_stride() -> None:
    """Slide "Stride": 3 for the height, 2 for the width. (The text says a 2x2 block at (2,2): a
    lost figure.)"""
    y = ops.conv(plane(X), plane(K), padding=1, stride=(3, 2))[0, 0]
    assert y.tolist() == [[0, 8], [6, 8]]


@pytest.mark.parametrize("n", [3, 8, 15, 28])
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("p", [0, 1, 2])
@pytest.mark.parametrize("s", [1, 2, 3])
def test_output_shape_formula(n: int, k: int, p: int, s: int) -> None:
    """Slide "Output Shape": floor((n - k + p + s) / s). Its p is the padding of both sides
    together, not of one."""
    formula = (n - k + p + s) // s
    assert formula == ops.output_size(n, k, stride=s, padding=(p // 2, p - p // 2))


def test_channels_in_and_out() -> None:
    """Slides "Multiple Input / Output Channels": a kernel as deep as the image; one output channel
    a kernel."""
    x = torch.randn(1, 3, 5, 5).double()
    w = torch.randn(4, 3, 2, 2).double()
    y = ops.conv(x, w)
    assert y.shape == (1, 4, 4, 4)
    for o in range(4):
        each = [ops.correlate(x[0, c], w[o, c]) for c in range(3)]
        torch.testing.assert_close(y[0, o], sum(each))


def test_pooling() -> None:
    """Slide "Pooling", whose picture is lost: the same 3x3 input, a 2x2 window, stride 1."""
    assert ops.max_pool(plane(X), 2, stride=1).y[0, 0].tolist() == [[4, 5], [7, 8]]
    assert ops.mean_pool(plane(X), 2, stride=1)[0, 0].tolist() == [[2, 3], [5, 6]]


def test_lenet_listing() -> None:
    """Slide "LeNet": the sizes of its listing on 28 x 28, layer by layer.

    The listing writes krnl_sz to save width; torch's argument is kernel_size, and __init__ lacks
    super().__init__().
    """
    shape, shapes = (1, 28, 28), []
    for count in (
        lambda s: ops.count_conv(s, 6, 5, padding=2),
        lambda s: ops.count_pool(s, 2, stride=2),
        lambda s: ops.count_conv(s, 16, 5),
        lambda s: ops.count_pool(s, 2, stride=2),
        lambda s: ops.count_linear(s, 120),
        lambda s: ops.count_linear(s, 84),
        lambda s: ops.count_linear(s, 10),
    ):
        shapes.append(count(shape))
        shape = shapes[-1].output
    assert [s.output for s in shapes] == [
        (6, 28, 28),
        (6, 14, 14),
        (16, 10, 10),
        (16, 5, 5),
        (120,),
        (84,),
        (10,),
    ]
    assert sum(s.parameters for s in shapes) == 61_706


def test_nin_layer_summary() -> None:
    """Slide `NiN().layer_summary((1, 1, 224, 224))`: each printed line."""
    printed = [(96, 54, 54), (96, 26, 26), (256, 26, 26), (256, 12, 12), (384, 12, 12), (384, 5, 5)]

    def block(shape: tuple[int, ...], out: int, k: int, s: int, p: int) -> tuple[int, ...]:
        first = ops.count_conv(shape, out, k, stride=s, padding=p).output
        second = ops.count_conv(first, out, 1).output
        return ops.count_conv(second, out, 1).output

    def pool(shape: tuple[int, ...]) -> tuple[int, ...]:
        return ops.count_pool(shape, 3, stride=2).output

    shapes = [block((1, 224, 224), 96, 11, 4, 0)]
    shapes.append(pool(shapes[-1]))
    shapes.append(block(shapes[-1], 256, 5, 1, 2))
    shapes.append(pool(shapes[-1]))
    shapes.append(block(shapes[-1], 384, 3, 1, 1))
    shapes.append(pool(shapes[-1]))
    assert shapes == printed
    last = block(shapes[-1], 10, 3, 1, 1)
    assert last == (10, 5, 5)
    assert ops.global_mean_pool(torch.zeros(1, *last)).shape == (1, 10)


def test_a_1x1_convolution_is_a_fully_connected_layer_at_each_pixel() -> None:
    """Slide on `nin_block`."""
    x, w, b = torch.randn(2, 5, 3, 4).double(), torch.randn(6, 5).double(), torch.randn(6).double()
    y = ops.conv(x, w[:, :, None, None], b)
    pixels = x.movedim(1, -1).reshape(-1, 5)
    torch.testing.assert_close(y.movedim(1, -1).reshape(-1, 6), ops.linear(pixels, w, b))


def test_batch_normalisation() -> None:
    """Slide "Batch Normalization": mean 0; variance var / (var + eps), which the lecture rounds to
    1."""
    x = torch.randn(50, 2).double() * tensor(3, 0.01)
    one, zero = torch.ones(2).double(), torch.zeros(2).double()
    out = ops.batch_norm(x, one, zero)
    torch.testing.assert_close(out.y.mean(0), zero)
    torch.testing.assert_close(out.y.var(0, unbiased=False), out.var / (out.var + 1e-5))
    assert out.y.var(0, unbiased=False)[1] < 0.95, "a channel with little spread is not raised to 1"


def test_scale_and_shift_have_one_value_a_channel() -> None:
    """The same slide says that scale and shift have the shape of x; they have that of its
    channels."""
    layer = torch.nn.BatchNorm2d(3)
    assert layer.weight.shape == layer.bias.shape == (3,)
    x = torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(
        ops.batch_norm(x, layer.weight.detach(), layer.bias.detach()).y, layer(x).detach()
    )


def test_transposed_convolution_with_stride() -> None:
    """Slide "Transposed Convolution (Stride)": input and kernel 0 1 / 2 3, stride 2.

    The text has lost where the third and fourth stamps lie (it shows both one row up or one block
    to the right); they begin at (2, 0) and (2, 2). The sum is printed right.
    """
    x = w = plane(K)
    stamps = []
    for i in range(2):
        for j in range(2):
            alone = torch.zeros_like(x)
            alone[..., i, j] = x[..., i, j]
            stamps.append(ops.conv_transpose(alone, w, stride=2)[0, 0])
    assert stamps[1].tolist() == [[0, 0, 0, 1], [0, 0, 2, 3], [0] * 4, [0] * 4]
    assert stamps[2].tolist() == [[0] * 4, [0] * 4, [0, 2, 0, 0], [4, 6, 0, 0]]
    assert stamps[3].tolist() == [[0] * 4, [0] * 4, [0, 0, 0, 3], [0, 0, 6, 9]]
    output = [[0, 0, 0, 1], [0, 0, 2, 3], [0, 2, 0, 3], [4, 6, 6, 9]]
    assert sum(stamps).tolist() == output
    assert ops.conv_transpose(x, w, stride=2)[0, 0].tolist() == output


def test_transposed_convolution_without_stride() -> None:
    """Slide "Transposed Convolution / Upconvolution", picture lost: the same numbers, overlapping
    stamps add."""
    y = ops.conv_transpose(plane(K), plane(K))[0, 0]
    assert y.tolist() == [[0, 0, 1], [0, 4, 6], [4, 12, 9]]


def test_transposed_convolution_padding_crops_the_output() -> None:
    """Slide "Transposed Convolution (Padding)": first and last rows and columns are removed."""
    whole = ops.conv_transpose(plane(K), plane(K))
    assert ops.conv_transpose(plane(K), plane(K), padding=1)[0, 0].tolist() == [[4]]
    assert torch.equal(ops.conv_transpose(plane(K), plane(K), padding=1), whole[..., 1:-1, 1:-1])


def test_shape_round_trip() -> None:
    """Slide "Self Study": g(f(X)) has the shape of X, with the same hyperparameters (10 -> 20 -> 10
    channels)."""
    X = torch.randn(1, 10, 16, 16)
    w = torch.randn(20, 10, 5, 5)
    plan = {"stride": 3, "padding": 2}
    Y = ops.conv_im2col(X, w, **plan)
    assert Y.shape == (1, 20, 6, 6)
    assert ops.conv_transpose(Y, w, **plan).shape == X.shape


def test_shape_round_trip_fails_where_the_windows_do_not_fit() -> None:
    """The lecture's sentence needs one condition: 17 pixels also give 6 windows, and come back as
    16."""
    w = torch.randn(2, 1, 5, 5)
    plan = {"stride": 3, "padding": 2}
    Y = ops.conv_im2col(torch.randn(1, 1, 17, 17), w, **plan)
    assert Y.shape == (1, 2, 6, 6)
    assert ops.conv_transpose(Y, w, **plan).shape == (1, 1, 16, 16)
    assert ops.conv_transpose(Y, w, **plan, output_padding=1).shape == (1, 1, 17, 17)


def test_transposed_convolution_brings_back_the_shape_not_the_values() -> None:
    """The same slide is about shapes; the values are others."""
    X, w = torch.randn(1, 1, 6, 6).double(), torch.randn(3, 1, 3, 3).double()
    back = ops.conv_transpose(ops.conv(X, w), w)
    assert back.shape == X.shape
    assert (back - X).abs().mean() > 0.5
