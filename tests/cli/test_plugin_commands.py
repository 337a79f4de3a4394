"""Plug-ins of an installed package, on the command line: found by name; one that fails is named and the rest goes on."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from striate.attribution import METHODS
from striate.data import SOURCES
from striate.errors import PluginWarning
from striate.models import MODELS
from striate.robustness import PROBES
from striate.tasks.table import TASKS

Command = Callable[..., tuple[int, str, str]]
TABLES = {"models": MODELS, "sources": SOURCES, "tasks": TASKS, "attributions": METHODS, "probes": PROBES}  # fmt: skip

PACKAGE = """
import numpy as np
import torch
from torch import nn

import striate
from striate.attribution import Method
from striate.findings import Finding
from striate.tasks.image_task import ImageTask
from striate.tasks.prediction import Prediction
from striate.training.batch import Loss


def small(*, in_channels, num_classes):
    "Means of nine cells."
    return nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(9 * in_channels, num_classes))


def halves(*, seed, val, test):
    "Dark and light squares."
    noise = np.random.default_rng(seed).integers(0, 90, (60, 8, 8), dtype=np.uint8)
    labels = np.arange(60) % 2
    images = noise + (120 * labels).astype(np.uint8)[:, None, None]
    return striate.open_source((images, labels), task="classify", seed=seed, val=val, test=test)


class Brightness(ImageTask):
    name, about, gives = "brightness", "one number an image", ("brightness",)
    one_class = False

    def accepts(self, data):
        return False

    def targets(self, split):
        return torch.tensor([[split.image(i).mean() / 255] for i in range(len(split))])

    def loss(self, plan):
        return lambda output, batch: Loss(((output - batch.targets) ** 2).sum(), len(batch))

    def metric(self, classes):
        return Closeness()

    def decode(self, output, trained, *, top=5):
        return [Prediction(path=str(i), scalars={"brightness": float(v)}) for i, v in enumerate(output)]


class Closeness:
    name, hit = "1 - mean error", False

    def evidence(self, output, target):
        return 1 - (output - target).abs()[:, 0].double().numpy()

    def score(self, evidence, weights=None):
        weights = np.ones(len(evidence)) if weights is None else weights
        return {"closeness": weights @ evidence / weights.sum(-1)}


def compute(question):
    return question.image[0].abs(), "how bright each pixel is"


bright = Method(title="Bright pixels", source="a test", compute=compute, signed=False)


def upside_down(context):
    return Finding(name="probe-upside-down", title="Upside down", verdict=f"{len(context.images)} images turned.")
"""
POINTS = """
[striate.models]
small = striate_plug_in_of_tests:small
[striate.sources]
halves = striate_plug_in_of_tests:halves
[striate.tasks]
brightness = striate_plug_in_of_tests:Brightness
[striate.attributions]
bright = striate_plug_in_of_tests:bright
[striate.probes]
upside-down = striate_plug_in_of_tests:upside_down
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a package of one plug-in a group, as pip writes it, and one a group whose module raises."""
    package = tmp_path / "site" / "striate_plug_in_of_tests-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: striate-plug-in-of-tests\nVersion: 1.0\n"
    )
    broken = "\n".join(f"[striate.{g}]\nbroken = striate_plug_in_that_raises:it" for g in TABLES)
    points = POINTS.strip().split("\n[")
    merged = "\n".join(f"[{p.lstrip('[')}\nbroken = striate_plug_in_that_raises:it" for p in points)
    assert merged.count("broken") == broken.count("broken")
    (package / "entry_points.txt").write_text(merged)
    (tmp_path / "site" / "striate_plug_in_of_tests.py").write_text(PACKAGE)
    (tmp_path / "site" / "striate_plug_in_that_raises.py").write_text(
        "raise ImportError('needs a library that is not here')\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    for table in TABLES.values():  # what is installed is looked up once a process
        monkeypatch.setattr(table, "_all", None)
        monkeypatch.setattr(table, "failed", {})
    return tmp_path


@pytest.mark.filterwarnings("ignore::striate.errors.PluginWarning")  # of the other groups
def test_plug_ins_of_every_group_are_used_by_name(installed: Path, run: Command) -> None:
    with pytest.warns(PluginWarning) as caught:
        status, out, err = run("data")
    assert status == 0 and "halves" in out and "digits" in out
    messages = {str(one.message) for one in caught}
    assert len(messages) >= 2  # sources and tasks
    for message in messages:
        assert "the plug-in broken of the package striate-plug-in-of-tests" in message
        assert "needs a library that is not here" in message
        shown = warnings.formatwarning(message, PluginWarning, "table.py", 1)
        assert shown == f"striate: {message}\n"  # a sentence, and no line of code

    status, out, err = run("models", "small")
    assert status == 0 and "Means of nine cells" in out

    status, _, err = run(
        "train", "halves", "--task", "brightness", "--model", "small", "--epochs", "1", "--out", "runs/bright"
    )  # fmt: skip
    assert status == 0, err

    status, out, err = run("probe", "runs/bright", "upside-down", "--format", "json")
    assert status == 0, err
    assert "images turned" in json.dumps(json.loads(out))

    import numpy as np
    from PIL import Image

    Image.fromarray(np.eye(8, dtype=np.uint8) * 200).save("eye.png")
    status, out, err = run("explain", "runs/bright", "eye.png", "--method", "bright", "--no-trust")
    assert status == 0, err
    assert "Bright pixels" in out

    assert all(set(table.failed) == {"broken"} for table in TABLES.values() if table._all is not None)  # fmt: skip
    assert sum(table._all is not None for table in TABLES.values()) >= 4


@pytest.mark.filterwarnings("ignore::striate.errors.PluginWarning")
@pytest.mark.parametrize(
    "command",
    [
        ("train", "digits", "--model", "brokn"),
        ("train", "digits", "--task", "brokn"),
    ],
    ids=lambda c: c[-2],
)
def test_a_name_that_no_plug_in_has_is_refused(installed: Path, run: Command, command: tuple[str, ...]) -> None:  # fmt: skip
    status, _, err = run(*command)
    assert status == 2 and "brokn" in err and "Traceback" not in err
