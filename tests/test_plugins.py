"""Plug-ins: rows of other packages in Striate's tables."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from striate.attribution import METHODS, Method, Question, attribute
from striate.data import SOURCES
from striate.errors import PluginWarning, UsageError
from striate.models import MODELS
from striate.plugins import Table
from striate.robustness import PROBES
from striate.tasks.table import TASKS

MODULE = """
from torch import nn

def small(*, in_channels, num_classes):
    "One linear layer."
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, num_classes))

number = 3
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with plug-ins: one that works, one whose module raises, one that is not there, one that is no model."""
    package = tmp_path / "plug_in_of_tests-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: plug-in-of-tests\nVersion: 1.0\n"
    )
    (package / "entry_points.txt").write_text(
        "[striate.tests]\nsmall = plug_in_of_tests:small\nbroken = plug_in_that_raises:build\n"
        "missing = plug_in_of_tests:gone\nown = plug_in_of_tests:small\n"
    )
    (tmp_path / "plug_in_of_tests.py").write_text(MODULE)
    (tmp_path / "plug_in_that_raises.py").write_text(
        "raise RuntimeError('compiled for another torch')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "striate.tests"


def test_a_plug_in_that_fails_is_named_and_the_rest_goes_on(installed: str) -> None:
    table: Table[object] = Table(installed, {"own": 1})
    assert table["own"] == 1  # without a look at what is installed
    with pytest.warns(PluginWarning) as caught:
        assert list(table) == ["own", "small"]
    words = sorted(str(w.message) for w in caught)
    assert len(words) == 3
    assert "plug-in broken of the package plug-in-of-tests" in words[0]
    assert "RuntimeError: compiled for another torch" in words[0]
    assert "plug-in missing" in words[1]
    assert "Striate has a own of its own" in words[2]
    assert set(table.failed) == {"broken", "missing", "own"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # once is enough
        assert "small" in table


def test_rows_of_plug_ins_may_come_first_and_are_made_to_measure(installed: str) -> None:
    table: Table[str] = Table(installed, {"own": "1"}, lambda name, value: name.upper(), first=True)
    with pytest.warns(PluginWarning):
        assert list(table.items()) == [("small", "SMALL"), ("own", "1")]


def test_a_model_of_a_plug_in_is_built_by_its_name(installed: str) -> None:
    table = Table(installed, {}, MODELS.make)
    with pytest.warns(PluginWarning):
        entry = table["small"]
    assert entry.description == "One linear layer."
    network = entry.build(in_channels=3, num_classes=4, size=(8, 8))
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 4)


def test_the_groups_are_those_of_the_documentation() -> None:
    tables = [MODELS.group, SOURCES.group, TASKS.group, METHODS.group, PROBES.group]
    names = ("models", "sources", "tasks", "attributions", "probes")
    assert tables == [f"striate.{name}" for name in names]
    page = (Path(__file__).parents[1] / "docs" / "extend.md").read_text(encoding="utf-8")
    assert all(group in page for group in tables)


def test_a_method_passed_as_an_object_is_one_of_the_methods() -> None:
    def itself(question: Question) -> tuple[torch.Tensor, str]:
        return question.image[0], "the image itself"

    mine = Method(title="Brightness", source="me", signed=False, compute=itself)
    image = torch.rand(1, 8, 8)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    found = attribute(network, image, 0, mine)
    assert (found.method, found.title, found.remark) == ("brightness", "Brightness", "the image itself")  # fmt: skip
    assert torch.equal(found.values, image)
    assert "brightness" not in METHODS
    clash = Method(title="Gradient", source="me", signed=False, compute=mine.compute)
    with pytest.raises(UsageError, match="there is a method 'gradient' already"):
        attribute(network, image, 0, clash)
