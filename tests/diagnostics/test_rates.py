"""Rates: the range test on losses whose landmarks are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from striate.diagnostics import rates
from striate.errors import DataError, UsageError


def valley(begins: float, bottom: float, leaves: float) -> Callable[[float], float]:
    """2 until `begins`, down in a line (on a log scale) to 1 at `bottom`, level, and gone at `leaves`."""

    def step(rate: float) -> float:
        if rate >= leaves:
            return math.nan
        along = math.log(rate / begins) / math.log(bottom / begins)
        return 2 - min(max(along, 0), 1)

    return step


def test_landmarks_of_a_known_valley() -> None:
    data = rates(valley(1e-3, 0.3, 3.0), steps=300).data
    assert 1e-3 < data["begins"] < 4e-3  # a tenth of the fall, and the running mean's delay
    assert 0.3 < data["bottom"] < 3.0 and 3.0 <= data["leaves"] < 3.2
    assert data["begins"] < data["peak"] <= data["bottom"] / 3 * 1.05


@pytest.mark.parametrize(
    ("used", "status"),
    [(None, "note"), (0.02, "good"), (1e-5, "warning"), (5.0, "warning"), (50.0, "warning")],
)
def test_the_rate_that_was_used_is_judged(used: float | None, status: str) -> None:
    found = rates(valley(1e-3, 0.3, 3.0), used=used)
    assert found.status == status and found.data["used"] == used
    assert ("--set lr=" in found.advice) == (status != "good")


def test_a_rate_on_the_rising_side_is_warned_of() -> None:
    found = rates(lambda rate: 1 + 0.1 * abs(math.log10(rate) + 2), used=1.0)
    assert found.status == "warning" and found.data["used"] > found.data["bottom"]


def test_plain_descent_on_a_bowl_leaves_where_the_theory_says() -> None:
    """Gradient descent on a x^2 / 2 shrinks for rates below 2 / a and grows beyond; here a is 4, so 0.5."""
    weight = nn.Parameter(torch.tensor([3.0]))

    def step(rate: float) -> float:
        loss = (2 * weight**2).sum()
        (slope,) = torch.autograd.grad(loss, weight)
        with torch.no_grad():
            weight.sub_(rate * slope)
        return float(loss.detach()) + 1.0

    data = rates(step, low=1e-4, high=10, steps=400).data
    assert data["leaves"] is not None and data["leaves"] > 0.5
    assert data["peak"] < 0.5


def test_a_loss_that_never_falls_and_bad_arguments_are_reported() -> None:
    flat = rates(lambda rate: 2.3)
    assert flat.status == "problem" and flat.data["peak"] is None
    with pytest.raises(DataError, match="not finite before the first step"):
        rates(lambda rate: math.nan)
    with pytest.raises(UsageError, match="0 < low < high"):
        rates(lambda rate: 1.0, low=1.0, high=0.1)
