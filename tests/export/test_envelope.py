"""What stands around the graph: read and written without onnx, and told when it was altered."""

from __future__ import annotations

import random
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from striate import api
from striate.errors import DataError, ExactnessError
from striate.export.envelope import ABOUT, DIGEST, VERIFIED, Envelope, noted

from .conftest import Exported


def test_the_file_is_one_of_onnx_with_its_metadata(exported: Exported) -> None:
    data = exported.path.read_bytes()
    model, envelope = onnx.load_from_string(data), Envelope.open(data)
    assert {p.key: p.value for p in model.metadata_props} == dict(envelope.texts)
    onnx.checker.check_model(model)
    assert [i.name for i in model.graph.input] == ["images"]
    assert [o.name for o in model.graph.output] == ["pixels", "logits", "probabilities"]
    assert envelope.about["labels"] == ["ant", "bee", "cat", "dog"]


def test_a_repeated_proof_is_noted_in_the_file(exported: Exported, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(exported.path.read_bytes())
    for times in (1, 2):
        found = api.verify(file)
        assert found.status == "good"
        records = Envelope.open(file.read_bytes()).texts[VERIFIED]
        assert records.count('"passed"') == times and records.count('"processor"') == times
    before = file.read_bytes()
    api.verify(file, keep=False)
    assert file.read_bytes() == before


def test_an_altered_file_is_refused(exported: Exported, tmp_path: Path) -> None:
    data, file = bytearray(exported.path.read_bytes()), tmp_path / "model.onnx"
    envelope = Envelope.open(bytes(data))
    data[len(envelope.graph) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(DataError, match=r"altered|no ONNX file"):
        api.verify(file)
    other = envelope.texts[ABOUT].replace('"ant"', '"elk"')
    file.write_bytes(envelope.with_texts(**{ABOUT: other}).bytes())
    with pytest.raises(DataError, match="altered"):
        api.verify(file)


def test_answers_that_differ_here_are_said_and_noted(exported: Exported, tmp_path: Path) -> None:
    envelope, file = Envelope.open(exported.path.read_bytes()), tmp_path / "model.onnx"
    other = envelope.with_texts(**{ABOUT: noted({**envelope.about, "precision": "bf16"})})
    file.write_bytes(other.with_texts(**{DIGEST: other.digest}).bytes())
    with pytest.raises(ExactnessError, match="precision asked and found"):
        api.verify(file)
    assert '"passed":false' in Envelope.open(file.read_bytes()).texts[VERIFIED].replace(" ", "")


def test_a_later_format_and_foreign_files_are_refused(exported: Exported, tmp_path: Path) -> None:
    envelope, file = Envelope.open(exported.path.read_bytes()), tmp_path / "model.onnx"
    later = {**envelope.about, "format": 2}
    file.write_bytes(envelope.with_texts(**{ABOUT: noted(later)}).bytes())
    with pytest.raises(DataError, match="later version"):
        api.verify(file)
    file.write_bytes(envelope.graph)
    with pytest.raises(DataError, match="no proof"):
        api.verify(file)
    for content in (b"", b"\x00", b"hello, this is no model", b"PK\x03\x04" * 50):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"no ONNX file|no proof"):
            api.verify(file)
    with pytest.raises(DataError, match="cannot read"):
        api.verify(tmp_path / "none.onnx")


def test_no_damage_ends_in_anything_but_a_sentence(exported: Exported) -> None:
    whole, rng = exported.path.read_bytes(), random.Random(3)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 5)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        with pytest.raises(DataError):
            _ = Envelope.open(bytes(data)).about


def test_a_program_of_torch_carries_its_proof(exported: Exported, tmp_path: Path) -> None:
    file = tmp_path / "model.pt2"
    found = api.export(exported.trained, file, size=(30, 41))
    assert found.status == "good" and found.data["engine"] == "torch.export"
    assert api.verify(file).status == "good"
    whole = file.read_bytes()
    for at in (len(whole) // 3, len(whole) // 2):
        data = bytearray(whole)
        data[at] ^= 4
        file.write_bytes(data)
        with pytest.raises(DataError, match=r"altered|no .pt2 file"):
            api.verify(file)
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"no .pt2 file"):
        api.verify(file)
    torch.export.save(torch.export.export(nn.ReLU(), (torch.zeros(2),)), file)
    with pytest.raises(DataError, match="no proof"):
        api.verify(file)
