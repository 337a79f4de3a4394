"""Instance segmentation from data to report: trained, predicted, tiled, probed and explained as every task is."""

import json
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from pycocotools.mask import encode

import striate
from striate.data.digits import open_digits
from striate.errors import DataError, UsageError
from striate.tasks.detect.data.convert import convert_boxes
from striate.tasks.detect.data.instance_masks import read_instance_masks
from striate.tasks.detect.data.scenes import open_box_scenes
from striate.tasks.instances import labels, task
from striate.tasks.instances.voting import find_instances
from striate.tasks.table import find_task, open_source, task_for

# pycocotools', on every mask.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("instances")
    return striate.train(
        "scenes", task="instances", out=folder / "run", count=40, epochs=2, width=8, device="cpu"
    )


@pytest.fixture(scope="module")
def sure(run):
    """The same network made bolder, so that an untrained one finds something, of 90 pixels and more."""
    network = run.model
    with torch.no_grad():
        network.head.heat.bias += 1.0
        network.head.heat.weight *= 20.0
        network.head.edges.bias += 1.0
        network.pixels.out.weight[:16] *= 20.0
        network.pixels.out.bias[:16] += 1.0
    return striate.wrap(
        network, classes=run.classes, preprocessing=run.preprocessing, task="instances"
    )


def test_a_run_has_its_findings_and_numbers(run):
    names = {f.stem for f in (run.path / "findings").glob("*.json")}
    assert {"headline", "error-kinds", "per-class", "sizes", "reach", "mistakes"} <= names
    assert {"val_mask_ap", "val_box_ap", "val_pq"} <= run.metrics[-1].keys()
    assert {"mask_ap", "mask_ap50", "box_ap", "pq", "sq", "rq"} <= run.info["results"].keys()
    assert (run.path / "report.html").stat().st_size > 10_000


