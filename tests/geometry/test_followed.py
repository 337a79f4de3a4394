"""What a trace follows beside plain operations, against the module itself; and what it refuses, with the true reason."""

from __future__ import annotations

import collections
import random
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import striate
from striate.attribution import attribute, explain
from striate.errors import GeometryError, StriateError, UsageError
from striate.geometry import leaves_of, replay, summary, trace

X = torch.rand(
    1, 3, 72, 61, generator=torch.Generator().manual_seed(0)
)  # 4,392 positions: a large constant


class Two(nn.Module):
    """Two convolutions; subclasses say how they run."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Conv2d(channels, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 3, 3, padding=1)

    def both(self, x: Tensor) -> Tensor:
        return self.b(F.relu(self.a(x)))


class Inference(Two):
    @torch.inference_mode()
    def forward(self, x: Tensor) -> Tensor:
        return self.both(x)


class InferenceInside(Two):
    def forward(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            y = F.relu(self.a(x))
        return self.b(y.clone())


class Autocast(Two):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.both(x)


class AutocastDecorated(Two):
    @torch.autocast("cpu", dtype=torch.float16)
    def forward(self, x: Tensor) -> Tensor:
        return self.both(x)


class AutocastOff(Two):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return self.both(x.float())


class NumpyCoordinates(Two):
    def __init__(self) -> None:
        super().__init__(5)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (np.linspace(-1, 1, n) for n in x.shape[-2:])
        grid = np.stack(np.meshgrid(rows, columns, indexing="ij")).astype("float32")
        there = torch.from_numpy(grid).to(x)[None].expand(len(x), -1, -1, -1)
        return self.both(torch.cat([x, there], 1))


CACHE: dict[Any, Tensor] = {}


class GlobalCache(Two):
    def __init__(self) -> None:
        super().__init__(4)

    def forward(self, x: Tensor) -> Tensor:
        size = tuple(x.shape[-2:])
        if size not in CACHE:
            CACHE[size] = torch.linspace(-1, 1, size[1], device=x.device).expand(1, 1, *size)
        return self.both(torch.cat([x, CACHE[size].expand(len(x), -1, -1, -1)], 1))


class HeldCache(GlobalCache):
    def __init__(self) -> None:
        super().__init__()
        self.held = SimpleNamespace(grid=None)

    def forward(self, x: Tensor) -> Tensor:
        if self.held.grid is None or self.held.grid.shape[-2:] != x.shape[-2:]:
            self.held.grid = torch.rand_like(x[:1, :1]) * 0 + 1
        return self.both(torch.cat([x, self.held.grid.expand(len(x), -1, -1, -1)], 1))


class SameDevice(Two):
    def forward(self, x: Tensor) -> Tensor:
        assert x.device == self.a.weight.device, "input and weights on different devices"
        return self.both(x)


class KnownBranch(Two):
    def forward(self, x: Tensor) -> Tensor:
        if self.a.weight.abs().max() * 2 > 100:
            return x
        return self.both(x) * float(self.b.bias.mean().exp())


class Kind(Tensor):
    pass


class Subclass(Two):
    def forward(self, x: Tensor) -> Tensor:
        return self.both(x.as_subclass(Kind)).as_subclass(Tensor)


@dataclass(frozen=True)
class Answer:
    logits: Tensor
    size: tuple[int, ...]
    more: dict[str, Tensor] | None = None


class Named(NamedTuple):
    logits: Tensor
    nothing: None


class ModelOutput(collections.OrderedDict):  # type: ignore[type-arg]
    """As Hugging Face's: entries are attributes too."""

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        super().__setattr__(key, value)


class AsDataclass(Two):
    def forward(self, x: Tensor) -> Answer:
        y = self.both(x)
        return Answer(y, tuple(x.shape), {"twice": y * 2})


class AsNamed(Two):
    def forward(self, x: Tensor) -> Named:
        return Named(self.both(x), None)


