"""The confusion matrix: counts, the commonest pair, and a picture that loses nothing."""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix

from striate.tasks.classify.findings import confusion


def from_predictions(predicted: np.ndarray, k: int) -> np.ndarray:
    return np.eye(k)[predicted] * 0.5 + 0.5 / k


@pytest.mark.parametrize("k", [2, 10, 30, 60])
def test_counts_equal_scikit_learn(k: int) -> None:
    rng = np.random.default_rng(k)
    y, predicted = rng.integers(k, size=(2, 500))
    finding = confusion(from_predictions(predicted, k), y, [f"c{i}" for i in range(k)])
    np.testing.assert_array_equal(
        finding.data["counts"], confusion_matrix(y, predicted, labels=range(k))
    )
    assert finding.data["mistakes"] == (y != predicted).sum()


def test_commonest_confusion_is_named_with_its_shares() -> None:
    """4 of 10 nines are called four and 1 of 10 fours nine: 5 of all 6 mistakes."""
    y = np.repeat([0, 4, 9], 10)
    predicted = y.copy()
    predicted[20:24], predicted[10], predicted[0] = 4, 9, 4
    finding = confusion(from_predictions(predicted, 10), y, list("0123456789"))
    assert finding.verdict == (
        "The commonest mistake is “9” taken for “4”: 4 of 10 such images (40.0 %); "
        "the two of them, either way, make up 83.3 % of all 6 mistakes."
    )
    assert finding.tables[0].rows[0] == ("9", "4", 4, 0.4, 4 / 6)


def test_scattered_mistakes_are_not_called_common() -> None:
    y = np.array([0, 1, 2, 2])
    finding = confusion(from_predictions(np.array([1, 2, 0, 2]), 3), y, list("abc"))
    assert finding.verdict.startswith("Its 3 mistakes are scattered")


def test_no_mistake_is_good_and_needs_no_table() -> None:
    y = np.arange(6) % 3
    finding = confusion(from_predictions(y, 3), y, list("abc"))
    assert (finding.status, finding.tables) == ("good", ())
    assert finding.verdict == "No class is taken for another in 6 held-out images."


def test_names_in_any_script_and_with_markup_stay_text() -> None:
    names = ["<b>bold</b>", "猫", "$x_1$", 'a "quoted" & long name that goes on and on']
    y = np.arange(8) % 4
    figure = confusion(from_predictions(y[::-1].copy(), 4), y, names).figures[0]
    texts = ["".join(e.itertext()).strip() for e in ElementTree.fromstring(figure.content).iter()]
    for shown in ("<b>bold</b>", "猫", "$x_1$", 'a "quoted" & lo…'):
        assert texts.count(shown) >= 2, shown  # on both axes


def test_picture_of_many_classes_keeps_the_whole_diagonal() -> None:
    """Shrinking a thousand rows to pixels by sampling would drop most of the diagonal; blocks
    are summed instead.
    """
    y = np.arange(1000)
    figure = confusion(from_predictions(y, 1000), y, [f"c{i}" for i in range(1000)]).figures[0]
    data = re.search(rb"data:image/png;base64,([^\"]+)", figure.content)
    assert data is not None
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data[1]))).convert("RGBA"))
    assert pixels.shape[0] == pixels.shape[1] <= 120
    filled = pixels[..., 3] > 0
    np.testing.assert_array_equal(filled, np.eye(len(filled), dtype=bool))
    assert "block of 9 neighbouring classes" in figure.caption
