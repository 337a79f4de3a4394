"""Queries (DETR): one object each, of the whole image, which tiles cannot give; and the adapter of RF-DETR."""

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.errors import UsageError
from striate.models import Queries, build
from striate.tasks.detect import forward
from striate.tasks.detect.forms.queries import QueryForm
from striate.training.batch import Batch

INPUT = (64, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


class Asking(torch.nn.Module):
    """Six queries, each of which looks at the mean of the whole image."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.classes, self.places = torch.nn.Linear(3, 6 * 3), torch.nn.Linear(3, 6 * 4)

    def forward(self, x):
        mean = x.mean((2, 3))
        boxes = self.places(mean).sigmoid().unflatten(1, (6, 4))
        return Queries(self.classes(mean).unflatten(1, (6, 3)), boxes, tuple(x.shape[-2:]))


@pytest.fixture
def trained():
    return striate.wrap(Asking(), classes=list("abc"), preprocessing=INPUT, task="detect")


def test_each_query_and_class_is_an_object_in_pixels_and_the_best_stay():
    """Two queries of two classes on an image of 100 x 200, by hand."""
    logits = torch.tensor([[[2.0, -1.0], [0.0, 1.0]]])
    boxes = torch.tensor([[[0.5, 0.5, 0.2, 0.4], [0.95, 0.1, 0.2, 0.4]]])
    (made,) = QueryForm().decode(Queries(logits, boxes, (100, 200)), 2)
    # As many as there are queries: sigmoid(2) = 0.881 and sigmoid(1) = 0.731; the second box is cut at the border.
    assert made.labels.tolist() == [0, 1]
    assert made.scores == pytest.approx([0.8808, 0.7311], abs=1e-4)
    assert made.boxes == pytest.approx(np.array([[80, 30, 120, 70], [170, 0, 200, 30]]), abs=1e-4)


def test_predictions_and_explanations_are_of_the_whole_image(trained, tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 255, (70, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "scene.png")
    (made,) = trained.predict([tmp_path / "scene.png"], out=tmp_path / "out")
    assert len(made.objects) == 6 and (made.objects.boxes <= [90, 70, 90, 70]).all()
    monkeypatch.setattr(forward, "WHOLE", 1_000)  # a large image goes through at once as well
    (large,) = trained.predict([tmp_path / "scene.png"])
    assert np.array_equal(large.objects.boxes, made.objects.boxes)
    (explained,) = trained.explain([pixels], methods=["gradient"], trust=False)
    assert "with a score of" in explained.explanation.target


def test_what_is_read_of_a_query_is_its_object(trained):
    output = trained.model(torch.rand(2, 3, 40, 60))
    objects, spots = QueryForm().spots(output, 3, (40, 60))
    for i, spot in enumerate(spots):
        known = QueryForm().read(output, 3, spot)[0].detach().double().numpy()
        assert known[1] == pytest.approx(objects.scores[i], abs=1e-6)
        assert 1 / (1 + np.exp(-known[0])) == pytest.approx(known[1], abs=1e-6)
        whole = np.concatenate([spot.middle - known[2:4], spot.middle + known[4:]])
        assert whole.clip(0, [60, 40, 60, 40]) == pytest.approx(objects.boxes[i], abs=1e-3)


def test_tiles_and_training_are_refused_with_the_reason(trained, tmp_path):
    Image.new("RGB", (90, 70)).save(tmp_path / "scene.png")
    with pytest.raises(UsageError, match="not exactly tileable: each of its boxes"):
        trained.tile(tmp_path / "scene.png", out=tmp_path / "scene.json", tile=64)
    assert not (tmp_path / "scene.json").exists()
    output = trained.model(torch.rand(1, 3, 40, 60))
    with pytest.raises(UsageError, match="own package"):
        QueryForm().loss(output, Batch(torch.rand(1, 3, 40, 60), [torch.zeros(0, 6)]), 3, 1.0)
    with pytest.raises(UsageError, match="trained here"):
        striate.train("scenes", task="detect", model="rfdetr/nano", out=tmp_path / "r", count=20)
    with pytest.raises(UsageError, match="6 queries"):
        striate.wrap(Asking(), classes=list("ab"), preprocessing=INPUT, task="detect")


def test_an_unknown_size_is_refused():
    with pytest.raises(UsageError, match="rfdetr/nano"):
        build("rfdetr/tiny", num_classes=3)


@pytest.mark.filterwarnings("ignore")
def test_rf_detr_gives_what_its_own_package_gives(tmp_path):
    rfdetr = pytest.importorskip("rfdetr")
    torch.manual_seed(0)
    theirs = rfdetr.RFDETRNano(pretrain_weights=None, num_classes=3, device="cpu")
    network = theirs.model.model
    with torch.no_grad():
        network.class_embed.weight *= 20
        network.class_embed.bias += 4
    torch.save({"model": network.state_dict()}, tmp_path / "checkpoint.pth")
    mean, std = tuple(theirs.means), tuple(theirs.stds)
    trained = striate.wrap(
        build("rfdetr/nano", num_classes=3), weights=tmp_path / "checkpoint.pth", classes=list("abc"),
        preprocessing=(384, mean, std), task="detect",
    )  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 255, (150, 200, 3), dtype=np.uint8)
    expected = theirs.predict(pixels, threshold=0.05)
    Image.fromarray(pixels).save(tmp_path / "scene.png")
    (made,) = trained.predict([tmp_path / "scene.png"])
    own = expected.class_id < 3  # a fourth logit is of no class
    best = min(20, int(own.sum()))
    assert best > 5
    order = np.argsort(-expected.confidence[own], kind="stable")[:best]
    assert made.objects.scores[:best] == pytest.approx(expected.confidence[own][order], abs=1e-3)
    # Scores of random weights are equal but for rounding, which ours takes for ties: any order of these is right.
    theirs_rows = np.concatenate([expected.xyxy, expected.class_id[:, None]], 1)[own][order]
    rows = np.concatenate([made.objects.boxes, made.objects.labels[:, None]], 1)
    assert np.abs(theirs_rows[:, None] - rows[None]).max(2).min(1).max() < 0.2
