"""The most confident mistakes come first, with the right picture, name and confidence."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from striate.errors import DataError
from striate.tasks.classify.findings import mistakes

IMAGES = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.full(
    (1, 1, 8, 8), 40, dtype=np.uint8
)
P = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.999, 0.001], [0.45, 0.55], [0.2, 0.8]])
Y = np.array([0, 1, 0, 1, 0, 1])  # wrong: 1 (0.6), 2 (0.7), 3 (0.999), 4 (0.55)
KEYS = [f"{i}.png" for i in range(6)]


def grey(content: bytes) -> int:
    return int(np.asarray(Image.open(io.BytesIO(content)).convert("L"))[0, 0])


def test_surest_mistake_first_with_its_picture_and_file() -> None:
    finding = mistakes(P, Y, ["cat", "dog"], IMAGES, KEYS)
    assert [row[1] for row in finding.tables[0].rows] == ["3.png", "2.png", "1.png", "4.png"]
    assert [grey(f.content) for f in finding.figures] == [120, 80, 40, 160]
    assert [f.caption for f in finding.figures] == [
        "dog → cat, 99 %",  # 0.999 is not 100 %
        "cat → dog, 70 %",
        "dog → cat, 60 %",
        "cat → dog, 55 %",
    ]
    assert finding.figures[0].alt == "Mistake 1: a dog, taken for cat with 99 %"
    assert (
        finding.verdict
        == "Wrong on 4 of 6 held-out images; on 1 of them it was more than 90 % sure."
    )
    assert "wrong label" in finding.advice
    assert finding.tables[0].rows[0][4:] == pytest.approx((0.999, 0.001))


def test_images_may_be_fetched_one_by_one_and_only_those_shown() -> None:
    asked: list[int] = []

    def fetch(index: int) -> np.ndarray:
        asked.append(index)
        return IMAGES[index]

    finding = mistakes(P, Y, ["cat", "dog"], fetch, limit=2)
    assert asked == [3, 2]
    assert [row[1] for row in finding.tables[0].rows] == ["image 3", "image 2"]


def test_at_most_twenty_four_are_shown_however_many_are_asked_for() -> None:
    finding = mistakes(
        np.tile([0.8, 0.2], (100, 1)), np.ones(100, int), ["a", "b"], lambda _: IMAGES[0], limit=99
    )
    assert len(finding.figures) == len(finding.tables[0].rows) == 24
    assert finding.data["mistakes"] == 100


def test_many_sure_mistakes_are_a_warning() -> None:
    finding = mistakes(
        np.tile([0.95, 0.05], (10, 1)), [1] * 6 + [0] * 4, ["a", "b"], lambda _: IMAGES[0]
    )
    assert finding.status == "warning"


def test_no_mistake_is_said_in_one_sentence() -> None:
    finding = mistakes(P, P.argmax(1), ["cat", "dog"], IMAGES)
    assert finding.verdict == "There is none: all 6 held-out images are predicted correctly."
    assert (finding.figures, finding.tables, finding.status) == ((), (), "good")


def test_pictures_and_names_must_be_as_many_as_the_labels() -> None:
    with pytest.raises(DataError, match="images must be as many as the labels, got 5 for 6"):
        mistakes(P, Y, ["a", "b"], IMAGES[:5])
    with pytest.raises(DataError, match="keys must be as many as the labels, got 2 for 6"):
        mistakes(P, Y, ["a", "b"], IMAGES, KEYS[:2])
