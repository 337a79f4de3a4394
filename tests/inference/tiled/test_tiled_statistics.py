"""What needs the whole image: gathered over tiles at the tail, known before the second pass in the middle, or refused."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

import striate
from striate.errors import GeometryError
from striate.inference.tiled import Certificate, Tiled, tiled
from striate.inference.tiled.plan.limits import parse_bytes


def image(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def apart(got: Tensor, want: Tensor) -> float:
    assert got.shape == want.shape
    return float((got - want).abs().max() / want.abs().max())


class Squeeze(nn.Module):
    """Squeeze-and-excitation (Hu, Shen, Sun 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Conv2d(channels, 2, 1), nn.ReLU(), nn.Conv2d(2, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()


def stack(*middle: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    parts: list[nn.Module] = [nn.Conv2d(2, 6, 3, padding=1), nn.SiLU()]
    for m in middle:
        parts += [m, nn.Conv2d(6, 6, 3, padding=1), nn.SiLU()]
    return nn.Sequential(*parts, nn.Conv2d(6, 3, 1)).eval()


@pytest.mark.parametrize("strategy", ["halo", "carry"])
@pytest.mark.parametrize(
    ("middle", "passes"),
    [
        ((Squeeze(6),), 2),
        ((nn.InstanceNorm2d(6, affine=True),), 2),
        ((nn.GroupNorm(3, 6),), 2),
        ((nn.GroupNorm(1, 6), Squeeze(6)), 3),
        ((Squeeze(6), nn.InstanceNorm2d(6), nn.GroupNorm(2, 6)), 4),
    ],
    ids=lambda v: "-".join(type(m).__name__ for m in v) if isinstance(v, tuple) else str(v),
)
def test_statistics_in_the_middle_take_a_pass_each(
    middle: tuple[nn.Module, ...], passes: int, strategy: str
) -> None:
    module, x = stack(*middle), image(1, 2, 70, 93)
    job = Tiled(module, x, tile=24, strategy=strategy)
    assert len(job.plan.walks) == passes
    with torch.no_grad():
        assert apart(job.run(certificate=True), module(x)) < 1e-5
    assert job.certificate is not None
    assert job.certificate.exact
    assert job.certificate.reference == "the plain module on the whole image"


@pytest.mark.parametrize(
    "tail",
    [
        lambda x: x.mean((2, 3)),
        lambda x: x.amax((2, 3)),
        lambda x: x.flatten(2).std(2),
        lambda x: torch.linalg.vector_norm(x, dim=(2, 3)),
        lambda x: (x > 0).flatten(2).any(2).float() + x.sum((2, 3)),
        lambda x: nn.functional.adaptive_max_pool2d(x, 1).flatten(1),
        lambda x: nn.functional.avg_pool2d(x, x.shape[2:]).flatten(1),
        lambda x: nn.functional.adaptive_avg_pool2d(x, (2, 3)).flatten(1),
    ],
)
def test_what_ends_the_positions_is_gathered(tail: object) -> None:
    class Tail(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = stack()

        def forward(self, x: Tensor) -> Tensor:
            return tail(self.body(x))  # type: ignore[operator]

    module, x = Tail(), image(1, 2, 70, 93)
    with torch.no_grad():
        assert apart(tiled(module, x, tile=24), module(x)) < 1e-5


def test_a_mean_far_from_zero_keeps_its_digits() -> None:
    """Variances are gathered around a mean: 1000 plus a little noise leaves the noise."""
    module = nn.Sequential(nn.GroupNorm(1, 2)).eval()
    x = image(1, 2, 64, 64).double() * 1e-3 + 1000
    want = module.double()(x).detach()
    assert apart(tiled(module, x, tile=16), want) < 1e-10


def test_bits_are_equal_where_the_kernels_are() -> None:
    """Moves, maxima and what is done to each value alone round alike, wherever the tiles begin."""
    module = nn.Sequential(
        nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.ReflectionPad2d(2), nn.Hardswish(), nn.Upsample(scale_factor=2),
        nn.PixelUnshuffle(2), nn.PixelShuffle(2), nn.Sigmoid(),
    ).eval()  # fmt: skip
    x = image(1, 4, 64, 88)
    for strategy in ("halo", "carry"):
        for tile in (10, 24):
            assert torch.equal(tiled(module, x, tile=tile, strategy=strategy), module(x))


@pytest.mark.parametrize(
    ("spec", "layer"),
    [("timm/vit_tiny_patch16_224", r"blocks\.0\.attn"), ("timm/mobilevit_xxs", r"attn")],
)
def test_attention_over_space_is_refused_with_its_layer(spec: str, layer: str) -> None:
    module = striate.build(spec, in_channels=3, num_classes=5).eval()
    with pytest.raises(GeometryError, match=rf"{layer}.*cannot be cut into tiles"):
        Tiled(module, image(1, 3, 224, 224), tile=64)


def test_training_mode_and_chance_are_refused() -> None:
    module = nn.Sequential(nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2))
    with pytest.raises(GeometryError, match=r"1 .*training mode.*module\.eval\(\)"):
        Tiled(module, image(1, 2, 20, 20))
    with pytest.raises(GeometryError, match=r"random numbers.*module\.eval\(\)"):
        Tiled(nn.Sequential(nn.Dropout(0.5)), image(1, 2, 20, 20))


@pytest.mark.parametrize("strategy", ["auto", "halo", "carry"])
@pytest.mark.parametrize("middle", [(), (nn.GroupNorm(2, 6),)])
def test_the_least_memory_that_is_named_works(strategy: str, middle: tuple[nn.Module, ...]) -> None:
    module, x = stack(*middle), image(1, 2, 900, 700)
    with pytest.raises(
        GeometryError, match=r"17\.0 MB is too little memory .*: allow .* or more"
    ) as e:
        Tiled(module, x, memory="17MB", strategy=strategy)
    found = re.search(r"allow (.*?B) or more", str(e.value))
    assert found is not None
    assert "`out=`" in str(e.value)  # most of it is the result
    limit = parse_bytes(found[1])
    assert limit is not None
    job = Tiled(module, x, memory=found[1], strategy=strategy)
    assert job.plan.bytes <= limit
    with torch.no_grad():
        assert apart(job.run(certificate=True), module(x)) < 1e-5
    assert job.certificate is not None
    assert (job.certificate.measured_bytes or 0) <= limit


def test_memory_goes_down_to_what_was_allowed() -> None:
    module, x = stack(), image(1, 2, 1200, 1100)
    sizes = []
    for memory in ("60MB", "80MB", "200MB"):
        job = Tiled(module, x, memory=memory)
        job.run(certificate=True)
        assert job.certificate is not None
        assert job.certificate.exact
        limit = job.certificate.limit_bytes
        assert limit is not None
        assert (job.certificate.measured_bytes or 0) <= limit
        sizes.append(job.plan.cells)
    assert sizes[0] > sizes[-1]


def test_the_certificate_is_a_finding() -> None:
    """The keys are those of `Finding.to_dict`, so that reports show it as it is."""
    from striate.findings import Finding, Table

    _, certificate = tiled(stack(), image(1, 2, 60, 60), tile=24, certificate=True)
    raw = certificate.to_finding()
    (table,) = raw["tables"]
    columns, rows = tuple(table["columns"]), tuple(map(tuple, table["rows"]))
    tables = (Table(columns=columns, rows=rows),)
    finding = Finding(**{**raw, "tables": tables, "figures": ()})
    assert finding.to_dict() == raw
    assert raw["status"] == "good"
    assert dict(rows)["halo"] == "1 + 1 x 1 + 1 pixels"
    assert raw["data"]["halo"] == [[1, 1], [1, 1]]


def test_a_certificate_that_fails_says_so() -> None:
    made = {
        "strategy": "halo", "image": (1, 9, 9), "tile": (3, 3), "halo": ((1, 1), (1, 1)), "tiles": 9, "passes": 1,
        "arithmetic": 1.5, "predicted_bytes": 10**6, "measured_bytes": None, "limit_bytes": None, "samples": 3,
        "reference": "the plain module", "seconds": 1.0,
    }  # fmt: skip
    bad = Certificate(**made, difference=0.38)  # type: ignore[arg-type]
    assert bad.exact is False
    assert bad.verdict.startswith("Differs from the plain module by 3.8e-01")
    assert bad.to_finding()["status"] == "problem"
    none = Certificate(**made | {"reference": "no crop decides it"}, difference=None)  # type: ignore[arg-type]
    assert none.verdict.startswith("Not verified: no crop decides it")
    assert none.to_finding()["status"] == "note"


def test_values_that_are_not_finite_are_named_or_allowed() -> None:
    module, x = stack(), image(1, 2, 60, 60)
    x[0, 1, 17, 33] = float("nan")
    with pytest.raises(
        GeometryError, match=r"the image holds a value that is not finite at \(17, 33\)"
    ):
        tiled(module, x, tile=24)
    got = tiled(module, x, tile=24, finite=False)
    with torch.no_grad():
        assert torch.equal(torch.isfinite(got), torch.isfinite(module(x)))
    overflow = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 3)).eval()
    with torch.no_grad():
        overflow[1].weight.fill_(3e38)
    with pytest.raises(
        GeometryError, match=r"^1 \(convolution in Conv2d\) gives a value that is not finite"
    ):
        tiled(overflow, image(1, 2, 60, 60) * 100, tile=24)


def test_a_group_norm_of_bfloat16_maps_with_weights_in_float32() -> None:
    """As autocast runs it: the statistics come in the kind of the weights."""

    class Cast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = stack(nn.GroupNorm(2, 6))

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return self.body(x)  # type: ignore[no-any-return]

    module, x = Cast().eval(), image(1, 2, 20, 18)
    got, want = tiled(module, x, tile=7), module(x).detach()
    assert got.dtype == want.dtype == torch.bfloat16
    assert apart(got.float(), want.float()) < 0.02
