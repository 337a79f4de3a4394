"""Networks and calls of public reports about tools that do the same work, made small: right, or refused with what helps.

Each case names its report. What is right comes from loops over the plain module in double precision, written here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.attribution import explain, gradient, occlusion_map
from striate.errors import GeometryError, UsageError
from striate.geometry import trace
from striate.inference.dense import dense
from striate.inference.incremental import Incremental, occlusion
from striate.inference.tiled import tiled

DOUBLE = torch.float64
EXACT = 1e-10  # of the largest value


def picture(*shape: int) -> Tensor:
    return torch.rand(shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))


class Block(nn.Module):
    """A function of its parts and the image."""

    def __init__(self, f: Callable[..., Any], *parts: nn.Module) -> None:
        super().__init__()
        self.f, self.parts = f, nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Any:
        return self.f(x, *self.parts)


def conv(inside: int = 3, outside: int = 4) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, padding=1)


def made(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().double().eval()


def leaves(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    else:
        for part in output.values() if isinstance(output, dict) else output:
            yield from leaves(part)


def assert_equal(got: Any, want: Any) -> None:
    pairs = list(zip(leaves(got), leaves(want), strict=True))
    assert pairs
    for a, b in pairs:
        assert a.shape == b.shape
        assert float((a - b).detach().abs().max()) <= EXACT * float(b.detach().abs().max())


def pyramid_heads(
    x: Tensor, a: nn.Module, b: nn.Module, head: nn.Module
) -> dict[str, list[Tensor]]:
    """Project-MONAI/MONAI#3777: several results, each of another size than the image."""
    fine = a(x).relu()
    return {"classes": [head(fine), head(b(fine).relu())], "fine": [fine]}


def valid_branches(x: Tensor, first: nn.Module, second: nn.Module) -> dict[str, Tensor]:
    """Project-MONAI/MONAI#6320: HoVer-Net's branches without padding, cropped to each other."""
    e = first(x).relu()
    d = second(F.interpolate(F.max_pool2d(e, 2), scale_factor=2))
    return {"np": torch.cat([e[:, :, 2 : 2 + d.shape[2], 2 : 2 + d.shape[3]], d], 1), "hv": d}


def rotated(x: Tensor, f: nn.Module) -> Tensor:
    """deepbeepmeep/Wan2GP#2367: positions divided by the size of the grid, which tiles run alone get wrong."""
    a, b = f(x).chunk(2, 1)
    h, w = x.shape[2:]
    angle = torch.arange(w, dtype=x.dtype) / w * torch.pi
    rows = torch.linspace(-1, 1, h, dtype=x.dtype)[:, None]
    return (
        torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], 1) * rows
    )


def generator() -> nn.Module:
    """junyanz/CycleGAN#32: instance norm, whose statistics must be those of the whole image."""
    return nn.Sequential(
        nn.ReflectionPad2d(3), nn.Conv2d(3, 4, 7), nn.InstanceNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, 2, 1),
        nn.InstanceNorm2d(6), nn.ReLU(), nn.ConvTranspose2d(6, 3, 3, 2, 1, output_padding=1), nn.Tanh(),
    )  # fmt: skip


def group_norms(x: Tensor, first: nn.Module, norm: nn.Module, last: nn.Module) -> Tensor:
    """YingqingHe/ScaleCrafter#2: a decoder whose tiles must share the statistics of group norms."""
    return last(F.silu(norm(F.interpolate(first(x), scale_factor=2.0))))


