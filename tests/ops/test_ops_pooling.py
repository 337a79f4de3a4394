"""Pooling, un-pooling and transposed convolution: agreement with torch, forward and backward."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from striate import ops
from striate.errors import UsageError

CASES = settings(max_examples=50, deadline=None)
EXACT = {"rtol": 1e-10, "atol": 1e-10}
MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
MEAN = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
L2 = {1: F.lp_pool1d, 2: F.lp_pool2d}
UNPOOL = {1: F.max_unpool1d, 2: F.max_unpool2d, 3: F.max_unpool3d}
TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def check_gradient(
    f: Callable[..., Tensor], leaves: list[Tensor], mine: Callable[[Tensor], tuple[Tensor, ...]]
) -> None:
    """`mine(dy)` are the gradients of torch's `f(*leaves)`."""
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    y = f(*leaves)
    dy = torch.randn_like(y)
    expected = torch.autograd.grad(y, leaves, dy)
    for a, b in zip(mine(dy), expected, strict=True):
        torch.testing.assert_close(a, b, **EXACT)


@st.composite
def windows(draw: st.DrawFn, most_dims: int = 3) -> tuple[Tensor, tuple[int, ...], dict]:
    """An input, a kernel, and stride and padding for it."""
    dims = draw(st.integers(1, most_dims))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = [draw(st.integers(k, 6 if dims < 3 else 4)) for k in kernel]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    x = torch.randn(2, draw(st.integers(1, 3)), *size, generator=generator, dtype=torch.float64)
    return x, kernel, {"stride": stride, "padding": padding}


@given(windows())
@CASES
def test_max_pool(case: tuple[Tensor, tuple[int, ...], dict]) -> None:
    x, kernel, settings_ = case
    pooled = ops.max_pool(x, kernel, **settings_)
    y, indices = MAX[x.ndim - 2](x, kernel, **settings_, return_indices=True)
    torch.testing.assert_close(pooled.y, y, **EXACT)
    torch.testing.assert_close(pooled.indices, indices)
    check_gradient(
        lambda x: MAX[x.ndim - 2](x, kernel, **settings_),
        [x],
        lambda dy: (ops.max_pool_backward(dy, pooled.indices, tuple(x.shape[2:])),),
    )


def test_max_pool_keeps_the_first_of_equals_as_torch_does() -> None:
    x = torch.tensor([[[[1.0, 3, 3], [3, 0, 3], [2, 2, 3]]]]).double()
    pooled = ops.max_pool(x, 2, stride=1)
    _, indices = F.max_pool2d(x, 2, stride=1, return_indices=True)
    assert pooled.indices.tolist() == indices.tolist() == [[[[1, 1], [3, 5]]]]


@given(windows(), st.booleans())
@CASES
def test_mean_pool(case: tuple[Tensor, tuple[int, ...], dict], count: bool) -> None:
    x, kernel, settings_ = case

    def by_torch(x: Tensor) -> Tensor:
        return MEAN[x.ndim - 2](x, kernel, **settings_, count_include_pad=count)

    y = ops.mean_pool(x, kernel, **settings_, count_padding=count)
    torch.testing.assert_close(y, by_torch(x), **EXACT)
    check_gradient(
        by_torch,
        [x],
        lambda dy: (
            ops.mean_pool_backward(
                dy, tuple(x.shape[2:]), kernel, **settings_, count_padding=count
            ),
        ),
    )


@given(windows(most_dims=2))
@CASES
def test_l2_pool(case: tuple[Tensor, tuple[int, ...], dict]) -> None:
    x, kernel, settings_ = case
    stride = settings_["stride"] if x.ndim == 4 else settings_["stride"][0]
    k = kernel if x.ndim == 4 else kernel[0]

    def by_torch(x: Tensor) -> Tensor:
        return L2[x.ndim - 2](x, 2.0, k, stride=stride)

    y = ops.l2_pool(x, kernel, stride=settings_["stride"])
    torch.testing.assert_close(y, by_torch(x), **EXACT)
    check_gradient(
        by_torch,
        [x],
        lambda dy: (ops.l2_pool_backward(dy, x, kernel, stride=settings_["stride"]),),
    )


