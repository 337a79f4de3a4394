"""`striate export` and `striate verify`: what a person types, and every wrong thing that they can type."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate import api
from striate.data import Preprocessing

from .conftest import Run

pytest.importorskip("onnxruntime", reason="the extra striate[export] is not installed")
pytest.importorskip("onnxscript", reason="the extra striate[export] is not installed")

SOURCE = """
from torch import nn
def make(num_classes=2):
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wrapped network's run and the file that makes the network."""
    root = tmp_path_factory.mktemp("exporting")
    (root / "own.py").write_text(SOURCE)
    torch.manual_seed(0)
    made = api.find_factory(f"{root / 'own.py'}:make")
    how = Preprocessing(channels=1, height=12, width=12, mean=(0.4,), std=(0.3,))
    striate.wrap(made, classes=["up", "down"], preprocessing=how).save(root / "run")
    (root / "there.onnx").write_text("mine")
    (root / "folder.onnx").mkdir()
    return root


WRONG = [
    ("export none m.onnx", 2, "is no run and no model with published weights"),
    ("export run model.tflite", 2, "ends in .tflite, which is no kind of file that is exported"),
    ("export run model", 2, "ends in nothing"),
    ("export run there.onnx", 2, "there.onnx exists; choose another name, or --force"),
    ("export run folder.onnx --force", 2, "folder.onnx exists; choose another name"),
    ("export run m.onnx --size 480", 2, "size is HEIGHTxWIDTH in pixels"),
    ("export run m.onnx --size 0x9", 2, "size must be 1 to 16,384 pixels a side, got 0x9"),
    ("export run m.onnx --size 99999x9", 2, "size must be 1 to 16,384"),
    ("export run m.onnx --script own.py", 2, "own.py exists"),
    (
        "export run m.onnx --precision fp4",
        2,
        "there is no precision 'fp4'; there are f32, bf16, int8",
    ),
    (
        "export run m.onnx --precision int8",
        2,
        "int8 is exported for OpenVINO: give a name that ends in .xml",
    ),
    ("export run m.onnx --precision bf16", 2, ".onnx is not exported in bf16"),
    ("export run m.safetensors --precision bf16", 2, "the weights alone are exported as they are"),
    ("export run m.safetensors --size 9x9", 2, "a .safetensors holds weights alone"),
    ("export run m.onnx --data there.onnx", 2, "images are asked for by int8 alone"),
    ("verify m.safetensors", 2, "holds weights alone"),
    ("verify none.xml", 1, "cannot read none.xml: No such file"),
    ("verify none.onnx", 1, "cannot read none.onnx: No such file"),
    ("verify there.onnx", 1, "it is no ONNX file"),
    ("verify run", 1, "cannot read run"),
]


@pytest.mark.parametrize(("line", "status", "words"), WRONG, ids=[w[0] for w in WRONG])
def test_wrong_arguments_end_in_a_sentence(
    line: str, status: int, words: str, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    model = ["--model", "own.py:make"] if "export run" in line else []
    before = sorted(p.name for p in folder.iterdir())
    ended, out, err = run(*line.split(), *model)
    assert (ended, out) == (status, "")
    assert words in " ".join(err.split()) and "Traceback" not in err
    assert sorted(p.name for p in folder.iterdir()) == before


@pytest.mark.parametrize("module", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_extra_is_named_with_what_installs_it(
    module: str, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setitem(sys.modules, module, None)
    ended, _, err = run("export", "run", "m.onnx", "--model", "own.py:make")
    assert ended == 2 and f"{module} is not installed" in err
    assert "pip install 'striate[export]'" in " ".join(err.split())


def test_a_grey_network_goes_out_for_one_size_and_comes_back(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    file = tmp_path / "m.onnx"
    ended, out, err = run(
        "export", "run", file, "--model", "own.py:make", "--size", "31x17", "--script", tmp_path / "predict.py",
        "--format", "json",
    )  # fmt: skip
    assert ended == 0, err
    document = json.loads(out)
    assert document["passed"] and document["about"]["input"]["size"] == [31, 17]
    assert document["about"]["input"]["colours"] == "grey" and (tmp_path / "predict.py").is_file()
    ended, out, err = run("verify", file)
    assert ended == 0 and "gives the network's answers" in " ".join(out.split()), err

    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).integers(0, 256, (31, 17)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "image.png")
    (shares,) = session.run(["probabilities"], {"images": image[None, :, :, None]})
    model = api.find_factory("own.py:make")
    (prediction,) = api.load("run", model=model).predict([tmp_path / "image.png"])
    named = dict(zip(["up", "down"], shares[0].tolist(), strict=True))
    assert named == pytest.approx(dict(prediction.top), abs=1e-6)
