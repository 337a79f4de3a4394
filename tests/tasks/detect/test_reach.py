"""What a detector can find at all: by hand, and against a perfect map."""

import numpy as np
import pytest
import torch

from striate.tasks.detect.evaluation.kinds import judge
from striate.tasks.detect.forms.centers import Centers
from striate.tasks.detect.loss import middles
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.peaks import peaks
from striate.tasks.detect.reach import reach, reach_of


def peaks_at(field):
    """What limits a map with a cell every 4 pixels, which sees `field` pixels."""
    return Centers().sight(None, [field])


def test_by_hand():
    # Centres in cells (1, 1), (2, 1), (5, 5) of class 0, and (1, 1) of class 1.
    objects = Objects.of(
        [[4, 4, 8, 8], [8, 4, 12, 8], [20, 20, 24, 24], [5, 5, 7, 7]], [0, 0, 0, 1]
    )
    now = reach_of([objects], peaks_at(16))
    assert (now.objects, now.lost, now.tiny, now.larger) == (4, 1, 1, 0)
    assert now.recall == 0.75
    assert reach_of([objects], peaks_at(3)).larger == 3
    twice = reach_of([objects], peaks_at(16), scale=2.0)
    assert (twice.lost, twice.tiny) == (0, 0)
    finding = reach([objects], peaks_at(16))
    assert finding.data["recall"] == 0.75 and finding.status == "warning"


def test_a_crowd_is_not_asked_for_and_no_object_is_all_of_them():
    objects = Objects.of([[4, 4, 8, 8], [4, 4, 8, 8]], [0, 0], crowd=[False, True])
    assert reach_of([objects], peaks_at(None)).recall == 1
    assert reach_of([Objects.of([], [])], peaks_at(None)).recall == 1


@pytest.mark.parametrize("seed", range(8))
def test_a_perfect_map_finds_as_many_as_is_said(seed):
    """A map with the true boxes in the centres' cells, each a little lower than the one before, finds no more than that."""
    rng = np.random.default_rng(seed)
    n, side = 40, 96
    centre = rng.uniform(8, side - 8, (n, 2))
    objects = Objects.of(np.concatenate([centre - 5, centre + 5], 1), rng.integers(0, 2, n))
    expected = reach_of([objects], peaks_at(None))
    cells = side // 4
    out = torch.full((6, cells, cells), -9.0)
    centres = middles(cells, cells, 4, out).view(cells, cells, 2)
    for i, (box, label) in enumerate(zip(objects.boxes, objects.labels, strict=True)):
        x, y = (int(v) for v in (box[:2] + box[2:]) / 2 // 4)
        out[label, y, x] = 5 - 0.01 * i
        middle = centres[y, x].numpy()
        out[2:, y, x] = torch.tensor([*(middle - box[:2]), *(box[2:] - middle)])
    found = judge(peaks(out, 2, 4, size=(side, side)), objects).found.sum()
    assert found <= expected.objects - expected.lost
    assert found >= expected.objects - 2 * expected.lost  # in another order a few more are given up


@pytest.mark.parametrize("seed", range(20))
def test_the_fewest_that_must_be_given_up_are_those_of_trying_all(seed):
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 4, (int(rng.integers(2, 9)), 2))
    n = len(cells)
    most = 0
    for chosen in range(2**n):
        at = [i for i in range(n) if chosen >> i & 1]
        apart = all(np.abs(cells[i] - cells[j]).max() > 1 for i in at for j in at if i < j)
        most = max(most, len(at)) if apart else most
    boxes = np.concatenate([cells * 4, cells * 4 + 4], 1)
    assert reach_of([Objects.of(boxes, np.zeros(n))], peaks_at(None)).lost == n - most


def test_many_that_touch_are_bounded_quickly():
    rows, columns = np.mgrid[:30, :30]
    boxes = np.stack([columns, rows, columns + 1, rows + 1], -1).reshape(-1, 4) * 4
    now = reach_of([Objects.of(boxes, np.zeros(len(boxes)))], peaks_at(None))
    assert now.objects - now.lost == 15 * 15
