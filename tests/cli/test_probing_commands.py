"""`striate probe` as a person runs it: what is printed where, and its exit status."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import striate

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs."""
    home = tmp_path_factory.mktemp("probe")
    path = striate.train("digits", model="[conv8-relu-pool]*2-fc", out=home / "a", epochs=8).path
    shutil.copytree(path, home / "b")
    return home


def test_few_probes_print_their_tables(home: Path, run: Run) -> None:
    status, out, _ = run("probe", home / "a", "flip", "--images", "60")
    assert status == 0
    assert "Mirrored images" in out and "left-right" in out and "accuracy" in out
    assert "things to do for a network that matters are done" in " ".join(out.split())
    assert out.rstrip().endswith("report.html")


def test_many_probes_print_a_sentence_each(home: Path, run: Run) -> None:
    names = ("shift", "rotation", "scale", "flip")
    status, out, _ = run("probe", home / "a", *names, "--images", "40")
    assert status == 0
    assert all(w in out for w in ("Shifted", "Rotated", "Larger", "Mirrored", "Checklist"))
    assert "same prediction" not in out  # a column of the tables


def test_json_is_one_document(home: Path, run: Run) -> None:
    status, out, _ = run("probe", home / "a", "flip", "--images", "40", "--format", "json")
    assert status == 0
    assert [f["name"] for f in json.loads(out)] == ["probe-flip", "checklist"]


def test_two_runs_are_compared(home: Path, run: Run) -> None:
    status, out, _ = run("probe", home / "a", home / "b", "flip", "--images", "40")
    assert status == 0
    assert "a against b" in out and "Neither is more robust under flip left-right" in " ".join(
        out.split()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "shfit"), "did you mean 'shift'"),
        (("a", "runs/none"), "there is no run at runs/none to compare with"),
        (("a", "b", "--budget", "5s"), "are for probing one run"),
        (("none",), "there is no run at none"),
        (("a", "--budget", "soon"), "budget must be a time such as 90s"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else None,
)
def test_wrong_arguments_end_with_2(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(home)
    status, out, err = run("probe", *arguments)
    assert status == 2 and not out
    assert message in " ".join(err.split())
