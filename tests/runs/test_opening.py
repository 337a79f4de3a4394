"""A network with what an analysis must know of it, and the images that it was tested on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.errors import RunError, UsageError
from striate.runs.images import images_of, source_of
from striate.runs.opening import open_trained
from striate.runs.run import report_place
from striate.tasks.classify.task import balanced


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> striate.Run:
    out = tmp_path_factory.mktemp("trained") / "digits"
    return striate.train("digits", model="mlp", epochs=1, out=out, device="cpu")


def test_a_run_and_its_folder_are_the_same_subject(run: striate.Run) -> None:
    trained, same = open_trained(run), open_trained(str(run.path))
    assert trained.classes == same.classes == run.classes
    assert trained.shape == (1, 1, *run.preprocessing.size)
    assert same.run is not None and same.name == "digits"


def test_pixels_are_the_preparation_and_the_network(run: striate.Run) -> None:
    trained = open_trained(run)
    raw = torch.randint(0, 256, (3, *trained.shape[1:]), dtype=torch.uint8)
    with torch.inference_mode():
        wanted = trained.model(trained.normalise(raw))
        got = trained.pixels(raw.float() / 255)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_published_weights_come_with_their_preparation_and_classes(tmp_path: Path) -> None:
    data = pytest.importorskip("skimage.data")
    Image.fromarray(data.chelsea()).save(tmp_path / "cat.png")
    trained = open_trained("efficientnet-lite0")
    x = trained.normalise(torch.from_numpy(trained.read(tmp_path / "cat.png"))[None])
    with torch.inference_mode():
        best = trained.model(x).argmax().item()
    assert "cat" in trained.classes[int(best)] or "tabby" in trained.classes[int(best)]


def test_what_is_neither_run_nor_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no run at runs/none-1; give the folder"):
        open_trained("runs/none-1")
    with pytest.raises(UsageError, match="no weights of resnet18 come with the installation"):
        open_trained("resnet18")
    with pytest.raises(RunError, match=r"is not a run: it has no run\.toml"):
        open_trained(tmp_path)


def test_images_are_the_test_images_of_the_run(run: striate.Run) -> None:
    images, labels = images_of(run)
    assert len(images) == len(labels) == run.info["data"]["test"]
    accuracy = (run.model(run.preprocessing.normalise(images)).argmax(1) == labels).float().mean()
    assert float(accuracy) == pytest.approx(run.info["results"]["accuracy"], abs=0.005)


def test_a_limit_takes_equal_shares() -> None:
    labels = np.repeat([0, 1, 2], [100, 50, 2])
    chosen = labels[balanced(labels, 32, seed=1)]
    assert np.bincount(chosen).tolist() == [15, 15, 2]
    assert (balanced(labels, 32, 1) == balanced(labels, 32, 1)).all()
    assert (balanced(labels, 32, 1) != balanced(labels, 32, 2)).any()


def test_other_images_must_have_classes_that_the_run_knows(run: striate.Run) -> None:
    with pytest.raises(RunError, match=r"lines has classes that .* does not know: horizontal"):
        source_of(run, "lines")


def test_data_that_is_gone_says_what_to_pass(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(0, 256, (9, 9), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{i}.png")
    run = striate.train(
        str(tmp_path / "set"), model="mlp", epochs=1, out=tmp_path / "run", device="cpu"
    )
    (tmp_path / "set" / "a" / "0.png").unlink()
    with pytest.raises(RunError, match=r"run\.toml.* changed since it was trained"):
        source_of(run)
    assert len(source_of(run, run.recipe.data)) == 23
    (tmp_path / "set").rename(tmp_path / "moved")
    with pytest.raises(
        RunError, match=r"cannot be opened by recipe\.data of .* give where they are with --data"
    ):
        source_of(run)
    assert len(source_of(run, str(tmp_path / "moved"))) == 23


def test_a_finding_that_the_report_does_not_know_follows_the_last_of_its_kind() -> None:
    """A plug-in's probe stands with the probes, anything else before the closing checklist."""
    names = ["checklist", "probe-fog", "headline", "summary", "probe-samples", "mine"]
    assert sorted(names, key=report_place) == [
        "headline", "probe-samples", "probe-fog", "summary", "mine", "checklist",
    ]  # fmt: skip


def test_a_model_with_weights_predicts_as_a_run_does(tmp_path: Path) -> None:
    data = pytest.importorskip("skimage.data")
    Image.fromarray(data.chelsea()).save(tmp_path / "cat.png")
    (found,) = striate.predict("efficientnet-lite0", [tmp_path / "cat.png"])
    (wanted,) = striate.predict(open_trained("efficientnet-lite0"), [tmp_path / "cat.png"])
    assert found.rows(3) == wanted.rows(3)
    with pytest.raises(RunError, match="there is no run at efficientnet-lite"):
        striate.predict("efficientnet-lite", [tmp_path / "cat.png"])
