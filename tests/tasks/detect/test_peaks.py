"""Peaks of a map: by hand, where neighbours are equal, and of a map that is looked at in bands."""

import numpy as np
import pytest
import torch

from striate.tasks.detect import peaks as module
from striate.tasks.detect.peaks import large_peaks, peaks


def a_map(heat, distance=6.0):
    heat = torch.tensor(heat, dtype=torch.float32)
    heat = heat if heat.dim() == 3 else heat[None]
    return torch.cat([heat, torch.full((4, *heat.shape[1:]), distance)])


def test_a_peak_and_its_box():
    heat = np.full((5, 6), -9.0)
    heat[2, 3], heat[2, 4] = 2.0, 1.0
    made = peaks(a_map(heat), 1, 4, size=(20, 24))
    assert made.boxes.tolist() == [[8, 4, 20, 16]]
    assert made.scores.tolist() == pytest.approx([1 / (1 + np.exp(-2.0))])


def test_boxes_end_at_the_image():
    heat = np.full((3, 3), -9.0)
    heat[0, 0] = 3.0
    assert peaks(a_map(heat, 50.0), 1, 4, size=(10, 11)).boxes.tolist() == [[0, 0, 11, 10]]


def test_of_equal_neighbours_the_first_is_the_object():
    heat = np.full((4, 6), -9.0)
    heat[1, 1:4] = heat[2, 2] = 1.0
    made = peaks(a_map(heat), 1, 4, size=(16, 24))
    assert len(made) == 1 and made.boxes[0].tolist() == [0, 0, 12, 12]


def test_classes_are_on_their_own_and_the_best_come_first():
    heat = np.full((2, 3, 3), -9.0)
    heat[0, 1, 1], heat[1, 1, 1] = 0.5, 1.5
    made = peaks(a_map(heat), 2, 4, size=(12, 12))
    assert made.labels.tolist() == [1, 0]
    assert peaks(a_map(heat), 2, 4, size=(12, 12), most=1).labels.tolist() == [1]


@pytest.mark.parametrize("seed", range(6))
def test_bands_give_the_same_objects(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    heat = rng.normal(0, 2, (3, 37, 23)).round(1 if seed % 2 else 6)  # rounded: many are equal
    whole = a_map(heat)
    whole[3:] = torch.from_numpy(rng.uniform(1, 30, (4, 37, 23)))
    expected = peaks(whole, 3, 4, size=(148, 92))
    for numbers in (1, 400, 2000):
        monkeypatch.setattr(module, "AT_ONCE", numbers)
        made = large_peaks(whole.numpy(), 3, 4, size=(148, 92))
        assert np.array_equal(made.boxes, expected.boxes)
        assert np.array_equal(made.labels, expected.labels)
        assert np.array_equal(made.scores, expected.scores)


def test_no_object_is_none():
    made = peaks(a_map(np.full((3, 3), -9.0)), 1, 4, size=(12, 12))
    assert len(made) == 0 and made.scores.shape == (0,)
