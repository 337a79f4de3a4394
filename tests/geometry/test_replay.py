"""Every record computes any box of its output from crops of its inputs as the whole network does."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torchvision import models

from striate.errors import GeometryError
from striate.geometry import Crop, Geometry, apply, replay, trace
from striate.geometry.plan import cut

TOLERANCE = 1e-5  # of the largest value, in float32


def random_box(
    extents: tuple[int | None, ...], rng: random.Random
) -> tuple[tuple[int, int] | None, ...]:
    """A box of at most 9 positions a side, anywhere."""
    sides: list[tuple[int, int] | None] = []
    for n in extents:
        if n is None:
            sides.append(None)
            continue
        start = rng.randrange(n)
        sides.append((start, rng.randint(start + 1, min(n, start + 9))))
    return tuple(sides)


def worst_difference(
    module: nn.Module, shape: tuple[int, ...], batch: int = 2
) -> tuple[Geometry, float]:
    """The largest relative difference between boxes computed from crops and cut from the whole."""
    geometry = trace(module, shape)
    rng = random.Random(0)
    x = torch.rand(batch, *shape[1:], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = [t for t in pytree.tree_leaves(module(x)) if isinstance(t, Tensor)]
        values = replay(geometry, module, x, keep=True)
        worst = 0.0
        outputs = [values[i] for i in geometry.outputs if i is not None]
        for got, want in zip(outputs, expected, strict=True):
            worst = max(worst, _relative(got, want))
        for record in geometry.records:
            value = geometry.values[record.output]
            if not (value.spatial and record.live):
                continue
            for _ in range(2):
                box = random_box(value.extents, rng)
                crops = []
                for i, link in zip(record.inputs, record.links, strict=True):
                    source, need = geometry.values[i], link.pull(box)
                    crops.append(
                        Crop(cut(values[i], source.layout, source.full, need, batch), need)
                    )
                got = apply(geometry, record, crops, box, batch=batch)
                want = cut(values[record.output], value.layout, value.full, box, batch)
                assert got.shape == want.shape, (record.name, box)
                worst = max(worst, _relative(got, want, values[record.output]))
    return geometry, worst


def _relative(got: Tensor, want: Tensor, scale: Tensor | None = None) -> float:
    top = (want if scale is None else scale).double().abs().max().clamp(min=1e-12)
    return ((got.double() - want.double()).abs().max() / top).item() if got.numel() else 0.0


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": models.resnet18,
    "mobilenet_v3_small": models.mobilenet_v3_small,
    "squeezenet1_1": models.squeezenet1_1,
    "shufflenet_v2_x0_5": models.shufflenet_v2_x0_5,
    "convnext_tiny": models.convnext_tiny,
    "efficientvit_b0": lambda: timm.create_model("efficientvit_b0"),
    "ghostnet_050": lambda: timm.create_model("ghostnet_050"),
    "mixnet_s": lambda: timm.create_model("mixnet_s"),
    "mobilevit_xxs": lambda: timm.create_model("mobilevit_xxs"),
    "resnest14d": lambda: timm.create_model("resnest14d"),
    "swin_micro": lambda: timm.models.SwinTransformer(
        img_size=96, window_size=3, embed_dim=24, depths=(2, 2), num_heads=(2, 2)
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_boxes_from_crops_equal_the_whole(name: str) -> None:
    torch.manual_seed(0)
    module = NETWORKS[name]().eval()
    geometry, worst = worst_difference(module, (1, 3, 96, 96))
    assert worst < TOLERANCE
    assert not [r.op for r in geometry.records if r.plan.kind == "global"]


def test_recurrent_layers_are_followed_step_by_step() -> None:
    module = nn.LSTM(3, 4, batch_first=True, bidirectional=True)
    geometry = trace(module, (1, 5, 3))
    x = torch.rand(1, 5, 3)
    torch.testing.assert_close(replay(geometry, module, x)[0], module(x)[0])
    assert geometry.total_macs == 2 * 5 * (3 + 4) * 4 * 4


def test_a_crop_that_is_too_small_is_refused() -> None:
    geometry = trace(nn.Conv2d(1, 1, 3, bias=False), (1, 1, 8, 8))
    (record,) = geometry.records
    crops = [
        Crop(torch.zeros(1, 1, 3, 3), ((0, 3), (0, 3))),
        Crop(torch.zeros(1, 1, 3, 3), (None, None)),
    ]
    with pytest.raises(
        GeometryError, match=r"needs \(\(0, 4\), \(0, 3\)\) .* pass what Link.pull gives"
    ):
        apply(geometry, record, crops, ((0, 2), (0, 1)))


def test_a_record_that_mixes_the_batch_runs_only_as_traced() -> None:
    class Mixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cdist(x.flatten(1), x.flatten(1))

    geometry = trace(Mixed(), (2, 1, 3, 3))
    x = torch.rand(2, 1, 3, 3)
    torch.testing.assert_close(replay(geometry, Mixed(), x), Mixed()(x))
    with pytest.raises(
        GeometryError, match="mixes the images of a batch, so it runs only on 2 at a time, got 3"
    ):
        replay(geometry, Mixed(), torch.rand(3, 1, 3, 3))


def test_replay_of_another_module_is_refused() -> None:
    geometry = trace(nn.Conv2d(1, 2, 3), (1, 1, 8, 8))
    with pytest.raises(
        GeometryError,
        match=r"no tensor 'weight' of shape \(2, 1, 3, 3\); trace the module that is run",
    ):
        replay(geometry, nn.Conv2d(1, 3, 3), torch.zeros(1, 1, 8, 8))


class KernelsOfTheirOwn(nn.Module):
    """CondConv: each image is convolved with a kernel made from itself."""

    def __init__(self) -> None:
        super().__init__()
        self.route = nn.Linear(2, 3 * 2 * 9)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        kernel = self.route(x.mean((2, 3))).reshape(n * 3, c, 3, 3)
        return torch.conv2d(x.reshape(1, n * c, h, w), kernel, groups=n).reshape(n, 3, h - 2, w - 2)


@pytest.mark.parametrize("batch", [1, 2])
def test_kernels_of_their_own_run_only_as_traced(batch: int) -> None:
    torch.manual_seed(0)
    module = KernelsOfTheirOwn()
    geometry = trace(module, (batch, 2, 6, 6))
    x = torch.rand(batch, 2, 6, 6)
    torch.testing.assert_close(replay(geometry, module, x), module(x))
    with pytest.raises(GeometryError, match=f"runs only on {batch} at a time, got 3"):
        replay(geometry, module, torch.rand(3, 2, 6, 6))
