"""What docs/embed.md says of measuring, explaining and probing is run, on a short training of some digits."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import striate
from striate.cli import main
from striate.runs.run import Run

PAGE = (Path(__file__).parents[3] / "docs" / "embed.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    digits = load_digits()
    chosen = np.sort(np.concatenate([np.flatnonzero(digits.target == k)[:24] for k in range(10)]))
    pixels = (digits.images[chosen] * 15.9).astype(np.uint8)
    return striate.train(
        (pixels, digits.target[chosen]), task="embed", epochs=2, device="cpu", precision="fp32", batch=32, test=0.4,
        out=tmp_path_factory.mktemp("docs") / "run",
    )  # fmt: skip


def test_python_of_the_page_runs(population: Any, capsys: pytest.CaptureFixture[str]) -> None:
    embeddings, labels = population(30, 6, 0)
    names: dict[str, Any] = {"embeddings": embeddings, "labels": labels, "groups": labels % 2}
    [block] = [b for b in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "rates_by_group" in b]
    exec(block, names)
    assert names["point"].far <= 0.001
    assert names["rates"].far.low <= names["rates"].far.value


def test_threshold_and_measures_are_kept_with_the_run(run: Run) -> None:
    again = striate.load(run.path)
    kept = again.trained.calibration
    assert kept["accepted"] <= kept["rate"] * kept["pairs"]
    assert {"recall_at_1", "map_at_r", "equal_error_rate"} <= set(again.info["results"])
    names = {f.name for f in again.findings()}
    assert {"verification", "neighbours", "worst-pairs", "embedding-map", "per-identity"} <= names
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "What a search finds" in page


def test_commands_of_the_page_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "striate explain runs/faces-1 a.jpg --against b.jpg" in PAGE
    assert "striate probe runs/faces-1 similarity stranger" in PAGE
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        image = np.random.default_rng(ord(name)).integers(0, 255, (8, 8)).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    before = (tmp_path / "b.png").read_bytes()
    with pytest.raises(SystemExit) as left:
        main(["explain", str(run.path), "a.png", "--against", "b.png", "-m", "occlusion", "-m", "gradient", "--no-trust", "--format", "json"])  # noqa: E501  # fmt: skip
    assert left.value.code == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["path"], second["path"]) == ("a.png", "b.png")
    assert (tmp_path / "a-explained.png").is_file() and (tmp_path / "b-explained.png").is_file()
    assert (tmp_path / "b.png").read_bytes() == before
    with pytest.raises(SystemExit) as left:
        main(["probe", str(run.path), "similarity", "stranger", "--format", "json", "--limit", "60"])  # fmt: skip
    assert left.value.code == 0
    names = {f["name"] for f in json.loads(capsys.readouterr().out)}
    assert {"probe-similarity", "probe-stranger"} <= names
    # What --against does not go with is one sentence, and status 2.
    with pytest.raises(SystemExit) as left:
        main(["explain", str(run.path), "a.png", "--against", "b.png", "--target", "e1"])
    assert left.value.code == 2
    assert "leave out --target" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        main(["explain", str(run.path), "a.png", "--against", str(tmp_path / "none.png")])
    assert left.value.code in (1, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_units_of_an_embedding_prefer_identities(run: Run) -> None:
    finding = next(f for f in run.findings() if f.name == "selective-units")
    assert finding.verdict.startswith("The most selective unit")
    assert {row[2] for row in finding.tables[0].rows} <= set("0123456789")
