"""`striate diagnose` and what it takes from `striate train --watch`, as a person runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import striate
from striate.cli import main


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training with --watch."""
    out = tmp_path_factory.mktemp("diagnose") / "run"
    arguments = ["train", "digits", "--model", "[conv8-relu-pool]*2-fc", "--epochs", "6"]
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--watch", "--out", str(out)])
    assert end.value.code in (None, 0)
    return out


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    status = 0
    try:
        main([str(a) for a in arguments])
    except SystemExit as stop:
        status = int(stop.code or 0)
    said = capsys.readouterr()
    return status, said.out, said.err


def test_what_is_named_is_done_and_nothing_else(
    watched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    status, out, err = run(capsys, "diagnose", watched, "filters", "updates", "--format", "json")
    assert (status, err.strip()) == (0, "")
    found = json.loads(out)
    assert [f["name"] for f in found] == ["diagnose-filters", "diagnose-updates"]
    assert all(f["verdict"] for f in found)
    assert {"diagnose-filters", "diagnose-updates"} <= {f.name for f in striate.load(watched).findings()}  # fmt: skip


def test_what_cannot_be_done_fails_where_it_was_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = striate.train("digits", model="[conv4-relu-pool]*2-fc", out=tmp_path / "r", epochs=1)
    status, out, err = run(capsys, "diagnose", plain.path, "updates", "filters")
    assert status == 1
    assert "updates could not be done" in err
    assert "--watch" in err
    assert out.rstrip().endswith("report.html")


def test_the_checklist_of_a_probed_run_follows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = striate.train(
        "digits", model="[conv8-relu-pool]*2-fc", out=tmp_path / "r", epochs=6
    ).path

    def done() -> list[str]:
        found = {f.name: f for f in striate.load(path).findings()}
        return list(found["checklist"].data["done"])

    assert run(capsys, "probe", path, "flip", "--images", "60")[0] == 0
    before = done()
    assert run(capsys, "diagnose", path, "activations")[0] == 0
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
) -> None:
    capsys.readouterr()
    status, out, err = run(capsys, "diagnose", watched, *arguments)
    assert status == 2
    assert words in err
    assert "Traceback" not in err
    assert out == ""
