"""Stratified subsets: shares are kept in every beginning, and every class comes before a second image of any."""

from __future__ import annotations

import numpy as np
import pytest

from striate.data.subsets import sample_sizes, stratified_order


@pytest.mark.parametrize("seed", [0, 1])
def test_every_beginning_of_the_order_is_stratified(seed: int) -> None:
    labels = np.repeat([0, 1, 2, 3], [60, 30, 9, 1])
    order = stratified_order(labels, seed)
    assert sorted(order) == list(range(100))
    assert sorted(labels[order[:4]]) == [0, 1, 2, 3]  # one image a class
    for n in range(8, 100):
        counts = np.bincount(labels[order[:n]], minlength=4)
        assert (abs(counts - n * np.array([0.6, 0.3, 0.09, 0.01])) <= 2.1).all()
    assert list(order) != list(stratified_order(labels, seed + 1))


def test_sizes_are_in_equal_ratios_with_both_ends() -> None:
    assert sample_sizes(5, 1258) == [5, 10, 20, 40, 79, 158, 316, 630, 1258]
    assert sample_sizes(5, 6) == [5, 6] and sample_sizes(9, 3) == [3]
