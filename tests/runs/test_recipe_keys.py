"""What a run's recipe asks for and cannot be had: the message names run.toml and the key."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import tomli_w

import striate
from striate.errors import RunError, UsageError
from striate.runs.recipe_keys import flat, from_recipe, named_in
from striate.runs.stored import parsed, to_toml

RECIPE = {"data": "photos", "model": "resnet18", "size": 8, "segment": {"dice": 1.0, "masks": "m"}}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped before its first checkpoint."""
    path = tmp_path_factory.mktemp("stopped") / "run"
    run = striate.train(
        "digits", out=path, epochs=0.1, limit=40, model="[conv2-relu-pool]-fc", device="cpu", precision="fp32"
    )  # fmt: skip
    run.info["finished"] = False
    del run.info["training"], run.info["results"]
    run.save_info()
    return path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", "../.."), ("model", "lenet6"), ("model", "[conv"), ("model", "timm/no-such-network"), ("model", "unet"),
        ("model", "[conv2-relu-pool]*9-fc"), ("data", "/no/such/folder"), ("data", "nothing"), ("weights", "nowhere.pt"),
        ("size", 100_000), ("count", -1), ("val", 1.0), ("pretrained", True), ("task", "sing"),
    ],
    ids=str,
)  # fmt: skip
def test_a_value_that_is_refused_while_resuming_is_named_with_its_file(
    stopped: Path, tmp_path: Path, key: str, value: Any
) -> None:
    run = shutil.copytree(stopped, tmp_path / "run")
    info = parsed((run / "run.toml").read_bytes())
    info["recipe"][key] = value
    (run / "run.toml").write_bytes(to_toml(info))
    with pytest.raises(RunError) as caught:
        striate.train("digits", out=run, resume=True)
    assert str(run / "run.toml") in str(caught.value) and key in str(caught.value), caught.value
    assert (run / "run.toml").read_text() == tomli_w.dumps(parsed((run / "run.toml").read_bytes()))


@pytest.mark.parametrize(
    ("sentence", "key"),
    [
        ("there is no model 'resnet18'; there are lenet5", "model"),
        ("size must be a whole number", "size"),
        ("dice must be between 0 and 1", "segment.dice"),
        ("--size is in pixels", "size"),
        ("it does not fit", ""),
    ],
)
def test_the_key_that_a_sentence_speaks_of(sentence: str, key: str) -> None:
    assert named_in(sentence, flat(RECIPE)) == key


def test_errors_of_other_files_pass_unchanged() -> None:
    wrong = RunError("the checkpoint is damaged")
    with pytest.raises(RunError) as caught, from_recipe(Path("run"), RECIPE):
        raise wrong
    assert caught.value is wrong
    with pytest.raises(RunError, match=r"run\.toml cannot be followed: recipe\.model = 'resnet18': it"), \
            from_recipe(Path("run"), RECIPE, "weights", "model"):  # fmt: skip
        raise UsageError("it does not fit")


def test_a_run_toml_that_is_no_file_is_named(stopped: Path, tmp_path: Path) -> None:
    run = shutil.copytree(stopped, tmp_path / "run")
    (run / "run.toml").unlink()
    (run / "run.toml").mkdir()
    with pytest.raises(RunError, match=r"nothing to resume: no run .*run\.toml"):
        striate.train("digits", out=run, resume=True)


def test_weights_of_other_classes_name_both_files(stopped: Path, tmp_path: Path) -> None:
    run = shutil.copytree(stopped, tmp_path / "run")
    info = parsed((run / "run.toml").read_bytes())
    info["classes"] = ["a", "b"]
    (run / "run.toml").write_bytes(to_toml(info))
    with pytest.raises(RunError, match=r"model\.safetensors do not fit .* 2 classes, .*run\.toml"):
        striate.load(run)


def test_a_digest_of_other_weights_names_both_files(stopped: Path, tmp_path: Path) -> None:
    run = shutil.copytree(stopped, tmp_path / "run")
    info = parsed((run / "run.toml").read_bytes())
    info["model_sha256"] = "0" * 64
    (run / "run.toml").write_bytes(to_toml(info))
    with pytest.raises(RunError, match=r"model\.safetensors is not the file .*run\.toml"):
        striate.load(run)
