"""Probes of a task that Striate does not know: where a dot lies, from a network with two outputs and a metric of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.errors import UsageError
from striate.robustness import Context, checklist, compare, probes_of, resolve_probes, run_probe
from striate.statistics.intervals import paired
from striate.tasks.classify.task import Classify
from striate.tasks.warp import Warp

SIDE, REACH = 24, 8.0  # pixels; from REACH on a place is as wrong as can be
COMMON = ["shift", "rotation", "scale", "flip", "corruption"]


@dataclass(frozen=True)
class Closeness:
    """1 minus the distance in units of REACH; or with `hit` whether it is below 2 pixels."""

    hit: bool = False
    name: str = "closeness"

    def evidence(self, output: dict[str, Tensor], target: Tensor) -> np.ndarray:
        away = (torch.stack([output["row"], output["column"]], 1) - target).norm(dim=1)
        found = (away < 2).float() if self.hit else 1 - away.clamp(max=REACH) / REACH
        return found.numpy()

    def score(
        self, evidence: np.ndarray, weights: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        mean = evidence.mean() if weights is None else weights @ evidence / weights.sum(-1)
        return {"close": np.asarray(mean)}


class Dots(Classify):
    """Where a dot lies: a row and a column, which move with the image."""

    name = "dots"
    about = "the place of a dot"
    offers = MappingProxyType({})
    hit = False

    def metric(self, classes: Sequence[str]) -> Any:
        return Closeness(self.hit)

    def warp(self, targets: Tensor, warp: Warp) -> Tensor:
        middle = (SIDE - 1) / 2
        row, column = (targets - middle).T
        row, column = (-row if -2 in warp.flip else row), (-column if -1 in warp.flip else column)
        cos, sin = math.cos(math.radians(warp.degrees)), math.sin(math.radians(warp.degrees))
        row, column = (cos * row - sin * column), (sin * row + cos * column)
        return warp.scale * torch.stack([row, column], 1) + middle + torch.tensor([warp.rows, warp.columns])  # fmt: skip


class HitDots(Dots):
    name = "hit-dots"
    hit = True


class Centre(nn.Module):
    """The centre of what is bright; `blind` to rows, it takes them for the middle."""

    def __init__(self, blind: bool = False) -> None:
        super().__init__()
        self.blind = blind

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        mass = (x[:, 0] - 0.5).clamp(min=0) + 1e-9
        share, at = mass / mass.sum((1, 2), keepdim=True), torch.arange(SIDE).float()
        row = (share.sum(2) * at).sum(1)
        return {
            "row": 0 * row + SIDE / 2 if self.blind else row,
            "column": (share.sum(1) * at).sum(1),
        }


def context(blind: bool = False, task: Dots | None = None) -> Context:
    g = torch.Generator().manual_seed(0)
    at = torch.randint(9, 15, (30, 2), generator=g)
    images = torch.zeros(30, 1, SIDE, SIDE)
    for image, (row, column) in zip(images, at.tolist(), strict=True):
        image[0, row - 1 : row + 2, column - 1 : column + 2] = 1.0
    return Context(Centre(blind).eval(), images, at.float(), ("dot",), task=task or Dots())


def test_it_has_the_probes_that_need_no_class_and_others_are_refused() -> None:
    assert list(probes_of(Dots())) == list(resolve_probes([], Dots())) == COMMON
    with pytest.raises(UsageError, match="gives the place of a dot: it needs one class an image"):
        resolve_probes(["attack"], Dots())
    with pytest.raises(UsageError, match=r"calibration .* needs a choice among classes"):
        resolve_probes(["calibration"], Dots())
    rows = str(checklist([], probes_of(Dots())).tables[0].rows)
    assert "RUN corruption" in rows and "RUN attack" not in rows


@pytest.mark.parametrize("kind", ["shift", "rotation", "scale", "flip"])
def test_a_network_that_moves_along_loses_nothing(kind: str) -> None:
    found = run_probe(context(), kind)
    assert found.data["clean"] == pytest.approx(1, abs=1e-5)
    assert min(found.data["close"]) > 0.9
    assert found.status == "good" and "of closeness" in found.verdict


def test_one_that_does_not_follow_loses_what_a_plain_loop_counts() -> None:
    one = context(blind=True)
    found = run_probe(one, "shift")
    at = found.data["levels"].index("4 px")
    wanted = []
    for rows in (0, 0, 4, -4):  # right, left, down, up
        for row, _ in one.targets.tolist():
            wanted.append(1 - min(REACH, abs(SIDE / 2 - (row + rows))) / REACH)
    assert found.data["close"][at] == pytest.approx(np.mean(wanted), abs=1e-5)
    _, score, change, low, high = found.tables[0].rows[at]
    assert score == found.data["close"][at] and low < change < high < 0
    assert found.status == "warning" and "of closeness at" in found.verdict


def test_hits_have_intervals_of_shares() -> None:
    one = context(blind=True, task=HitDots())
    found = run_probe(one, "flip")
    assert found.data["clean"] == one.clean_score == one.clean_evidence.mean()
    assert found.data["images"] == 30 and " points " in found.verdict
    moved = one.evidence(one.images.flip(2))
    assert one.difference([one.clean_evidence], [moved]) == paired(one.clean_evidence, moved)


def test_two_networks_are_compared_by_its_metric() -> None:
    found = compare(context(), context(blind=True), ("sighted", "blind"), ["flip"])
    assert found.data["rows"].keys() == {"clean", "flip left-right"}
    assert (
        found.verdict.startswith("sighted is more robust by 0.") and found.data["interval"][1] < 0
    )
