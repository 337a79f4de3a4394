"""Polygons and run lengths to regions: worked examples, properties, and COCO's own API where it is installed."""

import numpy as np
import pytest

from striate.errors import DataError
from striate.tasks.detect.data import polygons
from striate.tasks.detect.data.annotations import Polygons
from striate.tasks.detect.data.polygons import rasterise
from striate.tasks.detect.data.run_lengths import (
    counts_of,
    counts_of_text,
    region_of,
    text_of_counts,
)


def ring(*numbers):
    return np.array(numbers, dtype=np.float64).reshape(-1, 2)


def test_a_rectangle_on_whole_pixels():
    region = rasterise(Polygons((ring(2, 1, 5, 1, 5, 3, 2, 3),)), 6, 8)
    assert region.box == (2, 1, 5, 3)
    assert region.mask.all()


def test_a_ring_that_crosses_itself_leaves_its_middle_out():
    # A pentagram drawn in one stroke winds twice around its middle: even-odd, as COCO draws it, leaves that out.
    turn = np.arange(5) * 4 * np.pi / 5
    star = 50 + 45 * np.stack([np.sin(turn), -np.cos(turn)], 1)
    full = rasterise(Polygons((star,)), 100, 100).full(100, 100)
    assert not full[50, 50] and full[12, 50]


def test_rings_are_united_even_where_they_overlap():
    region = rasterise(Polygons((ring(0, 0, 4, 0, 4, 4, 0, 4), ring(2, 2, 6, 2, 6, 6, 2, 6))), 8, 8)
    assert region.area == 16 + 16 - 4


def test_what_lies_outside_the_image_is_cut_off():
    region = rasterise(Polygons((ring(-5, -5, 3, -5, 3, 20, -5, 20),)), 10, 10)
    assert region.box == (0, 0, 3, 10) and region.area == 30
    assert rasterise(Polygons((ring(20, 1, 30, 1, 30, 5),)), 10, 10) is None


def test_no_places_and_endless_outlines_are_refused():
    with pytest.raises(DataError):
        rasterise(Polygons((ring(0, 0, np.nan, 1, 2, 2),)), 10, 10)
    with pytest.raises(DataError):
        rasterise(Polygons((ring(0, 0, 1e300, 1, 2, 2),)), 10, 10)
    with pytest.raises(DataError):
        rasterise(Polygons((np.array([[0, 0], [9e6, 9e6]] * 3),)), 10, 10)


def test_run_lengths_of_a_known_mask_go_down_the_columns():
    # . X .
    # X X .
    region = region_of([1, 3, 2], 2, 3)
    assert region.full(2, 3).tolist() == [[False, True, False], [True, True, False]]
    assert counts_of(region, 2, 3) == [1, 3, 2]
    assert counts_of_text(b"132") == [1, 3, 2] and text_of_counts([1, 3, 2]) == "132"


@pytest.mark.parametrize(
    "counts", [[1, 3], [1, 3, 3], [-1, 5, 2], [0.5, 5.5], [float("nan"), 6], ["a"], [[1]], [2**70]]
)
def test_run_lengths_that_do_not_fill_the_image_are_refused(counts):
    with pytest.raises(DataError):
        region_of(counts, 2, 3)


@pytest.mark.parametrize("text", ["P", "\x00", "oooooooooooooooooooo0", "ü"])
def test_broken_texts_are_refused(text):
    with pytest.raises(DataError):
        counts_of_text(text)


@pytest.mark.parametrize("density", [0.02, 0.5, 0.98])
def test_regions_come_back_through_both_forms(density):
    rng = np.random.default_rng(int(100 * density))
    for _ in range(100):
        height, width = rng.integers(1, 20, 2)
        mask = rng.random((height, width)) < density
        counts = run_lengths(mask)
        region = region_of(counts, height, width)
        if region is None:
            assert not mask.any()
            continue
        assert np.array_equal(region.full(height, width), mask)
        assert counts_of(region, height, width) == counts
        assert counts_of_text(text_of_counts(counts)) == counts


def run_lengths(mask):
    """By walking down the columns."""
    counts, value = [0], False
    for bit in mask.T.ravel().tolist():
        if bit != value:
            counts.append(0)
            value = bit
        counts[-1] += 1
    return counts


# Peer: the API that came with COCO.


@pytest.mark.parametrize("at_once", [7, polygons.AT_ONCE])
@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_polygons_equal_those_of_coco_to_the_pixel(at_once, monkeypatch):
    monkeypatch.setattr(polygons, "AT_ONCE", at_once)
    mask = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for trial in range(600):
        height, width = (int(n) for n in rng.integers(1, 60, 2))
        rings = []
        for _ in range(rng.integers(1, 4)):
            points = rng.normal(0.5, 0.6, (rng.integers(3, 12), 2)) * (width, height)
            if trial % 3 == 0:
                points = np.rint(points)
            if trial % 5 == 0:
                points[1] = points[0]
            rings.append(points)
        coded = mask.merge(mask.frPyObjects([r.ravel().tolist() for r in rings], height, width))
        region = rasterise(Polygons(tuple(rings)), height, width)
        full = np.zeros((height, width), bool) if region is None else region.full(height, width)
        assert np.array_equal(full, mask.decode(coded).astype(bool)), trial


def test_texts_equal_those_of_coco():
    mask = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(1)
    for _ in range(200):
        height, width = (int(n) for n in rng.integers(1, 200, 2))
        page = np.asfortranarray(rng.random((height, width)) < rng.random() ** 3)
        coded = mask.encode(page.astype(np.uint8))
        region = region_of(counts_of_text(coded["counts"]), height, width)
        assert (region.area if region else 0) == int(mask.area(coded))
        if region:
            assert text_of_counts(counts_of(region, height, width)).encode() == coded["counts"]
