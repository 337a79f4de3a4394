"""The verdict on training is true of curves whose story is known."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from striate.errors import DataError
from striate.runs.training_curves import rise_since, training_curves


def rows(train: Any, valid: Any = None) -> list[dict[str, Any]]:
    valid = [None] * len(train) if valid is None else valid
    return [
        {
            "epoch": i,
            "step": 10 * i,
            "train_loss": t,
            "train_accuracy": 0.5,
            "val_loss": v,
            "val_accuracy": None if v is None else 0.6,
            "lr": 0.1,
            "images_per_second": 2000.0,
            "seconds": 1.5 * i,
        }
        for i, (t, v) in enumerate(zip(train, valid, strict=True), 1)
    ]


EPOCHS = np.arange(20)
FALLING = 2 * np.exp(-EPOCHS / 12) + 0.2
SETTLED = 2 * np.exp(-EPOCHS / 2) + 0.2
NOISE = 0.003 * np.random.default_rng(0).normal(size=20)
STORIES = {
    "still improving": (FALLING, FALLING + 0.05 + NOISE),
    "converged": (SETTLED, SETTLED + 0.05 + NOISE),
    "overfitting": (
        2 * np.exp(-EPOCHS / 3),
        np.where(EPOCHS < 8, 1.6 - 0.1 * EPOCHS, 0.8 + 0.03 * (EPOCHS - 7)),
    ),
    "not learning": (np.full(20, 2.302) + NOISE, np.full(20, 2.302) + EPOCHS * 0.001),
    "diverged": (np.where(EPOCHS < 15, SETTLED, np.nan), np.where(EPOCHS < 15, SETTLED, np.nan)),
}
STATUS = {"still improving": "note", "converged": "good", "overfitting": "warning"}


@pytest.mark.parametrize("story", STORIES)
def test_each_story_is_told(story: str) -> None:
    finding = training_curves(rows(*STORIES[story]))
    assert finding.data["trend"] == story
    assert finding.status == STATUS.get(story, "problem")
    json.dumps(finding.to_dict(), allow_nan=False)


def test_words_carry_the_numbers() -> None:
    """Epoch 9 is where 1.6 - 0.1 * 8 meets 0.8 + 0.03 * 1; eleven epochs later it is 0.8 + 0.03
    * 12.
    """
    assert training_curves(rows(*STORIES["overfitting"])).verdict == (
        "Overfitting after epoch 9: since then the validation loss rose from 0.830 to 1.160 "
        "while the training loss still fell."
    )
    assert "at its best (0.2" in training_curves(rows(*STORIES["converged"])).verdict


@pytest.mark.parametrize(
    ("accuracy", "trend", "status"),
    [(np.full(20, 0.997), "converged", "good"), (np.full(20, 0.9), "overfitting", "warning"),
     (np.linspace(0.997, 0.98, 20), "overfitting", "warning")],
)  # fmt: skip
def test_no_warning_of_overfitting_contradicts_a_high_accuracy(
    accuracy: np.ndarray, trend: str, status: str
) -> None:
    told = rows(*STORIES["overfitting"])
    for row, value in zip(told, accuracy, strict=True):
        row["val_accuracy"] = float(value)
    finding = training_curves(told)
    assert (finding.data["trend"], finding.status) == (trend, status)
    assert bool(finding.advice) == (status == "warning")


def rises(level: np.ndarray, noise: float, trainings: int = 400) -> float:
    """The share of noisy trainings whose validation loss is found to rise by more than 10 %."""
    rng = np.random.default_rng(0)
    losses = level * (1 + noise * rng.normal(size=(trainings, len(level))))
    risen, surely = np.array([rise_since(row, int(row.argmin())) for row in losses]).T
    return float(((risen > 0.10) & (surely > 0)).mean())


@pytest.mark.parametrize("epochs", [8, 20, 40])
@pytest.mark.parametrize("noise", [0.05, 0.10])
def test_noise_is_not_called_overfitting_and_a_rise_by_half_is(epochs: int, noise: float) -> None:
    at = np.arange(epochs)
    flat = 0.5 + np.exp(-at * 10 / epochs)
    turn = epochs // 3
    rising = np.where(at < turn, 1 - 0.5 * at / turn, 0.5 + 0.3 * (at - turn) / (epochs - turn))
    assert rises(flat, noise) <= 0.08
    assert rises(rising, noise) >= (0.6 if epochs == 8 else 0.85)


def test_one_noisy_epoch_at_the_end_decides_nothing() -> None:
    valid = SETTLED.copy()
    valid[-1] *= 1.06
    assert training_curves(rows(SETTLED, valid)).data["trend"] == "converged"


def test_rising_validation_without_falling_training_is_not_called_overfitting() -> None:
    train = np.where(EPOCHS < 10, SETTLED, SETTLED + 0.5)
    assert training_curves(rows(train, train)).data["trend"] != "overfitting"


@pytest.mark.parametrize("n", [1, 2, 3])
def test_too_few_epochs_show_no_trend(n: int) -> None:
    finding = training_curves(rows(FALLING[:n], FALLING[:n]))
    assert finding.verdict.startswith("Too short to see a trend")
    assert finding.status == "note"


def test_without_validation_the_training_loss_speaks() -> None:
    finding = training_curves(rows(SETTLED))
    assert "the training loss went from" in finding.verdict
    assert "validation loss" not in finding.tables[0].columns


def test_the_text_of_a_csv_file_is_read_like_numbers() -> None:
    plain = rows(*STORIES["converged"])
    text = [{k: "" if v is None else str(v) for k, v in row.items()} for row in plain]
    assert training_curves(text) == training_curves(plain)


def test_infinite_loss_is_divergence_even_in_the_first_epoch() -> None:
    finding = training_curves(rows([math.inf]))
    assert finding.verdict == "Training broke: the loss was no longer a number at epoch 1."
    assert [f.caption.split(" by ")[0] for f in finding.figures] == ["Accuracy"]


def test_two_figures_one_row_an_epoch() -> None:
    finding = training_curves(rows(*STORIES["converged"]))
    assert [f.caption.split(" by ")[0] for f in finding.figures] == ["Loss", "Accuracy"]
    assert len(finding.tables[0].rows) == 20
    assert finding.tables[0].text(0, 0) == "1"


def test_nothing_and_nonsense_are_refused() -> None:
    with pytest.raises(DataError, match="needs one row an epoch, got none"):
        training_curves([])
    with pytest.raises(
        DataError, match="metrics: train_loss must be a number, got 'abc'; is the file altered"
    ):
        training_curves([{"epoch": 1, "train_loss": "abc"}])
