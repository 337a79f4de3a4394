"""FCOS: which cells of which level answer for an object, its loss beside torchvision's, and suppression anywhere."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchvision.models.detection import fcos
from torchvision.ops import batched_nms

from striate.models import Levels, build
from striate.tasks.detect.boxes import overlap, overlapping, suppress
from striate.tasks.detect.candidates import Candidates
from striate.tasks.detect.forms.levels import SAME, LevelForm, gather, lost
from striate.tasks.detect.forms.table import DetectionLoss
from striate.tasks.detect.level_targets import (
    answering,
    assign_levels,
    centreness,
    level_losses,
    middles_of,
    ranges,
)
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.reach import reach, reach_of
from striate.training.batch import Batch

STRIDES = (8, 16, 32)


def sizes_of(height, width, strides=STRIDES):
    return [(-(-height // s), -(-width // s)) for s in strides]


def test_the_levels_ranges_are_the_papers():
    assert ranges((8, 16, 32, 64, 128)) == [
        (0, 64), (64, 128), (128, 256), (256, 512), (512, float("inf"))
    ]  # fmt: skip


def test_the_cells_around_a_centre_learn_its_box():
    """Middles lie at 4, 12, 20, 28, ... on the finest level: in the box and within 12 pixels of (20, 12) are these three."""
    targets = assign_levels([torch.tensor([[10.0, 4, 30, 20, 1, 0]])], STRIDES, sizes_of(64, 80))
    assert targets.cells.tolist() == [10 + 1, 10 + 2, 10 + 3]
    assert (targets.boxes == torch.tensor([10.0, 4, 30, 20])).all() and set(targets.labels.tolist()) == {1}  # fmt: skip
    assert targets.care.all()


def test_a_large_object_is_learned_by_the_next_level():
    targets = assign_levels([torch.tensor([[0.0, 0, 160, 160, 0, 0]])], STRIDES, sizes_of(160, 160))
    # The longest distance is 80 and more pixels; level 16 has 400 cells of 8 before it.
    assert (targets.cells >= 400).all() and (targets.cells < 500).all()


def test_the_smaller_object_keeps_the_cells_that_both_want_and_a_crowd_is_no_background():
    rows = torch.tensor([[0.0, 0, 64, 64, 0, 0], [16, 16, 32, 32, 1, 0], [40, 40, 64, 64, 0, 1]])
    targets = assign_levels([rows], (8,), [(8, 8)])
    at = dict(zip(targets.cells.tolist(), targets.labels.tolist(), strict=True))
    assert at[3 * 8 + 3] == 1 and at[3 * 8 + 4] == 0
    quiet = torch.nonzero(~targets.care.view(8, 8)).tolist()
    assert quiet == [[r, c] for r in (5, 6, 7) for c in (5, 6, 7)]


def test_centreness_by_hand():
    assert centreness(torch.tensor([[2.0, 3, 8, 3], [4, 4, 4, 4]])).tolist() == pytest.approx([0.5, 1])  # fmt: skip


def made_batch(seed, images=3, classes=3, strides=STRIDES, side=128):
    """Random maps (N, K + 5, T) in double precision, and targets of one to eight objects of all sizes an image."""
    rng = np.random.default_rng(seed)
    sizes = sizes_of(side, side, strides)
    maps = []
    for (h, w), stride in zip(sizes, strides, strict=True):
        m = torch.from_numpy(rng.normal(0, 1, (images, classes + 5, h, w)))
        m[:, classes : classes + 4] = m[:, classes : classes + 4].exp() * 2 * stride
        maps.append(m)
    targets = []
    for _ in range(images):
        n = int(rng.integers(1, 9))
        sides = np.exp(rng.uniform(np.log(12), np.log(0.85 * side), (n, 2)))
        corner = rng.uniform(0, side - sides)
        rows = np.concatenate([corner, corner + sides, rng.integers(0, classes, (n, 1)), np.zeros((n, 1))], 1)  # fmt: skip
        targets.append(torch.from_numpy(rows))
    return Levels(tuple(maps), strides), targets


@pytest.mark.parametrize("seed", range(6))
def test_assignment_and_loss_are_torchvisions(seed):
    """torchvision's own, on anchors of a stride's side around the cells' middles; it gives distances in strides."""
    output, targets = made_batch(seed)
    n, classes = len(targets), 3
    sizes = [m.shape[-2:] for m in output.maps]
    flat = torch.cat([m.flatten(2) for m in output.maps], 2)
    centres = middles_of(STRIDES, sizes, flat)
    stride = torch.cat([torch.full((h * w,), s) for s, (h, w) in zip(STRIDES, sizes, strict=True)])
    half = stride[:, None] / 2
    anchors = torch.cat([centres - half, centres + half], 1)
    theirs = fcos.FCOS.compute_loss(
        SimpleNamespace(center_sampling_radius=1.5, head=fcos.FCOSHead(32, 1, classes)),
        [{"boxes": t[:, :4], "labels": t[:, 4].long()} for t in targets],
        {
            "cls_logits": flat[:, :classes].transpose(1, 2),
            "bbox_regression": (flat[:, classes : classes + 4] / stride).transpose(1, 2),
            "bbox_ctrness": flat[:, classes + 4 :].transpose(1, 2),
        },
        [anchors] * n,
        [h * w for h, w in sizes],
    )
    ours = assign_levels(targets, STRIDES, sizes)
    mine = [float(part) / len(ours.cells) for part in level_losses(flat, centres, ours, classes)]
    assert mine == pytest.approx([float(v) for v in theirs.values()], rel=1e-9)


