"""`striate explain` as a person runs it, and the section of the report."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

import striate
from striate.attribution import explain, shuffled
from striate.attribution.faithfulness import BASELINES
from striate.cli import main
from striate.cli.explaining import parse_place
from striate.errors import UsageError
from striate.runs.explaining import explain_files, gathered
from striate.runs.images import images_of
from striate.runs.opening import Trained, open_trained
from striate.tasks.table import find_task


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the digits, an image of another size and mode, and one that is cut off."""
    home = tmp_path_factory.mktemp("explain")
    pattern = "[conv8-relu-pool]*1-fc"
    with pytest.MonkeyPatch.context() as patch:  # as if every machine had time for all classes
        patch.setattr("striate.runs.evaluate.EXPLAINING", 1e9)
        striate.train("digits", model=pattern, epochs=2, out=home / "run", device="cpu")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 31, 4), dtype=np.uint8), "RGBA").save(home / "a.png")
    Image.new("L", (8, 8), 0).save(home / "black.png")
    (home / "cut.png").write_bytes((home / "a.png").read_bytes()[:200])
    return home


def run(monkeypatch: pytest.MonkeyPatch, home: Path, *arguments: str) -> int:
    monkeypatch.chdir(home)
    with pytest.raises(SystemExit) as stop:
        main(["explain", *arguments])
    return int(stop.value.code or 0)


FEW = ("-m", "gradient", "-m", "occlusion")


def test_the_report_has_a_section_with_an_image_a_class(home: Path) -> None:
    found = {f.name: f for f in striate.load(home / "run").findings()}["explanations"]
    assert len(found.figures) == 10
    assert all(len(f.content) < 150_000 for f in found.figures)
    assert {row[2] for row in found.tables[0].rows} == {"Integrated gradients", "Occlusion"}
    assert len(found.tables[0].rows) == 20
    assert "on average over 10 images" in found.verdict
    assert "Which pixels decided" in (home / "run" / "report.html").read_text(encoding="utf-8")


def test_json_is_one_document_and_the_picture_is_there(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, home, "run", "a.png", "black.png", *FEW, "--format", "json") == 0
    documents = json.loads(capsys.readouterr().out)
    assert [d["path"] for d in documents] == ["a.png", "black.png"]
    assert "one colour throughout" in documents[1]["verdict"]
    assert "one colour throughout" not in documents[0]["verdict"]
    assert documents[0]["files"] == ["a-explained.png"]
    assert set(documents[0]["data"]["methods"]) == {"gradient", "occlusion"}
    with Image.open(home / "a-explained.png") as picture:
        assert picture.width == 720


def test_csv_has_a_row_a_method(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, home, "run", "a.png", *FEW, "--format", "csv", "-o", "c.png") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [r["method"] for r in rows] == ["Gradient", "Occlusion", "chance", "an edge detector"]
    assert float(rows[0]["put in"]) >= 0


