"""Networks that amplify rounding: their results are given and said to be noise, and a wrong rule is still caught."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import ExactnessError, NotVerifiedWarning
from striate.geometry.rules.reduction import Reduce
from striate.inference.dense import dense
from striate.inference.incremental import occlusion
from striate.inference.rounding import Otherwise, otherwise
from striate.inference.tiled import Tiled


class Does(nn.Module):
    """A function of the image, after a convolution of its own."""

    def __init__(self, does: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(2, 4, 3, padding=2, dilation=2)
        self.does = does

    def forward(self, x: Tensor) -> Tensor:
        return self.does(self.conv(x))


def centred(x: Tensor) -> Tensor:
    """Columns of mean 0, of which the mean is then taken: nothing but rounding."""
    return ((x - x.mean(2, keepdim=True)) / (x.std(2, keepdim=True) + 0.5)).mean((2, 3)) * 4e16


def grouped(x: Tensor) -> Tensor:
    return F.group_norm(x, 2).flatten(1).mean(1, keepdim=True)


def network(does: Callable[[Tensor], Tensor]) -> nn.Module:
    return Does(does).double().eval()


def picture() -> Tensor:
    return torch.rand(2, 15, 18, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("does", [centred, grouped])
def test_what_is_nothing_but_rounding_is_said(does: Callable[[Tensor], Tensor]) -> None:
    with pytest.warns(NotVerifiedWarning, match="not verified: the network amplifies rounding"):
        found = occlusion(network(does), picture(), 0, patch=5, stride=5)
    assert isinstance(found, Tensor)
    assert found.shape == (3, 3)


def boxes(x: Tensor) -> Tensor:
    """The mean of 3 x 3 positions, twice: what two ways of summing differ by, and nothing else."""
    kernel = torch.full((4, 1, 3, 3), 1 / 9, dtype=x.dtype)
    return (F.avg_pool2d(x, 3) - F.conv2d(x, kernel, stride=3, groups=4)) * 1e16


def test_dense_says_it() -> None:
    module = network(lambda x: boxes(x).mean((2, 3)))
    with pytest.warns(NotVerifiedWarning, match=r"row \d+, column \d+ of the patches"):
        found = dense(module, picture(), window=(11, 12), stride=2)
    assert found.shape == (4, 3, 4)


def test_tiled_says_it() -> None:
    """Of a black image nothing is rounded, and so nothing is seen by changing its last digits."""
    job = Tiled(network(boxes), 0 * picture()[None], tile=(5, 6))
    job.run(certificate=True)
    assert job.certificate is not None
    assert job.certificate.exact is None
    assert "Not verified: the network amplifies rounding" in job.certificate.verdict


def test_a_wrong_rule_is_no_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    module = network(lambda x: x.sigmoid().mean((2, 3)))
    right = Reduce.run

    def wrong(self: Any, *args: Any, **kwargs: Any) -> Tensor:
        return right(self, *args, **kwargs) * (1 + 1e-6)

    monkeypatch.setattr(Reduce, "run", wrong)
    with pytest.raises(ExactnessError, match="fault of Striate"):
        occlusion(module, picture(), 0, patch=5, stride=5)


def test_other_rounding_moves_a_sound_network_by_the_last_digits() -> None:
    module, x = network(lambda x: x.sigmoid().mean((2, 3))), picture()[None]
    want = module(x).detach()
    found = [otherwise(lambda: module(x)) for _ in range(3)]
    assert all(0 < float((f - want).abs().max()) < 1e-14 for f in found)
    assert not torch.equal(found[0], found[1])


def test_ties_and_copies_stay() -> None:
    x = torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 5.0]])
    with torch.no_grad(), Otherwise():
        assert torch.equal(x.clamp(0, 3).flip(1), x.flip(1).clamp(0, 3))
        assert torch.equal((x == x.amax(1, keepdim=True)).sum(1), torch.tensor([2, 1]))
        y = torch.cat([x, x]).t().contiguous()
    assert torch.equal(y, torch.cat([x, x]).t())
    assert torch.equal(x, torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 5.0]]))
