"""Work on threads: in order, a few at a time, and it stops when asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.pool import ordered, workers


@given(st.lists(st.integers()), st.integers(1, 5))
@settings(max_examples=30)
def test_results_come_in_order(items: list[int], threads: int) -> None:
    assert list(ordered(lambda x: x + 1, items, threads=threads)) == [x + 1 for x in items]


def test_only_a_few_wait_at_a_time() -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = ordered(lambda x: x, endless(), threads=2)
    for expected in range(1, 101):
        assert next(results) == expected
        assert taken <= expected + 4 * 2
    results.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("striate-data")]


def test_an_error_ends_the_work() -> None:
    def work(x: int) -> int:
        if x == 7:
            raise ValueError("seven")
        return x

    results = ordered(work, range(10**9), threads=3)
    assert [next(results) for _ in range(7)] == list(range(7))
    with pytest.raises(ValueError, match="seven"):
        next(results)
    assert not [t for t in threading.enumerate() if t.name.startswith("striate-data")]


def test_there_is_at_least_one_worker() -> None:
    assert 1 <= workers() <= 16