TILED: dict[str, Callable[[], nn.Module]] = {
    "MONAI#3777": lambda: Block(pyramid_heads, nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1), conv(4, 6)),
    "MONAI#6320": lambda: Block(valid_branches, nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 5)),
    "Wan2GP#2367": lambda: Block(rotated, conv()),
    "CycleGAN#32": generator,
    "ScaleCrafter#2": lambda: Block(group_norms, conv(), nn.GroupNorm(2, 4), conv(4, 3)),
    "Real-ESRGAN#211": lambda: nn.Sequential(nn.PixelUnshuffle(2), conv(12, 48), nn.Hardswish(), nn.PixelShuffle(4)),
    "TRADES#3": lambda: nn.Sequential(Block(lambda x: (x - x.mean()) / x.std()), conv()),
    "rows by a table": lambda: Block(lambda x, f: f(x)[:, :, torch.arange(x.shape[2]).flip(0)], conv()),
    "the largest of the channels": lambda: Block(
        lambda x, f: torch.cat([f(x).topk(2, 1)[0], f(x).kthvalue(2, 1, True)[0]], 1), conv()),
}  # fmt: skip


@pytest.mark.parametrize("name", TILED)
def test_tiled(name: str) -> None:
    module, x = made(TILED[name]), picture(1, 3, 22, 30)
    with torch.no_grad():
        want = module(x)
    got, certificate = tiled(module, x, tile=8, certificate=True)
    assert certificate.tiles > 1
    assert_equal(got, want)


def test_volumes_are_cut_into_slices_of_one_voxel() -> None:
    """Project-MONAI/MONAI#906: tiles of one voxel along an axis gave NaN; wolny/pytorch-3dunet's order of layers."""
    first, last = nn.Conv3d(1, 3, 3, padding=1), nn.Conv3d(3, 2, (3, 3, 1))
    module = made(lambda: nn.Sequential(nn.GroupNorm(1, 1), first, nn.ReLU(), last))
    x = picture(1, 1, 8, 9, 4)
    for arguments in ({"tile": (4, 4, 1)}, {}):
        with pytest.raises(UsageError, match="for a volume give axes=3"):
            tiled(module, x, **arguments)
    assert_equal(tiled(module, x, tile=(4, 4, 1), axes=3), module(x))
    with pytest.raises(UsageError, match="axes is how many axes of positions"):
        tiled(module, x, axes=0)


def test_tiles_are_whole_pixels() -> None:
    """roboflow/supervision#1415: a tile of half the image and a tenth."""
    with pytest.raises(UsageError, match=r"whole number of pixels from 1.* got \(11\.0"):
        tiled(nn.Conv2d(3, 4, 3), torch.rand(1, 3, 20, 20), tile=(10 * 1.1, 10 * 1.1))  # type: ignore[arg-type]


def test_statistics_of_one_image_stay_after_eval() -> None:
    """pytorch/functorch#273: a batch norm that keeps no statistics; what the refusal says to do works."""
    module = made(
        lambda: nn.Sequential(conv(), nn.BatchNorm2d(4, track_running_stats=False))
    ).train()
    x = picture(1, 3, 20, 22)
    with pytest.raises(GeometryError, match=r"call module\.eval\(\) first"):
        tiled(module, x, tile=8)
    assert_equal(tiled(module.eval(), x, tile=8), module(x))


class Attention(nn.Module):
    """Positions that attend to each other. images_first: how the layer was made; given: how it is called."""

    def __init__(self, images_first: bool, given: bool, weights: bool) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 3)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=images_first)
        self.given, self.weights = given, weights

    def forward(self, x: Tensor) -> Tensor:
        t = self.first(x).flatten(2).permute((0, 2, 1) if self.given else (2, 0, 1))
        t = t + self.attention(t, t, t, need_weights=self.weights)[0]
        scores: Tensor = self.last(t.mean(1 if self.given else 0))
        return scores


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("images_first", [False, True])
def test_attention_runs_on_many_images_at_once(images_first: bool, weights: bool) -> None:
    """Images go with the heads, (T, N, C) as (T, N * heads, C / heads), so they need not run one by one."""
    module, x = made(lambda: Attention(images_first, images_first, weights)), picture(1, 3, 16, 20)
    session = Incremental(module, x)
    assert not session.alone
    assert_equal(session.scores([((0, 4), (4, 8)), ((2, 9), (3, 5))], 0.0, 1), torch.stack([
        hidden(module, x, 0, 4, 4, 8)[0, 1], hidden(module, x, 2, 9, 3, 5)[0, 1]
    ]))  # fmt: skip