def test_gradients_are_equal_however_the_batch_is_cut():
    torch.manual_seed(0)
    network = build("fcos", in_channels=3, num_classes=3, width=8).double().eval()
    images = torch.randn(4, 3, 64, 64, dtype=torch.float64)
    _, targets = made_batch(1, images=4, side=64)
    targets[2] = targets[2][:0]
    batch, loss = Batch(images, targets), DetectionLoss(3, 1.5)
    gradients = []
    for size in (1, 3, 4):
        network.zero_grad()
        parts = [loss(network(part.images), part) for part in batch.split(size)]
        total, weight = sum(p.sum for p in parts), sum(p.weight for p in parts)
        (total / weight).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))  # fmt: skip
    for other in gradients[1:]:
        assert (other - gradients[0]).abs().max() <= 1e-6 * gradients[0].abs().max()


def test_a_perfect_output_costs_little_and_gives_its_objects_back():
    rows = torch.tensor([[10.0, 4, 30, 20, 1, 0], [40, 24, 100, 120, 0, 0]])
    sizes = sizes_of(128, 128)
    targets = assign_levels([rows], STRIDES, sizes)
    flat = torch.zeros(1, 7, sum(h * w for h, w in sizes))
    flat[:, :2] = -20.0
    centres = middles_of(STRIDES, sizes, flat)[targets.cells]
    distances = torch.cat([centres - targets.boxes[:, :2], targets.boxes[:, 2:] - centres], 1)
    flat[0, targets.labels, targets.cells] = 20.0
    flat[0, 2:6, targets.cells] = distances.T
    flat[0, 6, targets.cells] = torch.logit(centreness(distances).clamp(1e-6, 1 - 1e-6))
    pieces = flat.split([h * w for h, w in sizes], 2)
    maps = [piece.view(1, 7, *size) for piece, size in zip(pieces, sizes, strict=True)]
    output = Levels(tuple(maps), STRIDES)
    parts = LevelForm().loss(output, Batch(torch.zeros(1, 3, 128, 128), [rows]), 2, 1.0).parts
    assert float(parts["heat"]) < 1e-4 and float(parts["edges"]) < 1e-4
    (made,) = LevelForm().decode(output, 2, (128, 128))
    assert sorted(zip(made.labels.tolist(), made.boxes.tolist(), strict=True)) == [
        (0, [40, 24, 100, 120]), (1, [10, 4, 30, 20])
    ]  # fmt: skip


def plain_suppression(boxes, scores, labels, above):
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        if all(
            labels[i] != labels[j] or overlap(boxes[[i]], boxes[[j]])[0, 0] <= above for j in kept
        ):
            kept.append(i)
    return kept


