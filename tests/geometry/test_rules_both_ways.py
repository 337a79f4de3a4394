"""Each record computed both ways, from whole inputs and from crops, against the module's own ATen calls in float64.

The values compared with come from the calls as the module makes them, on whole tensors, without a plan; their last ones
are checked against the module itself. Every rule of the table is met by one of the networks below.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from striate.geometry import Box, Geometry, Record, Weights, trace
from striate.geometry.plan import Step, compute, cut
from striate.geometry.rules import RULES
from striate.geometry.rules.site import Whole

SIZE = (11, 8)
EXACT = 1e-11  # of the largest value, in float64

# Names that torch takes apart before a trace sees them, each into operations that are in the table themselves.
COMPOSITE = frozenset(
    {"reshape", "flatten", "unflatten", "swapaxes", "chunk", "contiguous", "concat", "prelu", "dropout",
     "feature_dropout", "max_pool1d", "max_pool2d", "max_pool3d", "max_pool1d_with_indices", "adaptive_avg_pool1d",
     "adaptive_avg_pool2d", "adaptive_max_pool1d", "softmax", "log_softmax", "channel_shuffle", "norm", "std_mean",
     "var_mean", "_reshape_alias", "avg_pool1d", "native_channel_shuffle", "empty_like", "native_dropout", "rand_like",
     "randn_like", "bernoulli", "uniform", "normal_functional", "rrelu_with_noise", "rrelu_with_noise_functional",
     "relu6", "lift_fresh_copy", "lift_fresh"}
)  # fmt: skip


class Lambda(nn.Module):
    """A function as a module, with a submodule if it needs weights."""

    def __init__(self, f: Callable[..., object], *parts: nn.Module) -> None:
        super().__init__()
        self.f, self.parts = f, nn.ModuleList(parts)

    def forward(self, x: Tensor) -> object:
        return self.f(x, *self.parts)


def written(x: Tensor) -> Tensor:
    y = x.clone()
    y[..., 2] = x[..., 5]
    y[:, :, 1:9:3] = 2 * y[:, :, :3]
    y[:, 0, 3:, 2:4] += 1
    return y


def bordered(x: Tensor) -> Tensor:
    y = x.new_zeros(x.shape[0], x.shape[1], x.shape[2] + 3, x.shape[3] + 1)
    y[..., 2:-1, 1:] = x
    y[..., :1, :].add_(1.0)
    return y


def windows(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    x = x[:, :, : h - h % 2].reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 3, 5, 1)
    x = x.reshape(-1, 4, c)
    x = x + x.mean(1, keepdim=True)
    x = x.view(n, h // 2, w // 2, 2, 2, c).permute(0, 5, 1, 3, 2, 4)
    return x.reshape(n, c, h // 2 * 2, w)


def along_rows(x: Tensor, lstm: nn.Module) -> Tensor:
    n, c, h, w = x.shape
    y, _ = lstm(x.permute(0, 2, 3, 1).reshape(n * h, w, c))
    return y.reshape(n, h, w, -1).permute(0, 3, 1, 2)


def attend(x: Tensor, f: nn.Module) -> Tensor:
    """Attention along the columns alone."""
    n, c, h, w = x.shape
    t = x.permute(0, 2, 3, 1).reshape(n * h, w, c)
    q, k, v = f(t).chunk(3, -1)
    return torch.baddbmm(
        torch.zeros(1, 1, 1, dtype=x.dtype), (q @ k.transpose(1, 2)).softmax(-1), v
    ).reshape(n, h, w, c)


def gather(*names: str) -> Callable[[Tensor], tuple[Tensor, ...]]:
    return lambda x: tuple(getattr(torch, n)(x, dim=3) for n in names)


def lines(x: Tensor) -> Tensor:
    """Each row as an image of one axis."""
    return x.permute(0, 2, 1, 3).flatten(0, 1)


C = 4
NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "take one": lambda: Lambda(lambda x: (x[..., 3], x[:, :, -2], x[:, 1], x[..., 3:4], x[:, :, 4, 5])),
    "take some": lambda: Lambda(lambda x: (x[..., 1::2], x[:, :, 2:9:3, ::3], x[:, 1:3], x[..., -3:])),
    "minus one": lambda: Lambda(lambda x: (x - x[..., :1], x[..., :1] - x, x * x[:, :, 3:4], x - x[:, :, 2:3, 4:5])),
    "minus selected": lambda: Lambda(lambda x: (x - x[..., 5].unsqueeze(-1), x + x[:, :, 2, None])),
    "outer": lambda: Lambda(lambda x: x[..., :1] + x[:, :, :1] * x[:, :1]),
    "unbind": lambda: Lambda(lambda x: torch.stack(x.unbind(3)[::-1], 3) + torch.stack(x.unbind(2), 2)),
    "split": lambda: Lambda(lambda x: (*x.split(3, 3), *x.split([5, 6], 2), *x.chunk(2, 1))),
    "unsafe split": lambda: Lambda(lambda x: (
        torch.ops.aten.unsafe_split.Tensor(x, 3, 2)[1],
        torch.ops.aten.unsafe_split_with_sizes.default(x, [2, 6], 3)[1]
    )),
    "stack": lambda: Lambda(lambda x: torch.stack([x, x * 2], 2).flatten(1, 2)),
    "lstm rows": lambda: Lambda(along_rows, nn.LSTM(C, 3, batch_first=True, bidirectional=True)),
    "gru rows": lambda: Lambda(along_rows, nn.GRU(C, 3, batch_first=True)),
    "attend": lambda: Lambda(attend, nn.Linear(C, 3 * C)),
    "written": lambda: Lambda(written),
    "bordered": lambda: Lambda(bordered),
    "windows": lambda: Lambda(windows),
    "repeat": lambda: Lambda(lambda x: (x.repeat(1, 2, 1, 1), x[:, :1].expand(-1, 3, -1, -1))),
    "expand": lambda: Lambda(lambda x: x[..., 2:3].expand(-1, -1, -1, 8) * x),
    "squeeze": lambda: Lambda(lambda x: (x[..., 3:4].squeeze(-1), x[:, :1].squeeze(1), x[:, :, 2:3].squeeze(2))),
    "pick": lambda: Lambda(lambda x: (x[:, torch.tensor([2, 0])], x.index_select(1, torch.tensor([3, 3, 1])),
                                      x[:, :, torch.tensor([4, 0, -1])], x.index_select(3, torch.arange(7, -1, -1)),
                                      x[..., torch.arange(x.shape[3]).add(1).clamp(max=x.shape[3] - 1)])),
    "transpose": lambda: Lambda(lambda x: (x.transpose(2, 3) + x.swapaxes(3, 2), x.flatten(0, 2).t())),
    "tokens": lambda: Lambda(lambda x, f: f(x.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, x.shape[2:]),
                             nn.Linear(C, 5)),
    "square": lambda: Lambda(lambda x: x[:, :, :8] + x[:, :, :8].transpose(2, 3)),
    "table": lambda: Lambda(lambda x: x + torch.linspace(0, 1, 8) * torch.linspace(0, 1, 11)[:, None]),
    "cat": lambda: Lambda(lambda x: (torch.cat([x, x[..., :1], x[..., 2:5]], 3), torch.cat([x, x * 2], 1),
                                     torch.cat([x, torch.ones(len(x), C, 11, 2)], 3))),
    "coordinates": lambda: Lambda(lambda x: torch.cat([x, torch.arange(8.0).expand(len(x), 1, 11, 8)], 1)),
    "copy": lambda: Lambda(lambda x: torch.zeros_like(x).copy_(x[..., :1])),
    "convolve": lambda: nn.Sequential(nn.Conv2d(C, 6, (3, 2), (2, 1), (1, 2), (1, 2)),
                                      nn.Conv2d(6, C, 3, padding=2, dilation=2, groups=2)),
    "transposed": lambda: nn.Sequential(nn.ConvTranspose2d(C, 6, 3, 2, 1, 1, 2), nn.ConvTranspose2d(6, C, 2, 3)),
    "conv 1d": lambda: Lambda(lambda x, f: f(lines(x)), nn.Conv1d(C, 5, 3, padding=1)),
    "batch norm": lambda: nn.BatchNorm2d(C),
    "instance norm": lambda: nn.Sequential(nn.InstanceNorm2d(C, affine=True)),
    "group norm": lambda: nn.GroupNorm(2, C),
    "layer norm": lambda: Lambda(lambda x, f: (f(x.permute(0, 2, 3, 1)), F.layer_norm(x, (8,))), nn.LayerNorm(C)),
    "pads": lambda: Lambda(lambda x: (F.pad(x, (2, -1, -2, 3), value=2.0), F.pad(x, (0, 0, 0, 0, 1, 0)))),
    "reflect": lambda: nn.Sequential(nn.ReflectionPad2d((2, 1, 0, 3)), nn.ReplicationPad2d((1, 2, 3, 0))),
    "reflect 1d": lambda: Lambda(lambda x: [F.pad(lines(x), (2, 1), m) for m in ("reflect", "replicate", "circular")]),
    "circular": lambda: nn.CircularPad2d((2, 1, 0, 3)),
    "roll": lambda: Lambda(lambda x: (x.roll((1, -2), (2, 3)), x.roll(1, 1), x.roll((-1, 3), (2, 2)), x.flip(3), x.flip(1))),
    "max": lambda: nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2, 1, 1, ceil_mode=True)),
    "avg": lambda: nn.Sequential(nn.AvgPool2d(3, 2, 1, True, False), nn.AvgPool2d((2, 1), 1, divisor_override=3)),
    "adaptive": lambda: Lambda(lambda x: (F.adaptive_avg_pool2d(x, (4, 8)), F.adaptive_max_pool2d(x, (3, 5)),
                                          F.adaptive_avg_pool2d(x, 1), F.adaptive_avg_pool2d(x, (1, None)))),
    "shuffle": lambda: nn.Sequential(nn.PixelShuffle(2), nn.PixelUnshuffle(2)),
    "products": lambda: Lambda(lambda x, f: (f(x), torch.mm(x[:, 0].flatten(0, 1), torch.ones(8, 3)),
                                             torch.ones(5, 11) @ x), nn.Linear(8, 3)),
    "gram": lambda: Lambda(lambda x: x @ x.transpose(2, 3)),
    "reduce": lambda: Lambda(gather("mean", "sum", "amax", "amin", "prod", "argmax", "argmin", "logsumexp", "median",
                                    "var", "std", "any", "all", "max", "min")),
    "reduce both": lambda: Lambda(lambda x: (x.mean((2, 3)), x.std((2, 3), keepdim=True) * x, x.argmax(2, True),
                                             torch.linalg.vector_norm(x, dim=(1, 3)), x.amax((1, 2)))),
    "largest": lambda: Lambda(lambda x: (*x.topk(2, 1), *x.topk(3), *x.topk(1, 2, largest=False), x.flatten(2).topk(3)[0],
                                         *x.kthvalue(2), *x.kthvalue(2, 1), *x.round().mode(1), x.mode()[0])),
    "running": lambda: Lambda(lambda x: (*x.cummax(3), *x.cummin(1))),
    "gate": lambda: Lambda(lambda x, f: x * f(x.mean((2, 3), True)).sigmoid(), nn.Conv2d(C, C, 1)),
    "strip": lambda: Lambda(lambda x: x * (x.mean(3, True) + x.mean(2, True)).sigmoid()),
    "along": lambda: Lambda(lambda x: (x.softmax(3), x.log_softmax(2), x.softmax(1), x.cumsum(3), x.cumprod(2),
                                       x.sort(3)[0], x.sort(3)[1], x.logcumsumexp(3))),
    "scaled": lambda: Lambda(lambda x: torch.ops.aten._safe_softmax.default(x, 3)),
    "nearest": lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Upsample((13, 7), mode="nearest-exact")),
    "linear": lambda: nn.Sequential(nn.Upsample((17, 13), mode="bilinear"),
                                    nn.Upsample(scale_factor=1.5, mode="bilinear", align_corners=True)),
    "cubic": lambda: nn.Upsample((17, 5), mode="bicubic"),
    "resize 1d": lambda: Lambda(lambda x: [F.interpolate(lines(x), 13, mode=m)
                                           for m in ("nearest", "nearest-exact", "linear")]),
    "unfold": lambda: Lambda(lambda x: x.unfold(2, 3, 2).unfold(3, 2, 1).sum(-1)),
    "columns": lambda: Lambda(lambda x: F.fold(F.unfold(x, 3, 2, 1, 2) * 2, (11, 8), 3, 2, 1, 2)),
    "glu": lambda: Lambda(lambda x: F.glu(x, 1)),
    "channels": lambda: Lambda(lambda x, f: f(torch.channel_shuffle(x, 2)), nn.PReLU(C)),
    "points": lambda: Lambda(lambda x: [
        F.hardswish(x), F.hardtanh(x), F.leaky_relu(x), F.gelu(x), F.silu(x), F.mish(x), F.softplus(x),
        F.logsigmoid(x), x.erf(), F.elu(x), F.threshold(x, 0.1, 2.0), x.nan_to_num(), x.masked_fill(x > 0, 1.0),
        torch.where(x > 0, x, x[..., :1]), x.float().double(), x.detach(), torch.ops.aten.alias(x), x.clone().fill_(3.0),
        torch.ones_like(x), torch.zeros_like(x).zero_(), torch.full_like(x, 2.0), x.lerp(x[:, :, :1], 0.3),
    ]),
}  # fmt: skip
SOLID: Mapping[str, Callable[[], nn.Module]] = {
    "convolve": lambda: nn.Sequential(nn.Conv3d(C, 4, 3, 2, 1), nn.ConvTranspose3d(4, C, 3, 2)),
    "reflect": lambda: Lambda(lambda x: [F.pad(x, (1, 2, 2, 1, 0, 1), m) for m in ("reflect", "replicate")]),
    "max": lambda: nn.MaxPool3d((2, 3, 2), (1, 2, 1), (1, 1, 0)),
    "avg": lambda: nn.AvgPool3d((2, 3, 2), (1, 2, 1), (1, 1, 0)),
    "adaptive": lambda: Lambda(lambda x: (F.adaptive_avg_pool3d(x, (2, 3, 5)), F.adaptive_max_pool3d(x, (2, 3, 5)))),
    "resize": lambda: Lambda(lambda x: [F.interpolate(x, (7, 13, 9), mode=m)
                                        for m in ("nearest", "nearest-exact", "trilinear")]),
    "take": lambda: Lambda(lambda x: (x - x[:, :, :1], x[..., 2], x[:, :, 1, 3:4] * x[:, :, 0, :1], x.amax((2, 4)))),
}  # fmt: skip
CASES = [(name, make, SIZE) for name, make in NETWORKS.items()]
CASES += [(f"{name} 3d", make, (5, *SIZE)) for name, make in SOLID.items()]


def values_of(geometry: Geometry, module: nn.Module, x: Tensor) -> dict[int, Tensor]:
    """Every value, by the ATen calls on whole tensors."""
    weights = Weights(geometry, module)
    found = dict(zip(geometry.inputs, (x,), strict=True))
    for record in geometry.records:
        if not record.live:
            continue
        for i in record.inputs:
            if i not in found:
                found[i] = weights[i].detach()
        step = step_of(geometry, record, found, (None,) * geometry.axes, x.shape[0])
        found[record.output] = step.call(step.tensors)
    return found


def step_of(
    geometry: Geometry, record: Record, found: Mapping[int, Tensor], box: Box, batch: int,
    boxes: tuple[Box, ...] | None = None,
) -> Step:  # fmt: skip
    inputs = tuple([geometry.values[i] for i in record.inputs])
    boxes = tuple([v.full for v in inputs]) if boxes is None else boxes
    tensors = tuple([
        cut(found[v.index], v.layout, v.full, b, batch) for v, b in zip(inputs, boxes, strict=True)
    ])  # fmt: skip
    out = geometry.values[record.output]
    return Step(record, tensors, boxes, inputs, out, box, batch, torch.device("cpu"))


def some_box(extents: tuple[int | None, ...], rng: random.Random) -> Box:
    sides: list[tuple[int, int] | None] = []
    for n in extents:
        start = rng.randrange(n) if n else 0
        sides.append((start, rng.randint(start + 1, n)) if n else None)
    return tuple(sides)


def around(box: Box, full: Box, rng: random.Random) -> Box:
    """A box that holds another."""
    sides: list[tuple[int, int] | None] = []
    for side, whole in zip(box, full, strict=True):
        if side is None or whole is None:
            sides.append(None)
        elif side[0] >= side[1]:
            sides.append(whole)
        else:
            sides.append((rng.randint(0, side[0]), rng.randint(side[1], whole[1])))
    return tuple(sides)


def apart(got: Tensor, want: Tensor, scale: Tensor) -> float:
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    if got.dtype == torch.bool or not got.numel():
        return float((got != want).any())
    top = scale.double().abs().nan_to_num(posinf=0, neginf=0).max().clamp(min=1e-300)
    off = torch.where(got == want, 0.0, (got.double() - want.double()).abs())
    return float(off.max() / top)


def check(module: nn.Module, shape: tuple[int, ...], seed: int) -> set[str]:
    """Compare all records both ways; the operations that were met by a rule."""
    rng = random.Random(seed)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.5
    geometry, batch = trace(module, x), shape[0]
    with torch.no_grad():
        found = values_of(geometry, module, x)
        leaves = [t for t in pytree.tree_leaves(module(x.clone())) if isinstance(t, Tensor)]
        for leaf, index in zip(leaves, geometry.outputs, strict=True):
            assert index is not None
            assert apart(found[index], leaf, leaf) < EXACT
        met = set()
        for record in geometry.records:
            out = geometry.values[record.output]
            if not record.live or not out.varies:
                continue
            want = found[record.output]
            if isinstance(record.plan, Whole):
                continue
            met.add(record.op)
            place = f"{record.name} {record.plan}"
            whole = compute(step_of(geometry, record, found, out.full, batch))
            assert apart(whole, want, want) < EXACT, place
            for _ in range(8):
                box = some_box(out.extents, rng)
                part = cut(want, out.layout, out.full, box, batch)
                needs = tuple([link.pull(box) for link in record.links])
                inputs = [geometry.values[i] for i in record.inputs]
                step = step_of(geometry, record, found, box, batch, needs)
                assert apart(record.plan.run(step), part, want) < EXACT, (place, box)
                wider = tuple([
                    around(n, v.full, rng) for n, v in zip(needs, inputs, strict=True)
                ])  # fmt: skip
                step = step_of(geometry, record, found, box, batch, wider)
                assert apart(compute(step), part, want) < EXACT, (place, box, wider)
    return met


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(("make", "size"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_record_from_whole_inputs_and_from_crops_is_what_the_module_has(
    make: Callable[[], nn.Module], size: tuple[int, ...], batch: int
) -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    try:
        check(make().eval(), (batch, C, *size), seed=batch)
    finally:
        torch.set_default_dtype(torch.float32)


def test_every_rule_is_met() -> None:
    torch.set_default_dtype(torch.float64)
    met: set[str] = set()
    try:
        for _, make, size in CASES:
            geometry = trace(make().eval(), (1, C, *size))
            met |= {r.op for r in geometry.records if not isinstance(r.plan, Whole)}
    finally:
        torch.set_default_dtype(torch.float32)
    assert set(RULES) - met <= COMPOSITE
