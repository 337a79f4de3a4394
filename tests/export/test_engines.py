"""Engines in the place of the network: proven once on a machine, then the same predictions from every task's own code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate import api
from striate.data import Preprocessing
from striate.errors import ExactnessError, UsageError
from striate.export import fast

from .conftest import trained

RNG = np.random.default_rng(5)
IMAGES = [
    RNG.integers(0, 256, (h, w, 3)).astype(np.uint8) for h, w in ((24, 20), (61, 43), (9, 70))
]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    return fast.folder()


def shares(predictions: list) -> np.ndarray:
    return np.array([[dict(p.top)[name] for name in ("ant", "bee", "cat", "dog")] for p in predictions])  # fmt: skip


def test_an_engine_is_proven_once_and_then_taken(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, said = trained(), list[str]()
    plain = shares(list(api.predict(network, IMAGES, top=4, engine="auto", say=said.append)))
    assert not said and not cache.exists()  # nothing is made unasked
    run = shares(list(api.predict(network, IMAGES, top=4, engine="onnxruntime", say=said.append)))
    assert np.abs(run - plain).max() < 1e-6
    assert "f32 gives the same answers" in said[-1]
    (record,) = cache.glob("*.json")
    monkeypatch.setattr(fast, "prove", None)
    assert isinstance(fast.on_engine(network, "onnxruntime").model, fast.OnEngine)

    kept = json.loads(record.read_text())
    for rate, taken in ((kept["torch_rate"] * 2, fast.OnEngine), (0.0, nn.Sequential)):
        record.write_text(json.dumps({**kept, "rate": rate}))
        assert type(fast.on_engine(network, "auto").model) is taken
    for other in ({"version": "0.1"}, {"processor": "another"}, {"passed": False}):
        record.write_text(json.dumps({**kept, "rate": 1e9, **other}))
        assert fast.known(record.name.rsplit("-", 1)[0], "onnxruntime") is None
        assert fast.on_engine(network, "auto") is network
    for content in ("", "[]", "{", "null", '"x"'):
        record.write_text(content)
        assert fast.on_engine(network, "auto") is network


def test_another_weight_or_preprocessing_is_another_network() -> None:
    first, second = trained(), trained()
    assert fast.digest_of(first) == fast.digest_of(second)
    with torch.no_grad():
        second.model[0].weight[0, 0, 0, 0] += 1e-6
    assert fast.digest_of(first) != fast.digest_of(second)


def test_an_engine_that_answers_differently_is_not_used(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(fast.ENGINES["onnxruntime"]):  # type: ignore[misc]
        def __call__(self, images: np.ndarray, names: object = None) -> list[np.ndarray]:
            return [value * 1.001 for value in super().__call__(images)]

    monkeypatch.setitem(fast.ENGINES, "onnxruntime", Wrong)
    with pytest.raises(ExactnessError, match=r"onnxruntime answers differently .* use --engine torch"):  # fmt: skip
        api.predict(trained(), IMAGES, engine="onnxruntime")
    assert not list(cache.glob("*.json"))


def test_a_segmenter_on_an_engine_takes_images_of_every_size(cache: Path) -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 3, 1))
    how = Preprocessing(channels=3, height=24, width=24)
    made = striate.wrap(network, classes=["a", "b", "c"], preprocessing=how, task="segment")
    both = [list(api.predict(made, IMAGES, engine=name)) for name in ("torch", "onnxruntime")]
    for plain, run in zip(*both, strict=True):
        assert plain.areas == run.areas and plain.size == run.size


class Undecided(nn.Module):
    """A layer whose way depends on the values."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.sum() > 3 else x


class Lonely(nn.Module):
    """A layer that looks at the whole batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(0, keepdim=True) * 0.1


class Unknown(nn.Module):
    """A layer whose operation ONNX has nothing for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (
            x
            + torch.linalg.eigvalsh(x[:, :3, :3] @ x[:, :3, :3].transpose(1, 2)).sum(
                1, keepdim=True
            )[..., None]
        )


class Reshaped(nn.Module):
    """(N, 12) to (N, 3, 4)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(-1, 3, 4)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Undecided(), r"layer 1 \(Undecided\) stops the trace"),
        (Lonely(), "answers differently to an image in a batch than alone"),
        (nn.Sequential(Reshaped(), Unknown(), nn.Flatten()), r"linalg.* of layer 1\.1"),
    ],
    ids=["a way by values", "the whole batch", "no such operation"],
)
def test_what_cannot_go_out_is_refused_with_the_layer(
    layer: nn.Module, words: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    first = nn.Sequential(nn.Conv2d(3, 12, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = nn.Sequential(first, layer, nn.Linear(12, 2))
    how = Preprocessing(channels=3, height=8, width=8)
    made = striate.wrap(network, classes=["a", "b"], preprocessing=how)
    with pytest.raises(UsageError, match=words):
        api.export(made, tmp_path / "m.onnx", size=(8, 8))
    assert not list(tmp_path.iterdir())


def test_wrong_engines_end_in_a_sentence(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="there is no engine 'tensorrt'; there are auto, torch, onnxruntime"):  # fmt: skip
        api.predict(trained(), IMAGES, engine="tensorrt")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"onnxruntime is not installed .*striate\[export\]"):
        api.predict(trained(), IMAGES, engine="onnxruntime")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UsageError, match=r"openvino is not installed .*striate\[openvino\]"):
        api.predict(trained(), IMAGES, engine="openvino")


def test_openvino_runs_in_float32_and_gives_the_answers(cache: Path) -> None:
    pytest.importorskip("openvino", reason="the extra striate[openvino] is not installed")
    network = trained()
    plain = shares(list(api.predict(network, IMAGES, top=4, engine="torch")))
    run = shares(list(api.predict(network, IMAGES, top=4, engine="openvino")))
    assert np.abs(run - plain).max() < 1e-6
    (record,) = cache.glob("*-openvino.json")
    assert json.loads(record.read_text())["precision"] == "f32"
