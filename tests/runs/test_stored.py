"""What `run.toml` holds is checked key by key when a run is opened, and so is that it decides what it decided."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from striate.errors import RunError
from striate.runs.run import Run
from striate.runs.stored import parsed, signed

OLD = Path(__file__).parent / "old"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of the present format."""
    shutil.copytree(OLD / "classes-2", tmp_path / "run")
    run = Run.load(tmp_path / "run")
    run.save_info()
    return run.path


def altered(folder: Path, path: str, value: Any, *, sign: bool) -> None:
    """Set the value at `a.b` of run.toml, or take it away; sign: with digests that fit."""
    info = parsed((folder / "run.toml").read_bytes())
    *tables, key = path.split(".")
    at = info
    for name in tables:
        at = at[name]
    if value is None:
        del at[key]
    else:
        at[key] = value
    if sign:
        info["digests"] = signed({k: v for k, v in info.items() if k != "digests"})
    (folder / "run.toml").write_text(tomli_w.dumps(info))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("temperature", float("nan"), "temperature must be a number, got nan"),
        ("temperature", 0.0, "temperature must be greater than 0, got 0.0"),
        ("temperature", "hot", "temperature must be a number, got 'hot'"),
        ("temperature", True, "temperature must be a number, got True"),
        ("classes", "0123456789", "classes must be a list, got '0123456789'"),
        ("classes", [], "classes must not be empty"),
        ("classes", ["0", 1], "classes must hold a text at place 1"),
        ("classes", ["0", "0"], "classes must hold every name once"),
        ("finished", "yes", "finished must be true or false"),
        ("format", 9, "format 9, and this Striate reads formats 1 to 3; update Striate"),
        ("format", "3", "format must be a whole number"),
        ("task", "juggle", "juggle"),
        ("recipe", None, "recipe is missing"),
        ("recipe.epochs", "3", "recipe.epochs must be a number, got '3'"),
        ("recipe.batch", -1, "batch"),
        ("recipe.seed", True, "recipe.seed must be a whole number"),
        ("recipe.colour", 1, "colour"),
        ("preprocessing.height", 0, "preprocessing.height must lie between 1 and 8192, got 0"),
        ("preprocessing.std", [0.0], "preprocessing.std at place 0 must be greater than 0"),
        ("preprocessing.mean", [[0.1]], "preprocessing.mean must hold a number at place 0"),
        ("preprocessing.fit", "bend", "fit must be one of"),
        ("data.fingerprint", 3, "data.fingerprint must be a text"),
        ("data.test", "many", "data.test must be a number of images"),
        ("calibration", {"thresholds": [0.5]}, "must hold a number for each of 10 classes, got 1"),
        ("calibration", {"thresholds": [float("inf")] * 10}, "calibration.thresholds must be numbers"),
        ("calibration", {"thresholds": [1.5] * 10}, "calibration.thresholds must lie between 0 and 1"),
        ("calibration", {"spread": [-1.0] * 10}, "calibration.spread must be greater than 0"),
        ("training.seconds", "long", "training.seconds must be a number"),
        ("versions", None, "versions is missing"),
    ],
)  # fmt: skip
def test_each_key_has_a_kind_and_a_range(folder: Path, path: str, value: Any, words: str) -> None:
    altered(folder, path, value, sign=True)
    with pytest.raises(RunError, match=re.escape(words)) as got:
        Run.load(folder)
    assert "run" in str(got.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("temperature", 2.0), ("classes", list("9876543210")), ("preprocessing.mean", [0.4]), ("recipe.precision", "fp32"),
        ("recipe.flip_test", True), ("model_sha256", "0" * 64), ("task", "multilabel"), ("calibration", {"level": 0.5}),
        ("data.fingerprint", "x"), ("recipe.model", "lenet5"), ("created", "now"), ("extra", 1), ("temperature", None),
    ],
)  # fmt: skip
def test_what_decides_an_answer_is_the_one_that_was_written(
    folder: Path, path: str, value: Any
) -> None:
    altered(folder, path, value, sign=False)
    with pytest.raises(RunError, match=rf"{path.partition('.')[0]}'? is (not what was written|missing)"):  # fmt: skip
        Run.load(folder)


def test_where_the_data_lie_and_on_what_it_runs_may_change(folder: Path) -> None:
    altered(folder, "recipe.data", "elsewhere", sign=False)
    altered(folder, "recipe.workers", 2, sign=False)
    assert Run.load(folder).recipe.data == "elsewhere"


def test_digests_cannot_be_left_out(folder: Path) -> None:
    altered(folder, "digests", None, sign=False)
    with pytest.raises(RunError, match="digests are missing"):
        Run.load(folder)


def test_an_older_format_is_no_way_around_the_digests(folder: Path) -> None:
    altered(folder, "format", 2, sign=False)
    with pytest.raises(RunError, match="format 2 has no digests"):
        Run.load(folder)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"x = " + b"[" * 50_000, b"format = 3", b"a.b.c = 1\n" * 3, b"[[format]]", b"\0"],
    ids=range(7),
)  # fmt: skip
def test_what_is_no_run_toml_is_one_sentence(folder: Path, content: bytes) -> None:
    (folder / "run.toml").write_bytes(content)
    with pytest.raises(RunError, match=r"run\.toml was altered and cannot be read: "):
        Run.load(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("epoch,step\n1", "line 2 holds 1 values for 2 columns"),
        ("epoch,step\n1,x", "'step' in line 2 must be a number, got 'x'"),
        ("", "was altered"), ("a,b\n", "names no epochs and steps"), ("epoch,step,step\n", "first line"),
    ],
)  # fmt: skip
def test_altered_metrics_are_named(folder: Path, content: str, words: str) -> None:
    run = Run.load(folder)
    assert run.metrics[0]["epoch"] == 1
    (folder / "metrics.csv").write_text(content)
    with pytest.raises(
        RunError,
        match=rf"metrics\.csv was altered and cannot be read: .*{words}" if content else words,
    ):
        _ = run.metrics
    (folder / "metrics.csv").unlink()
    assert run.metrics == []
