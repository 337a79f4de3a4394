"""The commands as a person runs them: a process each, its streams and its exit status."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from striate.cli import console, main
from striate.cli.live import shown

ENVIRONMENT = {**os.environ, "COLUMNS": "100", "PYTHONWARNINGS": "error::UserWarning:striate"}


def striate(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "striate", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=ENVIRONMENT, timeout=300
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of the digits in runs/digits-1 and two images to predict."""
    home = tmp_path_factory.mktemp("home")
    done = striate("train", "digits", "--epochs", "4", "--set", "precision=fp32", cwd=home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "runs/digits-1/report.html"
    Image.new("L", (8, 8), 90).save(home / "[a].png")
    (home / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    return home


def test_training_says_what_it_decided_and_found(home: Path) -> None:
    done = striate("train", "digits", "--epochs", "1", "--out", "second", cwd=home)
    assert "model = compact" in done.stderr
    assert "epochs: about" in done.stderr
    assert "held-out images" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", "runs/digits-1", "[a].png"),
        ("data",),
        ("data", "digits"),
        ("models", "resnet18"),
        ("summary", "lenet5"),
        ("summary", "runs/digits-1"),
    ],
    ids=" ".join,
)
def test_json_is_one_document_and_nothing_else(
    home: Path,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(home)
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--format", "json"])
    assert not stop.value.code
    assert json.loads(capsys.readouterr().out)


def test_csv_has_a_header_and_a_row_each(home: Path) -> None:
    done = striate(
        "predict",
        "runs/digits-1",
        "[a].png",
        "broken.jpg",
        "--format",
        "csv",
        "--top",
        "2",
        cwd=home,
    )
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [r["path"] for r in rows] == ["[a].png", "broken.jpg"]
    assert set(rows[0]) == {"path", "error", "class_1", "probability_1", "class_2", "probability_2"}
    assert rows[0]["error"] == ""
    assert rows[1]["error"].startswith("cannot read")
    assert done.returncode == 1
    assert "1 of 2 files could not be used" in done.stderr


def test_summary_of_the_lectures_network_has_its_numbers(home: Path) -> None:
    # seed 000, the LeNet-like table: 832 parameters and 460,800 products in the first layer.
    pattern = "[conv32k5valid-relu-pool]-[fc200-relu]-fc"
    done = striate("summary", pattern, "--input", "1x28x28", "--format", "json", cwd=home)
    assert done.returncode == 0, done.stderr
    assert any(
        "832" in str(row.values()) and "460800" in str(row.values())
        for row in json.loads(done.stdout)
    ), done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("train", "nowhere"), 2, "there is no folder or source 'nowhere'"),
        (("train", "digits", "--epochs", "0"), 2, "epochs must be greater than 0"),
        (("train", "digits", "--budget", "soon"), 2, "budget must be a time such as 90s"),
        (("train", "digits", "--budget", "9s", "--epochs", "2"), 2, "give one of them"),
        (("train", "digits", "--set", "lr"), 2, "--set takes KEY=VALUE"),
        (
            ("train", "digits", "--set", "learning_rate=1"),
            2,
            "no setting is called 'learning_rate'",
        ),
        (("train", "digits", "--model", "[[conv32-relux]*2-pool]-fc"), 2, "^"),
        (("train", "digits", "--device", "cuda:7"), 2, "device cuda:7"),
        (("predict", "nowhere", "x.png"), 1, "there is no run at nowhere"),
        (("predict", "runs/digits-1", "nothing*"), 2, "no image at nothing*"),
        (("report", "nowhere"), 1, "there is no run at nowhere"),
        (
            ("summary", "resnet18", "--model", "net.py:make"),
            2,
            "--model says what makes the network of a run",
        ),
        (("models", "xyz"), 2, "no model's name contains 'xyz'"),
        (("summary", "resnt18"), 2, "did you mean resnet18"),
        (("summary", "resnet18", "--input", "224"), 2, "--input is channels x height x width"),
        (("data", "nowhere"), 2, "there is no folder or source"),
    ],
)
def test_a_mistake_is_one_sentence(
    home: Path,
    arguments: tuple[str, ...],
    status: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(home)
    before = sorted(p.name for p in home.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    printed = capsys.readouterr()
    assert stop.value.code == status, printed.err
    assert words in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert sorted(p.name for p in home.rglob("*")) == before


def test_a_mistake_shows_no_traceback_in_a_process_of_its_own(home: Path) -> None:
    done = striate("train", "nowhere", cwd=home)
    assert done.returncode == 2
    assert done.stderr.strip().startswith("striate: there is no folder or source 'nowhere'")


def test_ctrl_c_leaves_a_run_that_predicts_and_resumes(home: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "striate",
        "train",
        "digits",
        "--epochs",
        "4000",
        "--out",
        "long",
    ]
    process = subprocess.Popen(
        command, cwd=home, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not (home / "long" / "metrics.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "--resume` resumes it" in errors
    assert striate("predict", "long", "[a].png", cwd=home).returncode == 0
    assert (home / "long" / "checkpoint" / "last.pt").is_file()


def test_an_image_of_any_size_is_run_in_tiles(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    Image.effect_noise((120, 90), 60).save("large.png")
    arguments = ["tile", "runs/digits-1", "large.png", "--tile", "32", "-o", "large.json"]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--format", "json"])
    assert not stop.value.code
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((home / "large.json").read_text())
    assert document["certificate"]["exact"]
    assert sum(c["probability"] for c in document["classes"]) == pytest.approx(1, abs=1e-4)
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "large.json exists" in capsys.readouterr().err


def test_a_report_is_written_again(home: Path) -> None:
    file = home / "runs" / "digits-1" / "report.html"
    file.unlink()
    assert striate("report", "runs/digits-1", cwd=home).returncode == 0
    assert file.is_file()


@pytest.mark.parametrize("columns", ["80", "40", None])
def test_models_are_named_and_counted_whole_at_any_width(
    columns: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """parameters as published: torchvision's ResNet-101 has 44,549,160."""
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(console, "out", Console(highlight=False))
    with pytest.raises(SystemExit):
        main(["models", "resnet1"])
    text = capsys.readouterr().out
    assert "…" not in text and "..." not in text
    for name, parameters in (("resnet18", "11.69 M"), ("resnet101", "44.55 M"), ("resnet152", "60.19 M")):  # fmt: skip
        (line,) = (row for row in text.splitlines() if row.startswith(name))
        assert parameters in line
    assert "33 bottleneck blocks" in text


def test_an_interrupt_that_a_library_puts_an_error_in_the_place_of_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As numpy.unique does, while it asks what types of arrays have in common."""

    def swallowed(*args: object, **more: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        except KeyboardInterrupt:
            raise TypeError("Cannot compare structured arrays") from None

    monkeypatch.setattr("striate.api.models", swallowed)
    ours = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background job ignores it
    try:
        before = signal.getsignal(signal.SIGINT)
        with pytest.raises(SystemExit) as stop:
            main(["models"])
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, ours)
    assert stop.value.code == 130 and capsys.readouterr().err.strip() == "striate: interrupted"

    def fails(*args: object, **more: object) -> None:
        raise TypeError("a fault of our own")

    monkeypatch.setattr("striate.api.models", fails)
    with pytest.raises(TypeError, match="a fault of our own"):
        main(["models"])


def test_a_line_of_many_measures_shows_those_that_the_field_names() -> None:
    many = {
        "mask_ap": 0.5,
        "mask_ap50": 0.8,
        "mask_ap75": 0.4,
        "box_ap": 0.6,
        "pq": 0.7,
        "sq": 0.9,
        "rq": 0.8,
    }
    assert shown(many) == "mask AP 0.500  box AP 0.600  PQ 0.700"
    assert shown({"accuracy": 0.931}) == "accuracy 93.1%"
