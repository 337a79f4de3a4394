"""Small networks that say the same in different ways, and the images that they are asked about."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Written(nn.Module):
    """conv, activation, overlapping max pooling, conv, activation, mean, linear; `act` is how the activation is written."""

    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 12, 3, padding=1)
        self.head = nn.Linear(12, 5)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.act(self.norm(self.first(x))), 3, 2, 1)
        x = self.act(self.second(x))
        return self.head(x.mean((2, 3)))


def with_modules() -> nn.Sequential:
    """The same network of modules, each used once: what every tool handles."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(8, 12, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 5),
    )


def twin(act: Callable[[Tensor], Tensor], plain: nn.Sequential) -> Written:
    """`Written` with the weights of `plain`."""
    network = Written(act)
    pairs = ((network.first, 0), (network.norm, 1), (network.second, 4), (network.head, 8))
    for mine, place in pairs:
        mine.load_state_dict(plain[place].state_dict())
    return network.eval()


@pytest.fixture
def plain() -> nn.Sequential:
    torch.manual_seed(1)
    network = with_modules()
    nn.init.normal_(network[1].running_mean, std=0.1)  # type: ignore[arg-type]
    return network.eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 18, 14, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def make_twin() -> Callable[[Callable[[Tensor], Tensor], nn.Sequential], Written]:
    return twin
