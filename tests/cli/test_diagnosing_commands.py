"""`striate diagnose` and what it takes from `striate train --watch`, as a person runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import striate
from striate.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training with --watch."""
    out = tmp_path_factory.mktemp("diagnose") / "run"
    arguments = ["train", "digits", "--model", "[conv8-relu-pool]*2-fc", "--epochs", "6"]
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--watch", "--out", str(out)])
    assert end.value.code in (None, 0)
    return out


def test_what_is_named_is_done_and_nothing_else(
    watched: Path, capsys: pytest.CaptureFixture[str], run: Run
) -> None:
    capsys.readouterr()
    status, out, err = run("diagnose", watched, "filters", "updates", "--format", "json")
    assert (status, err.strip()) == (0, "")
    found = json.loads(out)
    assert [f["name"] for f in found] == ["diagnose-filters", "diagnose-updates"]
    assert all(f["verdict"] for f in found)
    assert {"diagnose-filters", "diagnose-updates"} <= {f.name for f in striate.load(watched).findings()}  # fmt: skip


def test_what_cannot_be_done_fails_where_it_was_named(tmp_path: Path, run: Run) -> None:
    plain = striate.train("digits", model="[conv4-relu-pool]*2-fc", out=tmp_path / "r", epochs=1)
    status, out, err = run("diagnose", plain.path, "updates", "filters")
    assert status == 1
    assert "updates could not be done" in err
    assert "--watch" in err
    assert out.rstrip().endswith("report.html")


def test_the_checklist_of_a_probed_run_follows(tmp_path: Path, run: Run) -> None:
    path = striate.train(
        "digits", model="[conv8-relu-pool]*2-fc", out=tmp_path / "r", epochs=6
    ).path

    def done() -> list[str]:
        found = {f.name: f for f in striate.load(path).findings()}
        return list(found["checklist"].data["done"])

    assert run("probe", path, "flip", "--images", "60")[0] == 0
    before = done()
    assert run("diagnose", path, "activations")[0] == 0
    assert len(done()) == len(before) + 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("filter",), "filters"),
        (("labels", "--cross-validate", "1"), "2"),
    ],
)
def test_mistakes_are_one_sentence(
    watched: Path,
    arguments: tuple[str, ...],
    words: str,
    capsys: pytest.CaptureFixture[str],
    run: Run,
) -> None:
    capsys.readouterr()
    status, out, err = run("diagnose", watched, *arguments)
    assert status == 2
    assert words in err
    assert "Traceback" not in err
    assert out == ""
