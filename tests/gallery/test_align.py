"""Alignment by five points: Umeyama's closed form against scikit-image, and pixels against its warp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import SimilarityTransform, warp

from striate.errors import UsageError
from striate.gallery.align import MOST_RESIDUAL, TEMPLATE, align, similarity

NUMBER = st.floats(-200, 200, allow_nan=False)


@given(st.lists(st.tuples(NUMBER, NUMBER), min_size=5, max_size=5))
def test_the_same_transform_as_scikit_image(points: list[tuple[float, float]]) -> None:
    source = np.array(points)
    spread = np.linalg.svd(source - source.mean(0), compute_uv=False)
    if spread[1] < 1:  # on one line, nearly: which way it is turned is open
        return
    expected = SimilarityTransform.from_estimate(source, TEMPLATE)
    np.testing.assert_allclose(similarity(source, TEMPLATE), expected.params[:2], rtol=1e-6, atol=1e-6)  # fmt: skip


def test_points_that_were_moved_come_back_exactly() -> None:
    turn = np.deg2rad(37)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    moved = 3.1 * TEMPLATE @ rotation.T + [400, 90]
    matrix = similarity(moved, TEMPLATE)
    np.testing.assert_allclose(moved @ matrix[:, :2].T + matrix[:, 2], TEMPLATE, atol=1e-9)
    assert np.linalg.det(matrix[:, :2]) > 0


def test_pixels_are_those_of_scikit_image_s_warp() -> None:
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 255, (20, 20, 3)), np.ones((10, 10, 1))).astype(np.uint8)
    turn = np.deg2rad(-20)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = 0.9 * TEMPLATE @ rotation.T + [30, 55]
    found = align(image, points)
    back = SimilarityTransform.from_estimate(points, TEMPLATE).inverse
    expected = warp(image, back, output_shape=(112, 112), order=1)
    inside = (slice(8, -8), slice(8, -8))
    difference = np.abs(found[inside].astype(float) - 255 * expected[inside])
    assert found.shape == (112, 112, 3) and difference.mean() < 1 and np.quantile(difference, 0.99) < 8  # fmt: skip


def test_a_large_image_is_reduced_and_not_skipped_over() -> None:
    stripes = np.zeros((1600, 1600), np.uint8)
    stripes[:, ::2] = 200  # of a pixel: their mean is what a smaller picture shows
    found = align(stripes, 10 * TEMPLATE + [100, 100])
    assert found.shape == (112, 112, 1)
    assert np.abs(found[5:-5, 5:-5].astype(int) - 100).max() <= 2


@pytest.mark.parametrize(
    "order", [(1, 0, 2, 3, 4), (0, 1, 2, 4, 3), (1, 0, 2, 4, 3), (2, 0, 1, 3, 4), (3, 4, 2, 0, 1)]
)
def test_points_in_another_order_are_no_face(order: tuple[int, ...]) -> None:
    """Right for left of the eyes, of the mouth (insightface, issue 2759), of both, as the person's own left is meant."""
    with pytest.raises(UsageError, match="left and right as they are in the picture"):
        align(np.zeros((112, 112, 3), np.uint8), TEMPLATE[list(order)])


def test_faces_from_the_side_and_from_above_are_faces() -> None:
    for squeeze in ((0.45, 1), (1, 0.6)):
        points = (TEMPLATE - 60) * squeeze + 60
        points[2, 0] += 10 if squeeze[0] < 1 else 0
        assert align(np.zeros((112, 112, 3), np.uint8), points).shape == (112, 112, 3)
    assert MOST_RESIDUAL < 0.48  # of corners of the mouth that were exchanged


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (np.full((5, 2), 7.0), "all one point"),
        (np.full((5, 2), np.nan), "not finite"),
        (TEMPLATE[:4], "five points"),
        (TEMPLATE + 1e6, "far outside the image"),
        (np.full((5, 2), 1e300) * TEMPLATE, "not finite|far outside|no turning"),
    ],
)
def test_points_that_cannot_be_are_refused(points: np.ndarray, words: str) -> None:
    with np.errstate(all="ignore"), pytest.raises(UsageError, match=words):
        align(np.zeros((112, 112, 3), np.uint8), points)
