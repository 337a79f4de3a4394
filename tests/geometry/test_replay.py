"""Every record computes any box of its output from crops of its inputs as the whole network does."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torchvision import models

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
}


@pytest.mark.parametrize("name", NETWORKS)
def test_boxes_from_crops_equal_the_whole(name: str) -> None:
    torch.manual_seed(0)
    module = NETWORKS[name]().eval()
    geometry, worst = worst_difference(module, (1, 3, 96, 96))
    assert worst < TOLERANCE
    assert not [r.op for r in geometry.records if r.plan.kind == "global"]
