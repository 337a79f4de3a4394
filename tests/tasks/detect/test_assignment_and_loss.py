"""Which cell answers for which object, and a loss that adds up however a batch is cut."""

import numpy as np
import pytest
import torch
from torchvision.ops import generalized_box_iou

from striate.models import build
from striate.tasks.detect.assignment import assign
from striate.tasks.detect.boxes import generalised_iou, overlap
from striate.tasks.detect.forms.table import DetectionLoss
from striate.tasks.detect.loss import CenterLoss, boxes_of, middles
from striate.tasks.instances.loss import InstanceLoss
from striate.training.batch import Batch


def test_the_centres_cell_has_the_peak_and_learns_the_box():
    targets = assign(torch.tensor([[10.0, 4.0, 30.0, 20.0, 1, 0]]), 3, (8, 10), 4)
    # The centre (20, 12) lies in cell (row 3, column 5).
    assert targets.heat[1, 3, 5] == 1 and (targets.heat == 1).sum() == 1
    assert targets.heat[[0, 2]].abs().max() == 0
    assert 3 * 10 + 5 in targets.cells.tolist()
    assert (targets.boxes == torch.tensor([10.0, 4.0, 30.0, 20.0])).all()
    assert targets.weights.sum() == pytest.approx(1)


def test_what_lies_outside_and_crowds_teach_nothing_and_a_crowd_is_no_background():
    rows = torch.tensor([[-40.0, 0, -20, 20, 0, 0], [8, 8, 20, 16, 0, 1]])
    targets = assign(rows, 1, (8, 8), 4)
    assert targets.heat.max() == 0 and not len(targets.cells)
    quiet = torch.nonzero(~targets.care).tolist()
    assert quiet == [[r, c] for r in (2, 3) for c in (2, 3, 4)]


def test_the_smaller_object_keeps_the_cells_that_both_want():
    rows = torch.tensor([[0.0, 0, 64, 64, 0, 0], [24, 24, 40, 40, 1, 0]])
    targets = assign(rows, 2, (16, 16), 4)
    at = targets.cells.tolist().index(8 * 16 + 8)
    assert targets.boxes[at].tolist() == [24, 24, 40, 40]


def test_giou_is_torchvisions():
    rng = torch.Generator().manual_seed(0)
    corner = torch.rand(50, 2, generator=rng) * 40
    boxes = torch.cat([corner, corner + 1 + torch.rand(50, 2, generator=rng) * 30], 1)
    a, b = boxes[:25], boxes[25:]
    assert torch.allclose(generalised_iou(a, b), generalized_box_iou(a, b).diagonal(), atol=1e-6)


def test_overlap_by_hand():
    a = np.array([[0.0, 0, 4, 4], [0, 0, 0, 0]])
    assert overlap(a, np.array([[2.0, 0, 6, 4]])).tolist() == [[8 / 24], [0.0]]


def test_a_perfect_map_costs_next_to_nothing_and_gives_its_boxes_back():
    rows = torch.tensor([[10.0, 4.0, 30.0, 20.0, 1, 0]])
    targets = assign(rows, 2, (8, 10), 4)
    heat = torch.full((2, 8, 10), -20.0)
    heat[targets.heat == 1] = 20.0
    centres = middles(8, 10, 4, heat)
    box = rows[:, :4].expand(80, 4)
    distances = torch.cat([centres - box[:, :2], box[:, 2:] - centres], 1)
    assert torch.allclose(boxes_of(centres, distances), box)
    out = torch.cat([heat, distances.T.reshape(4, 8, 10)])[None]
    loss = CenterLoss(2)(out, Batch(torch.zeros(1, 3, 32, 40), [rows]))
    assert float(loss.mean) < 1e-4


def test_gradients_are_equal_however_the_batch_is_cut():
    torch.manual_seed(0)
    network = build("centernet", in_channels=3, num_classes=3, width=8).double().eval()
    images = torch.randn(5, 3, 32, 32, dtype=torch.float64)
    rng = np.random.default_rng(0)
    targets = []
    for n in (0, 1, 4, 2, 0):
        corner = rng.uniform(0, 20, (n, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(4, 12, (n, 2))], 1)
        rows = np.concatenate([boxes, rng.integers(0, 3, (n, 1)), np.zeros((n, 1))], 1)
        targets.append(torch.from_numpy(rows))
    batch, loss = Batch(images, targets), CenterLoss(3)
    gradients = []
    for size in (1, 3, 5):
        network.zero_grad()
        parts = [loss(network(part.images), part) for part in batch.split(size)]
        total, weight = sum(p.sum for p in parts), sum(p.weight for p in parts)
        (total / weight).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    for other in gradients[1:]:
        assert (other - gradients[0]).abs().max() <= 1e-6 * gradients[0].abs().max()


@pytest.mark.parametrize(
    "spec", ["centernet", "fcos", "yolo", "yolo(head=anchor-free)", "centernet-masks"]
)
def test_a_batch_without_an_object_teaches_that_there_is_none(spec):
    torch.manual_seed(0)
    network = build(spec, in_channels=1, num_classes=2, width=8)
    masks = spec.endswith("masks")
    loss = InstanceLoss(2) if masks else DetectionLoss(2)
    none = torch.zeros(0, 6)
    target = {"objects": none, "numbers": torch.zeros(64, 64, dtype=torch.int32)} if masks else none
    batch = Batch(torch.rand(2, 1, 64, 64), [target] * 2)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    seen = []
    for _ in range(5):
        made = loss(network(batch.images), batch)
        optimizer.zero_grad()
        made.mean.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
        optimizer.step()
        seen.append(made.mean.item())
    assert np.isfinite(seen).all() and seen[-1] < seen[0]
