"""IoU, Dice and boundary F1 against torchmetrics, and against shapes whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_f1_score, multiclass_jaccard_index

from striate.tasks.segment.findings.classwise import per_class_masks
from striate.tasks.segment.findings.context import context, object_sides, used_side
from striate.tasks.segment.findings.gallery import gallery, image_scores
from striate.tasks.segment.findings.headline import headline_masks
from striate.tasks.segment.metrics import (
    IGNORE,
    MaskScores,
    boundary_f1,
    boundary_hits,
    confusion_matrix,
    dice,
    edge,
    iou,
    mean_iou,
)


@pytest.fixture
def maps() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 4, (40, 50), generator=generator)
    said = torch.where(torch.rand(40, 50, generator=generator) < 0.7, truth, 3 - truth)
    return said, truth


def test_iou_and_dice_are_torchmetrics_s(maps: tuple[torch.Tensor, torch.Tensor]) -> None:
    said, truth = maps
    counts = confusion_matrix(said, truth, 4)
    wanted = multiclass_jaccard_index(said, truth, 4, average="none")
    np.testing.assert_allclose(iou(counts), wanted.numpy(), rtol=1e-6)
    wanted = multiclass_f1_score(said, truth, 4, average="none")
    np.testing.assert_allclose(dice(counts), wanted.numpy(), rtol=1e-6)


def test_ignored_pixels_do_not_count(maps: tuple[torch.Tensor, torch.Tensor]) -> None:
    said, truth = maps
    masked = truth.clone()
    masked[:10] = IGNORE
    np.testing.assert_array_equal(
        confusion_matrix(said, masked, 4), confusion_matrix(said[10:], truth[10:], 4)
    )


def test_a_class_that_nobody_names_has_no_score() -> None:
    counts = np.array([[5, 0, 0], [1, 3, 0], [0, 0, 0]])
    assert np.isnan(iou(counts)[2])
    assert mean_iou(counts) == pytest.approx((5 / 6 + 3 / 4) / 2)


def test_the_edge_of_a_square() -> None:
    mask = np.zeros((8, 8), dtype=bool)
    mask[2:6, 2:6] = True
    assert edge(mask).sum() == 12
    assert not edge(np.ones((5, 5), dtype=bool)).any()  # the image's border is none


@pytest.mark.parametrize(("shift", "wanted"), [(0, 1.0), (1, 1.0), (6, 0.5)])
def test_boundary_f1_forgives_a_pixel(shift: int, wanted: float) -> None:
    truth, said = np.zeros((2, 60, 60), dtype=np.uint8)
    truth[20:30, 20:30] = 1
    said[20 + shift : 30 + shift, 20:30] = 1
    near, total = boundary_hits(said, truth, 2)
    value = boundary_f1(near, total)[1]
    assert value == pytest.approx(wanted) if wanted == 1 else 0.2 < value < 0.7


def scores(n: int = 12, seed: int = 0) -> MaskScores:
    rng = np.random.default_rng(seed)
    counts, near, total = [], [], []
    for _ in range(n):
        truth = rng.integers(0, 3, (16, 16)).astype(np.uint8)
        said = np.where(rng.random((16, 16)) < 0.8, truth, 0).astype(np.uint8)
        counts.append(confusion_matrix(torch.from_numpy(said), torch.from_numpy(truth), 3))
        hits = boundary_hits(said, truth, 3)
        near.append(hits[0])
        total.append(hits[1])
    return MaskScores(
        counts=np.stack(counts),
        near=np.stack(near),
        total=np.stack(total),
        classes=("background", "cell", "nucleus"),
        keys=tuple(f"images/{i}.png" for i in range(n)),
    )


def test_the_headline_is_the_mean_iou_with_its_interval() -> None:
    found = headline_masks(scores())
    value = found.data["iou"]
    assert value["value"] == pytest.approx(mean_iou(scores().counts.sum(0)))
    assert value["low"] < value["value"] < value["high"]
    assert found.data["key_figure"]["value"] == value["value"]
    blind = scores().counts.sum(0).sum(1)
    assert found.data["baseline"] == pytest.approx(blind.max() / blind.sum() / 3)
    assert found.verdict.startswith(f"Mean IoU {100 * value['value']:.1f} % on 12 held-out images")


def test_classes_come_worst_first_with_their_confusions() -> None:
    found = per_class_masks(scores())
    values = [row[1] for row in found.tables[0].rows]
    assert values == sorted(values)  # type: ignore[type-var]
    assert all(row[1] == "background" for row in found.tables[1].rows)  # all errors went there
    assert "most often" in found.verdict


def test_the_gallery_shows_the_worst_first() -> None:
    given = scores()
    order = np.argsort(image_scores(given))
    blank = np.zeros((16, 16), dtype=np.uint8)
    found = gallery(
        given,
        lambda i: np.zeros((16, 16, 1), dtype=np.uint8),
        lambda i: blank,
        lambda i: blank,
        lambda image, mask: np.repeat(image, 3, -1),
        lambda picture, masks: np.concatenate([picture, picture[:10]]),
    )
    assert found.figures[0].caption.startswith(given.keys[order[0]])
    assert found.figures[-1].caption.endswith("(best)")
    assert found.tables[0].rows[0][0] == given.keys[order[0]]


def test_objects_are_measured_by_their_longer_side() -> None:
    mask = np.zeros((50, 50), dtype=np.uint8)
    mask[5:15, 5:35] = 1
    mask[30:45, 10:20] = 2
    mask[48, 48] = 2  # a speck
    assert sorted(object_sides([mask]).tolist()) == [15, 30]


def test_used_side_holds_ninety_percent() -> None:
    strength = np.zeros((101, 101))
    strength[45:56, 45:56] = 1.0
    assert used_side(strength) == 11
    strength[:] = 1.0
    assert used_side(strength) in (95, 97)  # 0.9 of the area of 101 x 101


@pytest.mark.parametrize(
    ("used", "words", "status"),
    [
        (80, "which is enough", "good"),
        (40, "enough for most objects", "note"),
        (10, "less than a typical object", "warning"),
    ],
)
def test_the_context_is_judged_by_the_objects(used: int, words: str, status: str) -> None:
    found = context(200, used, np.array([20, 30, 30, 30, 60]))
    assert words in found.verdict and found.status == status