def hidden(module: nn.Module, x: Tensor, top: int, bottom: int, left: int, right: int) -> Tensor:
    changed = x.clone()
    changed[:, :, top:bottom, left:right] = 0
    with torch.no_grad():
        output: Tensor = module(changed)
    return output


def drops(
    module: nn.Module, x: Tensor, at: Callable[[Tensor], Tensor], patch: int, stride: int
) -> Tensor:
    rows, columns = ((n - patch) // stride + 1 for n in x.shape[2:])
    clean = at(hidden(module, x, 0, 0, 0, 0))
    return torch.stack([
        torch.stack([
            clean - at(hidden(module, x, r * stride, r * stride + patch, c * stride, c * stride + patch))
            for c in range(columns)
        ])
        for r in range(rows)
    ])  # fmt: skip


def strips(x: Tensor, f: nn.Module, attention: nn.Module, last: nn.Module) -> Tensor:
    """aipixel/AEMatter#3: windows come first and the layer takes them for the sequence, so that windows are mixed."""
    y = f(x)
    n, c, h, w = y.shape
    t = y.reshape(n, c, h // 4, 4, w).permute(0, 2, 3, 4, 1).reshape(n * (h // 4), 4 * w, c)
    t = attention(t, t, t)[0].reshape(n, h // 4, 4, w, c).permute(0, 4, 1, 2, 3)
    scores: Tensor = last(t.amax((2, 3, 4)))
    return scores


def cells(x: Tensor, cell: nn.Module, last: nn.Module) -> Tensor:
    """pytorch/pytorch#59530: a loop over an LSTM cell with the number of images written down."""
    state = x.new_zeros(1, 5), x.new_zeros(1, 5)
    for i in range(x.shape[3]):
        state = cell(x[..., i].flatten(1), state)
    scores: Tensor = last(state[0])
    return scores


def head() -> tuple[nn.Module, ...]:
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)


# A network and where its score stands in what it returns for one image.
TOGETHER: dict[str, tuple[Callable[[], nn.Module], Callable[[Tensor], Tensor]]] = {
    "AEMatter#3": (lambda: Block(strips, conv(), nn.MultiheadAttention(4, 2), nn.Linear(4, 3)), lambda y: y[0, 1]),
    "OmDet#19": (lambda: Attention(False, True, True), lambda y: y[0, 1]),
    "pytorch#59530": (lambda: Block(cells, nn.LSTMCell(36, 5), nn.Linear(5, 3)), lambda y: y[0, 1]),
    "PAL4VST#5, a 1 written down": (
        lambda: Block(lambda x, f, g: g(f(x).reshape(1, 4, -1).mean(2)), conv(), nn.Linear(4, 3)), lambda y: y[0, 1]),
    "facenet#278, normalised over images": (
        lambda: nn.Sequential(conv(), *head(), Block(lambda x: F.normalize(x, dim=0))), lambda y: y[0, 1]),
    "TRADES#3, standardised over images": (
        lambda: nn.Sequential(Block(lambda x: (x - x.mean()) / x.std()), conv(), *head()), lambda y: y[0, 1]),
    "Person_reID#77, squeezed": (lambda: nn.Sequential(conv(), *head(), Block(torch.squeeze)), lambda y: y[1]),
    "captum#173, one mean for all images": (
        lambda: nn.Sequential(conv(), *head(), Block(lambda x: x.mean(0))), lambda y: y[1]),
}  # fmt: skip


@pytest.mark.parametrize("name", TOGETHER)
def test_occluded_images_run_together(name: str) -> None:
    make, at = TOGETHER[name]
    module, x = made(make), picture(1, 3, 12, 16)
    want = drops(module, x, at, 4, 4)
    assert_equal(occlusion(module, x, 1, patch=4, stride=4), want)
    # Patches side by side: each pixel is hidden once.
    blocks = want.repeat_interleave(4, 0).repeat_interleave(4, 1)
    assert_equal(occlusion_map(module, x, 1, patch=4, stride=4), blocks)


def test_a_classifier_that_drops_the_dimension_of_images_is_explained() -> None:
    """open-edge-platform/anomalib#2883: squeeze() of one image; the same maps as of the network without it."""
    plain = made(lambda: nn.Sequential(conv(), nn.ReLU(), *head()))
    bare = nn.Sequential(plain, Block(torch.squeeze)).eval()
    x = picture(1, 3, 12, 16)
    assert_equal(gradient(bare, x, 1), gradient(plain, x, 1))
    chosen = ["gradient", "integrated-gradients", "occlusion"]
    a, b = (explain(m, x, methods=chosen, orders=2) for m in (bare, plain))
    assert a.target == b.target
    assert a.probability == b.probability
    for method in chosen:
        assert_equal(a.maps[method].values, b.maps[method].values)
        np.testing.assert_allclose(a.curves[method].deletion, b.curves[method].deletion, rtol=1e-6)


@pytest.mark.parametrize("target", [None, 1.5, "cat", torch.tensor(1.0), (None,), {1}], ids=repr)
def test_a_target_that_is_none_is_refused(target: Any) -> None:
    module, x = made(lambda: nn.Sequential(conv(), *head())), picture(1, 3, 12, 16)
    with pytest.raises(UsageError, match="target is"):
        occlusion(module, x, target, patch=4, stride=4)


def test_the_predicted_class_is_a_target_as_it_comes() -> None:
    """meta-pytorch/captum#1022: targets are what argmax gives, in torch or NumPy."""
    module, x = made(lambda: nn.Sequential(conv(), *head())), picture(1, 3, 12, 16)
    best = module(x).argmax()
    want = drops(module, x, lambda y: y[0, int(best)], 4, 4)
    for target in (best, module(x).argmax(1), np.int64(int(best))):
        assert_equal(occlusion(module, x, target, patch=4, stride=4), want)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_a_network_in_double_precision_is_occluded_in_less(dtype: torch.dtype) -> None:
    module, x = made(lambda: nn.Sequential(conv(), nn.ReLU(), *head())), picture(1, 3, 12, 16)
    want = drops(module, x, lambda y: y[0, 1], 4, 4)
    got = occlusion(module, x, 1, patch=4, stride=4, dtype=dtype)
    assert float((got - want).abs().max()) < 0.1 * float(want.abs().max())


def overfeat() -> nn.Module:
    """BVLC/caffe#189: poolings of 2 and of 3, so that a stride of 1 needs each offset of both."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3), nn.MaxPool2d(3), nn.Flatten(), nn.Linear(5, 3)
    )  # fmt: skip


def descriptor(x: Tensor, f: nn.Module) -> Tensor:
    """DagnyT/hardnet#7: each patch is standardised by its own mean and spread, its descriptor by its own length."""
    flat = x.view(x.size(0), -1)
    mean, spread = flat.mean(1), flat.std(1) + 1e-7
    y = f((x - mean[:, None, None, None]) / spread[:, None, None, None]).flatten(1)
    return y / y.square().sum(1, keepdim=True).add(1e-10).sqrt()


def squeezed(x: Tensor, f: nn.Module, gate: nn.Module) -> Tensor:
    """megvii-research/TLC#24: global pooling in the middle is that of the patch, not of the image."""
    y = f(x)
    return (y * gate(y.mean((2, 3), True)).sigmoid()).amax((2, 3))


def faces() -> nn.Module:
    """DuinoDu/mtcnn#18: a pooling with ceil_mode, and two results."""
    pre = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.PReLU(4), nn.MaxPool2d(2, 2, ceil_mode=True), nn.Conv2d(4, 6, 3)
    )
    return Block(
        lambda x, f, a, b: (b(f(x)), a(f(x)).softmax(1)),
        pre,
        nn.Conv2d(6, 2, 3),
        nn.Conv2d(6, 4, 3),
    )


DENSE: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "caffe#189": (overfeat, 15, 1),
    "caffe#189, stride 3": (overfeat, 15, 3),
    "hardnet#7": (lambda: Block(descriptor, nn.Conv2d(3, 4, 3, 2, 1)), 8, 3),
    "TLC#24": (lambda: Block(squeezed, conv(), nn.Conv2d(4, 4, 1)), 9, 2),
    "mtcnn#18, one of its results": (lambda: Block(lambda x, f: f(x)[1], faces()), 12, 1),
    "densenet#367": (
        lambda: Block(lambda x, f, g: g(F.avg_pool2d(f(x), x.shape[2:]).flatten(1)), conv(), nn.Linear(4, 3)), 9, 2),
    "vision#1534": (
        lambda: nn.Sequential(nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(147, 2)), 10, 2),
    "the largest of a patch": (lambda: Block(lambda x, f: f(x).flatten(2).topk(3, 2)[0].mean(2), conv()), 8, 3),
}  # fmt: skip


