"""`striate experiment`: the list, one experiment from end to end, folders that exist, typos, Ctrl-C."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from striate.cli import main
from striate.errors import UsageError
from striate.findings import Finding
from striate.lectures.experiments import EXPERIMENTS, run_experiment
from striate.lectures.experiments.lines.run import Sizes, lines
from striate.lectures.experiments.setting import Setting

Run = Callable[..., int]
TINY = Sizes(
    train=60, test=40, strange=10, waved=6, side=24, starts=2, epochs=1, periods=(2.0, 4.0), widths=(1, 5),
)  # fmt: skip


@cache
def tiny(seed: int) -> tuple[Finding, ...]:
    """The line experiment in small, once a seed."""
    return tuple(lines(Setting(seed=seed), TINY))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """The command in an empty folder, with the line experiment in small; returns the exit status."""
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module("striate.lectures.experiments.lines.run")
    monkeypatch.setattr(module, "lines", lambda setting: list(tiny(setting.seed)))

    def go(*arguments: str) -> int:
        with pytest.raises(SystemExit) as stop:
            main(["experiment", *arguments])
        return int(stop.value.code or 0)

    return go


def test_without_a_name_it_lists_them(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in EXPERIMENTS)
    assert run("--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["data"]["experiments"] == {n: e.about for n, e in EXPERIMENTS.items()}


def test_from_end_to_end(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("lines", "-o", "here", "--seed", "5") == 0
    shown = capsys.readouterr()
    assert shown.out.strip().endswith("here/report.html")
    page = (tmp_path / "here/report.html").read_text(encoding="utf-8")
    findings = [Finding.load(f) for f in sorted((tmp_path / "here/findings").glob("*.json"))]
    assert len(findings) == 6
    assert all(f.seed == 5 for f in findings)
    assert all(f.title in page.replace("&#39;", "'") for f in findings)
    assert "http://" not in page.replace("http://www.w3.org", "") and "<script" not in page
    charts = {f.stem for f in (tmp_path / "here/findings").glob("*.svg")}
    pictures = {f.stem for f in (tmp_path / "here/findings").glob("*.png")}
    assert charts <= pictures
    assert len(pictures) == sum(len(f.figures) for f in findings)
    assert {f.name for f in tmp_path.iterdir()} == {"here"}


def test_a_taken_folder_is_left_alone_and_numbered(run: Run, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here/mine.txt").write_text("keep")
    assert run("lines", "-o", "here") == 0
    assert [f.name for f in (tmp_path / "here").iterdir()] == ["mine.txt"]
    assert (tmp_path / "here-2/report.html").is_file()
    assert run("lines") == 0
    assert (tmp_path / "experiments/lines-1/report.html").is_file()


def test_json_is_one_document(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("lines", "-o", "here", "--format", "json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 6


def test_a_typo_names_the_nearest(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("linse", "-o", "here") == 2
    assert "there is no experiment 'linse'; did you mean lines?" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lines", "--budget", "60s"), "takes no budget"),
        (("lines", "--seed", "-1"), "seed must be a whole number from 0 to 4,294,967,295, got -1"),
        (("-o", "here"), "name the experiment to run: lines"),
    ],
    ids=lambda p: " ".join(p) if isinstance(p, tuple) else "",
)
def test_wrong_arguments_exit_with_2(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str,
) -> None:  # fmt: skip
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("exists", [False, True])
def test_ctrl_c_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Run, exists: bool
) -> None:
    def stopped(setting: Setting) -> list[Finding]:
        raise KeyboardInterrupt

    monkeypatch.setattr(
        importlib.import_module("striate.lectures.experiments.lines.run"), "lines", stopped
    )
    if exists:
        (tmp_path / "here").mkdir()
    assert run("lines", "-o", "here") == 130
    assert [f.name for f in tmp_path.iterdir()] == (["here"] if exists else [])
    assert not exists or not list((tmp_path / "here").iterdir())


def test_a_full_disk_leaves_nothing_half_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Finding, folder: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Finding, "save", full)
    assert run("lines", "-o", "here") == 1
    assert "No space left on device; choose another folder with -o" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_every_entry_can_be_run_and_says_what_it_is() -> None:
    for name, entry in EXPERIMENTS.items():
        assert callable(entry.run)
        assert entry.file.endswith(f".{name}.run")
        assert entry.about.endswith(".")
    with pytest.raises(UsageError, match="there is no experiment 'zzz'; there are lines"):
        run_experiment("zzz")
