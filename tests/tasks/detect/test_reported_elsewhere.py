"""What people reported of other detectors' tools, tried here: each name says where."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.data import Preprocessing
from striate.errors import DataError, UsageError
from striate.tasks.detect.data.source import ArrayBoxSplit, BoxSource
from striate.tasks.detect.evaluate import Assessed
from striate.tasks.detect.findings.errors import kinds_of_errors, per_class_boxes
from striate.tasks.detect.metric import AveragePrecision
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.task import objects_in
from striate.tasks.table import find_task

HOW = Preprocessing(channels=3, height=96, width=96, mean=(0.5,) * 3, std=(0.2,) * 3)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(bold):
    return striate.wrap(bold, classes=["a", "b", "c"], preprocessing=HOW, task="detect")


@pytest.fixture
def quiet(trained):
    """The same network, which finds nothing."""
    bias = trained.model.head.heat.bias
    with torch.no_grad():
        bias -= 100.0
    yield trained
    with torch.no_grad():
        bias += 100.0


def pixels(height, width, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 255, (height, width, channels), dtype=np.uint8)


def source(objects, sizes=(64, 64)):
    """Test images with these objects."""
    images = np.stack([pixels(*sizes, seed=i) for i in range(len(objects))])
    split = ArrayBoxSplit.of(images, objects, [f"image {i}" for i in range(len(objects))])
    empty = split.take([])
    return BoxSource(
        name="given", classes=("a", "b", "c"), where="here", fingerprint="0", train=empty, val=empty, test=split
    )  # fmt: skip


def reported(trained, data):
    task = trained.task
    assessed = task.assess(trained, data.test, device=CPU)
    found = {f.name: f for f in task.report(trained, data, data.test, assessed)}
    return task.results(assessed, trained.classes), found


def test_sahi_186_parts_without_data_and_images_without_objects(trained, quiet, tmp_path):
    image = pixels(150, 200, 4)
    image[:, 100:, 3] = 0  # transparent, as where a drone took no picture
    Image.fromarray(image).save(tmp_path / "half.png")
    quiet.tile(tmp_path / "half.png", out=tmp_path / "none.json", tile=64)
    assert json.loads((tmp_path / "none.json").read_text())["annotations"] == []
    (made,) = quiet.predict([tmp_path / "half.png"], out=tmp_path / "out")
    assert not len(made.objects) and made.rows()[0]["class"] == ""


def test_sahi_106_nothing_is_doubled_where_slices_meet(trained, tmp_path):
    Image.fromarray(pixels(200, 260)).save(tmp_path / "scene.png")
    (whole,) = trained.predict([tmp_path / "scene.png"])
    counts = set()
    for tile in (48, 100, 320):
        out = tmp_path / f"{tile}.json"
        trained.tile(tmp_path / "scene.png", out=out, tile=tile)
        counts.add(len(json.loads(out.read_text())["annotations"]))
    assert counts == {len(whole.objects)}


def test_ultralytics_19222_and_23630_a_turned_photograph_alone_in_a_list_and_in_a_folder(trained, tmp_path):  # fmt: skip
    folder = tmp_path / "photos"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, shown upright
    Image.fromarray(pixels(60, 100)).save(folder / "phone.jpg", exif=exif, quality=95)
    Image.fromarray(pixels(80, 70, seed=1)).save(folder / "other.png")
    with Image.open(folder / "phone.jpg") as stored:
        upright = np.asarray(stored.transpose(Image.Transpose.ROTATE_270))
    (expected,) = trained.predict([upright])
    ways = {
        "alone": list(trained.predict(folder / "phone.jpg")),
        "list": list(trained.predict([folder / "other.png", folder / "phone.jpg"])),
        "folder": list(trained.predict(folder)),
    }
    for way, made in ways.items():
        (one,) = [m for m in made if m.path.endswith("phone.jpg")]
        assert one.size == (100, 60), way
        assert one.objects.boxes == pytest.approx(expected.objects.boxes, abs=1e-3), way
    trained.tile(folder / "phone.jpg", out=tmp_path / "phone.json", tile=48)
    document = json.loads((tmp_path / "phone.json").read_text())
    assert (document["images"][0]["height"], document["images"][0]["width"]) == (100, 60)
    assert len(document["annotations"]) == len(expected.objects)
    # A place to explain is one of the upright image, too.
    how = {"methods": ["gradient"], "trust": False}
    list(trained.explain(folder / "phone.jpg", at=(slice(95, 96), slice(5, 6)), **how))
    with pytest.raises(UsageError):
        list(trained.explain(folder / "phone.jpg", at=(slice(5, 6), slice(95, 96)), **how))


def test_maskrcnn_benchmark_498_no_held_out_image_has_an_object(trained):
    """An AP of -1, or of 0, would be a number about nothing; what is invented is counted instead."""
    results, found = reported(trained, source([Objects.of([], [])] * 3))
    assert results == {} and "key_figure" not in found["headline"].data
    assert found["headline"].data["invented"] > 0 and found["headline"].status == "warning"
    assert "nan" not in str([f.verdict for f in found.values()])
    evidence = trained.task.assess(trained, source([Objects.of([], [])]).test, device=CPU).evidence
    with pytest.raises(DataError, match="none of 1 image holds an object"):
        find_task("detect").guessing(evidence, trained.classes)


def test_mmdetection_3710_a_network_that_finds_nothing_is_reported(quiet):
    objects = [Objects.of([[4, 4, 20, 20]], [1]), Objects.of([], [])]
    results, found = reported(quiet, source(objects))
    assert results["ap"] == 0 and found["error-kinds"].data["counts"]["missed"] == 1
    assert found["sizes"].data["sizes"][0]["recall"] == 0
    assert "Every object is missed" in found["error-kinds"].verdict


def test_object_detection_metrics_152_a_category_that_never_occurs_costs_nothing():
    truth = [Objects.of([[0, 0, 10, 10], [20, 20, 40, 40]], [0, 1])]
    perfect = [Objects.of(truth[0].boxes, truth[0].labels, scores=[0.9, 0.8])]
    for classes in (2, 3):
        metric = AveragePrecision(classes, objects_in)
        assert metric.score(metric.matched(perfect, truth))["ap"] == pytest.approx(1)


def test_cocoapi_412_an_invention_below_all_hits_costs_no_ap_but_is_named():
    truth = [Objects.of([[0, 0, 10, 10]], [0])]
    found = [Objects.of([[0, 0, 10, 10], [50, 50, 60, 60]], [0, 0], scores=[0.9, 0.5])]
    metric = AveragePrecision(1, objects_in)
    assessed = Assessed(tuple(found), tuple(truth), metric.matched(found, truth), ("one",))
    assert metric.score(assessed.evidence)["ap"] == pytest.approx(1)
    assert kinds_of_errors(assessed, 1, 0.3).data["counts"]["background"] == 1
    (row,) = per_class_boxes(assessed, ("a",), 0.3).tables[0].rows
    assert row[3] == 0.5  # precision


def test_vision_4257_a_prediction_does_not_depend_on_its_neighbours(trained):
    """Images of several sizes are padded to one elsewhere, and so change with the batch they are in."""
    images = [
        pixels(64, 64),
        pixels(96, 50, seed=1),
        pixels(64, 64, seed=2),
        pixels(51, 77, seed=3),
    ]
    together = list(trained.predict(images))
    for image, one in zip(images, together, strict=True):
        (alone,) = trained.predict([image])
        assert np.array_equal(alone.objects.boxes, one.objects.boxes)
        assert np.array_equal(alone.objects.scores, one.objects.scores)
        assert one.size == image.shape[:2]


def test_paddledetection_9386_a_deep_image_is_drawn_as_it_is_seen(bold, tmp_path):
    how = Preprocessing(channels=3, height=96, width=96, white=4000, black=100, full_scale=65535)
    deep = striate.wrap(bold, classes=["a", "b", "c"], preprocessing=how, task="detect")
    values = np.linspace(100, 4000, 80 * 90).reshape(80, 90).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.tif")
    (made,) = deep.predict([tmp_path / "deep.tif"], out=tmp_path / "out")
    with Image.open(made.overlay) as overlay:
        grey = np.asarray(overlay.convert("L"))
    assert 60 < grey.mean() < 200 and grey.std() > 30  # neither white nor black


def test_gradcam_435_two_objects_of_an_image_have_maps_of_their_own(trained):
    image = pixels(128, 128)
    maps = []
    for number in (1, 2):
        (made,) = trained.explain([image], object=number, methods=["grad-cam", "occlusion"], trust=False)  # fmt: skip
        maps.append(made.explanation)
    assert maps[0].target != maps[1].target
    for method in ("grad-cam", "occlusion"):
        assert not torch.equal(maps[0].maps[method].shown, maps[1].maps[method].shown)
    for one in maps:  # each is strongest where its own object is
        rows, columns = one.region
        shown = one.maps["occlusion"].shown
        assert shown[rows, columns].mean() > shown.mean()
