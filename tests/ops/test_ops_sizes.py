"""Output sizes, counts, receptive fields and layers as matrices: the formulas against plain
counting."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from striate import ops
from striate.errors import UsageError

CASES = settings(max_examples=100, deadline=None)
AXIS = {
    "size": st.integers(1, 20),
    "kernel": st.integers(1, 6),
    "stride": st.integers(1, 5),
    "dilation": st.integers(1, 3),
}


@given(**AXIS, before=st.integers(0, 3), after=st.integers(0, 3))
@CASES
def test_formula_counts_the_windows(
    size: int, kernel: int, stride: int, dilation: int, before: int, after: int
) -> None:
    fit = ops.Fit(size, kernel, stride, (before, after), dilation)
    taps = [
        [i + dilation * j for j in range(kernel)] for i in range(0, size + before + after, stride)
    ]
    inside = [t for t in taps if t[-1] < size + before + after]
    assert fit.output == len(inside)
    if inside:
        assert fit.unseen == size + before + after - 1 - inside[-1][-1]
        assert fit.fits == (fit.unseen == 0) == (fit.exact.denominator == 1)
        x = torch.zeros(1, 1, size + before + after)
        y = F.conv1d(x, torch.zeros(1, 1, kernel), stride=stride, dilation=dilation)
        assert y.shape[-1] == fit.output


@given(**AXIS)
@CASES
def test_what_is_said_to_fit_fits(size: int, kernel: int, stride: int, dilation: int) -> None:
    fit = ops.Fit(size, kernel, stride, (0, 0), dilation)
    if fit.fits or fit.output == 0:
        return
    for remedy in fit.remedies():
        what, *options = remedy.replace(" pixels in all", "").replace(" or ", " ").split()
        numbers = [int(o) for o in options if o != "none"]
        assert numbers or what == "kernel", remedy  # a dilated kernel may have no size that fits
        for number in numbers:
            change = {
                "stride": {"stride": number},
                "kernel": {"kernel": number},
                "padding": {"padding": (number, 0)},
                "input": {"size": number},
            }[what]
            plan = {"size": size, "kernel": kernel, "stride": stride, "dilation": dilation}
            assert ops.Fit(**{**plan, **change}).fits, remedy


@given(**AXIS, padding=st.integers(0, 3))
@CASES
def test_transposed_size_undoes_output_size(
    size: int, kernel: int, stride: int, dilation: int, padding: int
) -> None:
    """Lecture 001, "Self Study": g(f(X)) has the shape of X, where the windows reach the end."""
    fit = ops.Fit(size, kernel, stride, (padding, padding), dilation)
    if fit.output == 0:
        return
    plan = {"stride": stride, "padding": padding, "dilation": dilation}
    back = ops.transposed_size(fit.output, kernel, **plan)
    assert back == size - fit.unseen
    assert ops.transposed_size(fit.output, kernel, **plan, output_padding=fit.unseen) == size


def test_exact_is_a_fraction() -> None:
    assert ops.Fit(7, 3, 3).exact == Fraction(7, 3)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), min_size=1, max_size=4))
@CASES
def test_receptive_field_steps_count_the_pixels_that_are_spanned(
    layers: list[tuple[int, int]],
) -> None:
    pixels = ops.seen_pixels(layers)
    assert ops.receptive_field_steps(layers)[-1] == pixels[-1] - pixels[0] + 1


def test_receptive_field_is_where_the_gradient_arrives() -> None:
    layers = [(3, 2), (2, 1), (3, 2)]
    x = torch.zeros(1, 1, 40, requires_grad=True)
    y = x
    for kernel, stride in layers:
        y = F.conv1d(y, torch.ones(1, 1, kernel), stride=stride)
    y[0, 0, 1].backward()
    assert x.grad is not None
    assert x.grad[0, 0].nonzero().flatten().tolist() == ops.seen_pixels(layers, output=1)


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1)])
def test_layers_as_matrices_do_what_the_layers_do(stride: int, padding: int) -> None:
    size, kernel = (5, 6), (3, 2)
    x = torch.randn(1, 1, *size, dtype=torch.float64)
    weight = torch.randn(1, 1, *kernel, dtype=torch.float64)
    shared = ops.layer_matrix("convolutional", size, kernel, stride=stride, padding=padding)
    assert shared.parameters == 6
    y = shared.filled(weight.flatten().tolist()) @ x.flatten().numpy()
    expected = F.conv2d(x, weight, stride=stride, padding=padding)
    torch.testing.assert_close(torch.from_numpy(y), expected.flatten())

    local = ops.layer_matrix("locally connected", size, kernel, stride=stride, padding=padding)
    assert local.connections == local.parameters == shared.connections
    patches = F.unfold(F.pad(x, [padding] * 4), kernel, stride=stride)[0].T
    real = F.unfold(F.pad(torch.ones_like(x), [padding] * 4), kernel, stride=stride)[0].T > 0
    own = torch.randn(patches.shape, dtype=torch.float64)  # a kernel of its own at every place
    y = local.filled(own[real].tolist()) @ x.flatten().numpy()
    torch.testing.assert_close(torch.from_numpy(y), (own * patches).sum(1))

    full = ops.layer_matrix("fully connected", size, kernel, stride=stride, padding=padding)
    assert full.connections == full.parameters == expected.numel() * 30


@pytest.mark.parametrize("bias", [True, False])
def test_counts_are_those_of_torchs_layers(bias: bool) -> None:
    conv = torch.nn.Conv2d(3, 8, 5, stride=2, padding=2, bias=bias)
    x = torch.zeros(1, 3, 28, 28)
    count = ops.count_conv((3, 28, 28), 8, 5, stride=2, padding=2, bias=bias)
    assert count.output == tuple(conv(x).shape[1:])
    assert count.parameters == sum(p.numel() for p in conv.parameters())
    fc = ops.count_linear((3, 28, 28), 10, bias=bias)
    assert fc.parameters == sum(p.numel() for p in torch.nn.Linear(2352, 10, bias).parameters())
    assert ops.count_pool((3, 28, 28), 3, stride=2, padding=1) == ((3, 14, 14), 0, 0)


def test_products_are_the_entries_of_the_matrix() -> None:
    """Without padding, each entry of the layer's matrix is one multiplication."""
    weight = torch.ones(4, 2, 3, 3)
    matrix = ops.conv_matrix(weight, [6, 7], stride=2)
    assert matrix.nnz == ops.count_conv((2, 6, 7), 4, 3, stride=2).products