def pairs_at_the_threshold(far, classes, n=400, seed=0):
    """Pairs of boxes of 40 pixels, `far` from the corner, one moved along by 10 pixels (an IoU of 0.6) and a hair more or
    less, over one another for several classes."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, far, (n, 2)).round(2)
    first = np.concatenate([corner, corner + 40], 1)
    hair = rng.choice([-0.004, 0.004], n)
    second = first + (10 + hair)[:, None] * [1, 0, 1, 0]
    labels = np.tile(rng.integers(0, classes, n), 2)
    return np.concatenate([first, second]), rng.permutation(2 * n) / (2 * n), labels


@pytest.mark.parametrize("far", [100, 20_000])
def test_suppression_is_the_plain_one_at_any_coordinates(far):
    boxes, scores, labels = pairs_at_the_threshold(far, classes=10)
    assert suppress(boxes, scores, labels, 0.6).tolist() == plain_suppression(boxes, scores, labels, 0.6)  # fmt: skip


def test_batched_nms_keeps_other_boxes_of_a_slide():
    """torchvision moves the classes apart in float32: what lies near the threshold is decided by rounding."""
    boxes, scores, labels = pairs_at_the_threshold(20_000, classes=10)
    theirs = batched_nms(*(torch.from_numpy(a).float() for a in (boxes, scores)), torch.from_numpy(labels), 0.6)  # fmt: skip
    assert set(theirs.tolist()) != set(plain_suppression(boxes, scores, labels, 0.6))


def test_of_equal_scores_the_first_stays_and_classes_do_not_touch():
    boxes = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [1, 0, 11, 10]])
    assert suppress(boxes, np.full(3, 0.5), np.array([0, 0, 1]), 0.5).tolist() == [0, 2]
    assert suppress(np.zeros((0, 4)), np.zeros(0), np.zeros(0), 0.5).tolist() == []


def test_overlapping_pairs_are_those_of_all_pairs(monkeypatch):
    monkeypatch.setattr("striate.tasks.detect.boxes.PAIRED", 7)
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 60, (60, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(10, 30, (60, 2))], 1)
    every = overlap(boxes, boxes) > 0.3
    expected = {(i, j) for i in range(60) for j in range(i) if every[i, j]}
    assert {(max(p), min(p)) for p in overlapping(boxes, 0.3)} == expected


def test_candidates_are_the_same_from_pieces_in_any_order():
    output, _ = made_batch(4, images=1)
    (whole,) = LevelForm().decode(output, 3, (128, 128))
    found = Candidates()
    for level in (2, 0, 1):
        m = output.maps[level][0].float()
        middle = m.shape[-1] // 2
        gather(found, m[:, :, middle:], level, STRIDES[level], 3, 0.05, left=middle)
        gather(found, m[:, :, :middle], level, STRIDES[level], 3, 0.05)
    made = found.objects((128, 128), SAME)
    assert len(made) == len(whole) > 20
    assert np.array_equal(made.boxes, whole.boxes) and np.array_equal(made.labels, whole.labels)


def test_what_can_be_found_by_hand():
    """Between the middles 4, 12, 20 a box from 5 to 11 holds none. Of two of a class that overlap by 0.8 one is listed, and
    the third has no cell that the second did not get."""
    sight = LevelForm().sight(Levels((), STRIDES), [100, 200, None])
    tiny = Objects.of([[5, 5, 11, 11], [40, 40, 60, 60]], [0, 0])
    assert reach_of([tiny], sight).lost == 1 and reach_of([tiny], sight).tiny == 1
    assert reach_of([tiny], sight, scale=2.0).lost == 0
    doubled = Objects.of([[40, 40, 80, 80], [44, 40, 84, 80], [44, 40, 84, 80]], [0, 0, 1])
    assert lost([doubled, doubled], STRIDES) == 2 * 2
    large = Objects.of([[0, 0, 120, 120], [0, 0, 220, 220], [0, 0, 600, 600]], [0, 0, 0])
    assert reach_of([large], sight).larger == 2  # 120 of 100, 220 of 200, and the last sees all
    assert reach([tiny], sight).data["recall"] == 0.5


def test_images_of_a_batch_do_not_touch_and_an_empty_one_counts_as_one():
    rows = torch.tensor([[10.0, 4, 30, 20, 1, 0]])
    targets = assign_levels([rows, rows[:0], rows], STRIDES, sizes_of(64, 80))
    total = 8 * 10 + 4 * 5 + 2 * 3
    assert targets.cells.tolist() == [11, 12, 13, 2 * total + 11, 2 * total + 12, 2 * total + 13]
    assert targets.count == 3 + 1 + 3 and len(targets.care) == 3 * total


def test_twenty_thousand_objects_are_given_to_cells_at_once():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 19_000, (20_000, 2))
    boxes = torch.from_numpy(np.concatenate([corner, corner + 30], 1))
    which, *_ = answering(boxes, torch.zeros(len(boxes), dtype=torch.long), STRIDES)
    assert len(which.unique()) > 15_000
