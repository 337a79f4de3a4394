"""What the network sees, and the warning when much of it is thrown away."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from striate.errors import DataError
from striate.tasks.network_input import as_seen

PHOTOS = [Image.new("RGB", (640, 480)), Image.new("RGB", (300, 900))]
SEEN = np.zeros((2, 3, 224, 224), dtype=np.uint8)


def test_whole_images_are_good() -> None:
    finding = as_seen(PHOTOS, SEEN, [0, 0], ["a.jpg", "b.jpg"])
    assert finding.status == "good"
    assert finding.verdict == "Images enter at 224 × 224 pixels, whole: nothing is cut away."
    assert finding.tables[0].columns == ("file", "original", "enters as", "cut away")
    assert finding.tables[0].rows[1] == ("b.jpg", "300 × 900", "224 × 224", 0.0)
    assert [f.caption for f in finding.figures] == [
        "a.jpg: 640 × 480 → 224 × 224",
        "b.jpg: 300 × 900 → 224 × 224",
    ]


def test_a_little_crop_is_said_and_a_large_one_is_a_warning() -> None:
    little = as_seen(PHOTOS, SEEN, [0.1, 0.12])
    assert little.status == "good"
    assert "loses 11.0 % of its area" in little.verdict
    much = as_seen(PHOTOS, SEEN, [0.25, 0.67])
    assert much.status == "warning"
    assert "throws away 46.0 % of an average image" in much.verdict
    assert much.figures[1].caption.endswith(", 67.0 % cut away")


def test_the_whole_set_decides_not_the_few_that_are_shown() -> None:
    """100 images, of which the two shown lose nothing and the others a quarter."""
    finding = as_seen(PHOTOS, SEEN, [0, 0] + [0.25] * 98)
    assert finding.status == "warning"
    assert "of 98.0 % of them" in finding.verdict
    assert (finding.data["images"], len(finding.figures)) == (100, 2)


@pytest.mark.parametrize("squeeze", [1.5, 1 / 1.5])
def test_squeezing_either_way_is_a_warning(squeeze: float) -> None:
    finding = as_seen(PHOTOS, SEEN, [0, 0], squeezes=[squeeze, squeeze])
    assert finding.status == "warning"
    assert "by a factor of 1.50 along one side" in finding.verdict
    assert finding.tables[0].rows[0][-1] == pytest.approx(1.5)


def test_no_more_pictures_than_asked_for() -> None:
    finding = as_seen(PHOTOS, SEEN, [0, 0], limit=1)
    assert len(finding.figures) == 1
    assert len(finding.tables[0].rows) == 2


@pytest.mark.parametrize(
    ("originals", "seen", "lost"),
    [([], SEEN, [0]), (PHOTOS, SEEN[:1], [0, 0]), (PHOTOS, SEEN, [0])],
)
def test_what_does_not_fit_together_is_refused(
    originals: list[Image.Image], seen: np.ndarray, lost: list[float]
) -> None:
    with pytest.raises(
        DataError, match="as_seen needs originals, seen and a lost fraction for each, got"
    ):
        as_seen(originals, seen, lost)