class AsModelOutput(Two):
    def forward(self, x: Tensor) -> ModelOutput:
        return ModelOutput(logits=self.both(x))


class AsNamespace(Two):
    def forward(self, x: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.both(x))


FOLLOWED: list[Callable[[], nn.Module]] = [
    Inference, InferenceInside, Autocast, AutocastDecorated, AutocastOff, NumpyCoordinates, GlobalCache,
    HeldCache, SameDevice, KnownBranch, Subclass, AsDataclass, AsNamed, AsModelOutput, AsNamespace,
]  # fmt: skip


def tensors(output: Any) -> list[Tensor]:
    return [t for t in leaves_of(output) if isinstance(t, Tensor)]


def score(output: Any) -> Tensor:
    return tensors(output)[0].float().flatten(1).mean(1)


@pytest.mark.parametrize("make", FOLLOWED, ids=lambda m: m.__name__)
def test_what_is_followed_gives_the_numbers_of_the_module(make: Callable[[], nn.Module]) -> None:
    module = make().eval()
    geometry = trace(module, X)
    assert [layer.macs for layer in geometry if layer.op == "convolution"] == [
        module.a.weight.numel() * 72 * 61, module.b.weight.numel() * 72 * 61,  # type: ignore[union-attr]
    ]  # fmt: skip
    sizes = [a.size for a in list(geometry)[-1].receptive_field if a is not None]
    assert sizes == [5, 5]
    with torch.no_grad():
        expected = module(X)
        for found in (replay(geometry, module, X), striate.tiled(module, X, tile=24)):
            assert type(found) is type(expected)
            for a, b in zip(tensors(found), tensors(expected), strict=True):
                assert a.dtype == b.dtype
                half = b.dtype != torch.float32
                torch.testing.assert_close(
                    a.float(), b.float(), atol=1e-2 if half else 1e-5, rtol=0
                )
        drops = striate.occlusion(module, X[0], score, patch=(30, 20), stride=40)
        for r in range(2):
            for c in range(2):
                y = X.clone()
                y[..., 40 * r : 40 * r + 30, 40 * c : 40 * c + 20] = 0
                drop = score(expected) - score(module(y))
                assert drops[r, c] == pytest.approx(
                    float(drop), abs=2e-3 if make in (Autocast, AutocastDecorated) else 1e-6
                )
    assert "occlusion" in explain(module, X[0], score, methods=["occlusion"], trust=False).maps


def test_what_an_output_holds_besides_tensors_is_kept() -> None:
    module = AsDataclass().eval()
    found = striate.tiled(module, X, tile=24)
    assert found.size == (1, 3, 72, 61)
    torch.testing.assert_close(found.more["twice"], 2 * found.logits)
    other = striate.tiled(AsModelOutput().eval(), X, tile=24)
    assert other["logits"] is other.logits


def test_a_trace_leaves_no_tensor_without_data_in_a_cache() -> None:
    CACHE.clear()
    module = GlobalCache().eval()
    trace(module, X)
    assert not any(t.is_meta for t in CACHE.values())
    assert module(X).device.type == "cpu"
    held = HeldCache()
    trace(held, X)
    assert held.held.grid is None


def test_constants_are_equal_where_their_numbers_are() -> None:
    one, two = (trace(NumpyCoordinates(), (n, 3, 72, 61)) for n in (1, 2))
    data = [[v.data for v in g.values if v.data is not None] for g in (one, two)]
    assert data[0] == data[1]
    assert len(data[0]) == 1
    other = [v.data for v in trace(NumpyCoordinates(), (1, 3, 72, 60)).values if v.data is not None]
    assert other != data[0]


class Lazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = (
            nn.LazyConv2d(4, 3),
            nn.LazyBatchNorm2d(),
            nn.LazyLinear(5),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.conv(x)).flatten(1))