@pytest.mark.parametrize("name", DENSE)
def test_dense(name: str) -> None:
    make, window, stride = DENSE[name]
    module, x = made(make), picture(1, 3, 19, 22)
    rows, columns = (range(0, n - window + 1, stride) for n in x.shape[2:])
    with torch.no_grad():
        want = torch.stack([
            torch.stack([module(x[:, :, r : r + window, c : c + window].contiguous()).flatten() for c in columns], -1)
            for r in rows
        ], -2)  # fmt: skip
    assert_equal(dense(module, x, window=window, stride=stride)[0], want)


def test_dense_says_what_makes_a_classifier_of_other_networks() -> None:
    """DuinoDu/mtcnn#18 and chail/patch-forensics#4: two results, and a map; what the refusals say to do works."""
    x = picture(1, 3, 19, 22)
    with pytest.raises(UsageError, match=r"return self\.network\(x\)\[0\]"):
        dense(made(faces), x, window=12, stride=2)
    assert dense(made(lambda: Block(lambda y, f: f(y)[0], faces())), x, window=12).shape == (
        1,
        4,
        8,
        11,
    )
    maps = made(lambda: nn.Sequential(conv(), nn.ReLU(), conv(4, 2)))
    with pytest.raises(UsageError, match="mean over positions, or tiled runs"):
        dense(maps, x, window=12)
    assert dense(nn.Sequential(maps, Block(lambda y: y.mean((2, 3)))), x, window=12).shape == (
        1,
        2,
        8,
        11,
    )
    assert_equal(tiled(maps, x, tile=8), maps(x))


