"""Engines in the place of the network: proven once on a machine, then the same predictions from every task's own code."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate import api
from striate.data import Preprocessing
from striate.errors import ExactnessError, GeometryError, UsageError
from striate.export import fast
from striate.tasks.tiling import open_job
from striate.tasks.trained import Trained

from .conftest import trained

RNG = np.random.default_rng(5)
IMAGES = [
    RNG.integers(0, 256, (h, w, 3)).astype(np.uint8) for h, w in ((24, 20), (61, 43), (9, 70))
]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    return fast.folder()


@pytest.fixture
def filled(cache: Path, engine_file: Path) -> Path:
    """A cache that has the file of `trained()`, and no proof."""
    cache.mkdir(parents=True)
    shutil.copy(engine_file, cache)
    return cache


def shares(predictions: list) -> np.ndarray:
    return np.array([[dict(p.top)[name] for name in ("ant", "bee", "cat", "dog")] for p in predictions])  # fmt: skip


def test_an_engine_is_proven_once_and_then_taken(
    cache: Path, engine_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, said = trained(), list[str]()
    plain = shares(list(api.predict(network, IMAGES, top=4, engine="auto", say=said.append)))
    assert not said and not cache.exists()  # nothing is made unasked
    cache.mkdir(parents=True)
    shutil.copy(engine_file, cache)
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


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_threads_that_share_an_engine_keep_their_images_apart(filled: Path, engine: str) -> None:
    """Many images are computed side by side: the answers of each are its own (onnxruntime#13571 tells of mixed ones)."""
    pytest.importorskip(engine)
    network = replace(trained(), precision="fp32")
    many = [RNG.integers(0, 256, (24, 20, 3)).astype(np.uint8) for _ in range(150)]
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        run = shares(list(api.predict(network, many, top=4, engine=engine)))
    finally:
        torch.set_num_threads(before)
    with torch.no_grad():
        x = network.normalise(
            torch.from_numpy(np.stack([network.preprocessing.apply(i) for i in many]))
        )
        plain = (network.model(x) / network.temperature).softmax(1).numpy()
    assert np.abs(run - plain).max() < 1e-5
    assert np.ptp(plain, axis=0).max() > 1e-3


def test_another_weight_or_preprocessing_is_another_network() -> None:
    first, second = trained(), trained()
    assert fast.digest_of(first) == fast.digest_of(second)
    with torch.no_grad():
        second.model[0].weight[0, 0, 0, 0] += 1e-6
    assert fast.digest_of(first) != fast.digest_of(second)


def test_an_engine_that_answers_differently_is_not_used(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(fast.ENGINES["onnxruntime"]):  # type: ignore[misc]
        def __call__(self, images: np.ndarray, names: object = None) -> list[np.ndarray]:
            return [value * 1.001 for value in super().__call__(images)]

    monkeypatch.setitem(fast.ENGINES, "onnxruntime", Wrong)
    with pytest.raises(ExactnessError, match=r"onnxruntime answers differently .* use --engine torch"):  # fmt: skip
        api.predict(trained(), IMAGES, engine="onnxruntime")
    assert not list(filled.glob("*.json"))


class Halves(nn.Module):
    """Maps at half the size and back, so that a crop that starts on an odd pixel is another one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 5, 3, padding=1)
        self.down = nn.Conv2d(5, 6, 3, stride=2, padding=1)
        self.last = nn.Conv2d(11, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = self.first(x).relu()
        low = self.down(wide).relu().repeat_interleave(2, 2).repeat_interleave(2, 3)
        return self.last(torch.cat([wide, low[..., : x.shape[-2], : x.shape[-1]]], 1))


def test_a_segmenter_on_an_engine_takes_images_of_every_size_and_tiles_of_them(
    cache: Path, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    how = Preprocessing(channels=3, height=24, width=24)
    made = striate.wrap(Halves(), classes=["a", "b", "c"], preprocessing=how, task="segment")
    both = [list(api.predict(made, IMAGES, engine=name)) for name in ("torch", "onnxruntime")]
    assert list(cache.glob("*.onnx"))
    for plain, run in zip(*both, strict=True):
        assert plain.areas == run.areas and plain.size == run.size

    np.save(tmp_path / "image.npy", RNG.integers(0, 256, (3, 67, 90)).astype(np.uint8))
    for engine in ("torch", "onnxruntime"):
        found = api.tile(
            made, tmp_path / "image.npy", tmp_path / f"{engine}.npy", tile=16, engine=engine
        )
        document = found.data["document"]
        assert (
            document["certificate"]["tiles"] > 20 and document["certificate"]["difference"] < 1e-5
        )
        assert ("engine" in document) == (engine == "onnxruntime")
    masks = [np.load(tmp_path / f"{engine}.npy") for engine in ("torch", "onnxruntime")]
    assert np.array_equal(*masks) and masks[0].shape[-2:] == (67, 90)

    class Off(nn.Module):  # what an engine that is wrong would give
        words, form = "off", None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return made.model(x) * 1.01

    job = open_job(made, tmp_path / "image.npy", tile=16, engine=replace(made, model=Off()), share=1e-4)  # fmt: skip
    with pytest.raises(ExactnessError, match="the tiles differ"):
        job.run(out=tmp_path / "off.npy", finish=lambda logits: logits.argmax(1).byte())
    assert not (tmp_path / "off.npy").exists()


def test_what_is_made_of_the_whole_image_is_not_tiled_on_an_engine(tmp_path: Path) -> None:
    Image.fromarray(IMAGES[1]).save(tmp_path / "image.png")
    job = open_job(pooled(), tmp_path / "image.png", engine=pooled())
    with pytest.raises(GeometryError, match=r"made of the whole image .* leave --engine out"):
        job.run()
    assert (
        "engine" not in api.tile(pooled(), tmp_path / "image.png", engine="auto").data["document"]
    )


def pooled() -> Trained:
    """A classifier of images of any size."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))  # fmt: skip
    how = Preprocessing(channels=3, height=24, width=20)
    return striate.wrap(network, classes=["a", "b"], preprocessing=how)


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


def test_openvino_runs_in_float32_and_gives_the_answers(filled: Path) -> None:
    pytest.importorskip("openvino", reason="the extra striate[openvino] is not installed")
    network = trained()
    plain = shares(list(api.predict(network, IMAGES, top=4, engine="torch")))
    run = shares(list(api.predict(network, IMAGES, top=4, engine="openvino")))
    assert np.abs(run - plain).max() < 1e-6
    (record,) = filled.glob("*-openvino.json")
    assert json.loads(record.read_text())["precision"] == "f32"