def test_lazy_layers_that_were_never_run_are_traced_and_stay_lazy() -> None:
    module = Lazy().eval()
    before = torch.get_rng_state()
    geometry = trace(module, (1, 3, 8, 8))
    assert geometry.total_params == (3 * 4 * 9 + 4) + 2 * 4 + (4 * 36 * 5 + 5)
    assert [x.out_shape for x in geometry] == [(1, 4, 6, 6), (1, 4, 6, 6), (1, 5)]
    assert isinstance(module.conv, nn.LazyConv2d)
    assert module.conv.has_uninitialized_params()
    assert torch.equal(before, torch.get_rng_state())
    x = torch.rand(1, 3, 8, 8)
    for use in (
        lambda: striate.tiled(module, x),
        lambda: striate.occlusion(module, x[0], 1, patch=4, stride=4),
        lambda: explain(module, x[0]),
        lambda: striate.dense(module, x, window=8),
    ):
        with pytest.raises(
            UsageError, match=r"conv\.weight has no numbers yet.*call module\(x\) once"
        ):
            use()
    module(x)  # the remedy
    assert striate.occlusion(module, x[0], 1, patch=4, stride=4).shape == (2, 2)
    assert type(module.conv) is nn.Conv2d


class Chancy(Two):
    def __init__(self, how: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.how = how
        self.generator = np.random.default_rng(0)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.how(self, self.a(x))).mean((2, 3))


def branch(m: nn.Module, y: Tensor) -> Tensor:
    return y * 2 if torch.rand(1) < 0.5 else y


CHANCE: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "dropout": lambda m, y: F.dropout(y),
    "dropout2d": lambda m, y: F.dropout2d(y, 0.3),
    "alpha dropout": lambda m, y: F.alpha_dropout(y, 0.3, training=True),
    "noise like": lambda m, y: y + torch.randn_like(y),
    "noise": lambda m, y: y + torch.randn(y.shape, device=y.device),
    "rrelu": lambda m, y: F.rrelu(y, training=True),
    "gumbel": lambda m, y: F.gumbel_softmax(y, dim=1),
    "fractional pooling": lambda m, y: F.fractional_max_pool2d(y, 2, output_ratio=(0.5, 0.5)),
    "permutation": lambda m, y: y[:, torch.randperm(4, device=y.device)],
    "attention": lambda m, y: F.scaled_dot_product_attention(y, y, y, dropout_p=0.1),
    "branch": branch,
    "python": lambda m, y: y * random.random(),
    "numpy": lambda m, y: y + torch.from_numpy(np.random.rand(*y.shape[1:]).astype("float32")),
    "kept generator": lambda m, y: y * float(m.generator.random()),
    "new generator": lambda m, y: y * float(np.random.default_rng().random()),
}


@pytest.mark.parametrize("how", CHANCE)
def test_chance_left_on_is_refused_wherever_exactness_is_claimed(how: str) -> None:
    module = Chancy(CHANCE[how]).eval()
    x = X[:, :, :24, :24]
    for use in (
        lambda: striate.tiled(module, x, tile=16),
        lambda: striate.occlusion(module, x[0], 1, patch=8, stride=8),
        lambda: striate.dense(module, x, window=16, stride=8),
        lambda: explain(module, x[0], 1, methods=["occlusion"], trust=False),
    ):
        with pytest.raises(
            StriateError, match="no two runs of the same image agree; evaluation mode does not help"
        ):
            use()


def test_chance_that_evaluation_mode_ends_says_so_and_inert_chance_is_none() -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Dropout(0.5))
    with pytest.raises(
        UsageError, match=r"1\.bernoulli \(Dropout\) draws .*; call module\.eval\(\) first"
    ):
        striate.occlusion(module, X[0], score, patch=8, stride=30)
    inert = Chancy(
        lambda m, y: F.scaled_dot_product_attention(F.rrelu(F.dropout(y, 0.0)), y, y)
    ).eval()
    assert trace(inert, X).chance == ()


