"""The findings, and `striate units` on a small run."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from striate.cli.app import app
from striate.errors import UsageError
from striate.findings import Finding
from striate.runs import Run, train
from striate.runs.dossiers import unit_findings, units_of
from striate.runs.images import source_of


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("units") / "digits"
    spec = "[conv4k5-relu-pool]*2-[fc8-relu]-fc"
    return train("digits", out=out, model=spec, epochs=2, precision="fp32")


def pictures(finding: Finding) -> list[Image.Image]:
    return [Image.open(io.BytesIO(f.content)) for f in finding.figures]


def test_report_has_filters_units_and_the_dead(run: Run) -> None:
    names = [f.name for f in run.findings()]
    assert {"filters", "selective-units", "dead-units"} <= set(names)
    found = {f.name: f for f in unit_findings(run, source_of(run))}
    assert found["filters"].data["units"] == 4
    layers = {row[0] for row in found["selective-units"].tables[0].rows}
    assert len(layers) == len(found["selective-units"].figures) == 3
    assert sum(row[1] for row in found["dead-units"].tables[0].rows) == 4 + 4 + 8 + 10
    for finding in found.values():
        assert all(p.size[0] > 100 for p in pictures(finding))
        assert sum(len(f.content) for f in finding.figures) < 400_000


def test_overview_wall_and_dossier_of_a_run(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "digit.png"
    Image.fromarray(np.zeros((20, 14, 3), dtype=np.uint8)).save(
        file
    )  # black, of another size and mode
    overview = next(units_of(run))
    assert [row[0] for row in overview.tables[0].rows] == ["conv1", "conv2", "fc1", "fc2"]
    grid = next(units_of(run, layer="conv2"))
    assert sorted(row[0] for row in grid.tables[0].rows) == [0, 1, 2, 3]
    dossier, near = units_of(run, layer="conv2", unit=1, image=file)
    assert dossier.data["unit"] == 1
    assert dossier.data["kind"] in ("simple", "complex", "silent")
    assert len(dossier.figures) == 1
    assert pictures(dossier)[0].size[0] > 600
    assert set(dossier.data["silenced"]["per_class"]) == set("0123456789")
    assert len(near.data["images"]) == 6
    json.dumps(
        [overview.to_dict(), grid.to_dict(), dossier.to_dict(), near.to_dict()], allow_nan=False
    )


def test_command_prints_tables_json_and_csv_and_writes_pictures(run: Run, tmp_path: Path) -> None:
    runner = CliRunner()
    result = runner.invoke(app, ["units", str(run.path), "--format", "json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)[0]["name"] == "units"
    result = runner.invoke(app, ["units", str(run.path), "--layer", "conv1", "--format", "csv"])
    assert result.stdout.startswith("unit,prefers,selectivity,orientation")
    assert len(result.stdout.splitlines()) == 5
    out = tmp_path / "out"
    arguments = ["units", str(run.path), "--layer", "conv1", "--unit", "2", "-o", str(out)]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert (out / "units.html").read_text(encoding="utf-8").count("<img") == 1
    with Image.open(out / "units.png") as picture:
        assert picture.size[0] > 600


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "conv9"}, r"no layer 'conv9'; layers with units are conv\d"),
        ({"layer": "conv1", "unit": 4}, "no unit 4; the nearest is 3, they are numbered 0 to 3"),
        ({"unit": 1}, "give --layer too"),
    ],
)
def test_what_does_not_exist_is_named(run: Run, arguments: dict, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(UsageError, match=message):
        next(units_of(run, **arguments))


def test_damaged_weights_are_refused(run: Run) -> None:
    broken = Run.load(run.path)
    with torch.no_grad():
        next(broken.model.parameters()).fill_(torch.nan)
    with pytest.raises(UsageError, match="not finite"):
        next(units_of(broken))
