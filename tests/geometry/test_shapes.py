"""The short cuts of the trace give what torch's own meta kernels give."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor

from striate.geometry.shapes import FAST, UNARY

aten = torch.ops.aten


def tensor(*shape: int, dtype: torch.dtype = torch.float32, transposed: bool = False) -> Tensor:
    made = torch.empty(shape, device="meta", dtype=dtype)
    return made.transpose(0, -1) if transposed and len(shape) > 1 else made


def cases(rng: random.Random) -> list[tuple[Any, tuple[Any, ...], dict[str, Any]]]:
    n, c, h, w = (rng.randint(1, 5) for _ in range(4))
    x, last = tensor(n, c, h, w), tensor(n, h, w, c)
    strange = tensor(w, h, c, n, transposed=True)
    vector = tensor(c)
    half = tensor(n, c, h, w, dtype=torch.float16)
    sliced = tensor(n, c, h, w + 1)[..., 1:]
    small = tensor(1, c, 1, 1)
    found: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []
    for v in (x, strange, half, sliced, x.long()):
        for name in UNARY:
            more: tuple[Any, ...] = {
                "clamp": (0.0, 1.0),
                "clamp_min": (0.0,),
                "clamp_max": (1.0,),
            }.get(name, ())
            found.append((getattr(aten, name).default, (v, *more), {}))
            if hasattr(aten, f"{name}_"):
                found.append((getattr(aten, f"{name}_").default, (v.clone(), *more), {}))
        found.append((aten.clone.default, (v,), {}))
        found += [
            (aten._softmax.default, (v, -1, False), {}),
            (aten.mean.dim, (v, [2, 3], rng.random() < 0.5), {}),
            (aten.mean.dim, (v, [-1]), {}),
            (aten.sum.dim_IntList, (v, [1, 3], True), {}),
            (aten.amax.default, (v, [1]), {}),
            (aten.linalg_vector_norm.default, (v, 2, [-1], True), {}),
            (aten.roll.default, (v, [1], [2]), {}),
            (aten._log_softmax.default, (v, 1, False), {}),
            (
                aten.native_group_norm.default,
                (v, None, None, *v.shape[:2], v.shape[2] * v.shape[3], 1, 1e-5),
                {},
            ),
            (aten.clone.default, (v,), {"memory_format": torch.contiguous_format}),
            (aten.cat.default, ([v, v], rng.randint(-4, 3)), {}),
            (aten.cat.default, ([v, x], 1), {}),
            (aten.native_layer_norm.default, (v, [v.shape[-1]], None, None, 1e-5), {}),
        ]
        for y in (x, small, strange, half, sliced, 2.0, 3, True, tensor(w)):
            found += [(op, (v, y), {}) for op in (aten.add.Tensor, aten.mul.Tensor)]
            if isinstance(y, Tensor):
                found += [(aten.add_.Tensor, (v.clone(), y), {})]
    for training in (True, False):
        found.append(
            (
                aten.native_batch_norm.default,
                (x, vector, vector, vector, vector, training, 0.1, 1e-5),
                {},
            )
        )
    found += [
        (aten.native_layer_norm.default, (last, [c], vector, vector, 1e-5), {}),
        (aten.addmm.default, (vector, tensor(h, w), tensor(w, c)), {}),
        (aten.addmm.default, (vector, tensor(h, w), tensor(c, w).t()), {}),
        (aten.addmm.default, (tensor(h, c), tensor(h, w), tensor(w, c)), {}),
        (aten.bmm.default, (tensor(n, h, w), tensor(n, w, c)), {}),
        (aten._unsafe_view.default, (x, [n * c, h * w]), {}),
        (aten._unsafe_view.default, (x, [n, -1]), {}),
    ]
    return found


def convolutions(rng: random.Random) -> list[tuple[Any, tuple[Any, ...], dict[str, Any]]]:
    found: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []
    for _ in range(40):
        axes, groups, turned = rng.randint(1, 3), rng.choice((1, 1, 2, 3)), rng.random() < 0.4

        def drawn(low: int, high: int, axes: int = axes) -> list[int]:
            return [rng.randint(low, high) for _ in range(axes)]

        a, b = groups * rng.randint(1, 3), groups * rng.randint(1, 3)
        kernel, stride, dilation, padding = drawn(1, 4), drawn(1, 3), drawn(1, 2), drawn(0, 2)
        extra = [rng.randint(0, s - 1) if turned else 0 for s in stride]
        shape = (a, b // groups) if turned else (b, a // groups)
        x = tensor(rng.randint(1, 3), a + (rng.random() < 0.1), *drawn(1, 9))
        if axes == 2 and rng.random() < 0.2:
            x = x.contiguous(memory_format=torch.channels_last)
        bias = rng.choice((None, tensor(b), tensor(b + 1)))
        weight = tensor(*shape, *kernel)
        found.append(
            (
                aten.convolution.default,
                (x, weight, bias, stride, padding, dilation, turned, extra, groups),
                {},
            )
        )
    return found


def poolings(rng: random.Random) -> list[tuple[Any, tuple[Any, ...], dict[str, Any]]]:
    """Windows of pooling: those that fit, and some that do not."""
    found: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []
    for _ in range(60):
        kernel, stride = [rng.randint(1, 5) for _ in "ab"], [rng.randint(1, 4) for _ in "ab"]
        padding, dilation = [rng.randint(0, 2) for _ in "ab"], [rng.randint(1, 3) for _ in "ab"]
        if rng.random() < 0.3:
            kernel, padding = kernel[:1], padding[:1]
        shape = (rng.randint(1, 2), rng.randint(1, 3), rng.randint(1, 12), rng.randint(1, 12))
        x, ceil = tensor(*shape), rng.random() < 0.5
        if rng.random() < 0.2:
            x = x.contiguous(memory_format=torch.channels_last)
        stride = stride if rng.random() < 0.8 else []
        op = aten.max_pool2d_with_indices.default
        found.append((op, (x, kernel, stride, padding, dilation, ceil), {}))
        found.append((op, (x, kernel, stride), {}))
        op = aten.avg_pool2d.default
        found.append((op, (x, kernel, stride, padding, ceil, True, rng.choice((None, 3))), {}))
        found.append((op, (x, kernel), {}))
    return found


@pytest.mark.parametrize("seed", range(8))
def test_short_cuts_of_pooling_agree_with_torch(seed: int) -> None:
    answered = 0
    for op, args, kwargs in poolings(random.Random(seed)):
        short = FAST[op](args, kwargs)
        try:
            want = op(*args, **kwargs)
        except RuntimeError:
            assert short is None, (op, args)
            continue
        if short is not None:
            assert facts(short) == facts(want), (op, args)
            real = op(torch.zeros(args[0].shape), *args[1:])
            assert [f[0] for f in facts(real)] == [f[0] for f in facts(short)]
            answered += 1
    assert answered > 60


def facts(made: Any) -> list[tuple[Any, ...]]:
    made = made if isinstance(made, tuple) else (made,)
    return [(tuple(t.shape), t.dtype, t.stride() if t.numel() else None) for t in made]


@pytest.mark.parametrize("seed", range(12))
def test_short_cuts_agree_with_torch(seed: int) -> None:
    answered = set()
    rng = random.Random(seed)
    for op, args, kwargs in cases(rng) + convolutions(rng):
        short = FAST[op](args, kwargs)
        try:
            want = op(*args, **kwargs)
        except (RuntimeError, NotImplementedError, ValueError):
            assert short is None, (op, args)
            continue
        if short is None:
            continue
        answered.add(op)
        got, wanted = facts(short), facts(want)
        assert [g[:2] for g in got] == [f[:2] for f in wanted], (op, args)
        # kernels for data return a contiguous layer norm, the meta kernel keeps the input's strides
        if op is aten.convolution.default or (
            op is not aten.native_layer_norm.default and 1 not in got[0][0]
        ):
            assert got[0][2] == wanted[0][2], (op, args)
    assert len(answered) >= 10
