"""dense == every patch through the module, and what it says where padding or attention stand in the way."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import striate
from striate.errors import GeometryError, UsageError
from striate.inference.dense import Dense, centres
from striate.models import build

TOLERANCE = 1e-5
implementation = importlib.import_module("striate.inference.dense.dense")


@pytest.fixture(autouse=True, scope="module")
def _by_maps() -> Iterator[None]:
    """Maps even where the patches by themselves are cheaper, as they are in small images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(implementation, "WORTH", math.inf)
        yield


def patches(
    module: nn.Module, image: Tensor, window: tuple[int, int], stride: tuple[int, int]
) -> Tensor:
    """The plain loop."""
    windows = image.unfold(2, window[0], stride[0]).unfold(3, window[1], stride[1])[0]
    channels, rows, columns = windows.shape[:3]
    batch = windows.permute(1, 2, 0, 3, 4).reshape(-1, channels, *window)
    with torch.no_grad():
        scores = torch.cat([module(part).flatten(1) for part in batch.split(64)])
    return scores.t().reshape(1, -1, rows, columns)


def difference(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-6))


def ready(module: nn.Module, channels: int = 2, window: int = 20) -> nn.Module:
    """Lazy layers made, batch norms away from identity, in evaluation mode."""
    torch.manual_seed(3)
    for _ in range(2):
        module.train()(torch.randn(4, channels, window, window))
    return module.eval()


class Functional(nn.Module):
    """Strided, residual, in place, one activation used twice, and a concatenation."""

    def __init__(self, pad: int) -> None:
        super().__init__()
        self.pad = pad
        self.a = nn.Conv2d(2, 4, 3, stride=2, padding=pad)
        self.norm = nn.BatchNorm2d(4)
        self.b, self.c = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.act = nn.ReLU(inplace=True)
        self.out = nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.a(x)))
        if self.pad:
            y = self.act(self.b(x) + x)
        else:
            y = self.act(self.c(x)).add_(x)
        y = torch.cat([y, torch.sigmoid(self.c(x))], 1)
        y = F.max_pool2d(y, 3, 2, self.pad)
        return self.out(F.adaptive_avg_pool2d(y, 1).flatten(1))


