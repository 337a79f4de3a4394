"""One small network and its exported file for all tests of the room: an export takes seconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

import striate
from striate import api
from striate.data import Preprocessing
from striate.tasks.trained import Trained

pytest.importorskip("onnx", reason="the extra striate[export] is not installed")
pytest.importorskip("onnxscript", reason="the extra striate[export] is not installed")
pytest.importorskip("onnxruntime", reason="the extra striate[export] is not installed")


@dataclass(frozen=True)
class Exported:
    """A file, and the network that it came from."""

    trained: Trained
    path: Path


def network(classes: int = 4) -> nn.Sequential:
    """Layers that an exporter can get wrong: an even stride on odd sides, batch norm with moved statistics, a linear layer
    that can be transposed without a change of shape."""
    torch.manual_seed(7)
    made = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.LeakyReLU(0.1), nn.Conv2d(6, 8, 3, stride=2),
        nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.LazyLinear(16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(),
        nn.Linear(16, classes),
    )  # fmt: skip
    made(torch.zeros(2, 3, 24, 20))
    with torch.no_grad():
        made[1].running_mean.uniform_(-0.5, 0.5)
        made[1].running_var.uniform_(0.5, 2)
        for layer in (made[7], made[9], made[11]):
            layer.bias.uniform_(-1, 1)
    return made


def trained() -> Trained:
    """It, with a preprocessing in which every step shows."""
    how = Preprocessing(
        channels=3, height=24, width=20, fit="crop", crop_fraction=0.9, interpolation="bicubic",
        mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3),
    )  # fmt: skip
    return striate.wrap(
        network(), classes=["ant", "bee", "cat", "dog"], preprocessing=how, temperature=1.7
    )


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The file of `trained()`."""
    made = Exported(trained(), tmp_path_factory.mktemp("export") / "model.onnx")
    api.export(made.trained, made.path)
    return made
