"""Networks that mix the patches of a batch, or are written for one; and the check that catches what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import striate
from striate.errors import ExactnessError
from striate.inference.dense import Dense, maps

C, WINDOW = 8, 12


class Net(nn.Module):
    """A convolution and what is done with its map."""

    def __init__(self, body: Callable[..., Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.stem, self.last = nn.Conv2d(3, C, 3, 2, 1), nn.Linear(C, 3)
        self.parts, self.body = nn.ModuleDict(parts), body

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.body(self, F.gelu(self.stem(x)))
        return found


def attention(net: Net, x: Tensor) -> Tensor:
    t = x.flatten(2).transpose(1, 2)
    return net.last(net.parts.a(t, t, t)[0].mean(1))


def encoder(net: Net, x: Tensor) -> Tensor:
    return net.last(net.parts.a(x.flatten(2).transpose(1, 2)).mean(1))


def queries(net: Net, x: Tensor) -> Tensor:
    t = x.flatten(2).transpose(1, 2)
    q = net.stem.weight.flatten(1)[:5, :C].expand(len(x), -1, -1)
    return net.last(((q @ t.transpose(1, 2)).softmax(-1) @ t).mean(1))


def ghost(net: Net, x: Tensor) -> Tensor:
    both = torch.cat([x, x.flip(3)])
    return net.last(net.parts.n(both.view(-1, 2 * C, *x.shape[2:])).view(both.shape)[: len(x)].mean((2, 3)))  # fmt: skip


def shifted(net: Net, x: Tensor) -> Tensor:
    y = x.view(len(x), 1, *x.shape[1:])
    out = torch.zeros_like(y)
    out[:, :-1, :2] = y[:, 1:, :2]
    out[:, :, 4:] = y[:, :, 4:]
    return net.last(out.mean((1, 3, 4)))


NETS: dict[str, Callable[[], Net]] = {
    "attention": lambda: Net(attention, a=nn.MultiheadAttention(C, 2)),
    "encoder": lambda: Net(encoder, a=nn.TransformerEncoderLayer(C, 2, 16)),
    "encoder, batch first": lambda: Net(encoder, a=nn.TransformerEncoderLayer(C, 2, 16, batch_first=True)),
    "learned queries": lambda: Net(queries),
    "ghost batch norm": lambda: Net(ghost, n=nn.BatchNorm2d(2 * C)),
    "time shift": lambda: Net(shifted),
    "minus the batch's mean": lambda: Net(lambda net, x: net.last((x - 0.3 * x.mean(0, keepdim=True)).amax((2, 3)))),
    "softmax over the batch": lambda: Net(lambda net, x: net.last((x.softmax(0) + x).mean((2, 3)))),
    "squeeze": lambda: Net(lambda net, x: net.last(x.mean((2, 3)).squeeze())),
    "squeeze, then a batch": lambda: Net(lambda net, x: net.last(x.mean((2, 3)).squeeze())[None]),
    "view(1, -1)": lambda: Net(lambda net, x: net.last(x.mean((2, 3)).view(1, -1))),
    "first image": lambda: Net(lambda net, x: net.last(x[0].mean((1, 2)))[None]),
    "batch norm by its batch": lambda: Net(
        lambda net, x: net.last(net.parts.n(x).amax((2, 3))), n=nn.BatchNorm2d(C, track_running_stats=False)
    ),
}  # fmt: skip


def each(module: nn.Module, image: Tensor) -> Tensor:
    """The scores of every patch, the module run on it alone."""
    rows, columns = (n - WINDOW + 1 for n in image.shape[1:])
    with torch.no_grad():
        found = [
            module(image[None, :, r : r + WINDOW, c : c + WINDOW]).reshape(-1)
            for r in range(rows)
            for c in range(columns)
        ]
    return torch.stack(found, 1).unflatten(1, (rows, columns))


@pytest.mark.parametrize("name", NETS)
def test_each_patch_has_the_scores_that_the_module_gives_it_alone(name: str) -> None:
    torch.manual_seed(0)
    module = NETS[name]().double().eval()
    norm = dict(module.parts.items()).get("n")
    if isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None:
        norm.running_mean.normal_()
    image = torch.rand(3, WINDOW + 5, WINDOW + 4, dtype=torch.float64)
    found = striate.dense(module, image, window=WINDOW)
    assert float((found - each(module, image)).abs().max()) < 1e-10


def sliding() -> nn.Module:
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 6, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3),
        nn.Flatten(),
        nn.Linear(72, 4),
    ]
    return nn.Sequential(*layers).eval()  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_wrong_map_is_withheld(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    module, image = sliding().to(dtype), torch.rand(3, 40, 41, dtype=dtype)
    right = striate.dense(module, image, window=WINDOW)
    assert Dense(module, window=WINDOW).way == "map"
    swept = maps._swept

    def wrong(*args: Any) -> Tensor:
        found = swept(*args).clone()
        found[..., 1::2] *= 1.001  # every other column
        return found

    monkeypatch.setattr(maps, "_swept", wrong)
    with pytest.raises(
        ExactnessError, match=r"withheld: at row \d+, column \d+ of the patches .* check=False"
    ):
        striate.dense(module, image, window=WINDOW)
    off = striate.dense(module, image, window=WINDOW, check=False)
    assert 1e-5 < float((off - right).abs().max()) < 1e-2


def test_padding_at_the_image_border_is_checked_on_one_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 3, padding=1)]
    module = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    image = torch.rand(3, 30, 31)
    striate.dense(module, image, window=WINDOW, padding="image")
    statistic = maps.statistic
    monkeypatch.setattr(maps, "statistic", lambda *args: statistic(*args) * 1.01)
    with pytest.raises(ExactnessError):
        striate.dense(module, image, window=WINDOW, padding="image")
