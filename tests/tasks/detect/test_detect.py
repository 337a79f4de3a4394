"""Detection from data to report: trained, predicted, tiled, probed and explained as every task is."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.data.digits import open_digits
from striate.errors import UsageError
from striate.models import build
from striate.tasks.detect import task
from striate.tasks.detect.data.scenes import open_box_scenes
from striate.tasks.detect.peaks import STRIDE, large_peaks, peaks
from striate.tasks.table import find_task, task_for


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detect")
    return striate.train(
        "scenes", task="detect", out=folder / "run", count=40, epochs=2, width=8, device="cpu"
    )


@pytest.fixture(scope="module")
def sure(run):
    """The same network made bolder, so that an untrained one finds something."""
    network = run.model
    with torch.no_grad():
        network.head.heat.bias += 3.0
        network.head.heat.weight *= 20.0
    return striate.wrap(
        network, classes=run.classes, preprocessing=run.preprocessing, task="detect"
    )


def test_a_run_has_its_findings_and_numbers(run):
    names = {f.stem for f in (run.path / "findings").glob("*.json")}
    assert {"headline", "error-kinds", "per-class", "sizes", "reach", "mistakes"} <= names
    assert {"val_ap", "val_ap50", "val_ap75"} <= run.metrics[-1].keys()
    assert (run.path / "report.html").stat().st_size > 10_000


def test_predictions_are_files_tables_and_coco(sure, tmp_path):
    rng = np.random.default_rng(0)
    image = tmp_path / "scene.png"
    Image.fromarray(rng.integers(0, 255, (50, 70, 3), dtype=np.uint8)).save(image)
    (made,) = sure.predict([image], out=tmp_path / "out")
    assert made.size == (50, 70) and len(made.objects)
    assert (made.objects.boxes >= 0).all() and (made.objects.boxes <= [70, 50, 70, 50]).all()
    document = json.loads((tmp_path / "out" / "objects.json").read_text())
    assert len(document["annotations"]) == len(made.objects)
    # Tables have those that are sure enough, the file has all.
    assert len(made.rows()) == (made.objects.scores >= 0.3).sum() < len(made.objects)
    left, top, right, bottom = made.objects.boxes[0]
    assert document["annotations"][0]["bbox"] == pytest.approx([left, top, right - left, bottom - top])  # fmt: skip
    with Image.open(made.overlay) as overlay:
        assert overlay.size[0] > 70
    with pytest.raises(UsageError):
        list(sure.predict([image], out=tmp_path / "out"))


@pytest.mark.parametrize("tile", [64, 93, 256])
def test_tiles_give_the_objects_of_the_whole_image(sure, tmp_path, tile):
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 255, (203, 310, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    finding = sure.tile(tmp_path / "large.png", out=tmp_path / "large.json", tile=tile)
    assert finding.status == "good"
    whole = torch.from_numpy(sure.preprocessing.colours(pixels))[None]
    with torch.inference_mode():
        out = sure.model(sure.normalise(whole))[0]
    expected = peaks(out, len(sure.classes), STRIDE, size=(203, 310))
    objects = json.loads((tmp_path / "large.json").read_text())["annotations"]
    assert len(objects) == len(expected) > 20
    made = np.array([[o["category_id"] - 1, *o["bbox"]] for o in objects])
    corners = expected.boxes
    sides = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)
    rows = np.concatenate([expected.labels[:, None], sides], 1)
    nearest = np.abs(rows[:, None] - made[None]).max(2).min(1)
    assert nearest.max() < 1e-2  # pixels; of class, place and size


def test_explanations_are_of_one_object(sure):
    image = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    (explained,) = sure.explain([image], methods=["gradient"], trust=False)
    assert "with a score of" in explained.explanation.target
    assert explained.explanation.maps["gradient"].shown.shape[-2:] == (64, 64)


def test_probes_move_boxes_along(sure, monkeypatch):
    monkeypatch.setattr(task, "LEARNED", -1.0)  # a network that finds little is probed all the same
    source = open_box_scenes(open_digits, count=12, size=48)
    findings = {f.name: f for f in sure.probe(source, names=["scale"], limit=2)}
    assert "probe-scale" in findings
    assert all(f.status != "problem" or "Nothing" not in f.verdict for f in findings.values())


def test_scenes_are_masks_unless_boxes_are_asked_for():
    assert task_for("scenes").name == "segment"
    assert task_for("scenes", "detect").name == "detect"


def test_a_classifier_is_refused_with_what_to_take(tmp_path):
    with pytest.raises(UsageError, match="centernet:resnet18"):
        striate.train("scenes", task="detect", model="resnet18", out=tmp_path / "run", count=20)


def test_a_network_without_edges_is_refused():
    network = torch.nn.Conv2d(3, 10, 3, stride=4, padding=1)
    images = torch.zeros(2, 3, 32, 32)
    with pytest.raises(UsageError, match="4 distances"):
        find_task("detect").refuse_output(network(images), images, 10)


@pytest.mark.parametrize("spec", ["centernet", "centernet:resnet18"])
@pytest.mark.parametrize("size", [(64, 64), (50, 75)])
def test_detectors_give_a_cell_every_four_pixels(spec, size):
    network = build(spec, in_channels=3, num_classes=2, check=False).eval()
    with torch.inference_mode():
        out = network(torch.randn(1, 3, *size))
    assert out.shape == (1, 6, -(-size[0] // 4), -(-size[1] // 4))
    assert (out[:, 2:] > 0).all()


def test_an_object_below_a_band_is_found_once():
    maps = np.full((5, 9, 9), -9.0, np.float32)
    maps[1:] = 4.0
    maps[0, 4, 4] = 2.0
    made = large_peaks(maps, 1, 4, size=(36, 36))
    assert made.boxes.tolist() == [[14, 14, 22, 22]]