def test_predictions_are_files_tables_coco_and_label_images(sure, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    image = tmp_path / "images" / "scene.png"
    Image.fromarray(rng.integers(0, 255, (50, 70, 3), dtype=np.uint8)).save(image)
    (made,) = sure.predict([image], out=tmp_path / "out")
    assert made.size == (50, 70) and len(made.shown) > 2
    labels = np.asarray(Image.open(made.labels))
    assert labels.shape == (50, 70) and labels.dtype == np.uint16
    rows = made.rows()
    assert np.bincount(labels.ravel())[1:].tolist() == [row["area"] for row in rows]
    assert made.document()["objects"][0]["area"] == rows[0]["area"]
    with redirect_stdout(StringIO()):
        coco = COCO(tmp_path / "out" / "objects.json")
    document = coco.dataset["annotations"]
    assert len(document) == len(made.objects) >= len(rows)
    for region, one in zip(made.objects.regions, document, strict=True):
        assert np.array_equal(coco.annToMask(one).astype(bool), region.full(50, 70))
        assert one["area"] == region.area and one["bbox"][:2] == [region.left, region.top]
    with Image.open(made.overlay) as overlay:
        assert overlay.size[0] > 70
    # Label images are read again as instance masks, pixel for pixel.
    (tmp_path / "masks").mkdir()
    Image.fromarray(labels).save(tmp_path / "masks" / "scene.png")
    again = read_instance_masks(tmp_path, [("masks", "scene.png")]).images[0]
    assert len(again.outlines) == len(rows)
    for number, outline in enumerate(again.outlines, 1):
        assert np.array_equal(outline.full(50, 70), labels == number)
    with pytest.raises(UsageError):
        list(sure.predict([image], out=tmp_path / "out"))


@pytest.mark.parametrize("tile", [64, 93, 256])
def test_tiles_give_the_objects_of_the_whole_image(sure, tmp_path, tile):
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 255, (123, 190, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    finding = sure.tile(tmp_path / "large.png", out=tmp_path / "large.json", tile=tile)
    assert finding.status == "good"
    whole = torch.from_numpy(sure.preprocessing.colours(pixels))[None]
    with torch.inference_mode():
        out = sure.model(sure.normalise(whole))[0]
    expected = find_instances(out, len(sure.classes), (123, 190))
    with redirect_stdout(StringIO()):
        coco = COCO(tmp_path / "large.json")
    made = coco.dataset["annotations"]
    assert len(made) == len(expected) > 10
    # Scores may differ in the last digits, so that equal ones change places: each object has its twin.
    masks = {(o["category_id"] - 1, coco.annToMask(o).tobytes()) for o in made}
    twins = [
        (label, region.full(123, 190).astype(np.uint8).tobytes()) in masks
        for label, region in zip(expected.labels.tolist(), expected.regions, strict=True)
    ]
    assert np.mean(twins) > 0.98  # a pixel whose logit is 0 but for rounding falls either way
    assert max(o["bbox"][2] for o in made) > 64  # larger than a tile


def test_a_large_label_image_is_that_of_the_whole(sure, tmp_path, monkeypatch):
    monkeypatch.setattr(labels, "SIDE", 64)
    pixels = np.random.default_rng(4).integers(0, 255, (90, 143, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    sure.tile(tmp_path / "large.png", out=tmp_path / "labels.tif", tile=64)
    (made,) = sure.predict([tmp_path / "large.png"])
    written = tifffile.imread(tmp_path / "labels.tif")
    assert written.dtype == np.uint16 and written.max() == len(made.shown) > 2
    assert (written == labels.label_image(made.shown, 90, 143)).mean() > 0.999


def test_pixels_outside_the_cone_change_nothing(sure):
    """The receptive field of a cell is exact, for what it says of its pixels and votes as well."""
    network = sure.model.double()
    geometry = striate.trace(network, (1, 3, 128, 128))
    rows, columns = list(geometry)[-1].receptive_field
    torch.manual_seed(0)
    image = torch.randn(1, 3, 128, 128, dtype=torch.float64)
    row, column = 3, 5
    (top, bottom), (left, right) = (
        (axis.start + at * axis.stride, axis.start + at * axis.stride + axis.size)
        for axis, at in ((rows, row), (columns, column))
    )
    other = torch.randn_like(image)
    inside = (slice(None), slice(None), slice(max(top, 0), bottom), slice(max(left, 0), right))
    other[inside] = image[inside]
    assert not torch.equal(other, image)
    with torch.inference_mode():
        a, b = network(image)[..., row, column], network(other)[..., row, column]
    network.float()
    assert torch.equal(a, b)


def test_mask_ap_is_pycocotools(sure, tmp_path):
    """COCO's own evaluation of the same masks gives the same numbers."""
    source = open_box_scenes(open_digits, count=20, size=64)
    assessed = sure.task.assess(sure, source.train, device=torch.device("cpu"))
    convert_boxes("scenes", tmp_path / "coco", to="coco", count=20, size=64)
    results = [
        {
            "image_id": number, "category_id": int(objects.labels[i]) + 1, "score": float(objects.scores[i]),
            "bbox": [region.left, region.top, region.width, region.height],
            "segmentation": encode(np.asfortranarray(region.full(64, 64).astype(np.uint8))),
        }
        for number, objects in enumerate(assessed.predictions, 1)
        for i, region in enumerate(objects.regions)
    ]  # fmt: skip
    theirs = {}
    with redirect_stdout(StringIO()):
        truth = COCO(tmp_path / "coco" / "annotations" / "instances_train.json")
        for kind, name in (("segm", "mask_ap"), ("bbox", "box_ap")):
            judge = COCOeval(truth, truth.loadRes(results), kind)
            judge.evaluate()
            judge.accumulate()
            judge.summarize()
            theirs[name], theirs[f"{name}50"] = judge.stats[:2]
    ours = sure.task.results(assessed, source.classes)
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs, abs=1e-12)


def test_explanations_are_of_one_object(sure, tmp_path):
    image = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    (explained,) = sure.explain([image], methods=["gradient"], trust=False)
    Image.fromarray(image).save(tmp_path / "scene.png")
    (made,) = sure.predict([tmp_path / "scene.png"])
    best = made.listed()[0]["score"]
    target = explained.explanation.target
    assert f"with a score of {best:.2f} (its peak's" in target
    peak, mask = (float(target.split(f"{word}'s ")[1][:4]) for word in ("peak", "mask"))
    assert peak * mask == pytest.approx(best, abs=0.02)


def test_probes_move_masks_along(sure, monkeypatch):
    monkeypatch.setattr(task, "LEARNED", -1.0)  # a network that finds little is probed all the same
    source = open_box_scenes(open_digits, count=12, size=48)
    findings = {f.name: f for f in sure.probe(source, names=["scale"], limit=2)}
    assert "probe-scale" in findings and "mask AP" in findings["probe-scale"].verdict


def test_boxes_without_masks_are_refused_with_what_to_do(tmp_path):
    convert_boxes("scenes", tmp_path / "voc", to="voc", count=12, size=48)
    with pytest.raises(DataError, match="--task detect"):
        open_source(tmp_path / "voc", task="instances")
    assert task_for(tmp_path / "voc").name == "detect"


def test_images_of_which_an_object_has_a_box_alone_are_left_out_and_counted(tmp_path):
    convert_boxes("scenes", tmp_path / "coco", to="coco", count=12, size=48)
    path = tmp_path / "coco" / "annotations" / "instances_train.json"
    document = json.loads(path.read_text())
    of_first = [a for a in document["annotations"] if a["image_id"] == 1 and not a["iscrowd"]]
    del of_first[0]["segmentation"]
    path.write_text(json.dumps(document))
    whole = open_source(tmp_path / "coco", task="detect")
    source = open_source(tmp_path / "coco", task="instances")
    assert len(source.train) == len(whole.train) - 1
    assert any("1 image" in w for w in source.warnings)


def test_a_folder_of_images_and_masks_of_numbers_is_read_where_it_is_asked_for(tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for i in range(12):
        image = rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / f"{i}.png")
        numbers = np.zeros((40, 50), np.uint16)
        numbers[3:12, 4:20], numbers[20:35, 8:30] = 300, 7
        Image.fromarray(numbers).save(tmp_path / "masks" / f"{i}.png")
    assert task_for(tmp_path).name == "segment"
    source = open_source(tmp_path, task="instances")
    assert sum(map(len, source.splits.values())) == 12
    assert sorted(source.train.objects[0].areas.tolist()) == [9 * 16, 15 * 22]
    assert not any("left out" in note for note in source.notes)


@pytest.mark.parametrize("model", ["resnet18", "centernet", "faster-rcnn"])
def test_a_model_without_masks_is_refused_with_what_to_take(tmp_path, model):
    with pytest.raises(UsageError, match="centernet-masks"):
        striate.train("scenes", task="instances", model=model, out=tmp_path / "run", count=20)


def test_masks_are_refused_where_boxes_are_learned(tmp_path):
    with pytest.raises(UsageError, match="--task instances"):
        striate.train("scenes", task="detect", model="centernet-masks", out=tmp_path / "run", count=20)  # fmt: skip


def test_a_network_without_pixels_is_refused():
    network = torch.nn.Conv2d(3, 14, 3, stride=4, padding=1)
    images = torch.zeros(2, 3, 32, 32)
    with pytest.raises(UsageError, match="16 pixels"):
        find_task("instances").refuse_output(network(images), images, 10)
