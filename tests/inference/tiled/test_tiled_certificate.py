"""The certificate: it compares with the untouched module alone, catches planted faults, and claims nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import ExactnessError
from striate.geometry.index_map import Point
from striate.geometry.plan import Plan, Step
from striate.geometry.rules import (
    convolution,
    dimension,
    normalisation,
    padding,
    patches,
    pointwise,
    pooling,
    product,
    reduction,
    resize,
)
from striate.inference.tiled import Certificate, Tiled, tiled
from striate.inference.tiled.run.convolutions import Convolution, Transposed
from striate.inference.tiled.run.reductions import Gathered
from striate.inference.tiled.verify import checking


class Lambda(nn.Module):
    """A function as a module, with its submodules."""

    def __init__(self, f: Callable[..., object], *parts: nn.Module) -> None:
        super().__init__()
        self.f, self.parts = f, nn.ModuleList(parts)

    def forward(self, x: Tensor) -> object:
        return self.f(x, *self.parts)


class OddUNet(nn.Module):
    """Resizes to the size of what it is joined with, which for an odd size is no factor of two."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)])
        self.out = nn.Conv2d(12, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.down[0](x).relu()
        b = self.down[1](F.max_pool2d(a, 2)).relu()
        b = F.interpolate(b, size=a.shape[2:], mode="bilinear")
        return self.out(torch.cat([a, b], 1))


class Squeeze(nn.Module):
    """Squeeze-and-excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.f(x.mean((2, 3), keepdim=True)).sigmoid()


def stack(*middle: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    parts = [nn.Conv2d(3, 4, 3, padding=1), nn.SiLU(), *middle, nn.Conv2d(4, 2, 3, padding=1)]
    return nn.Sequential(*parts).eval()


def of(f: Callable[..., object], *parts: nn.Module) -> nn.Module:
    return stack(Lambda(f, *parts))


def image(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def certify(module: nn.Module, x: Tensor, strategy: str = "halo") -> Certificate:
    result, certificate = tiled(module, x, tile=40, strategy=strategy, certificate=True)
    with torch.no_grad():
        want = module(x)
    assert float((result - want).abs().max() / want.abs().max()) < 1e-3
    assert isinstance(certificate, Certificate)
    return certificate


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """No image counts as small enough to be run whole."""
    monkeypatch.setattr(checking, "QUICK", 0)
    monkeypatch.setattr(checking, "SHARE", 3)


def test_a_small_image_is_compared_as_a_whole() -> None:
    for module in (stack(), stack(Squeeze()), OddUNet().eval()):
        certificate = certify(module, image(1, 3, 71, 93))
        assert certificate.exact
        assert certificate.reference == "the plain module on the whole image"
        assert certificate.verdict.startswith("Equal to the plain module on the whole image, to ")


LOCAL = {
    "convolutions": stack,
    "strided": lambda: stack(nn.Conv2d(4, 4, 3, 2, 1), nn.ConvTranspose2d(4, 4, 2, 2)),
    "minus the first column": lambda: of(lambda x: x - x[..., :1]),
    "along the rows": lambda: of(lambda x: x.softmax(3)),
    "rolled": lambda: of(lambda x: x + x.roll(3, 3)),
}
GLOBAL = {
    "squeeze": lambda: stack(Squeeze()),
    "group norm": lambda: stack(nn.GroupNorm(2, 4)),
    "instance norm": lambda: stack(nn.InstanceNorm2d(4)),
    "classifier": lambda: nn.Sequential(stack(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "a column": lambda: nn.Sequential(stack(), Lambda(lambda x: x[..., 3])),
    "coordinates": lambda: of(lambda x: x * torch.linspace(0, 1, x.shape[3])),
    "unbound": lambda: of(lambda x: torch.stack([t * i for i, t in enumerate(x.unbind(3))], 3)),
    "odd sizes": lambda: OddUNet().eval(),
    "tokens": lambda: nn.Sequential(stack(), Lambda(lambda x: x.flatten(2).transpose(1, 2))),
}  # fmt: skip


@pytest.mark.parametrize("strategy", ["halo", "carry"])
@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.usefixtures("large")
def test_crops_stand_for_an_image_where_the_module_shows_it(name: str, strategy: str) -> None:
    certificate = certify(LOCAL[name](), image(1, 3, 180, 172), strategy)
    assert certificate.exact
    assert certificate.samples
    assert certificate.reference.startswith("the plain module on ")
    assert "crop" in certificate.reference


@pytest.mark.parametrize("name", GLOBAL)
@pytest.mark.usefixtures("large")
def test_a_smaller_image_stands_for_one_that_no_crop_decides(name: str) -> None:
    certificate = certify(GLOBAL[name](), image(1, 3, 151, 173))
    assert certificate.exact
    assert "on a smaller image of " in certificate.reference
    if name == "odd sizes":  # as odd as the image
        assert "97 x 97" in certificate.reference


@pytest.mark.usefixtures("large")
def test_a_pattern_that_repeats_along_the_image_raises_no_false_alarm() -> None:
    """A crop that starts on an odd column sees the other half of a checkerboard; the wider one starts on an even one."""
    certificate = certify(of(lambda x: x * (torch.arange(x.shape[3]) % 2)), image(1, 3, 150, 173))
    assert certificate.exact


@pytest.mark.usefixtures("large")
def test_crops_of_one_colour_are_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = stack(nn.MaxPool2d(3, 1, 1)), torch.ones(1, 3, 180, 172)
    assert "on a smaller image" in certify(module, x).reference
    monkeypatch.setattr(pooling.MaxPool, "run", off_by_one(pooling.MaxPool))
    with pytest.raises(ExactnessError):
        tiled(module, x, tile=40)


@pytest.mark.usefixtures("large")
def test_what_takes_one_size_alone_is_not_verified() -> None:
    table = torch.rand(1, 4, 90, 80, generator=torch.Generator().manual_seed(0))
    module = of(lambda x, p: x * p.table, nn.ParameterDict({"table": table}))
    x = image(1, 3, 90, 80)
    result, certificate = tiled(module, x, tile=40, certificate=True)
    torch.testing.assert_close(result, module(x), rtol=1e-4, atol=1e-5)
    assert certificate.exact is None
    assert certificate.difference is None
    assert certificate.verdict.startswith("Not verified: no crop decides its results")
    assert certificate.to_finding()["status"] == "note"


def test_rounding_of_the_network_itself_is_no_fault() -> None:
    """Differences of large numbers: two float32 passes of the plain module are as far apart."""
    module = of(lambda x: (x + 3000) - 3000)
    certificate = certify(nn.Sequential(module, Lambda(lambda x: x)), image(1, 3, 64, 64))
    assert certificate.exact
    assert certificate.difference is not None
    assert certificate.difference > 1e-5
    assert "the network's own rounding" in certificate.verdict


# Planted faults: what stands in for the plan's own code, and a network that meets it.


def first_position(self: Point, out: tuple[int, int]) -> tuple[int, int]:
    return (0, 1)


def off_by_one(kind: type[Plan]) -> Callable[[Plan, Step], Tensor]:
    """Everything one row further down."""
    run = kind.run

    def wrong(self: Plan, step: Step) -> Tensor:
        y = run(self, step)
        return y.roll(1, 2) if y.dim() > 2 else y.roll(1, 0)

    return wrong


def scaled(kind: type[Plan]) -> Callable[[Plan, Step], Tensor]:
    run = kind.run

    def wrong(self: Plan, step: Step) -> Tensor:
        return run(self, step) * 1.001

    return wrong


def shifted(kind: type) -> Callable[..., Tensor]:
    call = kind.__call__

    def wrong(self: object, *args: object) -> Tensor:
        y: Tensor = call(self, *args)
        return y.roll(1, 3)

    return wrong


FAULTS: dict[str, tuple[type, str, object, Callable[[], nn.Module]]] = {
    "take": (Point, "pull", first_position, lambda: of(
        lambda x: torch.stack([t * (i % 5) for i, t in enumerate(x.unbind(3))], 3))),
    "convolution": (Convolution, "__call__", shifted(Convolution), stack),
    "transposed": (Transposed, "__call__", shifted(Transposed),
                   lambda: stack(nn.Conv2d(4, 4, 2, 2), nn.ConvTranspose2d(4, 4, 2, 2))),
    "1d convolution": (convolution.Convolve, "run", scaled(convolution.Convolve), lambda: of(
        lambda x, f: f(x.permute(0, 2, 1, 3).flatten(0, 1)).unflatten(0, (len(x), -1)).transpose(1, 2),
        nn.Conv1d(4, 4, 3, padding=1))),
    "max pool": (pooling.MaxPool, "run", off_by_one(pooling.MaxPool), lambda: stack(nn.MaxPool2d(3, 1, 1))),
    "mean pool": (pooling.AvgPool, "run", scaled(pooling.AvgPool), lambda: stack(nn.AvgPool2d(3, 1, 1))),
    "resize": (resize.Resize, "run", off_by_one(resize.Resize), lambda: stack(nn.Upsample(scale_factor=2))),
    "pad": (padding.Move, "run", off_by_one(padding.Move), lambda: stack(nn.ReflectionPad2d(2))),
    "cat": (pointwise.Concatenate, "run", scaled(pointwise.Concatenate),
            lambda: of(lambda x: torch.cat([x[:, :2], x[:, 2:] * 2], 1))),
    "sum": (pointwise.Pointwise, "run", scaled(pointwise.Pointwise), lambda: of(lambda x: x + x[..., :1])),
    "columns": (patches.Columns, "run", scaled(patches.Columns), lambda: of(
        lambda x: F.fold(F.unfold(x, 3, 1, 1), x.shape[2:], 3, 1, 1))),
    "layer norm": (reduction.Along, "run", scaled(reduction.Along),
                   lambda: of(lambda x, f: f(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), nn.LayerNorm(4))),
    "linear": (product.Product, "run", scaled(product.Product),
               lambda: of(lambda x, f: f(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), nn.Linear(4, 4))),
    "batch norm": (normalisation.BatchNorm, "run", scaled(normalisation.BatchNorm), lambda: of(
        lambda x, f: f(x + 0.1), nn.BatchNorm2d(4))),
    "view": (dimension.Permute, "run", off_by_one(dimension.Permute),
             lambda: of(lambda x: x.transpose(2, 3).contiguous().transpose(2, 3) * 2)),
}  # fmt: skip


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_caught(name: str, size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, attribute, wrong, make = FAULTS[name]
    module, x = make().eval(), image(1, 3, 180, 173)
    if size == "large":
        monkeypatch.setattr(checking, "QUICK", 0)
        monkeypatch.setattr(checking, "SHARE", 3)
    tiled(module, x, tile=40)
    monkeypatch.setattr(kind, attribute, wrong)
    with pytest.raises(
        ExactnessError, match=r"differ from the plain module on .* is withheld"
    ) as e:
        tiled(module, x, tile=40)
    report = json.loads(json.dumps(e.value.report))
    assert report["difference"] > report["tolerance"]
    assert report["image"] == [1, 3, 180, 173]
    assert report["versions"]["torch"] == torch.__version__
    assert len(report["records"]) > 2
    assert tiled(module, x, tile=40, check=False).shape == module(x).shape


def wrong_mean(self: Gathered, box: object, x: Tensor) -> None:
    self.add(x)
    self.add(x[..., :1, :] * 0 + 1)


@pytest.mark.parametrize("name", ["squeeze", "group norm", "instance norm", "classifier"])
@pytest.mark.usefixtures("large")
def test_planted_faults_of_statistics_are_caught(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, x = GLOBAL[name]().eval(), image(1, 3, 180, 173)
    tiled(module, x, tile=40)
    monkeypatch.setattr(Gathered, "sink", wrong_mean)
    with pytest.raises(ExactnessError, match="on a smaller image"):
        tiled(module, x, tile=40)


def test_a_file_that_is_wrong_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, x = stack(nn.MaxPool2d(3, 1, 1)), image(1, 3, 90, 80)
    monkeypatch.setattr(pooling.MaxPool, "run", off_by_one(pooling.MaxPool))
    out = tmp_path / "map.npy"
    with pytest.raises(ExactnessError):
        Tiled(module, x, tile=40, out=out).run()
    assert list(tmp_path.iterdir()) == []
    Tiled(module, x, tile=40, out=out, finish=lambda t: t.argmax(1)).run(check=False)
    assert out.exists()


def test_what_finish_makes_is_checked_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = stack(nn.MaxPool2d(3, 1, 1)), image(1, 3, 90, 80)
    job = Tiled(module, x, tile=40, finish=lambda t: t.argmax(1))
    job.run(certificate=True)
    assert job.certificate is not None
    assert job.certificate.exact
    monkeypatch.setattr(pooling.MaxPool, "run", off_by_one(pooling.MaxPool))
    with pytest.raises(ExactnessError):
        Tiled(module, x, tile=40, finish=lambda t: t.argmax(1)).run()
