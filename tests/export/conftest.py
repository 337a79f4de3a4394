"""One small network and its exported file for all tests of the room and all processes that run them: an export takes
seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

import striate
from striate import api
from striate.data import Preprocessing
from striate.export import fast
from striate.export.convert import Program, to_onnx
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


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name` that `make` fills, in the first of pytest's processes that asks; the others wait for it."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    try:
        folder.mkdir()
    except FileExistsError:
        for _ in range(3000):
            if folder.joinpath("failed").exists():
                pytest.fail(f"{name} could not be made, see the first process")
            if folder.joinpath("done").exists():
                return folder
            time.sleep(0.1)
        pytest.fail(f"{name} was not made in five minutes")
    ended = "failed"
    try:
        make(folder)
        ended = "done"
    finally:
        folder.joinpath(ended).touch()
    return folder


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The file of `trained()`."""
    made = trained()
    folder = once(
        tmp_path_factory, "exported", lambda folder: api.export(made, folder / "model.onnx")
    )
    return Exported(made, folder / "model.onnx")


@pytest.fixture(scope="session")
def engine_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of `trained()`'s network alone, as engines take it, under the name that it has in their cache."""
    made = trained()

    def make(folder: Path) -> None:
        data = to_onnx(Program.of_network(made, fast.Leaves(made.model)))
        (folder / f"{fast.digest_of(made)}.onnx").write_bytes(data)

    (file,) = once(tmp_path_factory, "engine", make).glob("*.onnx")
    return file
