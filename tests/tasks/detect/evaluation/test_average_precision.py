"""Average precision: numbers that can be reckoned by hand, and COCO's own code on random sets."""

import contextlib
import io

import numpy as np
import pytest

from striate.tasks.detect.evaluation.average_precision import (
    RECALLS,
    curve,
    curves,
    pool,
    summary,
    weighted,
)
from striate.tasks.detect.evaluation.matching import box_overlap, match, region_overlap
from striate.tasks.detect.objects import Objects, Region

NAMES = [
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
]


def coco_numbers(predictions, truths, classes, kind, sizes=(400, 400)):
    """The twelve numbers of pycocotools."""
    mask_tools = pytest.importorskip("pycocotools.mask")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def entry(objects, i, image):
        left, top, right, bottom = objects.boxes[i].tolist()
        one = {
            "image_id": image,
            "category_id": int(objects.labels[i]),
            "bbox": [left, top, right - left, bottom - top],
            "area": float(objects.areas[i]),
        }
        if objects.regions is not None:
            full = np.asfortranarray(objects.regions[i].full(*sizes).astype(np.uint8))
            one["segmentation"] = mask_tools.encode(full)
        return one

    annotations, results = [], []
    for image, objects in enumerate(truths):
        for i in range(len(objects)):
            annotations.append(
                entry(objects, i, image)
                | {"id": len(annotations) + 1, "iscrowd": int(objects.crowd[i])}
            )
    for image, objects in enumerate(predictions):
        for i in range(len(objects)):
            results.append(entry(objects, i, image) | {"score": float(objects.scores[i])})
            if kind == "segm":  # or COCO takes the box's area for the region's
                del results[-1]["bbox"]
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i, "height": sizes[0], "width": sizes[1]} for i in range(len(truths))],
        "annotations": annotations,
        "categories": [{"id": c} for c in range(classes)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats, evaluation.eval


def random_set(rng, *, images, classes, whole, most=12, regions=False):
    """Predictions that are moved, doubled, missed and invented, and the truth. whole: in whole pixels; overlaps tie."""
    truths, predictions = [], []
    for _ in range(images):
        n, invented = int(rng.integers(0, most)), int(rng.integers(0, 4))
        boxes = random_boxes(rng, n)
        labels = rng.integers(0, classes, n)
        of = np.repeat(np.arange(n), rng.integers(0, 3, n))
        noise = rng.normal(0, 0.08, (len(of), 4)) * np.tile(boxes[of, 2:] - boxes[of, :2], 2)
        moved = np.concatenate([boxes[of] + noise, random_boxes(rng, invented)])
        if whole:
            boxes, moved = boxes.round(), moved.round()
        moved = moved.clip(0, 390)
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        mine = np.concatenate([labels[of], rng.integers(0, classes, invented)])
        wrong = rng.random(len(moved)) < 0.1
        mine = np.where(wrong, rng.integers(0, classes, len(moved)), mine)
        scores = rng.choice([0.2, 0.4, 0.6, 0.8], len(moved)) if whole else rng.random(len(moved))
        drawn = [[ellipse(b, rng) for b in some] if regions else None for some in (boxes, moved)]
        truths.append(Objects.of(boxes, labels, crowd=rng.random(n) < 0.15, regions=drawn[0]))
        predictions.append(Objects.of(moved, mine, scores=scores, regions=drawn[1]))
    return predictions, truths


def random_boxes(rng, n):
    corner = rng.uniform(0, 250, (n, 2))
    return np.concatenate([corner, corner + np.exp(rng.uniform(1.8, 4.9, (n, 2)))], 1)


def ellipse(box, rng):
    left, top, right, bottom = (int(v) for v in box)
    height, width = max(bottom - top, 1), max(right - left, 1)
    y, x = np.mgrid[:height, :width]
    mask = ((y + 0.5) / height - 0.5) ** 2 + ((x + 0.5) / width - 0.5) ** 2 <= 0.27
    mask &= rng.random(mask.shape) < 0.97
    if not mask.any():
        mask[:] = True
    return Region.of(mask, top, left)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("whole", [False, True])
def test_boxes_score_as_in_coco(seed, whole):
    rng = np.random.default_rng((seed, whole))
    classes = int(rng.integers(1, 6))
    predictions, truths = random_set(rng, images=int(rng.integers(1, 30)), classes=classes, whole=whole)  # fmt: skip
    if not sum(map(len, predictions)):
        return
    expected, details = coco_numbers(predictions, truths, classes, "bbox")
    matches = match(predictions, truths)
    scores = summary(matches, classes)
    got = np.array([scores[name] for name in NAMES])
    assert np.allclose(np.nan_to_num(got, nan=-1), expected, rtol=0, atol=1e-12)
    made = curves(pool(matches, classes))
    assert np.allclose(made.precision, details["precision"][..., 2].transpose(3, 0, 1, 2), rtol=0, atol=1e-12)  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_regions_score_as_in_coco(seed):
    rng = np.random.default_rng(seed)
    predictions, truths = random_set(rng, images=10, classes=2, whole=True, regions=True)
    expected, _ = coco_numbers(predictions, truths, 2, "segm")
    scores = summary(match(predictions, truths, overlap=region_overlap), 2)
    got = np.array([scores[name] for name in NAMES])
    assert np.allclose(np.nan_to_num(got, nan=-1), expected, rtol=0, atol=1e-12)


def test_more_than_a_hundred_predictions_are_cut_as_in_coco():
    rng = np.random.default_rng(5)
    predictions, truths = random_set(rng, images=3, classes=1, whole=True, most=150)
    expected, _ = coco_numbers(predictions, truths, 1, "bbox")
    scores = summary(match(predictions, truths), 1)
    assert np.allclose([scores[n] for n in NAMES], expected, rtol=0, atol=1e-12)


def test_a_curve_by_hand():
    # Of 4 objects, the best four predictions: right, wrong, right, wrong.
    precision, recall = curve(np.array([1, 1, 2, 2.0]), np.array([0, 1, 1, 2.0]), 4)
    assert recall == 0.5
    assert precision[RECALLS <= 0.25] == pytest.approx(1.0)
    assert precision[(RECALLS > 0.25) & (RECALLS <= 0.5)] == pytest.approx(2 / 3)
    assert (precision[RECALLS > 0.5] == 0).all()


def test_nothing_predicted_is_nothing_found():
    truth = Objects.of([[0, 0, 10, 10]], [0])
    scores = summary(match([Objects.of([], [], scores=[])], [truth]), 1)
    assert scores["ap"] == 0 and scores["ar100"] == 0 and np.isnan(scores["ap_large"])


def test_an_image_without_objects_costs_precision_alone():
    truth = Objects.of([[0, 0, 40, 40]], [0])
    right = Objects.of([[0, 0, 40, 40]], [0], scores=[0.5])
    wrong = Objects.of([[5, 5, 40, 40]], [0], scores=[0.9])
    scores = summary(match([right, wrong], [truth, Objects.of([], [])]), 1)
    assert scores["ap"] == pytest.approx(0.5) and scores["ar100"] == 1


def test_weights_count_images_as_often():
    rng = np.random.default_rng(3)
    predictions, truths = random_set(rng, images=8, classes=2, whole=False)
    often = rng.integers(0, 3, 8)
    again = np.repeat(np.arange(8), often)
    weighted = curves(pool(match(predictions, truths), 2), often.astype(float))
    repeated = curves(pool(match([predictions[i] for i in again], [truths[i] for i in again]), 2))
    assert np.allclose(weighted.precision, repeated.precision, atol=1e-12)
    assert np.allclose(weighted.recall, repeated.recall, atol=1e-12)


@pytest.mark.parametrize("whole", [False, True])
def test_many_weights_at_once_are_each_on_its_own(whole):
    rng = np.random.default_rng(11)
    predictions, truths = random_set(rng, images=20, classes=3, whole=whole)
    pooled = pool(match(predictions, truths), 3)
    weights = rng.multinomial(20, np.full(20, 1 / 20), size=150)
    together = weighted(pooled, weights)
    for row, often in zip(together, weights, strict=True):
        alone = curves(pooled, often.astype(float)).precision[0]  # (T, R, K)
        expected = np.where((alone < 0).any(1), np.nan, alone.mean(1))
        assert np.allclose(row, expected, rtol=0, atol=1e-12, equal_nan=True)


def test_overlaps_by_hand():
    a = Objects.of([[0, 0, 4, 4]], [0], scores=[1.0])
    b = Objects.of([[2, 0, 6, 4], [2, 0, 6, 4]], [0, 0], crowd=[False, True])
    assert box_overlap(a, b).tolist() == [[8 / 24, 8 / 16]]
