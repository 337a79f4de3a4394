"""The kinds of file beside ONNX: OpenVINO's, plain checkpoints, bfloat16 and INT8, each with its proof or its refusal."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate import api
from striate.data import Preprocessing
from striate.errors import DataError, ExactnessError, UsageError
from striate.export import fast
from striate.export.references import in_bfloat16, references
from striate.export.vino import VinoFile
from striate.tasks.table import find_task
from striate.tasks.trained import Trained

from .conftest import Exported

SIZE = (30, 41)


def small(spec: str, classes: int = 3, channels: int = 3, size: int = 32) -> Trained:
    """A network of the zoo with fresh weights, whose batch norms have statistics that show."""
    torch.manual_seed(0)
    how = Preprocessing(channels=channels, height=size, width=size, mean=(0.4,) * channels)
    model = striate.build(spec, in_channels=channels, num_classes=classes, size=size).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    names = tuple(f"class {i}" for i in range(classes))
    return Trained(
        name=spec, model=model, preprocessing=how, classes=names, task=find_task("classify")
    )


@pytest.mark.parametrize(
    ("spec", "library", "name"),
    [
        ("efficientnet-lite0", "timm", "tf_efficientnet_lite0"),
        ("timm/resnet10t.c3_in1k", "timm", "resnet10t.c3_in1k"),
        ("alexnet", "torchvision", "alexnet"),
        ("lenet5", "striate", "lenet5"),
    ],
)
def test_plain_weights_open_in_the_library_whose_names_they_have(
    spec: str, library: str, name: str, tmp_path: Path
) -> None:
    import timm
    import torchvision
    from safetensors.torch import load_file

    channels, size = (1 if spec == "lenet5" else 3), (224 if spec == "alexnet" else 64)
    trained = small(spec, channels=channels, size=size)
    found = api.export(trained, tmp_path / "model.safetensors")
    about = found.data["checkpoint"]
    assert (about["library"], about["architecture"]) == (library, name)
    assert found.status == "good" and (tmp_path / "run.toml").is_file()
    if library != "striate":
        names = {"safetensors": sys.modules["safetensors"], "timm": timm, "torchvision": torchvision}  # fmt: skip
        line = about["load"].replace(
            "'model.safetensors'", repr(str(tmp_path / "model.safetensors"))
        )
        exec(line, names)
        model = names["model"].eval()
        x = torch.rand(2, 3, size, size)
        with torch.no_grad():
            assert torch.equal(model(x), trained.model(x)) or torch.allclose(
                model(x), trained.model(x), atol=1e-4
            )
    else:
        assert load_file(tmp_path / "model.safetensors").keys() == trained.model.state_dict().keys()
    again = striate.load(
        tmp_path, model=small(spec, channels=channels, size=size).model
    )  # a run, too
    assert again.classes == trained.classes


def test_bfloat16_is_within_its_stated_share_and_says_so(
    exported: Exported, tmp_path: Path
) -> None:
    file = tmp_path / "model.pt2"
    found = api.export(exported.trained, file, size=SIZE, precision="bf16")
    (logits,) = (c for c in found.data["checks"] if c["name"] == "logits")
    share = logits["value"] / logits["limit"] * 3e-2
    assert found.data["precision"] == "bf16" and 1e-4 < share <= 3e-2
    assert api.verify(file).status == "good"
    with pytest.raises(UsageError, match=r"\.onnx is not exported in bf16"):
        api.export(exported.trained, tmp_path / "model.onnx", precision="bf16")
    with pytest.raises(UsageError, match="there is no precision 'fp8'; there are f32, bf16, int8"):
        api.export(exported.trained, tmp_path / "model.onnx", precision="fp8")


def test_bfloat16_may_cost_twice_what_it_costs_torch(exported: Exported) -> None:
    """Two last layers that add 512 and take it away again: eight bits leave little of the values between."""
    far = nn.Linear(4, 4), nn.Linear(4, 4)
    with torch.no_grad():
        for layer, bias in zip(far, (512.0, -512.0), strict=True):
            layer.weight.copy_(torch.eye(4))
            layer.bias.fill_(bias)
    made = replace(exported.trained, model=nn.Sequential(exported.trained.model, *far).eval())
    found = references(made, SIZE)
    allowed = in_bfloat16(made, found).limit("bf16")
    short = copy.deepcopy(made.model).bfloat16()
    off = 0.0
    for outputs in found.outputs.values():
        x = made.preprocessing.normalise(torch.from_numpy(outputs["pixels"][:1])).bfloat16()
        with torch.no_grad():
            off = max(
                off, float((short(x).float() - torch.from_numpy(outputs["logits"][:1])).abs().max())
            )
    assert off > 3e-2 * found.deviation / 2
    assert allowed == pytest.approx(2 * off, rel=0.5)


def test_openvino_in_bfloat16_is_an_engine_and_no_file_that_resizes(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openvino = pytest.importorskip("openvino", reason="the extra striate[openvino] is not installed")  # fmt: skip
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16")
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ExactnessError, match=r"--engine openvino-bf16.*resizes them before"):
        api.export(exported.trained, tmp_path / "m.xml", precision="bf16")
    assert not list(tmp_path.glob("m.*"))
    on = fast.on_engine(exported.trained, "openvino-bf16")
    assert "in bf16" in on.model.words


def test_int8_is_refused_without_what_it_needs(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"int8 is exported for OpenVINO: .* \.xml"):
        api.export(exported.trained, tmp_path / "model.onnx", precision="int8")
    with pytest.raises(UsageError, match="asked for by int8 alone"):
        api.export(exported.trained, tmp_path / "model.onnx", data="digits")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UsageError, match=r"openvino is not installed .*striate\[openvino\]"):
        api.export(exported.trained, tmp_path / "model.xml")
    monkeypatch.setitem(sys.modules, "openvino", sys)
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(UsageError, match=r"nncf is not installed .*striate\[int8\]"):
        api.export(exported.trained, tmp_path / "model.xml", precision="int8")
    assert not list(tmp_path.iterdir())


def test_a_file_of_openvino_carries_its_proof(exported: Exported, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="the extra striate[openvino] is not installed")
    file = tmp_path / "model.xml"
    found = api.export(exported.trained, file, size=SIZE)
    assert found.data["engine"] == "openvino" and found.data["precision"] == "f32"
    for times in (1, 2):
        assert api.verify(file).status == "good"
        read = VinoFile.open(file.read_bytes(), b"")
        assert read.texts["striate_verified"].count('"passed"') == times
    import openvino

    assert openvino.Core().read_model(str(file)).has_rt_info(["striate_export", "striate"])
    for end in (".bin", ".xml"):
        whole = file.with_suffix(end).read_bytes()
        data = bytearray(whole)
        data[data.index(b"3x") if end == ".never" else len(data) // 3] ^= 1
        file.with_suffix(end).write_bytes(data)
        with pytest.raises(DataError, match=r"altered|no graph|cannot be read|damaged"):
            api.verify(file)
        file.with_suffix(end).write_bytes(whole)
    file.with_suffix(".bin").unlink()
    with pytest.raises(DataError, match=r"cannot read .*model\.bin"):
        api.verify(file)
    file.write_text("<html>")
    file.with_suffix(".bin").touch()
    with pytest.raises(DataError, match="no graph of OpenVINO"):
        api.verify(file)


def test_bfloat16_is_not_claimed_where_the_processor_has_none(
    exported: Exported, tmp_path: Path
) -> None:
    openvino = pytest.importorskip("openvino", reason="the extra striate[openvino] is not installed")  # fmt: skip
    if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has bfloat16")
    with pytest.raises(UsageError, match="computes in f32 here although bf16 was asked for"):
        api.export(exported.trained, tmp_path / "m.xml", size=(24, 20), precision="bf16")
    assert not list(tmp_path.iterdir())


def test_int8_is_let_through_where_it_costs_no_more_than_was_allowed(
    exported: Exported, tmp_path: Path
) -> None:
    pytest.importorskip("openvino", reason="the extra striate[openvino] is not installed")
    pytest.importorskip("nncf", reason="the extra striate[int8] is not installed")
    rng, trained = np.random.default_rng(0), exported.trained
    images = rng.integers(0, 256, (60, *SIZE, 3)).astype(np.uint8)
    images[::2] //= 3
    data = images, [trained.classes[i % 2] for i in range(60)]
    file = tmp_path / "model.xml"
    found = api.export(trained, file, size=SIZE, precision="int8", data=data, drop=0.3)
    measured = found.data["int8"]
    assert found.data["precision"] == "int8" and measured["images"] == 30
    assert measured["low"] <= measured["change"] <= measured["high"] and measured["low"] >= -0.3
    (pixels,) = (
        c for c in found.data["checks"] if c["name"] == "grey levels of the network's input"
    )
    assert pixels["value"] == 0
    assert api.verify(file).status == "good"
    before = file.read_bytes()
    with pytest.raises(ExactnessError, match=r"INT8 costs .* points .* and 0 were allowed"):
        api.export(trained, file, size=SIZE, precision="int8", data=data, drop=0.0, force=True)
    assert file.read_bytes() == before
