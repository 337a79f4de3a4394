from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from striate.training.schedule import Pace, learning_rate_factor


def test_the_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    assert learning_rate_factor(0.15, 0.15) == 1.0
    assert learning_rate_factor(0.075, 0.15) == 0.5
    assert learning_rate_factor(1.0, 0.15) == 0.0
    assert learning_rate_factor(0.0, 0.0) == 1.0


@given(st.integers(1, 300))
def test_an_undisturbed_pace_is_uniform(total: int) -> None:
    pace = Pace(total)
    while not pace.done:
        assert abs(pace.progress - pace.step / total) < 1e-9
        pace.advance()
    assert abs(pace.progress - 1) < 1e-9


@given(st.integers(2, 100), st.lists(st.tuples(st.integers(0, 99), st.floats(0, 50)), max_size=5))
def test_however_often_it_is_planned_anew_progress_rises_and_ends_at_one(
    total: int, plans: list[tuple[int, float]]
) -> None:
    pace, last = Pace(total), 0.0
    while not pace.done:
        for at, left in plans:
            if at == pace.step:
                pace.replan(left, 1.0)
        pace.advance()
        assert pace.progress > last
        last = pace.progress
    assert abs(pace.progress - 1) < 1e-9
