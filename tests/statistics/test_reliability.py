"""Calibration: the error by hand and by torchmetrics, and words that are true of calibrated and
of vain networks.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from striate.statistics.calibration import calibration_error, chance_error
from striate.tasks.classify.findings import Scores, calibration


def two_class(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that always favour class 0 with the given confidence, and labels that make
    it right or not.
    """
    return np.stack([confidence, 1 - confidence], axis=1), np.where(right, 0, 1)


def synthetic(n: int, seed: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A network that is right with probability confidence - shift."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.55, 0.99, size=n)
    return two_class(confidence, rng.random(n) < confidence - shift)


def test_worked_example() -> None:
    """Ten images at 0.9, eight right; ten at 0.6, nine right: (|0.8 - 0.9| + |0.9 - 0.6|) / 2 =
    0.2.
    """
    p, y = two_class(np.repeat([0.9, 0.6], 10), np.array([1] * 8 + [0] * 2 + [1] * 9 + [0]))
    finding = calibration(p, y, ["a", "b"])
    assert finding.data["calibration_error"]["value"] == pytest.approx(0.2, abs=1e-6)
    assert finding.data["overconfidence"] == pytest.approx(0.75 - 0.85, abs=1e-6)
    shown = [[finding.tables[0].text(r, c) for c in range(5)] for r in range(2)]
    assert shown == [
        ["60–67 %", "10", "60.0%", "90.0%", "+30.0%"],
        ["87–93 %", "10", "90.0%", "80.0%", "-10.0%"],
    ]


@pytest.mark.parametrize("k", [2, 10, 1000])
def test_error_and_resampled_error_use_torchmetrics_bins(k: int) -> None:
    rng = np.random.default_rng(k)
    p = rng.dirichlet(np.full(k, 0.1), size=300).astype(np.float32)
    y = rng.integers(k, size=300)
    scores = Scores.of(p, y, [str(i) for i in range(k)])
    peer = float(
        multiclass_calibration_error(torch.from_numpy(scores.probabilities), torch.from_numpy(y), k)
    )
    value, low, high = calibration_error(scores)
    assert value == pytest.approx(peer, abs=1e-6)
    assert 0 <= low <= value <= high <= 1


def test_a_confidence_of_exactly_one_belongs_to_the_last_bin() -> None:
    """Five at 1.0, four of them right, five at 0.95, all right: 0.075 in one bin; torchmetrics
    alone makes two, 0.125.
    """
    p, y = two_class(
        np.repeat([1.0, 0.95], 5).astype(np.float32), np.array([1] * 4 + [0] + [1] * 5)
    )
    assert calibration_error(Scores.of(p, y, ["a", "b"])).value == pytest.approx(0.075, abs=1e-6)
    alone = multiclass_calibration_error(torch.from_numpy(p), torch.from_numpy(y), 2)
    assert float(alone) == pytest.approx(0.125, abs=1e-6)


def test_probabilities_rounded_above_one_are_not_taken_for_logits() -> None:
    """torchmetrics applies a softmax as soon as one value exceeds 1, which turns 0.5 into a
    calibration error of 0.27.
    """
    p, y = two_class(np.full(100, 1 + 1e-6), np.ones(100, dtype=bool))
    assert calibration_error(Scores.of(np.abs(p), y, ["a", "b"])).value == pytest.approx(
        0, abs=1e-6
    )


def test_a_calibrated_network_is_seldom_blamed_and_a_vain_one_is_found() -> None:
    blamed = sum(
        calibration(*synthetic(300, seed), ["a", "b"]).status != "good" for seed in range(40)
    )
    assert blamed <= 6  # 5 % of 40, and room for chance
    found = [calibration(*synthetic(300, seed, shift=0.15), ["a", "b"]) for seed in range(10)]
    assert all(
        f.status == "warning" and f.verdict.startswith("Over-confident: mean") for f in found
    )


def test_chance_error_is_what_calibrated_networks_show() -> None:
    errors = [
        float(calibration_error(Scores.of(*synthetic(200, seed), ["a", "b"])).value)
        for seed in range(60)
    ]
    mean, limit = chance_error(Scores.of(*synthetic(200, 0), ["a", "b"]))
    assert mean == pytest.approx(np.mean(errors), rel=0.12)
    assert np.mean(np.array(errors) <= limit) >= 0.88


def test_under_confidence_is_named() -> None:
    finding = calibration(*two_class(np.full(400, 0.7), np.ones(400, dtype=bool)), ["a", "b"])
    assert finding.verdict.startswith("Under-confident: mean confidence 70.0 %, accuracy 100 %")
    assert "temperature" in finding.advice


def test_opposite_faults_are_not_averaged_away() -> None:
    """0.6 that is always right and 0.9 that is right half the time: 0.75 said, 0.75 right, yet
    40 % off everywhere.
    """
    right = np.array([1] * 200 + [1, 0] * 100)
    finding = calibration(*two_class(np.repeat([0.6, 0.9], 200), right), ["a", "b"])
    assert finding.verdict.startswith("Over-confident in places and under-confident in others")
    assert finding.data["calibration_error"]["value"] == pytest.approx(0.4, abs=1e-6)


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_images_prove_nothing(n: int) -> None:
    finding = calibration(np.tile([0.8, 0.2], (n, 1)), [0] * n, ["a", "b"])
    assert finding.status == "note"
    assert f"as far as {n} image" in finding.verdict