class Faulty(Two):
    def __init__(self, how: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Any:
        return self.how(self, self.a(x))


class Twice(torch.autograd.Function):
    pass


@torch.library.custom_op("striate_tests::thrice", mutates_args=())
def thrice(x: Tensor) -> Tensor:
    return x * 3


FAULTS: dict[str, tuple[Callable[[Any, Tensor], Any], str]] = {
    "attribute": (lambda m, y: m.missing(y), r"raised AttributeError: .*missing.*test_followed\.py, line"),
    "key": (lambda m, y: {}["scale"], "raised KeyError: 'scale'"),
    "division": (lambda m, y: y / (1 // 0), "raised ZeroDivisionError"),
    "kinds": (lambda m, y: m.b(y.half()), "should be the same"),
    "item": (lambda m, y: y * y.max().item(), "decides by the data"),
    "tolist": (lambda m, y: y * y.mean((0, 2, 3)).tolist()[0], "decides by the data"),
    "numpy": (lambda m, y: torch.from_numpy(np.abs(y.detach().numpy())), "needs the data itself"),
    "cond": (lambda m, y: torch.cond(y.sum() > 0, lambda t: t.sin(), lambda t: t.cos(), (y,)), "torch's cond.*torch.where"),
    "custom": (lambda m, y: thrice(y), r'register_fake\("striate_tests::thrice"\)'),
    "generator": (lambda m, y: (t for t in [y]), "returns a generator.*return tensors, or a tuple"),
    "distribution": (lambda m, y: torch.distributions.Bernoulli(logits=y, validate_args=False), "returns a Bernoulli"),
}  # fmt: skip


@pytest.mark.parametrize("what", FAULTS)
def test_what_goes_wrong_is_told_as_what_it_is(what: str) -> None:
    how, message = FAULTS[what]
    with pytest.raises(GeometryError, match=message) as caught:
        trace(Faulty(how), X)
    assert "input shape that the network was made for" not in str(caught.value)
    assert "fake" not in str(caught.value).replace("register_fake", "").lower()


def test_missing_arguments_are_named() -> None:
    class Masked(Two):
        def forward(self, x: Tensor, mask: Tensor, *, scale: float = 1.0) -> Tensor:
            return self.both(x) * mask * scale

    with pytest.raises(UsageError, match=r"forward takes \(x, mask, scale\), but missing .*'mask'"):
        trace(Masked(), X)
    assert len(trace(Masked(), {"x": (1, 3, 9, 9), "mask": (1, 1, 9, 9)}).inputs) == 2


@pytest.mark.filterwarnings("ignore")
def test_quantised_networks_are_named_as_such() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 4)).eval()
    try:
        quantised = torch.ao.quantization.quantize_dynamic(module, {nn.Linear})
    except (AttributeError, RuntimeError):
        pytest.skip("this torch has no engine for it")
    with pytest.raises(
        GeometryError, match=r"1 \(Linear\) computes in quantised numbers .*before quantisation"
    ):
        trace(quantised, (1, 3, 2, 2))


def test_a_map_of_half_precision_keeps_its_kind_of_number() -> None:
    module = nn.Sequential(Autocast(), nn.Flatten()).eval()
    found = striate.dense(module, X[:, :, :20, :20], window=16, stride=4)
    patch = module(X[:, :, 4:20, 0:16])
    assert found.dtype == patch.dtype == torch.bfloat16
    torch.testing.assert_close(found[0, :, 1, 0], patch[0], atol=1e-2, rtol=0)


class InPlace(Two):
    def forward(self, x: Tensor) -> Tensor:
        return self.both(x.sub_(0.5).div_(0.25))


def test_a_network_that_writes_into_its_input_leaves_the_image_alone() -> None:
    module = InPlace().eval()
    image = X.clone()
    with torch.no_grad():
        expected = module(image.clone())
    assert trace(module, X).writes_input
    assert not trace(Inference(), X).writes_input
    found = striate.tiled(module, image, tile=24)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert set(explain(module, image[0], score, methods=["gradient", "occlusion"], trust=False).maps) == {
        "gradient", "occlusion",
    }  # fmt: skip
    patches = nn.Sequential(module, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    striate.dense(patches, image, window=(72, 61))
    assert torch.equal(image, X)


def test_autocast_around_the_trace_is_followed_and_leaves_no_cast_behind() -> None:
    class Plain(Two):
        def forward(self, x: Tensor) -> Tensor:
            return self.both(x)

    module = Plain().eval()
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        assert trace(module, X).values[-1].dtype == torch.bfloat16
        expected = module(X)
        found = striate.tiled(module, X, tile=24)
    assert found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=0)


def test_weights_without_numbers_are_refused() -> None:
    with torch.device("meta"):
        module = nn.Conv2d(3, 2, 3)
    for use in (
        lambda: striate.tiled(module, X),
        lambda: striate.occlusion(module, X[0], score),
        lambda: striate.dense(module, X, window=8),
        lambda: explain(module, X[0]),
    ):
        with pytest.raises(UsageError, match="weight lies on the meta device and has no numbers"):
            use()


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_over_the_image_is_said(training: bool) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).train(training)
    geometry = trace(module, (1, 3, 8, 8))
    assert ("call module.eval() first" in geometry.note) == training
    assert (
        geometry.note in summary(geometry, figure=False).advice
    ) == training or not geometry.note
    kept = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)).eval()
    assert "keeps no running statistics" in trace(kept, (1, 3, 8, 8)).note
    assert trace(nn.InstanceNorm2d(3), (1, 3, 8, 8)).note == ""


