"""A box that is dragged: outputs and maps after each move, against the module on the changed image."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from striate.errors import UsageError
from striate.geometry import trace
from striate.inference.incremental import Incremental, Moving

SIDE = (29, 26)
MOVES = [((0, 7), (0, 6)), ((11, 18), (20, 26)), ((22, 29), (3, 9)), ((12, 13), (9, 10)), ((0, 29), (0, 26))]  # fmt: skip


class Sum(nn.Module):
    """Residual blocks, one normalised before its convolution, and a branch that is joined."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.pool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.inner = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6())
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8))
        self.before = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1))
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 5)."""
        x = self.pool(self.first(x))
        x = torch.relu(x + self.deep(self.inner(x)))
        return self.head(torch.cat([x, self.before(x)], 1).mean((2, 3)))


class Map(nn.Module):
    """Down and up again, with a short cut: a number for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 6, 4, 2, 1)
        self.up = nn.ConvTranspose2d(6, 6, 4, 2, 1)
        self.last = nn.Conv2d(9, 2, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 2, H, W)."""
        y = nn.functional.avg_pool2d(torch.tanh(self.down(x)), 3, 1, 1)
        y = nn.functional.interpolate(self.up(y), size=x.shape[2:])
        return self.last(torch.cat([nn.functional.pad(y, (1, 0, 0, 0))[..., : x.shape[3]], x], 1))


def shuffled() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.PixelShuffle(2), nn.Conv2d(2, 4, 3, 3, dilation=2), nn.ChannelShuffle(2), nn.LeakyReLU(),
        nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.LayerNorm(36), nn.Linear(36, 3),
    )  # fmt: skip


@pytest.mark.parametrize("make", [Sum, Map, shuffled], ids=lambda m: m.__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_every_move_gives_what_a_full_pass_gives(make: Callable[[], nn.Module], dtype: torch.dtype) -> None:  # fmt: skip
    torch.manual_seed(0)
    module = make().to(dtype).eval()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.weight.data.normal_()
    image, other = torch.rand(2, 3, *SIDE, dtype=dtype)
    moving = Moving(Incremental(module, image))
    near = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
    kept: dict[str, Tensor] = {}
    for name, layer in module.named_modules():
        layer.register_forward_hook(lambda m, a, out, name=name: kept.update({name: out.clone()}))
    geometry = trace(module, (1, 3, *SIDE))
    values = {
        layer.name: geometry.values[geometry.records[layer.record].output]
        for layer in geometry.layers
    }
    with torch.no_grad():
        module(image[None])
    clean = dict(kept)
    for box, content in zip(MOVES, (0.0, other, [0.1, 0.2, 0.3], 1.0, other), strict=True):
        changed = image.clone()
        place = (slice(None), slice(*box[0]), slice(*box[1]))
        filled = torch.as_tensor(content, dtype=dtype)
        changed[place] = filled[place] if filled.dim() == 3 else filled.reshape(-1, 1, 1)
        with torch.no_grad():
            expected = module(changed[None])
        assert torch.allclose(moving.move(box, content), expected, **near)
        compared = 0
        for layer, value in values.items():
            if layer in kept and kept[layer].dim() == 4 and value.shape == tuple(kept[layer].shape):
                got, sides = moving.value(value.index)
                whole = clean[layer].clone()  # what the move did not change is as it was
                whole[(slice(None), slice(None), *(slice(*s) for s in sides if s))] = got
                assert torch.allclose(whole, kept[layer], **near), layer
                compared += 1
        assert compared >= 2


def test_a_box_that_is_not_inside_is_refused() -> None:
    moving = Moving(Incremental(shuffled().eval(), torch.rand(3, *SIDE)))
    with pytest.raises(UsageError, match="does not lie within the image of 29x26 pixels"):
        moving.move(((20, 30), (0, 5)), 0.0)