class Gate(nn.Module):
    """Squeeze-and-excitation: what follows the gate belongs to one patch."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.f = nn.Conv2d(2, 4, 3), nn.Linear(4, 4)
        self.b, self.out = nn.Conv2d(4, 4, 3, stride=2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).relu_()
        x = x * self.f(x.mean((2, 3)))[:, :, None, None].sigmoid()
        return self.out(self.b(x).relu().mean((2, 3)))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.out = nn.Conv2d(2, 4, 4, stride=4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        t = self.a(x).flatten(2).transpose(1, 2)
        t = F.scaled_dot_product_attention(t, t, t)
        return self.out(t.mean(1))


NETS: dict[str, Callable[[], nn.Module]] = {
    "valid": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, dilation=2, groups=2), nn.AvgPool2d(2),
        nn.Flatten(), nn.Dropout(), nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 3),
    ),
    "padded": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1, stride=2),
        nn.BatchNorm2d(6), nn.AvgPool2d(3, 2, 1), nn.Flatten(), nn.LazyLinear(3),
    ),
    "uncounted": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=2), nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.ZeroPad2d((1, 0, 2, 1)),
        nn.Conv2d(4, 3, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten(),
    ),
    "ceil": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.MaxPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(2, 2, ceil_mode=True),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.LazyLinear(3),
    ),
    "bins": lambda: nn.Sequential(nn.Conv2d(2, 4, 5), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.LazyLinear(3)),
    "mirror": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3)
    ),
    "residual": lambda: Functional(0),
    "padded-residual": lambda: Functional(1),
    "gate": Gate,
    "attention": Attention,
}  # fmt: skip


@pytest.mark.parametrize("stride", [(1, 1), (2, 3), (5, 4)], ids=str)
@pytest.mark.parametrize("name", NETS)
def test_dense_is_the_loop_over_patches(name: str, stride: tuple[int, int]) -> None:
    module = ready(NETS[name]())
    image = torch.randn(1, 2, 33, 30)
    found = striate.dense(module, image, window=20, stride=stride)
    assert difference(found, patches(module, image, (20, 20), stride)) <= TOLERANCE


@pytest.mark.parametrize("name", ["valid", "padded", "gate"])
def test_bands_of_rows_change_nothing(name: str) -> None:
    module = ready(NETS[name]())
    image = torch.randn(1, 2, 60, 30)
    job = Dense(module, window=20, stride=1, channels=2)
    memory = job._peak((24, 30)) + 5 * 11 * 8
    assert job._rows((41, 11), 30, 0, memory, 0) == (5, 0)
    assert difference(job(image, memory=memory + job._own), job(image)) <= TOLERANCE


@pytest.mark.parametrize("name", [n for n in NETS if n not in ("mirror", "attention")])
def test_fully_convolutional_on_one_window_is_the_module(name: str) -> None:
    # the border of the image is the border of the patch
    module = ready(NETS[name]())
    image = torch.randn(1, 2, 20, 20)
    found = striate.dense(module, image, window=20, padding="image")
    assert difference(found, patches(module, image, (20, 20), (1, 1))) <= TOLERANCE


def test_fully_convolutional_is_the_features_of_the_image() -> None:
    torch.manual_seed(0)
    features = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(),
        nn.AvgPool2d(2),
    )  # fmt: skip
    module = nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)).eval()
    image = torch.randn(1, 2, 64, 48)
    job = Dense(module, window=16, stride=4, padding="image", channels=2)
    with torch.no_grad():
        means = F.avg_pool2d(features(image), 4, 1)
        expected = module[3](means.movedim(1, -1)).movedim(-1, 1)
    assert difference(job(image), expected) <= TOLERANCE
    assert difference(job(image, memory="200kB"), expected) <= TOLERANCE
    assert job.note == (
        "0.0, 0.3 pad at the border of the image only; the scores differ from those of the patches by themselves, "
        "which padding='patch' gives"
    )
    exact = Dense(module, window=16, stride=4, channels=2)
    assert exact.note.startswith("0.0, 0.3 pad inside each patch")
    assert difference(exact(image), expected) > 1e-3


def test_it_says_what_is_shared() -> None:
    valid = Dense(ready(NETS["valid"]()), window=20, channels=2)
    assert (valid.way, valid.pads, valid.alone) == ("map", (), ())
    assert valid.note.startswith("no layer pads")
    assert Dense(ready(Gate()), window=20, channels=2).alone == ("mul",)
    by_map, by_patch = valid.multiply_adds((200, 200))
    assert by_patch > 20 * by_map


def test_patches_run_by_themselves_where_they_share_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implementation, "WORTH", 0.9)
    few = Dense(ready(NETS["padded-residual"]()), window=20, stride=20, channels=2)
    image = torch.randn(1, 2, 41, 41)
    found = few(image)
    assert few.way == "patches"  # nothing overlaps
    monkeypatch.setattr(implementation, "WORTH", math.inf)
    again = few(image)
    assert few.way == "map"
    assert difference(found, again) <= TOLERANCE


@st.composite
def networks(draw: st.DrawFn) -> tuple[nn.Module, int]:
    layers: list[nn.Module] = []
    channels, size = 2, draw(st.integers(12, 20))
    window = size
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["conv", "max", "avg", "relu", "norm"]))
        k, s = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        p, d = draw(st.integers(0, k // 2)), draw(st.integers(1, 2))
        ceil = draw(st.booleans())
        if kind in ("conv", "max", "avg") and size + 2 * p < 2 * (k - 1) + 1 + s:
            continue
        if kind == "conv":
            layers.append(nn.Conv2d(channels, 4, k, s, p, d))
            channels = 4
        elif kind == "max":
            layers.append(nn.MaxPool2d(k, s, p, d, ceil_mode=ceil))
        elif kind == "avg":
            layers.append(nn.AvgPool2d(k, s, p, ceil, draw(st.booleans())))
        else:
            layers.append(nn.ReLU() if kind == "relu" else nn.BatchNorm2d(channels))
        size = nn.Sequential(*layers).eval()(torch.zeros(1, 2, window, window)).shape[-1]
    if draw(st.booleans()):
        layers.append(nn.AdaptiveAvgPool2d(1))
        size = 1
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * size * size, 3)).eval(), window


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    networks(),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.integers(0, 9),
    st.integers(0, 9),
)
def test_random_networks(
    drawn: tuple[nn.Module, int], stride: tuple[int, int], h: int, w: int
) -> None:
    module, window = drawn
    torch.manual_seed(h)
    image = torch.randn(1, 2, window + h, window + w)
    found = striate.dense(module, image, window=window, stride=stride)
    assert difference(found, patches(module, image, (window, window), stride)) <= TOLERANCE
    one = image[..., :window, :window]
    whole = striate.dense(module, one, window=window, padding="image")
    assert difference(whole, patches(module, one, (window, window), (1, 1))) <= TOLERANCE


@pytest.mark.parametrize(("spec", "size"), [("lenet5", 28)])
def test_networks_of_the_zoo(spec: str, size: int) -> None:
    torch.manual_seed(0)
    module = build(spec, in_channels=1, num_classes=4).eval()
    image = torch.randn(1, 1, size + 3, size + 2)
    found = striate.dense(module, image, window=size)
    assert difference(found, patches(module, image, (size, size), (1, 1))) <= TOLERANCE


def test_a_window_of_two_sides_images_without_batch_and_several_at_once() -> None:
    module = ready(
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    )
    images = torch.randn(2, 2, 20, 24)
    found = striate.dense(module, images, window=(8, 12), stride=(2, 1))
    assert found.shape == (2, 3, 7, 13)
    assert difference(found[1:], patches(module, images[1:], (8, 12), (2, 1))) <= TOLERANCE
    assert torch.equal(striate.dense(module, images[0], window=(8, 12), stride=(2, 1)), found[0])
    rows, columns = centres((20, 24), window=(8, 12), stride=(2, 1))
    assert (len(rows), len(columns), rows[0].item(), columns[-1].item()) == (7, 13, 3.5, 17.5)


def test_bfloat16_and_channels_last() -> None:
    module = ready(NETS["valid"]())
    image = torch.randn(1, 2, 30, 30)
    plain = striate.dense(module, image, window=20)
    last = striate.dense(module, image, window=20, channels_last=True)
    assert difference(last, plain) <= TOLERANCE
    half = striate.dense(module, image, window=20, dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert difference(half.float(), plain) < 0.05
    assert next(module.parameters()).dtype == torch.float32


def test_what_is_not_finite_is_named_or_stays_in_its_patches() -> None:
    module = ready(NETS["valid"]())
    image = torch.randn(1, 2, 45, 21)
    image[0, 0, 0, 0] = float("nan")
    with pytest.raises(GeometryError, match=r"0 \(convolution\) makes values that are not finite"):
        striate.dense(module, image, window=20)
    found = striate.dense(module, image, window=20, finite=False)
    expected = patches(module, image, (20, 20), (1, 1))
    assert torch.equal(found.isnan(), expected.isnan())


def test_bad_input() -> None:
    module = ready(NETS["valid"]())
    image = torch.randn(1, 2, 30, 30)
    with pytest.raises(UsageError, match=r"takes a torch.nn.Module, got function"):
        striate.dense(torch.relu if False else (lambda x: x), image, window=20)  # type: ignore[arg-type]
    with pytest.raises(
        UsageError, match=r"the image \(30x30\) is smaller than the window \(20x40\)"
    ):
        Dense(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), window=(20, 40), channels=2)(
            image
        )
    with pytest.raises(GeometryError, match="refuses an input of 1x2x24x24"):
        striate.dense(module, image, window=24)
    with pytest.raises(
        UsageError,
        match=r"gives .N, classes. for N patches; for one patch this one gives 1x4x18x18",
    ):
        striate.dense(nn.Conv2d(2, 4, 3), image, window=20)
    with pytest.raises(
        UsageError,
        match=r"draws random numbers, so no two runs of the same image agree; call module.eval",
    ):
        striate.dense(nn.Sequential(nn.Dropout(), module), image, window=20)
    with pytest.raises(UsageError, match="takes statistics over the batch"):
        striate.dense(nn.Sequential(nn.BatchNorm2d(2), nn.AdaptiveAvgPool2d(1)), image, window=20)
    with pytest.raises(UsageError, match="padding is 'patch' or 'image', got 'same'"):
        striate.dense(module, image, window=20, padding="same")
    with pytest.raises(
        UsageError,
        match=r"stride is a number of pixels, a whole number from 1 to 65,536, or .rows, columns., got 0",
    ):
        striate.dense(module, image, window=20, stride=0)
    with pytest.raises(
        GeometryError, match=r"one row of patches needs .* and memory=100 bytes was allowed"
    ):
        striate.dense(module, image, window=20, memory=100)
    with pytest.raises(
        GeometryError, match="there is no fully convolutional form; use padding='patch'"
    ):
        striate.dense(ready(NETS["mirror"]()), image, window=20, padding="image")


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_borders_made_of_the_patch_count_as_padding(mode: str) -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, padding_mode=mode), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    assert "inside each patch" in Dense(module.eval(), window=16).note


@pytest.mark.parametrize(
    ("spec", "channels", "window"),
    [
        ("compact", 1, 28),
        ("lenet5-tanh", 1, 32),
        ("resnet18", 3, 32),
        ("nin", 3, 32),
        ("vgg11-bn", 3, 32),
    ],
)
def test_the_zoo_on_every_patch(spec: str, channels: int, window: int) -> None:
    torch.manual_seed(0)
    module = striate.build(spec, in_channels=channels, num_classes=4, size=window).eval()
    image = torch.randn(1, channels, window + 6, window + 9)
    patches = image.unfold(2, window, 3).unfold(3, window, 3)[0].permute(1, 2, 0, 3, 4)
    with torch.inference_mode():
        wanted = module(patches.flatten(0, 1)).t().unflatten(1, patches.shape[:2])
    found = striate.dense(module, image, window=window, stride=3)[0]
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize(("before", "after"), [(0, 1), (1, 0), (0, 2), (2, 1)])
def test_borders_that_are_wider_on_one_side(before: int, after: int) -> None:
    """As TensorFlow's "same" padding: a strip of the border is made of padding alone."""

    class Uneven(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(2, 5, 3, 2), nn.Conv2d(5, 4, 3)
            self.last = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.first(F.pad(x, (before, after, before, after))))
            x = F.relu(self.second(F.pad(x, (before, after, before, after))))
            return self.last(x.mean((2, 3)))

    torch.manual_seed(0)
    module, image = Uneven().eval(), torch.rand(1, 2, 40, 43)
    job = Dense(module, window=16, stride=2, channels=2)
    job.multiply_adds = lambda size: (1.0, 2.0)  # type: ignore[method-assign]  # the map, whatever it costs
    assert difference(job(image), patches(module, image, (16, 16), (2, 2))) < TOLERANCE
    assert job.way == "map"
