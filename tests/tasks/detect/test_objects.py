"""Objects and regions: boxes of images, and pixels as run lengths."""

import numpy as np
import pytest

from striate.errors import DataError
from striate.tasks.detect.objects import Objects, Region


def test_a_region_of_a_known_mask():
    mask = np.zeros((5, 6), dtype=bool)
    mask[1, 2:4] = mask[2, 3] = True
    region = Region.of(mask, top=10, left=20)
    assert (region.top, region.left, region.height, region.width) == (11, 22, 2, 2)
    assert region.runs.tolist() == [0, 2, 1, 1]
    assert region.area == 3
    assert region.box == (22, 11, 24, 13)


@pytest.mark.parametrize("density", [0.05, 0.5, 0.95, 1.0])
def test_regions_come_back_to_the_pixel(density):
    rng = np.random.default_rng(round(100 * density))
    for _ in range(50):
        mask = rng.random(rng.integers(1, 12, 2)) < density
        if not mask.any():
            continue
        region = Region.of(mask)
        assert np.array_equal(region.full(*mask.shape), mask)
        assert region.area == mask.sum()


def test_what_lies_outside_the_image_is_cut_off():
    region = Region.of(np.ones((4, 4), dtype=bool), top=-2, left=3)
    full = region.full(3, 5)
    assert np.argwhere(full).tolist() == [[0, 3], [0, 4], [1, 3], [1, 4]]


def test_a_region_without_a_pixel_is_refused():
    with pytest.raises(DataError):
        Region.of(np.zeros((3, 3), dtype=bool))


def test_taking_by_index_and_by_mask_is_the_same():
    regions = [Region.of(np.ones((i + 1, 2), dtype=bool)) for i in range(3)]
    objects = Objects.of([r.box for r in regions], [4, 5, 6], scores=[0.9, 0.8, 0.7], regions=regions)  # fmt: skip
    by_index, by_mask = objects.take([0, 2]), objects.take(np.array([True, False, True]))
    for taken in (by_index, by_mask):
        assert taken.labels.tolist() == [4, 6]
        assert taken.areas.tolist() == [2.0, 6.0]
        assert len(taken.regions) == 2


def test_no_objects_have_shapes():
    empty = Objects.of([], [])
    assert empty.boxes.shape == (0, 4) and empty.sides.shape == (0, 2) and len(empty) == 0