def test_layers_by_their_place() -> None:
    geometry = trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)), (1, 3, 9, 9))
    assert geometry.receptive_field(-1, (0, 0)).box == ((0, 5), (0, 5))
    assert geometry.receptive_field(0, (1, 0)).box == ((1, 4), (0, 3))
    with pytest.raises(UsageError, match="has 3 layers, 0 to 2; got 5"):
        geometry.receptive_field(5)
    with pytest.raises(UsageError, match="a layer is a name such as"):
        geometry.receptive_field(2.0)  # type: ignore[arg-type]


class Distances(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pair = nn.Bilinear(3, 4, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = x.flatten(2).transpose(1, 2)
        y = x.mean((2, 3))
        return (
            torch.cdist(rows, rows[:, :5]),
            torch.cdist(rows, rows, p=1.0),
            self.pair(y, y[:, [0, 1, 2, 2]]),
        )


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_products_by_hand() -> None:
    """Two images of 64 positions with 3 channels; Bilinear: 5 outputs of 3 x 4 products a row; a kernel of 4 x 3 x 3 x 3."""
    counts = {x.op: x.macs for x in trace(Distances(), (2, 3, 8, 8)) if x.macs}
    assert counts == {
        "_euclidean_dist": 2 * 64 * 5 * 3,
        "_cdist_forward": 2 * 64 * 64 * 3,
        "_trilinear": 2 * 5 * 12,
    }
    for norm in (nn.utils.weight_norm, nn.utils.parametrizations.weight_norm):  # type: ignore[deprecated]
        module = nn.Sequential(norm(nn.Conv2d(3, 4, 3)))
        assert trace(module, (1, 3, 8, 8)).total_macs == 4 * 27 * 36


def test_an_in_place_call_keeps_its_defaults_and_maps_are_of_the_evaluation_form() -> None:
    class Coin(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * torch.empty_like(x).bernoulli_()  # at a rate of 0.5, unless told otherwise

    geometry = trace(Coin(), X)
    torch.manual_seed(0)
    found = replay(geometry, Coin(), X)
    torch.manual_seed(0)
    assert torch.equal(found, Coin()(X))
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Conv2d(4, 2, 3)
    )
    first = attribute(module.train(), X[0], score, "grad-cam").values
    assert torch.equal(first, attribute(module.eval(), X[0], score, "grad-cam").values)


class Recurrent(nn.Module):
    """Reads rows with a recurrent layer, inside autocast."""

    def __init__(self, layer: nn.Module, outside: bool) -> None:
        super().__init__()
        self.layer, self.outside = layer, outside

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rows = x.flatten(2).transpose(1, 2)
            with torch.autocast("cpu", enabled=False) if self.outside else nullcontext():
                found: Tensor = self.layer(rows.float())[0]
            return found


@pytest.mark.parametrize("kind", [nn.LSTM, nn.RNN, nn.GRU])
def test_recurrent_layers_inside_autocast(kind: type[nn.Module]) -> None:
    """torch's own kernel gives bfloat16 on real data, and what a trace sees float32; the remedy is followed."""
    x = torch.randn(1, 3, 4, 2)
    for outside in (False, True):
        module = Recurrent(kind(3, 2, batch_first=True), outside).eval()
        if kind is not nn.GRU and not outside:
            with pytest.raises(GeometryError, match=r"inside autocast.*enabled=False"):
                trace(module, x)
            continue
        with torch.no_grad():
            got, want = replay(trace(module, x), module, x), module(x)
        assert got.dtype == want.dtype
        torch.testing.assert_close(got, want, rtol=0.02, atol=0.02)


def test_what_is_written_into_keeps_its_kind_of_number() -> None:
    """A sum in place of a wider kind is rounded to what it is written into; a functional sum is not."""

    class Sums(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x.bfloat16().relu()
            y += x * 0.37
            y.mul_(x)
            y.addcmul_(x, x, value=0.5)
            return y / 3

    x = torch.randn(2, 3, 4, 5)
    got, want = replay(trace(Sums(), x), Sums(), x), Sums()(x)
    assert got.dtype == want.dtype == torch.bfloat16
    assert torch.equal(got, want)
    tiles = striate.tiled(Sums(), x[:1], tile=2)
    assert tiles.dtype == torch.bfloat16
    assert torch.equal(tiles, want[:1])


@pytest.mark.parametrize(
    ("write", "refused"),
    [
        (lambda x: x[:, :, 1:].copy_(x[:, :, :-1]), True),
        (lambda x: x[..., :4].copy_(x[..., ::2]), True),
        (lambda x: x[:, :, 1:].add_(x[:, :, :-1]), True),
        (lambda x: x[..., ::2].copy_(x[..., 1::2]), False),
        (lambda x: x[:, :1].copy_(x[:, 1:]), False),
        (lambda x: x[:, :, 1:].copy_(x[:, :, :-1].clone()), False),
        (lambda x: x[:, :, 1:].mul_(x[:, :, 1:]), False),
    ],
    ids=["shifted", "other strides", "sum", "even from odd", "channels", "cloned", "itself"],
)
def test_reading_what_is_written_at_the_same_time(
    write: Callable[[Tensor], Tensor], refused: bool
) -> None:
    """torch leaves that undefined: it refuses where it sees it, else the order of its loop decides."""

    class Writes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x * 1.0
            write(x)
            return x

    x = torch.randn(1, 2, 5, 8)
    if refused:
        with pytest.raises(GeometryError, match=r"reads an overlapping part.*clone\(\)"):
            trace(Writes(), x)
        return
    assert torch.equal(replay(trace(Writes(), x), Writes(), x), Writes()(x))


def test_circular_padding_by_less_than_zero() -> None:
    """torch reads, of several channels, what it has not written yet; of one it says so."""
    with pytest.raises(RuntimeError, match="single memory location"):
        torch.nn.functional.pad(torch.rand(1, 1, 3, 4), (0, 0, -1, 3), mode="circular")

    class Pads(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.nn.functional.pad(x, (0, 0, -1, 3), mode="circular")

    with pytest.raises(GeometryError, match="crop first, then pad"):
        trace(Pads(), (1, 8, 3, 6))
