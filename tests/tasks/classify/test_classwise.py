"""Precision, recall and F1 of each class against scikit-learn, and classes with nothing to
count.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from striate.tasks.classify.findings import Scores, per_class
from striate.tasks.classify.findings.classwise import classwise


def from_predictions(predicted: list[int] | np.ndarray, k: int) -> np.ndarray:
    """Probabilities whose largest is the prediction."""
    return np.eye(k)[np.asarray(predicted)] * 0.5 + 0.5 / k


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(1, 40), st.integers(0, 10_000))
def test_values_equal_scikit_learn_and_lie_in_their_intervals(k: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, predicted = rng.integers(k, size=(2, n))
    parts = classwise(Scores.of(from_predictions(predicted, k), y, list("abcdef")[:k]))
    peers = precision_recall_fscore_support(y, predicted, labels=range(k), zero_division=np.nan)
    nothing = (
        np.bincount(y, minlength=k) == 0
    )  # scikit-learn gives a class without images an F1 of 0
    for name, (value, low, high), peer in zip(
        ("precision", "recall", "F1"), parts, peers, strict=False
    ):
        peer = np.where(nothing, np.nan, peer) if name == "F1" else peer
        np.testing.assert_allclose(value, peer, atol=1e-6, err_msg=name)
        known = ~np.isnan(value)
        np.testing.assert_array_equal(np.isnan(low), ~known)
        assert (low[known] >= 0).all()
        assert (low[known] <= value[known] + 1e-6).all()
        assert (value[known] <= high[known] + 1e-6).all()
        assert (high[known] <= 1 + 1e-9).all()


def test_interval_of_recall_covers_the_truth() -> None:
    """Three classes found with 90, 70 and 50 %: 200 test sets of 150 images, intervals at 95 %."""
    truth = np.array([0.9, 0.7, 0.5])
    rng = np.random.default_rng(0)
    y = np.arange(150) % 3
    covered = np.zeros(3)
    for seed in range(200):
        found = rng.random(150) < truth[y]
        predicted = np.where(found, y, (y + 1) % 3)
        _, recall, _ = classwise(
            Scores.of(from_predictions(predicted, 3), y, list("abc")), seed=seed
        )
        covered += (recall.low <= truth) & (truth <= recall.high)
    assert (covered / 200 >= 0.9).all()


def test_worked_example() -> None:
    """a: 3 images, 2 found, 1 other called a: precision 2/3, recall 2/3, F1 2/3. b: 2 found of
    3, precision 2/3.
    """
    finding = per_class(from_predictions([0, 0, 1, 1, 1, 0], 2), [0, 0, 0, 1, 1, 1], ["a", "b"])
    for row in finding.tables[0].rows:
        assert row[1] == 3
        assert [row[2], row[4], row[6]] == pytest.approx([2 / 3] * 3)
    assert finding.data["support"] == [3, 3]


def test_weakest_class_is_named_and_put_first_in_the_figure() -> None:
    y = np.repeat([0, 1, 2], 40)
    predicted = y.copy()
    predicted[40:60] = 2
    finding = per_class(from_predictions(predicted, 3), y, ["cat", "dog", "fox"])
    assert finding.verdict.startswith("Weakest is “dog”: recall 50.0 %, precision 100 %; best is")
    assert finding.status == "warning"
    assert finding.advice.startswith("Add images of “dog”")
    assert finding.data["weakest"] == ["dog", "fox", "cat"]
    text = finding.figures[0].content.decode()
    assert text.index(">dog<") < text.index(">fox<") < text.index(">cat<")


def test_absent_and_never_predicted_classes_are_dashes_not_zeros() -> None:
    y = np.array([0] * 30 + [1] * 30)
    finding = per_class(from_predictions([0] * 60, 3), y, ["a", "b", "c"])
    table = finding.tables[0]
    assert [table.text(1, c) for c in (2, 3, 4, 6)] == [
        "–",
        "–",
        "0.0%",
        "0.0%",
    ]  # b: never predicted
    assert [table.text(2, c) for c in (2, 4, 6)] == ["–", "–", "–"]  # c: no image
    assert "No held-out image shows “c”" in finding.advice
    assert "never predicted" in finding.verdict
    json.dumps(finding.to_dict(), allow_nan=False)


def test_a_perfect_class_of_five_keeps_its_doubt() -> None:
    """5 of 5: the exact bound is 0.025 ** (1 / 5) = 47.8 %."""
    y = np.repeat([0, 1], 5)
    finding = per_class(from_predictions(y, 2), y, ["a", "b"])
    assert finding.tables[0].rows[0][5] == "47.8–100.0"
    assert finding.data["f1"]["value"] == [1, 1]
    assert finding.status == "note"  # fewer than twenty images each


def test_one_class_in_the_test_set_says_so() -> None:
    finding = per_class(from_predictions([0, 0, 1], 2), [0, 0, 0], ["a", "b"])
    assert finding.data["recall"]["value"] == [pytest.approx(2 / 3), None]
    assert finding.status == "warning"


def test_a_thousand_classes_show_the_weakest_thirty() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(3000) % 1000
    predicted = np.where(rng.random(3000) < 0.8, y, rng.integers(1000, size=3000))
    finding = per_class(from_predictions(predicted, 1000), y, [f"c{i}" for i in range(1000)])
    assert len(finding.tables[0].rows) == 1000
    assert "the 30 weakest of 1,000 classes" in finding.figures[0].caption
