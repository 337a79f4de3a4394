"""Panoptic quality: by hand, and against COCO's own way of counting, on maps of numbers."""

import numpy as np
import pytest

from striate.tasks.detect.objects import Objects, Region
from striate.tasks.instances.panoptic import apart, panoptic_counts, panoptic_scores


def objects_of(masks, labels, scores=None, crowd=None):
    regions = [Region.of(m) for m in masks]
    return Objects.of([r.box for r in regions], labels, scores=scores, crowd=crowd, regions=regions)


def block(top, left, height, width, size=20):
    mask = np.zeros((size, size), dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


def test_found_missed_and_invented_by_hand():
    truth = objects_of([block(0, 0, 4, 4), block(10, 10, 4, 4), block(0, 10, 4, 4)], [0, 0, 1])
    predicted = objects_of(
        [block(0, 0, 4, 3), block(15, 0, 4, 4), block(0, 10, 4, 4)], [0, 0, 0], [0.9, 0.8, 0.7]
    )
    counts = panoptic_counts(predicted, truth, 2)
    # Class 0: one found with 12 / 16, two invented (one of them of another class), one missed; class 1: one missed.
    assert counts.tolist() == [[0.75, 1, 2, 1], [0, 0, 0, 1]]
    scores = {name: float(value[0]) for name, value in panoptic_scores(counts[None]).items()}
    assert scores == pytest.approx({"pq": 0.75 / 2.5 / 2, "sq": 0.75 / 2, "rq": 1 / 2.5 / 2})


def test_the_best_has_a_pixel_and_what_loses_half_is_left_out():
    first, half, little = block(0, 0, 4, 4), block(0, 2, 4, 3), block(2, 0, 6, 4)
    made = apart(objects_of([half, first, little], [0, 0, 1], [0.5, 0.9, 0.4]))
    # Of the second, 4 of 12 pixels are left; of the third 16 of 24.
    assert made.scores.tolist() == [0.9, 0.4] and made.labels.tolist() == [0, 1]
    assert made.areas.tolist() == [16, 16] and made.boxes[1].tolist() == [0, 4, 4, 8]


def test_what_lies_on_a_crowd_of_its_class_does_not_count():
    crowd = objects_of([block(0, 0, 10, 10)], [0], crowd=[True])
    on, off = block(0, 0, 4, 4), block(8, 8, 8, 8)
    assert panoptic_counts(objects_of([on], [0], [0.9]), crowd, 2).sum() == 0
    assert panoptic_counts(objects_of([on], [1], [0.9]), crowd, 2)[1].tolist() == [0, 0, 1, 0]
    assert panoptic_counts(objects_of([off], [0], [0.9]), crowd, 2)[0].tolist() == [0, 0, 1, 0]


def counted_as_coco_does(predicted, truth, classes):
    """From maps (H, W) of object numbers with their (label, crowd), as COCO's panoptic evaluation counts: by pairs of
    numbers in the same pixel."""
    numbers, labels = predicted
    true_numbers, true_labels, crowd = truth
    pairs, often = np.unique(true_numbers.astype(np.int64) * 1_000 + numbers, return_counts=True)
    shared = {(int(p) // 1_000, int(p) % 1_000): int(n) for p, n in zip(pairs, often, strict=True)}
    counts = np.zeros((classes, 4))
    areas = {n: int((numbers == n).sum()) for n in labels}
    true_areas = {n: int((true_numbers == n).sum()) for n in true_labels}
    found, hit = set(), set()
    for (t, p), inside in shared.items():
        if t == 0 or p == 0 or crowd[t] or labels[p] != true_labels[t]:
            continue
        iou = inside / (areas[p] + true_areas[t] - inside)
        if iou > 0.5:
            counts[labels[p], 0] += iou
            counts[labels[p], 1] += 1
            found.add(t)
            hit.add(p)
    for t, label in true_labels.items():
        counts[label, 3] += t not in found and not crowd[t]
    for p, label in labels.items():
        if p in hit:
            continue
        on = sum(shared.get((t, p), 0) for t in true_labels if crowd[t] and true_labels[t] == label)
        counts[label, 2] += on / areas[p] <= 0.5
    return counts


@pytest.mark.parametrize("seed", range(12))
def test_counts_are_those_of_cocos_way(seed):
    rng = np.random.default_rng(seed)
    size, classes = 48, 3
    true_numbers, true_labels, crowd = np.zeros((size, size), np.int64), {}, {}
    masks = []
    for n in range(1, 12):
        mask = block(*rng.integers(0, 40, 2), *rng.integers(3, 16, 2), size)
        true_numbers[mask] = n
    for n in np.unique(true_numbers[true_numbers > 0]).tolist():
        true_labels[n], crowd[n] = int(rng.integers(classes)), bool(rng.random() < 0.15)
        masks.append(true_numbers == n)
    truth = objects_of(masks, list(true_labels.values()), crowd=list(crowd.values()))
    # Predictions are the objects moved a little, some invented, some of another class; scores say who has a pixel.
    guesses, labels = [], []
    for mask, label in zip(masks, true_labels.values(), strict=True):
        guesses.append(np.roll(mask, rng.integers(-2, 3, 2), (0, 1)))
        labels.append(label if rng.random() < 0.8 else int(rng.integers(classes)))
    for _ in range(4):
        guesses.append(block(*rng.integers(0, 40, 2), *rng.integers(3, 12, 2), size))
        labels.append(int(rng.integers(classes)))
    made = apart(objects_of(guesses, labels, rng.random(len(guesses))))
    numbers = np.zeros((size, size), np.int64)
    for n, region in enumerate(made.regions, 1):
        assert not numbers[region.full(size, size)].any()
        numbers[region.full(size, size)] = n
    expected = counted_as_coco_does(
        (numbers, dict(enumerate(made.labels.tolist(), 1))), (true_numbers, true_labels, crowd), classes
    )  # fmt: skip
    assert np.abs(panoptic_counts(made, truth, classes) - expected).max() < 1e-12
    assert expected[:, 1].sum() > 0


def test_images_that_count_twice_are_two_images():
    truth = objects_of([block(0, 0, 4, 4)], [0])
    good, bad = (
        panoptic_counts(objects_of([block(at, at, 4, 4)], [0], [0.9]), truth, 1) for at in (0, 9)
    )
    twice = panoptic_scores((2 * good + bad)[None])
    assert twice["rq"][0] == pytest.approx(2 / 3) and twice["sq"][0] == 1