FAULTS = {
    "seven": (
        lambda: ops.output_size(7, 3, stride=3, exact=True),
        r"\(7 - 3\) / 3 \+ 1 = 2\.33 is no whole number: rounded down to 2 windows, the last 1 "
        r"pixel lies in none; what would fit: stride 2 or 4, or kernel 1 or 4, or padding 2 pixels "
        r"in all, or input 6 or 9",
    ),
    "large": (lambda: ops.output_size(3, 5), r"the kernel is larger than the input; pad"),
    "stride": (lambda: ops.output_size(3, 3, stride=0), r"stride must be at least 1, got 0"),
    "padding": (lambda: ops.output_size(3, 3, padding=-1), r"padding must be 0 or more, got -1"),
    "even": (lambda: ops.same_padding(4), r"only an odd kernel has a middle, got 4; pad \(1, 2\)"),
    "kind": (lambda: ops.layer_matrix("sparse", (3,), (2,)), r"one of fully connected, locally"),
    "weights": (
        lambda: ops.layer_matrix("convolutional", (4,), (2,)).filled([1.0]),
        r"has 2 weights, got 1",
    ),
    "steps": (lambda: ops.receptive_field_steps([(0, 1)]), r"at least 1, got 0, 1"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_say_what_and_how(name: str) -> None:
    call, message = FAULTS[name]
    with pytest.raises(UsageError, match=message):
        call()