def test_images_are_not_standardised_with_each_other() -> None:
    """yaodongyu/TRADES#3: the answer depends on what else is in the batch; an image is what it is alone, or refused."""
    module = made(TILED["TRADES#3"])
    with pytest.raises(GeometryError, match="mixes the images of a batch, so 2 images"):
        tiled(module, picture(2, 3, 22, 30), tile=8)


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_scripts_optimised_for_inference_are_called_so() -> None:
    script = torch.jit.optimize_for_inference(
        torch.jit.script(nn.Sequential(conv(), nn.ReLU()).eval())
    )
    with pytest.raises(GeometryError, match="use the network as it was before it was optimised"):
        trace(script, (1, 3, 12, 12))


def test_windows_drawn_at_random_are_fixed_where_the_layer_is_made() -> None:
    module = made(
        lambda: nn.Sequential(conv(), nn.FractionalMaxPool2d(2, output_size=(4, 5)), *head())
    )
    x = picture(1, 3, 12, 16)
    with pytest.raises(UsageError, match=r"made with _random_samples=torch\.rand\(1, C, 2\)"):
        occlusion(module, x, 1, patch=4, stride=4)
    fixed = nn.FractionalMaxPool2d(2, output_size=(4, 5), _random_samples=picture(1, 4, 2))
    module[1] = fixed  # type: ignore[index]
    assert_equal(
        occlusion(module, x, 1, patch=4, stride=4), drops(module, x, lambda y: y[0, 1], 4, 4)
    )


