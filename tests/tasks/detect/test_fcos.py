"""FCOS through the commands: whatever works for one kind of detector works for another."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate.data.digits import open_digits
from striate.errors import UsageError
from striate.models import Levels, build
from striate.tasks.detect import task
from striate.tasks.detect.data.scenes import open_box_scenes
from striate.tasks.detect.forms.levels import LevelForm
from striate.tasks.table import find_task

CLASSES = [str(i) for i in range(10)]
INPUT = (64, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def bold(network):
    """An untrained network that finds something."""
    head = network.head
    with torch.no_grad():
        head.heat.bias += 3.0
        head.heat.weight *= 30.0
        head.edges.weight *= 5.0
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
    return network


@pytest.fixture(scope="module")
def sure():
    torch.manual_seed(0)
    network = bold(build("fcos", num_classes=10, width=8))
    return striate.wrap(network, classes=CLASSES, preprocessing=INPUT, task="detect")


def test_it_trains_reports_and_is_opened_again(tmp_path):
    run = striate.train(
        "scenes", task="detect", model="fcos", out=tmp_path / "run", count=24, epochs=1, width=8, device="cpu"
    )  # fmt: skip
    names = {f.stem for f in (run.path / "findings").glob("*.json")}
    assert {"headline", "reach", "sizes", "mistakes"} <= names
    assert {"heat", "edges", "centred"} <= {key.removeprefix("train_") for key in run.metrics[-1]}
    again = striate.load(run.path)
    image = np.zeros((1, 3, 64, 64), np.float32)
    with torch.no_grad():
        a, b = (r.model.eval()(torch.from_numpy(image)).maps[0] for r in (run, again))
    assert torch.equal(a, b)


@pytest.mark.parametrize("tile", [64, 93, 256])
def test_tiles_give_the_objects_of_the_whole_image(sure, tmp_path, tile):
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 255, (203, 310, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    finding = sure.tile(tmp_path / "large.png", out=tmp_path / "large.json", tile=tile)
    assert finding.status == "good"
    whole = torch.from_numpy(sure.preprocessing.colours(pixels))[None]
    with torch.inference_mode():
        output = sure.model(sure.normalise(whole))
    (expected,) = LevelForm().decode(output, 10, (203, 310))
    objects = json.loads((tmp_path / "large.json").read_text())["annotations"]
    assert len(objects) == len(expected) > 20
    made = np.array([[o["category_id"] - 1, *o["bbox"]] for o in objects])
    corners = expected.boxes
    sides = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)
    rows = np.concatenate([expected.labels[:, None], sides], 1)
    assert (
        np.abs(rows[:, None] - made[None]).max(2).min(1).max() < 1e-2
    )  # pixels; of class, place and size


def test_a_backbones_levels_are_the_same_by_tiles():
    torch.manual_seed(0)
    network = bold(build("fcos:resnet18", num_classes=2, depth=1)).eval()
    image = torch.randn(1, 3, 200, 260)
    with torch.inference_mode():
        whole = network(image)
    tiles = striate.tiled(network, image, tile=96)
    assert isinstance(tiles, Levels) and tiles.strides == (8, 16, 32, 64, 128)
    for a, b in zip(whole.maps, tiles.maps, strict=True):
        assert a.shape == b.shape and (a - b).abs().max() < 1e-3 * a.abs().max()


def test_predictions_explanations_and_probes_need_nothing_else(sure, tmp_path, monkeypatch):
    image = np.random.default_rng(1).integers(0, 255, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "scene.png")
    (made,) = sure.predict([tmp_path / "scene.png"], out=tmp_path / "out")
    assert len(made.objects) and (made.objects.boxes <= [70, 50, 70, 50]).all()
    (explained,) = sure.explain([image], methods=["gradient", "occlusion"], trust=False)
    assert "with a score of" in explained.explanation.target
    monkeypatch.setattr(task, "LEARNED", -1.0)
    source = open_box_scenes(open_digits, count=12, size=48)
    findings = {f.name: f for f in sure.probe(source, names=["scale"], limit=2)}
    assert "probe-scale" in findings


def test_pixels_outside_the_cone_change_nothing(sure):
    """A cell of the finest level, whose field is known exactly: whatever stands outside it, the numbers stay."""
    network = sure.model.double()
    geometry = striate.trace(network, (1, 3, 256, 256))
    made = {record.output: record.index for record in geometry.records}
    fields = {layer.record: layer.receptive_field for layer in geometry}
    rows, columns = fields[made[geometry.outputs[0]]]
    torch.manual_seed(0)
    image = torch.randn(1, 3, 256, 256, dtype=torch.float64)
    row, column = 0, 1
    (top, bottom), (left, right) = (
        (axis.start + at * axis.stride, axis.start + at * axis.stride + axis.size)
        for axis, at in ((rows, row), (columns, column))
    )
    other = torch.randn_like(image)
    inside = (slice(None), slice(None), slice(max(top, 0), bottom), slice(max(left, 0), right))
    other[inside] = image[inside]
    assert not torch.equal(other, image)
    with torch.inference_mode():
        a, b = (network(x).maps[0][..., row, column] for x in (image, other))
    network.float()
    assert torch.equal(a, b)


class Own(nn.Module):
    """A network of a person's own with two levels."""

    def __init__(self, channels=12):
        super().__init__()
        self.a = nn.Conv2d(3, channels, 8, 8)
        self.b = nn.Conv2d(3, channels, 16, 16)

    def forward(self, x):
        return Levels((self.a(x), self.b(x)), (8, 16))


def test_a_network_of_ones_own_may_have_levels():
    trained = striate.wrap(Own(15), classes=CLASSES, preprocessing=INPUT, task="detect")
    with torch.no_grad():
        assert isinstance(trained.model(torch.zeros(1, 3, 64, 64)), Levels)
    with pytest.raises(UsageError, match="centre-ness of a cell of 8 x 8"):
        striate.wrap(Own(14), classes=CLASSES, preprocessing=INPUT, task="detect")
    output = Levels((torch.zeros(1, 15, 8, 8),), (8, 16))
    with pytest.raises(UsageError, match="a stride for each map"):
        find_task("detect").refuse_output(output, torch.zeros(1, 3, 64, 64), 10)


@pytest.mark.parametrize(
    ("spec", "options", "words"),
    [
        ("fcos", {"finest": 3}, "finest is a whole number from 4 to 64"),
        ("fcos", {"finest": 5}, "begin at 5"),
        ("fcos", {"levels": 0}, "levels is a whole number"),
        ("fcos", {"levels": 10**9}, "from 1 to 8"),
        ("fcos:resnet18", {"finest": 6}, "begin at 6"),
        ("fcos:resnet18", {"width": 8}, "has no option 'width'"),
    ],
)
def test_levels_that_no_map_has_are_refused(spec, options, words):
    with pytest.raises(UsageError, match=words):
        build(spec, num_classes=2, **options)


@pytest.mark.parametrize("size", [(64, 64), (50, 75)])
def test_every_level_has_a_cell_every_stride(size):
    network = build("fcos(finest=4, levels=4)", num_classes=2, width=8).eval()
    with torch.inference_mode():
        output = network(torch.randn(1, 3, *size))
    assert output.strides == (4, 8, 16, 32)
    for m, s in zip(output.maps, output.strides, strict=True):
        assert m.shape == (1, 7, -(-size[0] // s), -(-size[1] // s))
        assert (m[:, 2:6] > 0).all()
