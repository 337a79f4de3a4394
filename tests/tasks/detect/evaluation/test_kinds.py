"""Kinds of errors: one of each, by hand, and what mending each gives."""

import numpy as np
import pytest

from striate.tasks.detect.evaluation.kinds import KINDS, ap50, judge
from striate.tasks.detect.objects import Objects

TRUTH = Objects.of(
    [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10], [80, 0, 90, 10], [100, 0, 120, 20]],
    [0, 0, 0, 0, 1, 1],
    crowd=[False] * 5 + [True],
)  # fmt: skip
PREDICTED = Objects.of(
    [
        [0, 0, 10, 10],  # right
        [0, 0, 10, 9],  # the same again
        [20, 0, 30, 10],  # the right box of another class
        [46, 0, 56, 10],  # off: 4 of 16
        [66, 0, 76, 10],  # off, of another class
        [200, 200, 210, 210],  # nothing there
        [102, 2, 110, 10],  # on a crowd
    ],
    [0, 0, 1, 0, 1, 0, 1],
    scores=[0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3],
)


def test_one_of_each():
    judged = judge(PREDICTED, TRUTH)
    names = [KINDS[k] for k in judged.kinds]
    assert names == ["right", "duplicate", "class", "localisation", "both", "background", "background"]  # fmt: skip
    assert judged.ignored.tolist() == [False] * 6 + [True]
    assert judged.found.tolist() == [True] + [False] * 5
    # Object 3 has only a box that is off and of another class near it, object 4 none; a crowd is not missed.
    assert judged.missed.tolist() == [False, False, False, True, True, False]


def test_mending_a_kind_never_costs_and_mending_a_class_gives_its_object():
    judged = [judge(PREDICTED, TRUTH)]
    plain = ap50(judged, 2)
    for kind in (*KINDS[1:], "missed"):
        assert ap50(judged, 2, mend=kind) >= plain - 1e-12
    # Class 0 has 4 objects. Right, duplicate, then the mended one: precision 1 up to a quarter, 2/3 up to a half.
    mended = ap50(judged, 2, mend="class")
    recalls = np.linspace(0, 1, 101)
    first = np.where(recalls <= 0.25, 1.0, np.where(recalls <= 0.5, 2 / 3, 0)).mean()
    assert mended == pytest.approx(first / 2)


def test_nothing_to_find_is_not_a_number():
    assert np.isnan(ap50([judge(PREDICTED, Objects.of([], []))], 2))
