"""A budget is the time of the whole command: on a clock of its own, at any speed of the machine."""

from __future__ import annotations

import pytest
from torch import nn

from striate.runs.allowance import EXPLAINED, FIGURES, MARGIN, Allowance
from striate.runs.training import timed
from striate.training.schedule import Pace


class Clock:
    """Seconds that pass only where a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Ends:
    """What of a training the allowance moves."""

    deadline = 0.0


def test_what_is_kept_by_hand() -> None:
    clock = Clock()
    allowance = Allowance(seconds=60.0, started=90.0, figure=0.1, forward=0.01, clock=clock)
    assert allowance.left() == 50.0
    kept = 500 * 0.01 + FIGURES * 0.1 + (EXPLAINED + MARGIN) * 60.0  # 5 + 4 + 9 s
    assert allowance.reserve(500) == pytest.approx(kept) == pytest.approx(18.0)
    assert allowance.deadline(500) == pytest.approx(100.0 + 50.0 - 18.0)
    assert Allowance(seconds=None, started=0.0).left() == float("inf")


def test_a_training_gets_its_share_where_evaluation_alone_would_take_all() -> None:
    allowance = Allowance(seconds=60.0, started=100.0, forward=1.0, clock=Clock())
    assert allowance.deadline(10_000) == pytest.approx(100.0 + 0.4 * 60.0)


@pytest.mark.parametrize("slower", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("budget", [60.0, 300.0])
def test_the_whole_command_ends_within_its_budget(budget: float, slower: float) -> None:
    """A machine that turns out `slower` than measured: 20 s of preprocessing, steps of 0.05 s, epochs of 40 steps."""
    clock, ends = Clock(), Ends()
    allowance = Allowance(seconds=budget, started=clock.now, clock=clock)
    clock.now += 20.0
    allowance.forward, allowance.figure = 0.05 / 32 / 3, 0.05 * slower
    ends.deadline = allowance.deadline(1000)
    pace = Pace(1)
    pace.replan(ends.deadline - clock.now, 0.05)

    def evaluate(network: nn.Module) -> tuple[float, ...]:
        clock.now += slower * 400 * 0.0006
        return 0.0, 0.0

    measured = timed(evaluate, ends, allowance, 400, 1000)  # type: ignore[arg-type]
    while not pace.done:
        before = clock.now
        for _ in range(min(40, pace.total - pace.step)):
            clock.now += slower * 0.05
            pace.advance()
        measured(nn.Identity())
        if not pace.done:  # as the loop does, every two seconds
            pace.replan(ends.deadline - clock.now, (clock.now - before) / 40)
    clock.now += 1000 * allowance.forward + FIGURES * allowance.figure  # evaluation and report
    assert allowance.left() >= 0
    assert pace.step > 50
