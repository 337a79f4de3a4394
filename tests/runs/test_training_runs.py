from __future__ import annotations

import os
import signal
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.data import Preprocessing
from striate.data.pool import workers
from striate.errors import DataError, RunError, StriateError, UsageError, WriteError
from striate.runs import Listener, Run, load, predict, train
from striate.tasks import forward, image_task
from striate.training.loop import Moment

QUICK: dict[str, Any] = {"epochs": 2, "precision": "fp32", "limit": 300, "batch": 50}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of a few seconds."""
    return train(
        "digits", out=tmp_path_factory.mktemp("runs") / "digits", epochs=6, precision="fp32"
    )


def weights(run: Run) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in run.model.state_dict().items()}


def same(a: Run, b: Run) -> bool:
    x, y = weights(a), weights(b)
    return x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)


def test_a_run_is_complete_and_good(digits: Run) -> None:
    names = {p.name for p in digits.path.iterdir()}
    assert {"run.toml", "model.safetensors", "metrics.csv", "findings", "report.html"} == names
    assert digits.finished
    assert digits.info["results"]["accuracy"] > 0.93
    assert (digits.path / "report.html").stat().st_size < 5_000_000
    found = {f.name for f in digits.findings()}
    assert {
        "headline",
        "data",
        "data-check",
        "as-seen",
        "training-curves",
        "confusion",
        "mistakes",
    } <= found
    assert {"per-class", "calibration", "recipe"} <= found


def test_a_loaded_run_predicts_what_training_measured(digits: Run) -> None:
    source = striate.open_source("digits", seed=0)
    again = load(digits.path)
    x = np.stack([again.preprocessing.apply(source.test.image(i)) for i in range(len(source.test))])
    with torch.no_grad():
        logits = again.model(again.preprocessing.normalise(torch.from_numpy(x)))
    accuracy = float((logits.argmax(1).numpy() == source.test.labels).mean())
    assert accuracy == digits.info["results"]["accuracy"]


def test_the_same_recipe_gives_the_same_weights(tmp_path: Path) -> None:
    a = train("digits", out=tmp_path / "a", **QUICK)
    torch.manual_seed(5)
    b = train("digits", out=tmp_path / "b", **QUICK)
    c = train("digits", out=tmp_path / "c", seed=1, **QUICK)
    assert same(a, b)
    assert not same(a, c)


class PressCtrlC(Listener):
    """Interrupts at one step, as a person would."""

    def __init__(self, at: int) -> None:
        self.at = at

    def step(self, moment: Moment) -> None:
        if moment.step == self.at:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_leaves_a_usable_run_that_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole = train("digits", out=tmp_path / "whole", **QUICK)
    cut = train("digits", out=tmp_path / "cut", listener=PressCtrlC(9), **QUICK)
    assert not cut.finished
    assert load(cut.path).model is not None
    assert (cut.path / "report.html").is_file()
    resumed = train("digits", out=cut.path, resume=True)
    assert resumed.path == cut.path
    assert resumed.finished
    assert same(whole, resumed)
    assert [r["step"] for r in resumed.metrics] == [9, 12] or resumed.metrics[-1]["step"] == 12
    with pytest.raises(RunError, match="nothing to resume"):
        train("digits", out=cut.path, resume=True)


def test_a_full_disk_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0
    real = os.fsync

    def fills_up(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count > 3:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fills_up)
    with pytest.raises(WriteError, match="No space left on device"):
        train("digits", out=tmp_path / "full", **QUICK)
    monkeypatch.setattr(os, "fsync", real)
    resumed = train("digits", out=tmp_path / "full", resume=True)
    whole = train("digits", out=tmp_path / "whole", **QUICK)
    assert same(whole, resumed)


def test_names_that_are_taken_get_a_number(tmp_path: Path) -> None:
    first = train("digits", out=tmp_path / "run", **QUICK)
    second = train("digits", out=tmp_path / "run", **QUICK)
    assert (first.path.name, second.path.name) == ("run", "run-2")


def test_a_budget_sets_the_length(tmp_path: Path) -> None:
    run = train("digits", out=tmp_path / "run", budget=3, precision="fp32")
    assert run.info["training"]["seconds"] < 4
    assert run.info["recipe"]["epochs"] > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "resnt18"}, "there is no model 'resnt18'; did you mean resnet18"),
        ({"model": "[[conv32-relux]-pool]-fc"}, "there is no layer 'relux'"),
        ({"model": "[[conv8-relu]*1-pool]*5-fc"}, "pool"),
        ({"epochs": 0}, "epochs must be greater than 0"),
        ({"size": 100_000}, "size must be a whole number from 1 to 65,536"),
        ({"size": 65_536}, "needs at least .* GB"),
        ({"size": 8000}, "needs at least .* GB and .* GB are free"),
        ({"size": 3000, "model": "vgg16"}, "choose a smaller --size or a model of fewer channels"),
        ({"weights": "/nowhere/weights.safetensors"}, "nowhere"),
        ({"speed": 3}, "no setting is called 'speed'"),
    ],
)
def test_wrong_arguments_leave_nothing_behind(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train("digits", out=tmp_path / "run", **settings)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_shape_are_refused(tmp_path: Path, digits: Run) -> None:
    file = str(digits.path / "model.safetensors")
    with pytest.raises(StriateError, match=r"does not fit|shape"):
        train("digits", out=tmp_path / "run", model="resnet18", weights=file)
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_folder_is_said(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        blocked = tmp_path / "file"
        blocked.write_text("in the way")
        out = blocked / "run"
    else:
        tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
        out = tmp_path / "run"
    with pytest.raises(RunError, match=r"cannot make the folder .* choose another with --out"):
        train("digits", out=out, **QUICK)


def test_missing_and_altered_parts_of_a_run_are_named(tmp_path: Path, digits: Run) -> None:
    import shutil

    with pytest.raises(RunError, match="there is no run at"):
        load(tmp_path / "none")
    copy = tmp_path / "copy"
    shutil.copytree(digits.path, copy)
    file = copy / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(RunError, match="is not the file that training wrote"):
        load(copy)
    file.unlink()
    with pytest.raises(RunError, match="cannot read the weights"):
        load(copy)
    toml = copy / "run.toml"
    toml.write_text(toml.read_text().replace("classes", "clases"))
    with pytest.raises(RunError, match="was altered"):
        load(copy)
    toml.unlink()
    with pytest.raises(RunError, match=r"it has no run\.toml"):
        load(copy)


def test_predictions_stream_in_order_and_name_what_cannot_be_read(
    tmp_path: Path, digits: Run
) -> None:
    source = striate.open_source("digits", seed=0)
    for i in range(150):
        Image.fromarray(source.test.image(i)[:, :, 0]).save(tmp_path / f"{i:03}.png")
    (tmp_path / "070.png").write_bytes(b"")
    (tmp_path / ".hidden.png").write_bytes(b"")
    answers = list(predict(digits, [tmp_path], top=2))
    assert [Path(a.path).name for a in answers] == [f"{i:03}.png" for i in range(150)]
    assert answers[70].error is not None
    right = [
        a.top[0][0] == str(source.test.labels[i]) for i, a in enumerate(answers) if not a.error
    ]
    assert np.mean(right) > 0.9
    assert all(len(a.top) == 2 and a.top[0][1] >= a.top[1][1] for a in answers if not a.error)


def test_only_a_few_images_are_held_at_once(
    tmp_path: Path, digits: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    read: list[Path] = []
    real = Preprocessing.read
    monkeypatch.setattr(
        Preprocessing, "read", lambda self, path: (read.append(path), real(self, path))[1]
    )
    # Four pieces a thread wait, and each thread has one.
    most = (5 * workers() + 2) * forward.AT_ONCE
    stream = predict(digits, [tmp_path / "a.png"] * 4 * most)
    next(stream)
    assert len(read) <= most


def test_a_path_that_names_nothing_is_an_error(tmp_path: Path, digits: Run) -> None:
    with pytest.raises(UsageError, match="no image at"):
        list(predict(digits, [tmp_path / "*.png"]))


def test_a_run_may_be_given_by_its_folder_and_an_image_by_itself(
    tmp_path: Path, digits: Run
) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (expected,) = predict(digits, [tmp_path / "a.png"])
    assert list(predict(digits.path, [tmp_path / "a.png"])) == [expected]
    assert list(predict(str(digits.path), str(tmp_path / "a.png"))) == [expected]
    assert list(predict(digits, tmp_path)) == [expected]


def test_no_images_and_no_run_are_said(digits: Run) -> None:
    with pytest.raises(UsageError, match="the list of paths is empty; give files or folders"):
        predict(digits, [])
    with pytest.raises(UsageError, match=r"run must be a run or the folder of one, .*; got int"):
        predict(5, ["a.png"])  # type: ignore[arg-type]
    with pytest.raises(RunError, match="there is no run at"):
        predict("no/run", ["a.png"])


def test_predictions_leave_out_what_training_leaves_out(tmp_path: Path, digits: Run) -> None:
    for name in (
        "a.png",
        ".ipynb_checkpoints/a-checkpoint.png",
        "@eaDir/a.png/THUMB.jpg",
        "b.JPG-1",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        with (tmp_path / name).open("wb") as file:
            Image.new("L", (8, 8)).save(file, "PNG")
    assert [Path(p.path).name for p in predict(digits, tmp_path)] == ["a.png", "b.JPG-1"]


def photographs(root: Path) -> None:
    """Two classes of crops of real photographs that scikit-learn carries."""
    from sklearn.datasets import load_sample_images

    for name, picture in zip(("temple", "flower"), load_sample_images().images, strict=True):
        (root / name).mkdir(parents=True)
        rng = np.random.default_rng(0)
        for i in range(30):
            y, x = rng.integers(0, 427 - 160), rng.integers(0, 640 - 160)
            Image.fromarray(picture[y : y + 160, x : x + 160]).save(root / name / f"{i}.jpg")


def test_photographs_are_fine_tuned_from_packaged_weights(tmp_path: Path) -> None:
    photographs(tmp_path / "photos")
    run = train(tmp_path / "photos", out=tmp_path / "run", epochs=2, size=96)
    assert run.recipe.model == "efficientnet-lite0"
    assert run.recipe.pretrained
    assert run.preprocessing.mean == pytest.approx((127 / 255,) * 3)
    assert run.info["results"]["accuracy"] > 0.8


def test_images_too_many_for_memory_come_from_workers_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = train("digits", out=tmp_path / "a", **QUICK)
    monkeypatch.setattr(image_task, "decoded_bytes", lambda *_: 1 << 60)
    b = train("digits", out=tmp_path / "b", workers=0, **QUICK)
    assert same(a, b)


def test_an_empty_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty"):
        train(tmp_path / "empty", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
