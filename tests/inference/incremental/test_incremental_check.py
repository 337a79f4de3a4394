"""The check by the plain module: it lets rounding pass, and nothing else."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from striate.attribution import occlusion_map
from striate.errors import ExactnessError, NotVerifiedWarning, StriateError
from striate.geometry.rules.pooling import MaxPool
from striate.geometry.rules.reduction import Reduce
from striate.inference.incremental import Incremental, Perturbation, occlusion, perturb
from striate.inference.incremental.kernel import Kernel


class Mean(nn.Module):
    """The mean over positions."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def small(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3),
        nn.ReLU(),
        Mean(),
    ]
    return nn.Sequential(*layers, nn.Linear(8, 5)).to(dtype).eval()  # fmt: skip


def picture(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(3, 24, 20, generator=torch.Generator().manual_seed(1)).to(dtype)


def spoil(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, by: float, least: int = 2
) -> None:
    """Let what a rule computes for `least` images and more be off by a factor."""
    right = getattr(owner, name)

    def wrong(self: Any, *args: Any, **kwargs: Any) -> Tensor:
        found: Tensor = right(self, *args, **kwargs)
        return found * by if len(found) >= least else found

    monkeypatch.setattr(owner, name, wrong)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("owner", "name"), [(Kernel, "__call__"), (Reduce, "run"), (MaxPool, "run")]
)
def test_a_wrong_rule_is_caught(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, dtype: torch.dtype
) -> None:
    module, image = small(dtype), picture(dtype)
    right = occlusion(module, image, 1, patch=4, stride=4)
    if owner is MaxPool:  # runs on boxes by another way
        monkeypatch.setattr(
            "striate.inference.incremental.program.windowed", lambda node: node.kernel is not None
        )
    spoil(monkeypatch, owner, name, 1.05)
    with pytest.raises(
        ExactnessError, match=r"withheld: at rows \d+ to \d+, columns .*fault of Striate"
    ) as caught:
        occlusion(module, image, 1, patch=4, stride=4)
    assert "input: [1, 3, 24, 20]" in str(caught.value)
    records = caught.value.report["records"]
    assert isinstance(records, list)
    assert any("convolution" in line for line in records)
    wrong = occlusion(module, image, 1, patch=4, stride=4, check=False)
    assert isinstance(wrong, Tensor)
    assert isinstance(right, Tensor)
    assert not torch.allclose(wrong, right, rtol=0, atol=1e-3 * float(right.abs().max()))


def test_a_wrong_rule_is_caught_for_any_region_and_in_attribution(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, image = small(), picture()
    regions = [Perturbation(rows=(r, r + 5), columns=(3, 9)) for r in (0, 7, 19)]
    wanted = perturb(module, image, regions, 2)
    spoil(monkeypatch, Kernel, "__call__", 1.2, 1)
    with pytest.raises(ExactnessError):
        perturb(module, image, regions, 2)
    assert not torch.allclose(
        perturb(module, image, regions, 2, check=False), wanted, rtol=0, atol=1e-5
    )
    with pytest.raises(ExactnessError):
        occlusion_map(module, image, 2)


class Cancels(nn.Module):
    """In float32 what is left of the image is mostly rounding."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * 1e-5 + 100.0).cumsum(3)[..., 1:] - 100.0


class Picks(nn.Module):
    """Jumps where rounding decides: half of the numbers are ties."""

    def forward(self, x: Tensor) -> Tensor:
        return x + ((x * 3 + 1) / 7 * 7 - 1).sub(x * 3).sign()


@pytest.mark.parametrize("part", [Cancels(), Picks()])
def test_rounding_is_no_fault(part: nn.Module) -> None:
    module = nn.Sequential(small()[:2], part, small()[2:]).eval()
    with warnings.catch_warnings():  # how it rounds depends on how memory is aligned
        warnings.simplefilter("ignore", NotVerifiedWarning)
        found = occlusion(module, picture(), 1, patch=4, stride=4)
    assert isinstance(found, Tensor)
    assert found.shape == (6, 5)


def test_bfloat16_passes() -> None:
    occlusion(small(), picture(), 1, patch=4, stride=4, dtype=torch.bfloat16)


class Counts(nn.Module):
    """A module that keeps what it saw and counts its runs."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("runs", torch.zeros(()))
        self.kept: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        self.kept.append(x)
        return x


def test_the_module_stays_as_it_was_and_a_session_is_checked_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = Counts()
    module = nn.Sequential(counts, small()).eval()
    runs = []
    counts.register_forward_hook(lambda _, given, __: runs.append(len(given[0])))
    session = Incremental(module, picture())
    runs.clear()
    box = [((2, 6), (3, 9))]
    session.scores(box, 0.0, 1)
    assert runs == [2]  # the clean image and the box
    for _ in range(5):
        session.scores(box, 0.5, 1)
    assert runs == [2]
    session.scores([((r, r + 2), (c, c + 2)) for r in range(20) for c in range(18)], 0.5, 1)
    assert runs == [2, 5]
    assert counts.runs == 0
    assert not counts.kept


def test_a_network_that_cannot_be_checked_is_said() -> None:
    class Refuses(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.device.type != "meta":
                raise RuntimeError("the licence has run out")
            return x

    module = nn.Sequential(Refuses(), small()).eval()
    with pytest.raises(StriateError, match=r"the licence has run out; pass check=False"):
        occlusion(module, picture(), 1, patch=4, stride=4)
    occlusion(module, picture(), 1, patch=4, stride=4, check=False)


class Counted(nn.Module):
    """A network that notes how many images each real run has; it may refuse many, or mix them."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.inner, self.way = small(), way

    def forward(self, x: Tensor) -> Tensor:
        if not x.is_meta:
            RUNS.append(len(x))
        if self.way == "refuses" and len(x) > 1:
            raise ValueError("one image at a time")
        y: Tensor = self.inner(x)
        return y - y.mean(0) if self.way == "mixes" else y


RUNS: list[int] = []


@pytest.mark.parametrize(
    ("way", "runs"), [("plain", [3]), ("refuses", [3, 1, 1, 1]), ("mixes", [3, 1, 1, 1])]
)
def test_small_images_are_checked_in_one_run_that_can_only_confirm(
    way: str, runs: list[int]
) -> None:
    module, image = Counted(way).eval(), picture()
    RUNS.clear()
    found = occlusion(module, image, 1, patch=4, stride=4)
    assert runs == RUNS
    assert isinstance(found, Tensor)
    if way == "mixes":  # of one image the mean is the image itself
        assert not found.any()


def test_a_large_answer_of_a_batch_excuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Large(nn.Module):
        """Adds to the other classes what no image alone has."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = small()

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.inner(x)
            others = torch.tensor([1.0, 0, 1, 1, 1]) * 1e6 * (len(x) - 1)
            return y + others

    spoil(monkeypatch, Kernel, "__call__", 1.05)
    with pytest.raises(ExactnessError, match="withheld"):
        occlusion(Large().eval(), picture(), 1, patch=4, stride=4)
