"""Networks that keep something between runs, or write into their input."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.attribution import explain
from striate.errors import GeometryError, UsageError
from striate.geometry import trace
from striate.inference.dense import dense
from striate.inference.incremental import occlusion
from striate.inference.tiled import tiled


class Keeping(nn.Module):
    """One convolution and a head, with a way to keep something (of convolutional LSTMs, running means, counters)."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)
        self.hidden: Tensor | None = None
        self.count = 0
        self.store: dict[str, Tensor] = {}
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        match self.how:
            case "hidden":
                y = y if self.hidden is None else y + self.hidden
                self.hidden = y.tanh()
            case "count":
                self.count += 1
                y = y * self.count
            case "mean":
                self.mean.mul_(0.9).add_(0.1 * y.mean((2, 3)).sum())
                y = y - self.mean
            case "features":  # kept, and never read again
                self.hidden, self.store["y"] = y, y
                self.count += 1
                self.mean += 1
        return self.last(F.relu(y).mean((2, 3)))


X = torch.rand(1, 3, 20, 22, generator=torch.Generator().manual_seed(0))
USES: dict[str, Callable[[nn.Module], object]] = {
    "tiled": lambda m: tiled(m, X, tile=8),
    "occlusion": lambda m: occlusion(m, X, 1, patch=6, stride=6),
    "dense": lambda m: dense(m, X, window=10, stride=5),
    "explain": lambda m: explain(m, X, 1, methods=["gradient"], trust=False),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("how", ["hidden", "count", "mean"])
def test_what_a_run_leaves_for_the_next_is_told_by_name(how: str, use: str) -> None:
    module = Keeping(how).eval()
    with pytest.raises((UsageError, GeometryError), match=f"another answer .* it keeps {how}"):
        USES[use](module)
    assert module.hidden is None and module.count == 0 and not module.mean


@pytest.mark.parametrize("use", USES)
def test_what_is_kept_and_not_read_is_no_obstacle_and_stays_as_it_was(use: str) -> None:
    module = Keeping("features").eval()
    USES[use](module)
    assert module.hidden is None and module.count == 0 and not module.mean and not module.store
    assert set(trace(module, X).kept) == {"hidden", "y", "count", "mean"}


class WritesIntoItsInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x.sub_(0.5), inplace=True)
        return self.last(self.first(x).mean((2, 3)))


@pytest.mark.parametrize("use", USES)
def test_an_image_that_the_network_writes_into_stays_as_it_is(use: str) -> None:
    before, module = X.clone(), WritesIntoItsInput().eval()
    found = USES[use](module)
    assert torch.equal(X, before)
    if use == "tiled":
        torch.testing.assert_close(found, module(X.clone()))


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit:FutureWarning"
)
def test_frozen_scripts_that_have_no_mode_are_run() -> None:
    scripted = torch.jit.freeze(
        torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval())
    )
    torch.testing.assert_close(tiled(scripted, X, tile=8), scripted(X))
