"""YOLO: cells and their boxes by hand, its loss against the paper's sum, and the same objects by tiles."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.errors import UsageError
from striate.models import SPAN, Grid, Levels, build
from striate.tasks.detect.boxes import overlap
from striate.tasks.detect.forms.grid import GridForm, sharing_a_cell
from striate.tasks.detect.forms.table import DetectionLoss
from striate.tasks.detect.grid_loss import assign_cells
from striate.tasks.detect.objects import Objects
from striate.training.batch import Batch

INPUT = (64, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def test_the_cell_of_the_centre_answers_and_of_several_the_largest():
    rows = torch.tensor(
        [
            [10.0, 4, 30, 20, 1, 0],
            [14, 8, 24, 18, 0, 0],
            [40, 40, 60, 60, 0, 1],
            [-9, 0, -1, 9, 0, 0],
        ]
    )
    targets = assign_cells(rows, (4, 4), 16)
    assert targets.cells.tolist() == [1] and targets.labels.tolist() == [1]
    assert targets.boxes.tolist() == [[10, 4, 30, 20]]
    quiet = torch.nonzero(~targets.care.view(4, 4)).tolist()
    assert quiet == [[2, 2], [2, 3], [3, 2], [3, 3]]


def test_a_cell_gives_its_boxes_by_hand():
    """Cell (row 1, column 2) of 16 pixels: its box has its centre at (2.5, 1.25) and 4 by 2 cells."""
    made = torch.zeros(1, 5 * 2 + 3, 4, 4)
    made[0, 5:10, 1, 2] = torch.tensor([0.5, 0.25, 0.5**0.5, 0.25**0.5, 0.8])
    made[0, 10:, 1, 2] = torch.tensor([0.0, 0.5, 0.1])
    (objects,) = GridForm().decode(Grid(made, 16, 2), 3)
    assert objects.labels.tolist() == [1, 2] and objects.scores.tolist() == pytest.approx([0.4, 0.08])  # fmt: skip
    w, h = 0.5 * SPAN * 16, 0.25 * SPAN * 16
    assert objects.boxes[0].tolist() == pytest.approx(
        [40 - w / 2, 20 - h / 2, 64, 20 + h / 2]
    )  # cut at 64


def plain_loss(made, rows, boxes, stride):
    """Equation 3 of the paper for one image, written as it stands there; the weight of the boxes is left at 1."""
    _, height, width = made.shape
    answered = {}
    for row in sorted(rows.tolist(), key=lambda r: (r[2] - r[0]) * (r[3] - r[1])):
        left, top, right, bottom, label, _ = row
        cell = int((top + bottom) / 2 / stride), int((left + right) / 2 / stride)
        answered[cell] = (left, top, right, bottom, int(label))
    unit = SPAN * stride
    coordinates = confidence = classes = 0.0
    for r in range(height):
        for c in range(width):
            numbers = made[:, r, c].tolist()
            cells = [numbers[5 * b : 5 * b + 5] for b in range(boxes)]
            responsible = None
            if (r, c) in answered:
                *true, label = answered[r, c]
                ious = []
                for x, y, root_w, root_h, _ in cells:
                    cx, cy = (c + x) * stride, (r + y) * stride
                    w, h = root_w**2 * unit, root_h**2 * unit
                    box = np.array([[cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]])
                    ious.append(float(overlap(box, np.array([true]))[0, 0]))
                responsible = int(np.argmax(ious))
                x, y, root_w, root_h, sure = cells[responsible]
                left, top, right, bottom = true
                coordinates += (x - ((left + right) / 2 / stride - c)) ** 2
                coordinates += (y - ((top + bottom) / 2 / stride - r)) ** 2
                coordinates += (root_w - ((right - left) / unit) ** 0.5) ** 2
                coordinates += (root_h - ((bottom - top) / unit) ** 0.5) ** 2
                confidence += (sure - ious[responsible]) ** 2
                classes += sum((p - (i == label)) ** 2 for i, p in enumerate(numbers[5 * boxes :]))
            for b in range(boxes):
                if b != responsible:
                    confidence += 0.5 * cells[b][4] ** 2
    return coordinates, confidence, classes, len(answered)


@pytest.mark.parametrize("seed", range(4))
def test_the_loss_is_the_papers_sum(seed):
    rng = np.random.default_rng(seed)
    made = torch.from_numpy(rng.uniform(0, 1, (2, 5 * 2 + 3, 4, 5)))
    targets = []
    for n in (3, 6):
        corner = rng.uniform(0, 50, (n, 2))
        labels, none = rng.integers(0, 3, (n, 1)), np.zeros((n, 1))
        rows = [corner, corner + rng.uniform(4, 14, (n, 2)), labels, none]
        targets.append(torch.from_numpy(np.concatenate(rows, 1)))
    loss = GridForm().loss(Grid(made, 16, 2), Batch(torch.zeros(2, 3, 64, 80), targets), 3, 5.0)
    coordinates, confidence, classes, count = (
        sum(part) for part in zip(*(plain_loss(m, t, 2, 16) for m, t in zip(made, targets, strict=True)), strict=True)
    )  # fmt: skip
    assert loss.weight == count
    assert float(loss.sum) == pytest.approx(5 * coordinates + confidence + classes, rel=1e-9)


def test_gradients_are_equal_however_the_batch_is_cut():
    torch.manual_seed(0)
    network = build("yolo", num_classes=3, width=4).double().eval()
    images = torch.randn(4, 3, 64, 64, dtype=torch.float64)
    rows = torch.tensor([[4.0, 4, 30, 20, 1, 0], [30, 30, 50, 60, 2, 0]], dtype=torch.float64)
    batch, loss = Batch(images, [rows, rows[:0], rows[1:], rows]), DetectionLoss(3, 5.0)
    gradients = []
    for size in (1, 3, 4):
        network.zero_grad()
        parts = [loss(network(part.images), part) for part in batch.split(size)]
        (sum(p.sum for p in parts) / sum(p.weight for p in parts)).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    for other in gradients[1:]:
        assert (other - gradients[0]).abs().max() <= 1e-6 * gradients[0].abs().max()


@pytest.fixture(scope="module")
def sure():
    torch.manual_seed(0)
    network = build("yolo", num_classes=4, width=8)
    with torch.no_grad():
        network.head.weight *= 20
        network.head.bias[4::5] = 0.6
    return striate.wrap(network, classes=list("abcd"), preprocessing=INPUT, task="detect")


@pytest.mark.parametrize("tile", [64, 93, 256])
def test_tiles_give_the_objects_of_the_whole_image(sure, tmp_path, tile):
    pixels = np.random.default_rng(3).integers(0, 255, (203, 310, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    assert (
        sure.tile(tmp_path / "large.png", out=tmp_path / "large.json", tile=tile).status == "good"
    )
    with torch.inference_mode():
        output = sure.model(sure.normalise(torch.from_numpy(sure.preprocessing.colours(pixels))[None]))  # fmt: skip
    (expected,) = GridForm().decode(output, 4, (203, 310))
    objects = json.loads((tmp_path / "large.json").read_text())["annotations"]
    assert len(objects) == len(expected) > 20
    made = np.array([[o["category_id"] - 1, *o["bbox"]] for o in objects])
    rows = np.concatenate([expected.labels[:, None], expected.boxes[:, :2], expected.sides], 1)
    assert (
        np.abs(rows[:, None] - made[None]).max(2).min(1).max() < 1e-2
    )  # pixels; of class, place and size


def test_one_object_is_explained_by_its_score(sure):
    image = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    (explained,) = sure.explain([image], methods=["gradient"], trust=False)
    assert "with a score of" in explained.explanation.target


def test_it_trains_in_both_forms(tmp_path):
    for i, spec in enumerate(("yolo", "yolo(head=anchor-free)")):
        run = striate.train(
            "scenes", task="detect", model=spec, out=tmp_path / f"run{i}", count=20, epochs=1, width=4, device="cpu"
        )  # fmt: skip
        assert {"val_ap", "val_ap50"} <= run.metrics[-1].keys()
        kind = Grid if i == 0 else Levels
        with torch.no_grad():
            assert isinstance(run.model.eval()(torch.zeros(1, 3, 64, 64)), kind)


def test_objects_of_one_cell_by_hand():
    objects = Objects.of([[0, 0, 10, 10], [2, 2, 12, 12], [20, 0, 30, 10]], [0, 1, 0])
    assert sharing_a_cell([objects, objects], 16) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [({"cell": 12}, "8, 16, 32, 64 pixels"), ({"head": "2018"}, "2016 or anchor-free"), ({"boxes": 0}, "1 to 32")],
)  # fmt: skip
def test_what_it_cannot_be_built_with(options, words):
    with pytest.raises(UsageError, match=words):
        build("yolo", num_classes=2, **options)
