"""The headline against scikit-learn, torchmetrics and numbers worked by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score
from sklearn.model_selection import train_test_split
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
)

from striate.tasks.classify.findings import headline


def random_scores(
    n: int, k: int, seed: int = 0, signal: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), labels] += signal
    p = np.exp(logits)
    return p / p.sum(axis=1, keepdims=True), labels


def names(k: int) -> list[str]:
    return [f"class {i}" for i in range(k)]


@pytest.mark.parametrize(("n", "k"), [(500, 2), (500, 10), (400, 40), (300, 1000)])
def test_values_equal_scikit_learn_and_torchmetrics(n: int, k: int) -> None:
    p, y = random_scores(n, k)
    data = headline(p, y, names(k)).data
    assert data["accuracy"]["value"] == pytest.approx(accuracy_score(y, p.argmax(1)))
    every = list(range(k))
    assert data["negative_log_likelihood"]["value"] == pytest.approx(
        log_loss(y, p, labels=every), rel=1e-5
    )
    tp, ty = torch.from_numpy(p), torch.from_numpy(y)
    assert data["accuracy"]["value"] == pytest.approx(
        float(multiclass_accuracy(tp, ty, k, average="micro"))
    )
    assert data["calibration_error"]["value"] == pytest.approx(
        float(multiclass_calibration_error(tp, ty, k)), abs=1e-6
    )
    if k > 10:
        assert data["top5"]["value"] == pytest.approx(top_k_accuracy_score(y, p, k=5, labels=every))
        peer = multiclass_accuracy(tp, ty, k, top_k=5, average="micro")
        assert data["top5"]["value"] == pytest.approx(float(peer))
    else:
        assert "top5" not in data


def test_a_real_model_reads_as_a_manager_would_say_it() -> None:
    """Logistic regression on scikit-learn's digits, 360 of them held out; 35 to 37 of each
    digit, 37 / 360 = 10.3 %.
    """
    digits = load_digits()
    train, test, y_train, y = train_test_split(
        digits.data / 16, digits.target, test_size=360, stratify=digits.target, random_state=0
    )
    model = LogisticRegression(max_iter=200).fit(train, y_train)
    p = model.predict_proba(test)
    right = accuracy_score(y, p.argmax(1))
    finding = headline(p, y, list("0123456789"))
    assert finding.verdict.startswith(
        f"Accuracy {100 * right:.1f} % on 360 held-out images (95 % interval "
    )
    assert finding.verdict.endswith("the majority-class baseline has 10.3 %.")
    assert finding.status == "good"
    key = finding.data["key_figure"]
    assert key["value"] == pytest.approx(right)
    assert key["low"] < right < key["high"]
    assert key["baseline"] == pytest.approx(37 / 360)


def test_baselines_are_the_best_answer_without_looking() -> None:
    """Labels 0, 0, 0, 1: guessing 0 is right in 3 of 4, and the entropy of (3/4, 1/4) is 0.562
    nats.
    """
    p = np.tile([0.6, 0.4], (4, 1))
    rows = headline(p, [0, 0, 0, 1], ["a", "b"]).tables[0].rows
    assert [row[3] for row in rows] == ["75.0 %", "0.562", None]


def test_a_network_that_ignores_the_image_is_a_problem() -> None:
    p, y = random_scores(400, 4, signal=0)
    finding = headline(p, y, names(4))
    assert finding.status == "problem"
    assert "majority-class baseline" in finding.advice


def test_uniform_probabilities_earn_no_top5() -> None:
    y = np.arange(20)
    data = headline(np.full((20, 20), 0.05), y, names(20)).data
    assert data["top5"]["value"] == 5 / 20


def test_few_images_are_said_to_be_few() -> None:
    p, y = random_scores(60, 3, signal=20)
    finding = headline(p, y, names(3))
    assert finding.status == "warning"
    assert finding.advice.startswith("60 images say little")


def test_all_right_promises_no_certainty() -> None:
    """360 of 360: the exact 95 % bound is 0.025 ** (1 / 360) = 98.98 %."""
    y = np.arange(360) % 10
    data = headline(np.eye(10)[y], y, names(10)).data
    assert data["accuracy"]["value"] == 1
    assert data["accuracy"]["low"] == pytest.approx(0.0250 ** (1 / 360))
    assert data["negative_log_likelihood"]["value"] == pytest.approx(0, abs=1e-6)


def test_a_single_image_says_next_to_nothing() -> None:
    finding = headline([[0.9, 0.1]], [0], ["a", "b"])
    assert "1 held-out image " in finding.verdict
    assert finding.data["accuracy"]["low"] == pytest.approx(0.025)
    assert finding.status == "problem"


def test_a_certain_mistake_costs_much_but_not_infinity() -> None:
    """-log(float32 eps) = 15.94 nats, as in scikit-learn."""
    data = headline([[1.0, 0.0]] * 3, [1, 1, 1], ["a", "b"]).data
    assert data["negative_log_likelihood"]["value"] == pytest.approx(15.942, abs=1e-3)


def test_same_seed_same_finding_and_plain_json() -> None:
    p, y = random_scores(200, 12)
    first, again = headline(p, y, names(12), seed=1), headline(p, y, names(12), seed=1)
    assert first == again
    assert json.loads(json.dumps(first.to_dict(), allow_nan=False))["data"] == first.data
