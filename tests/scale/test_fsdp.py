"""Weights in parts: what two processes that hold a half each train is what one trains, and one goes on with it."""

from __future__ import annotations

import copy
from typing import Any

import jobs
import pytest
import ranks
import torch
import torch.nn.functional as F
from test_worlds import gap
from torch import nn

from striate.borrow import forward
from striate.errors import UsageError
from striate.training import fsdp
from striate.training.loop import predict_logits
from striate.training.parts import is_cut, local
from striate.training.world import here

CASES = {
    "classify": {"optimizer": "muon"},
    "triplet": {"optimizer": "adamw"},  # a loss that sees all images, several outputs before one backward pass
    "centernet": {},  # images without objects: parts of the network without a loss
}  # fmt: skip
STEPS = 6


class Reads(nn.Module):
    """Computes with the weights of a layer that it called before."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = (
            nn.Conv2d(3, 16, 3),
            nn.Conv2d(16, 16, 3, padding=1),
            nn.Linear(16, 3),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.b(self.a(x).relu())
        return self.head(F.conv2d(x, self.b.weight, padding=1).mean((2, 3)))


def work() -> dict[str, Any]:
    """What one of two processes does."""
    fsdp.UNIT = 500
    found: dict[str, Any] = {
        name: jobs.trained(name, STEPS, double=True, fsdp=True, keep_at=3, **more) for name, more in CASES.items()
    }  # fmt: skip
    job = jobs.job_of("classify", fsdp=True, optimizer="adamw")
    parts = list(job.training.model.parameters())
    found["cut"] = all(is_cut(p) for p in parts)
    found["held"] = sum(local(p).numel() for p in parts)
    batch = next(job.batches.from_step(0))
    with job.training.average.applied() as network:
        found["plain"] = predict_logits(network, [batch.images], dtype=torch.float32)
        found["whole"] = sum(p.numel() for p in network.parameters())
    found["let go"] = sum(p.numel() for p in job.training.average.plain.parameters())
    with torch.no_grad():
        found["gathered"] = forward(job.training.model.eval(), batch.images)
    job.training.model = Reads()
    fsdp.shard(job.training.model, here(), batch.images[:1])
    try:
        with fsdp.cut_where_called(job.training):
            forward(job.training.model, batch.images)
    except UsageError as error:
        found["refused"] = str(error)
    return found


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return ranks.together(2, work, folder=tmp_path_factory.mktemp("fsdp"))


@pytest.mark.parametrize("name", list(CASES))
def test_halves_train_as_the_whole_and_one_process_goes_on_with_them(
    two: list[dict[str, Any]], name: str
) -> None:
    alone = jobs.trained(name, STEPS, double=True, **CASES[name])
    for each in two:
        assert gap(each[name]["weights"], alone["weights"]) < 1e-8
        assert gap(each[name]["averaged"], alone["averaged"]) < 1e-8
        assert each[name]["losses"] == pytest.approx(alone["losses"], rel=1e-6)
    state = copy.deepcopy(two[0][name]["state"])
    resumed = jobs.trained(name, STEPS, double=True, state=state, **CASES[name])["weights"]
    assert gap(resumed, alone["weights"]) < 1e-8


def test_each_holds_a_part_and_gives_a_whole_network(two: list[dict[str, Any]]) -> None:
    assert all(each["cut"] for each in two)
    assert sum(each["held"] for each in two) == two[0]["whole"] and two[0]["let go"] == 0
    assert two[1]["held"] < 0.6 * two[1]["whole"]
    for each in two:
        torch.testing.assert_close(each["plain"], each["gathered"])


def test_a_network_that_cannot_be_cut_is_refused(two: list[dict[str, Any]]) -> None:
    said = "fsdp gathers the weights of a layer when the layer is called, and Reads reads those"
    assert two[0]["refused"].startswith(said)


def test_units_are_called_once_and_share_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.twice, self.once = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 8, 3)
            self.tied, self.never = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
            self.again = nn.Conv2d(8, 8, 1)
            self.again.weight = self.tied.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.again(self.tied(self.once(self.twice(self.twice(x)))))

    monkeypatch.setattr(fsdp, "UNIT", 250)
    network = Shared()
    before = copy.deepcopy(network.state_dict())
    assert fsdp.units_of(network, torch.zeros(1, 3, 8, 8)) == [network.once]
    assert network.training and all(
        torch.equal(t, before[n]) for n, t in network.state_dict().items()
    )
