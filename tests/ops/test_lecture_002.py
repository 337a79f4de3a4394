"""Every worked example of lecture 002, "STAT 453 lecture 12", at its place; misprints are said
here.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from striate import ops


def tensor(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_weight_sharing_is_one_weighted_sum_a_place() -> None:
    """Slide "Weight Sharing": the sum over j = 1 ... 9 of w_j x_j for each 3x3 patch, one map a
    kernel.
    """
    x, kernels = torch.randn(1, 1, 6, 6).double(), torch.randn(3, 1, 3, 3).double()
    maps = ops.conv(x, kernels)
    assert maps.shape == (1, 3, 4, 4)
    for k in range(3):
        w, patch = kernels[k].flatten(), x[0, 0, 1:4, 2:5].flatten()
        torch.testing.assert_close(maps[0, k, 1, 2], sum(w[j] * patch[j] for j in range(9)))


def test_feature_map_size() -> None:
    """Slide "Size Before and After Convolutions": O = (W - K + 2P) / S + 1, P the padding of one
    side.

    (The text lists the labels in another order: O is the output width, W the input's.)
    """
    for W, K, P, S in [(28, 5, 0, 1), (28, 5, 2, 1), (32, 3, 1, 1), (227, 11, 0, 4)]:
        assert ops.output_size(W, K, padding=P, stride=S, exact=True) == (W - K + 2 * P) / S + 1


def test_kernel_dimensions() -> None:
    """Slide "Kernel Dimensions": Conv2d(1, 8, 5): weight (8, 1, 5, 5), bias (8,). 28 x 28 becomes
    24 x 24.
    """
    conv = torch.nn.Conv2d(1, 8, (5, 5), stride=(1, 1))
    assert conv.weight.size() == (8, 1, 5, 5)
    assert conv.bias is not None
    assert conv.bias.size() == (8,)
    assert ops.count_conv((1, 28, 28), 8, 5) == ((8, 24, 24), 208, 115_200)


ORDER = tensor([1, 2, 3], [4, 5, 6], [7, 8, 9])  # the numbers 1) ... 9) of the lecture's table


def test_looping_directions() -> None:
    """Slides "Cross-Correlation vs Convolution": correlation visits the patch 1 ... 9, convolution
    9 ... 1.
    """
    patch = torch.zeros(3, 3, dtype=torch.float64)
    visited_by_correlation, visited_by_convolution = torch.zeros(3, 3), torch.zeros(3, 3)
    for u in range(3):
        for v in range(3):
            patch.zero_()
            patch[u, v] = 1
            visited_by_correlation[u, v] = ops.correlate_centred(patch, ORDER)[1, 1]
            visited_by_convolution[u, v] = ops.convolve_centred(patch, ORDER)[1, 1]
    assert visited_by_correlation.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert visited_by_convolution.tolist() == [[9, 8, 7], [6, 5, 4], [3, 2, 1]]


def test_shared_weight_collects_both_paths() -> None:
    """Slides "Backpropagation in CNNs": dl/dw1 is the sum over the upper and the lower path."""
    x, t = tensor(0.7), tensor(0.2)

    def loss(w: Tensor) -> Tensor:
        a1, a2 = torch.tanh(w * x), torch.sigmoid(w * x)  # the same weight on two paths
        return ((a1 * a2 - t) ** 2).sum()

    w = tensor(0.5)
    a1, a2 = torch.tanh(w * x), torch.sigmoid(w * x)
    dl_do = 2 * (a1 * a2 - t)
    upper = dl_do * a2 * ops.tanh_backward(x, w * x)
    lower = dl_do * a1 * ops.sigmoid_backward(x, w * x)
    torch.testing.assert_close(
        ops.shared_gradient([upper, lower]), ops.numerical_gradient(loss, w), rtol=1e-7, atol=1e-9
    )


def test_averaged_update_is_the_summed_one_at_half_the_rate() -> None:
    """Slide "Due to weight sharing": w := w - rate * 1/2 (dL/dw1 + dL/dw2), "optional
    averaging".
    """
    g1, g2, w, rate = tensor(0.3), tensor(-0.1), tensor(2.0), 0.1
    averaged = w - rate * ops.shared_gradient([g1, g2], average=True)
    torch.testing.assert_close(averaged, w - rate * 0.5 * (g1 + g2))
    torch.testing.assert_close(averaged, w - rate / 2 * ops.shared_gradient([g1, g2]))


def test_activations_still_depend_on_the_place() -> None:
    """Slide "CNNs and Translation/Rotation/Scale Invariance": maps move; pooling makes small moves
    harmless.
    """
    x = torch.zeros(1, 1, 8, 8).double()
    x[..., 2, 2] = 1
    moved = ops.translate(x, (1, 1))
    w = torch.ones(1, 1, 1, 1).double()
    assert not torch.equal(ops.conv(x, w), ops.conv(moved, w))
    assert torch.equal(ops.max_pool(ops.conv(x, w), 4).y, ops.max_pool(ops.conv(moved, w), 4).y)


def test_pooling_loses_information() -> None:
    """Slide "Pooling Layers Can Help With Local Invariance": the downside, where the maximum was is
    gone.
    """
    a, b = tensor([1, 0], [0, 0]), tensor([0, 0], [0, 1])
    assert torch.equal(ops.max_pool(a[None, None], 2).y, ops.max_pool(b[None, None], 2).y)


def test_alexnet_input_and_neurons() -> None:
    """AlexNet's figure 2: 150,528 inputs, then 253,440-186,624-64,896-64,896-43,264-4096-4096-1000
    neurons.

    224 x 224 x 3 = 150,528 is right. 253,440 is 55 x 48 x 96; the layer has 55 x 55 x 96 = 290,400
    neurons, the other figures fit. 55 needs an input of 227 (or padding 2 and rounding down): (224
    - 11) / 4 + 1 = 54.25.
    """
    assert 224 * 224 * 3 == 150_528 == ops.weights_of_one_neuron((224, 224, 3))
    assert not ops.Fit(224, 11, 4).fits
    assert float(ops.Fit(224, 11, 4).exact) == 54.25
    assert ops.output_size(227, 11, stride=4, exact=True) == 55
    assert ops.output_size(224, 11, stride=4, padding=2) == 55

    neurons, shape = [], (3, 227, 227)
    for out, kernel, stride, padding, pooled in [
        (96, 11, 4, 0, True),
        (256, 5, 1, 2, True),
        (384, 3, 1, 1, False),
        (384, 3, 1, 1, False),
        (256, 3, 1, 1, True),
    ]:
        shape = ops.count_conv(shape, out, kernel, stride=stride, padding=padding).output
        neurons.append(shape[0] * shape[1] * shape[2])
        if pooled:
            shape = ops.count_pool(shape, 3, stride=2).output
    assert neurons == [290_400, 186_624, 64_896, 64_896, 43_264]
    assert 253_440 == 55 * 48 * 96
    assert shape == (256, 6, 6)


def test_figure_3_has_96_kernels_of_11x11x3() -> None:
    """AlexNet's figure 3, two halves of 48."""
    assert ops.parameters_per_filter(3, (11, 11)) == 363
    assert ops.count_conv((3, 227, 227), 96, 11).parameters == 96 * (363 + 1)


def test_top_5() -> None:
    """Slide on ImageNet: right if the label is among the five largest."""
    scores = torch.arange(10.0).repeat(3, 1)
    assert ops.top_k_accuracy(scores, torch.tensor([9, 5, 4]), 5) == pytest.approx(2 / 3)
    assert ops.top_k_accuracy(scores, torch.tensor([9, 5, 4]), 1) == pytest.approx(1 / 3)


def test_six_nearest_neighbours_in_feature_space() -> None:
    """AlexNet's figure 4: the training images at the smallest Euclidean distance in the last hidden
    layer.
    """
    features = torch.randn(40, 8, dtype=torch.float64)
    nearest = ops.nearest_neighbours(features, features[7] + 1e-3)
    assert len(nearest) == 6
    assert nearest[0] == 7
    distances = torch.cdist(features[7:8] + 1e-3, features)[0]
    assert nearest.tolist() == distances.topk(6, largest=False).indices.tolist()


STEP = torch.cat([torch.zeros(10, 6), torch.ones(10, 4)], 1).double()


def test_vertical_edge_detector() -> None:
    """Slide "vertical edge detector": 0 | 1 after column 6. The answer is -3 in two columns, 0
    elsewhere.
    """
    after = ops.correlate(STEP, ops.FILTERS["vertical edge"])
    assert after.tolist() == [[0, 0, 0, 0, -3, -3, 0, 0]] * 8


def test_horizontal_edge_detector_sees_no_vertical_edge() -> None:
    """Slide "horizontal edge detector"."""
    horizontal = ops.FILTERS["horizontal edge"]
    assert not ops.correlate(STEP, horizontal).any()
    assert ops.correlate(STEP.T, horizontal).T.tolist() == [[0, 0, 0, 0, -3, -3, 0, 0]] * 8
    assert torch.equal(horizontal, ops.FILTERS["vertical edge"].T)


def test_edge_listing_needs_no_grad() -> None:
    """The listing writes into conv.weight directly; today's torch wants torch.no_grad() around
    it.
    """
    conv = torch.nn.Conv2d(1, 1, (3, 3))
    edge = torch.tensor([[1, 0, -1], [1, 0, -1], [1, 0, -1]]).float()
    with pytest.raises(RuntimeError, match="in-place"):
        conv.weight[0, 0, :, :] = edge
    with torch.no_grad():
        conv.weight[0, 0, :, :] = edge
        conv.bias[0] = torch.tensor([0.0]).float()
        after = conv(STEP.float()[None, None])
    assert after[0, 0, 0].tolist() == [0, 0, 0, 0, -3, -3, 0, 0]


def test_lenet5_listing() -> None:
    """Slide "LeNet-5 in PyTorch": 16 * 5 * 5 needs 32 x 32 pixels; 28 x 28 would give 16 * 4 *
    4.
    """
    for side, last in [(32, 5), (28, 4)]:
        shape = ops.count_conv((1, side, side), 6, 5).output
        shape = ops.count_conv(ops.count_pool(shape, 2).output, 16, 5).output
        assert ops.count_pool(shape, 2).output == (16, last, last)
    parameters = [
        ops.count_conv((1, 32, 32), 6, 5).parameters,
        ops.count_conv((6, 14, 14), 16, 5).parameters,
        ops.count_linear((16, 5, 5), 120).parameters,
        ops.count_linear((120,), 84).parameters,
        ops.count_linear((84,), 10).parameters,
    ]
    assert parameters == [156, 2_416, 48_120, 10_164, 850]
    assert sum(parameters) == 61_706
    assert ops.count_conv((3, 32, 32), 6, 5).parameters == 456, "in colour"


def test_gradient_with_respect_to_the_input() -> None:
    """Slide "Visualization of the loss gradients": dL/dx_1, dL/dx_2, ... through conv, ReLU and a
    linear layer.
    """
    x = torch.randn(1, 1, 5, 5).double()
    w, W = torch.randn(2, 1, 3, 3).double(), torch.randn(3, 18).double()
    label = torch.tensor([1])

    def loss(x: Tensor) -> Tensor:
        return ops.cross_entropy(ops.linear(ops.relu(ops.conv(x, w)).flatten(1), W), label)

    a = ops.conv(x, w)
    h = ops.relu(a).flatten(1)
    dz = ops.cross_entropy_backward(ops.linear(h, W), label)
    da = ops.relu_backward(ops.linear_backward(dz, h, W).x.reshape(a.shape), a)
    gradient = ops.conv_backward(da, x, w).x
    torch.testing.assert_close(gradient, ops.numerical_gradient(loss, x), rtol=1e-6, atol=1e-8)

    guided = ops.relu_backward(ops.linear_backward(dz, h, W).x.reshape(a.shape), a, "guided")
    assert guided.min() == 0, "guided backpropagation lets no negative gradient pass"
    assert torch.equal(guided, da.clamp(min=0))