def test_arrays_and_a_picture_a_method(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, home, "run", "a.png", *FEW, "--no-trust", "-o", "maps.npz") == 0
    assert run(monkeypatch, home, "run", "a.png", *FEW, "--no-trust", "-o", "m.safetensors") == 0
    with np.load(home / "maps.npz") as first:
        second = load_file(home / "m.safetensors")
        assert (
            set(first) == set(second) == {"image", "gradient", "occlusion", "occlusion-probability"}
        )
        assert all(np.array_equal(first[k], second[k]) for k in second)
        assert first["gradient"].shape == (1, 8, 8)
        assert first["occlusion"].shape == (8, 8)
    assert run(monkeypatch, home, "run", "a.png", *FEW, "--no-trust", "-o", "pictures") == 0
    names = sorted(p.name for p in (home / "pictures").iterdir())
    assert names == ["a-gradient.png", "a-occlusion.png", "a.png"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("run", "a.png", "-t", "12"), 2, "there is no class '12'"),
        (("run", "a.png", "-m", "gradcan"), 2, "did you mean gradcam?"),
        (("run", "a.png", "--layer", "nowhere"), 2, "no layer is called"),
        (("run", "a.png", "--at", "1,1"), 2, "run gives one prediction an image"),
        (("run", "a.png", "--at", "1"), 2, "--at is row,column"),
        (
            ("run", "a.png", "-o", "x.jpg"),
            2,
            "-o takes a file ending in .png, .html, .npz, .safetensors",
        ),
        (("run", "a.png", "-o", "run/run.png"), 2, "exists; choose another name"),
        (("run", "none.png"), 2, "no image at none.png"),
        (("nowhere/run", "a.png"), 2, "there is no run at nowhere/run"),
        (("run", "cut.png", "-m", "gradient"), 1, "cut.png was not read"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    arguments: tuple[str, ...],
    code: int,
    says: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (home / "run" / "run.png").touch()
    assert run(monkeypatch, home, *arguments) == code
    said = " ".join(capsys.readouterr().err.split())
    assert says in said
    assert "Traceback" not in said


def test_broken_weights_are_no_traceback(home: Path) -> None:
    trained = open_trained(home / "run")
    with torch.no_grad():
        next(trained.model.parameters()).fill_(float("nan"))
    with pytest.raises(striate.StriateError, match="is not finite"):
        next(explain_files(trained, [home / "a.png"]))


def test_a_place_on_a_map(home: Path) -> None:
    class Labels(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([x, 1 - x, x * 0], 1)

    run = striate.load(home / "run")
    trained = Trained(
        name="labels", model=Labels().eval(), preprocessing=run.preprocessing, classes=("sky", "sea", "sand"),
        task=find_task("segment"),
    )  # fmt: skip
    (one,) = explain_files(trained, [home / "black.png"], at=parse_place("1:3, 2"), methods=["gradient"])  # fmt: skip
    assert one.explanation is not None
    assert one.explanation.target == "sea at rows 1-2, columns 2-2"
    rows, columns = one.explanation.maps["gradient"].shown.nonzero().T.tolist()
    assert (rows, columns) == ([1, 2], [2, 2])
    with pytest.raises(UsageError, match="--at lies outside the map of 8 rows and 8 columns"):
        next(explain_files(trained, [home / "black.png"], at=parse_place("8,0")))


def test_a_map_of_shuffled_weights_is_praised_only_beyond_chance(home: Path) -> None:
    """Shuffled weights are a network too, whose answers a map may explain: then by more than chance, or not at all."""
    run = striate.load(home / "run")
    trained = open_trained(run)
    images, _ = images_of(run, "test", limit=8)
    pixels = images.float() / 255
    with shuffled(trained.pixels, pixels[:1], None, "all", seed=1) as other:
        found = [
            explain(other.module, x, methods=["gradient", "integrated-gradients", "occlusion"])
            for x in pixels
        ]
    for e in found:
        assert e.best is not None and e.p is not None
        ahead = e.curves[e.best].faithfulness - max(e.curves[b].faithfulness for b in BASELINES)
        assert not e.convincing or (e.p < 0.05 and ahead > 0.06 and len(e.moved) == 7)
        assert ("is the most faithful map" in e.verdict) == e.convincing
    doubtful = [e for e in found if e.p is not None and e.p >= 0.05]
    assert doubtful
    assert all(not e.convincing for e in doubtful)


@pytest.mark.parametrize(
    ("images", "faithful", "words"),
    [
        (4, 0.8, "is ahead, but 4 images are too few to show that it is better than chance"),
        (10, 0.8, "is the most faithful map"),
        (4, 0.1, "No map explains these predictions"),
        (10, 0.1, "No map explains these predictions"),
    ],
)
def test_few_images_are_called_few_and_no_verdict_on_the_maps(
    images: int, faithful: float, words: str
) -> None:
    def explained(i: int) -> Any:
        spread = 0.8 * faithful * (-1) ** i
        curves = {"gradient": faithful + spread, "edges": 0.1, "random": 0.0}
        return SimpleNamespace(
            maps={"gradient": SimpleNamespace(title="Gradient")},
            curves={name: SimpleNamespace(faithfulness=v) for name, v in curves.items()},
            ignores_weights=lambda method: None,
        )

    made = [explained(i) for i in range(images)]
    assert words in gathered(made, [], [], images, 1.0).verdict


def test_maps_lie_over_the_photograph_and_the_bare_ones_are_a_switch_away(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, home, "run", "a.png", *FEW, "--no-trust", "-o", "over.png") == 0
    assert run(monkeypatch, home, "run", "a.png", *FEW, "--no-trust", "--bare", "-o", "bare.png") == 0  # fmt: skip
    assert run(monkeypatch, home, "run", "a.png", *FEW, "--no-trust", "-o", "why.html") == 0
    assert (home / "over.png").read_bytes() != (home / "bare.png").read_bytes()
    page = (home / "why.html").read_text(encoding="utf-8")
    for name in ("over.png", "bare.png"):
        assert base64.b64encode((home / name).read_bytes()).decode() in page
    assert "script" not in page


def test_the_report_keeps_both_kinds_of_every_strip(home: Path) -> None:
    found = {f.name: f for f in striate.load(home / "run").findings()}["explanations"]
    assert all(f.bare and f.bare != f.content for f in found.figures)