class Einsum(nn.Module):
    """Lyken17/pytorch-OpCounter#174."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(6, 3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bchw,dc->bdhw", x, self.w)


class Shared(nn.Module):
    """TylerYep/torchinfo#322: one module under two names, and one that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(conv(), nn.BatchNorm2d(4))
        self.layers, self.extra = nn.ModuleList([self.backbone, self.backbone[0]]), nn.Linear(9, 9)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.backbone(x)
        return y


def tokens() -> nn.Module:
    """TylerYep/torchinfo#226: the products of attention count, and the weights inside it."""
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
    return Block(lambda x, f, g: g(f(x).flatten(2).transpose(1, 2)), nn.Conv2d(3, 8, 4, 4), block)


# Multiply-adds and parameters, by hand.
COUNTED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int, int]] = {
    "pytorch-OpCounter#174": (Einsum, (1, 3, 4, 5), 20 * 18, 18),
    "torchinfo#322": (Shared, (1, 3, 8, 10), 80 * 4 * 27, 112 + 8 + 90),
    "torchinfo#39": (lambda: nn.Sequential(nn.Sequential(conv(4), conv(4))), (1, 4, 6, 6), 2 * 36 * 144, 296),
    "torchinfo#72": (lambda: nn.Conv2d(3, 5, (3, 2), (2, 1), (1, 0)), (1, 3, 9, 11), 50 * 5 * 18, 95),
    "torchinfo#77": (lambda: nn.Linear(3, 8), (5, 100, 7, 3), 3500 * 24, 32),
    "torchinfo#226": (
        tokens, (1, 3, 12, 12), 9 * 8 * 48 + 9 * 8 * 24 + 2 * 9 * 9 * 8 + 9 * 64 + 2 * 9 * 8 * 16,
        392 + 216 + 72 + 144 + 136 + 32),
    "calculate-flops#35": (lambda: Block(lambda x: (x @ x.transpose(1, 2) + 1) * 2), (2, 4, 5), 2 * 16 * 5, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTED)
def test_counts(name: str) -> None:
    make, shape, macs, params = COUNTED[name]
    geometry = trace(made(make), torch.empty(shape, dtype=DOUBLE))
    assert (geometry.total_macs, geometry.total_params) == (macs, params)


FIELDS: dict[str, Callable[[], nn.Module]] = {
    "torch-scan#27": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, dilation=2, padding=2), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, (1, 2), dilation=(3, 1))),
    "pytorch-receptive-field#6": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, dilation=4), nn.AvgPool2d(3, 2, 1), nn.Conv2d(4, 2, 2, dilation=3)),
    "thop#148, uneven windows": lambda: nn.AdaptiveAvgPool2d(5),
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_fields(name: str) -> None:
    module, x = made(FIELDS[name]), picture(1, 3, 33, 37).requires_grad_()
    y = module(x)
    middle = [n // 2 for n in y.shape[2:]]
    y[:, :, middle[0], middle[1]].sum().backward()
    assert x.grad is not None
    seen = x.grad.abs().sum((0, 1)) > 0
    box = tuple(
        (int(at[0]), int(at[-1]) + 1) for at in (seen.any(1).nonzero(), seen.any(0).nonzero())
    )
    # The gradient of a maximum reaches one of its pixels, so it can be smaller.
    found = trace(module, x.detach()).receptive_field(-1, middle).box
    inside = all(a >= c and b <= d for (a, b), (c, d) in zip(box, found, strict=True))  # type: ignore[misc]
    assert inside if "scan" in name else box == found