def test_l2_pool_of_zeros_has_gradient_zero() -> None:
    x = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    dx = ops.l2_pool_backward(torch.ones(1, 1, 1, 1, dtype=torch.float64), x, 2)
    assert torch.equal(dx, x)


def test_l2_pool_with_padding_adds_nothing() -> None:
    x = torch.full((1, 1, 2, 2), 3.0).double()
    assert torch.equal(ops.l2_pool(x, 2, padding=1), x)
    dx = ops.l2_pool_backward(torch.ones_like(x), x, 2, padding=1)
    assert torch.equal(dx, torch.ones_like(x))


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**32 - 1))
@CASES
def test_maxout(groups: int, pool: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, groups * pool, 3, 2, generator=generator, dtype=torch.float64)

    def by_torch(x: Tensor) -> Tensor:
        return x.unflatten(1, (groups, pool)).amax(2)

    out = ops.maxout(x, pool)
    torch.testing.assert_close(out.y, by_torch(x), **EXACT)
    torch.testing.assert_close(out.y, x.gather(1, out.indices), **EXACT)
    check_gradient(by_torch, [x], lambda dy: (ops.maxout_backward(dy, out.indices, groups * pool),))


def test_global_mean_pool_is_torchs_adaptive_pool() -> None:
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(
        ops.global_mean_pool(x), F.adaptive_avg_pool2d(x, 1).flatten(1), **EXACT
    )


