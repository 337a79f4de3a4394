"""Positions that a network takes out of the image by their number: tiled as whole, in every way they can be taken."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from striate.inference.tiled import tiled


class Lambda(nn.Module):
    """A function as a module, with its submodules."""

    def __init__(self, f: Callable[..., Tensor], *parts: nn.Module) -> None:
        super().__init__()
        self.f, self.parts = f, nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x, *self.parts)


def along_rows(x: Tensor, rnn: nn.Module) -> Tensor:
    n, c, h, w = x.shape
    y, _ = rnn(x.permute(0, 2, 3, 1).reshape(n * h, w, c))
    return y.reshape(n, h, w, -1).permute(0, 3, 1, 2)


def along_columns(x: Tensor, rnn: nn.Module) -> Tensor:
    return along_rows(x.transpose(2, 3), rnn).transpose(2, 3)


def weighed(x: Tensor, dim: int) -> Tensor:
    return torch.stack([part * (i + 1) for i, part in enumerate(x.unbind(dim))], dim)


def network(*middle: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *middle, nn.Conv2d(4, 2, 3))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "a column": lambda: Lambda(lambda x: x[..., 3]),
    "a row": lambda: Lambda(lambda x: x[:, :, -2]),
    "a pixel": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), Lambda(lambda x: x[:, :, 3, 5]), nn.Linear(4, 2)),
    "corners": lambda: Lambda(lambda x: torch.cat([x[:, :, 0, 0], x[:, :, -1, -1], x[:, :, 0, -1]], 1)),
    "a slice of one": lambda: Lambda(lambda x: x[..., 3:4]),
    "the last ones": lambda: Lambda(lambda x: x[..., -2:]),
    "minus the first": lambda: network(Lambda(lambda x: x - x[..., :1])),
    "the first minus": lambda: network(Lambda(lambda x: x[:, :, 7:8] - x)),
    "minus a pixel": lambda: network(Lambda(lambda x: x - x[:, :, 7:8, 3:4])),
    "minus a selected": lambda: network(Lambda(lambda x: x - x[..., 5].unsqueeze(-1))),
    "unbind": lambda: network(Lambda(lambda x: weighed(x, 3))),
    "unbind rows": lambda: network(Lambda(lambda x: weighed(x, 2))),
    "lstm": lambda: Lambda(along_rows, nn.LSTM(3, 4, batch_first=True, bidirectional=True)),
    "gru": lambda: Lambda(along_columns, nn.GRU(3, 4, batch_first=True)),
    "renet": lambda: Lambda(
        lambda x, a, b: along_columns(along_rows(x, a), b),
        nn.LSTM(3, 3, batch_first=True), nn.LSTM(3, 3, batch_first=True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("strategy", ["halo", "carry"])
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_taken_by_its_number_is_taken_from_the_image(name: str, strategy: str) -> None:
    torch.manual_seed(0)
    module = NETWORKS[name]().double().eval()
    x = torch.rand(1, 3, 25, 22, dtype=torch.float64)
    with torch.no_grad():
        want = module(x)
    got = tiled(module, x, tile=7, strategy=strategy)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_positions_of_a_ramp() -> None:
    """The issue's own numbers: column 3 of rows of ten is 3, 13, 23, ..., not 0, 10, 20, ..."""
    ramp = torch.arange(60.0).reshape(1, 1, 6, 10)
    got = tiled(Lambda(lambda x: x[..., 3]), ramp, tile=4)
    assert got.flatten().tolist() == [3, 13, 23, 33, 43, 53]