@given(windows())
@CASES
def test_max_unpool(case: tuple[Tensor, tuple[int, ...], dict]) -> None:
    x, kernel, _ = case
    pooled = ops.max_pool(x, kernel)
    size = tuple(x.shape[2:])

    def by_torch(y: Tensor) -> Tensor:
        return UNPOOL[x.ndim - 2](y, pooled.indices, kernel, output_size=size)

    values = torch.randn_like(pooled.y)
    back = ops.max_unpool(values, pooled.indices, size)
    torch.testing.assert_close(back, by_torch(values), **EXACT)
    check_gradient(by_torch, [values], lambda dy: (ops.max_unpool_backward(dy, pooled.indices),))
    torch.testing.assert_close(
        ops.max_pool(ops.max_unpool(pooled.y.abs() + 1, pooled.indices, size), kernel).y,
        pooled.y.abs() + 1,
    )


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**32 - 1))
@CASES
def test_nearest_and_bed_of_nails(dims: int, factor: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    size = [3, 2, 2][:dims]
    x = torch.randn(2, 2, *size, generator=generator, dtype=torch.float64)
    eye = torch.zeros(2, 1, *[factor] * dims, dtype=torch.float64)
    eye[(..., *[0] * dims)] = 1

    def grown(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=float(factor), mode="nearest")

    def nailed(x: Tensor) -> Tensor:
        return TRANSPOSE[dims](x, eye, stride=factor, groups=2)

    torch.testing.assert_close(ops.nearest(x, factor), grown(x), **EXACT)
    torch.testing.assert_close(ops.bed_of_nails(x, factor), nailed(x), **EXACT)
    check_gradient(grown, [x], lambda dy: (ops.nearest_backward(dy, factor),))
    check_gradient(nailed, [x], lambda dy: (ops.bed_of_nails_backward(dy, factor),))


@st.composite
def transposed(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor, dict]:
    dims = draw(st.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(dims))

    kernel, stride, dilation = each(1, 3 if dims < 3 else 2), each(1, 3), each(1, 2)
    extra = tuple(
        draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)
    )
    size = each(1, 4 if dims < 3 else 3)
    full = [
        (n - 1) * s + d * (k - 1) + 1 + e
        for n, s, d, k, e in zip(size, stride, dilation, kernel, extra, strict=True)
    ]
    padding = tuple(draw(st.integers(0, min(2, (n - 1) // 2))) for n in full)
    groups = draw(st.sampled_from([1, 2]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    x = torch.randn(2, 2 * groups, *size, generator=generator, dtype=torch.float64)
    weight = torch.randn(2 * groups, 2, *kernel, generator=generator, dtype=torch.float64)
    bias = torch.randn(2 * groups, generator=generator, dtype=torch.float64)
    plan = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return x, weight, bias, {**plan, "output_padding": extra}


@given(transposed())
@CASES
def test_transposed_convolution(case: tuple[Tensor, Tensor, Tensor, dict]) -> None:
    x, weight, bias, plan = case

    def by_torch(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return TRANSPOSE[x.ndim - 2](x, weight, bias, **plan)

    y = ops.conv_transpose(x, weight, bias, **plan)
    torch.testing.assert_close(y, by_torch(x, weight, bias), **EXACT)
    backward = {k: v for k, v in plan.items() if k != "output_padding"}
    check_gradient(
        by_torch,
        [x, weight, bias],
        lambda dy: tuple(ops.conv_transpose_backward(dy, x, weight, **backward)),
    )
    axes = zip(
        *[x.shape[2:], weight.shape[2:], plan["stride"], plan["padding"]],
        *[plan["output_padding"], plan["dilation"]],
        strict=True,
    )
    assert list(y.shape[2:]) == [
        ops.transposed_size(n, k, stride=s, padding=p, output_padding=e, dilation=d)
        for n, k, s, p, e, d in axes
    ]


@given(transposed())
@CASES
def test_transposed_convolution_is_the_transposed_matrix(
    case: tuple[Tensor, Tensor, Tensor, dict],
) -> None:
    """Lecture 004, section 3.6: the matrix of the convolution from y to x, transposed, takes x to
    y."""
    x, weight, _, plan = case
    # torch also allows up to dilation - 1 pixels more, which one more window would see
    assume(all(e < s for e, s in zip(plan["output_padding"], plan["stride"], strict=True)))
    y = ops.conv_transpose(x, weight, **plan)
    plan = {k: v for k, v in plan.items() if k != "output_padding"}
    matrix = ops.conv_transpose_matrix(weight, y.shape[2:], **plan)
    by_matrix = torch.from_numpy(matrix @ x[0].flatten().numpy()).reshape(y.shape[1:])
    torch.testing.assert_close(by_matrix, y[0], **EXACT)


def test_transposed_matrix_is_no_inverse() -> None:
    weight = torch.randn(1, 1, 3, 3, dtype=torch.float64)
    matrix = ops.conv_matrix(weight, [4, 4]).toarray()
    assert matrix.shape == (4, 16)
    both = matrix.T @ matrix
    assert np.linalg.matrix_rank(both) == 4, "4 numbers cannot hold 16"
    assert not np.allclose(both, np.eye(16))


x4 = torch.zeros(1, 3, 4, 4)
FAULTS = {
    "pool axes": (lambda: ops.max_pool(x4[0, 0], 2), r"pooling needs x \(N, C, \*size\)"),
    "pool padding": (lambda: ops.mean_pool(x4, 2, padding=2), r"at most half the kernel"),
    "pool kernel": (lambda: ops.max_pool(x4, 5), r"fits nowhere in \(4, 4\)"),
    "maxout": (lambda: ops.maxout(x4, 2), r"pool must divide the channels, got pool=2 for 3"),
    "unpool": (
        lambda: ops.max_unpool(x4, torch.full((1, 3, 4, 4), 16), (4, 4)),
        r"up to 16 for 16 pixels",
    ),
    "factor": (lambda: ops.nearest(x4, (2, 2, 2)), r"factor must be one integer or 2"),
    "transpose depth": (
        lambda: ops.conv_transpose(x4, torch.zeros(2, 1, 2, 2)),
        r"lists input channels first",
    ),
    "transpose crop": (
        lambda: ops.conv_transpose(x4, torch.zeros(3, 1, 1, 1), padding=2),
        r"leave nothing of \(4, 4\)",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_say_what_and_how(name: str) -> None:
    call, message = FAULTS[name]
    with pytest.raises(UsageError, match=message):
        call()
