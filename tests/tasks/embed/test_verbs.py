"""What the other commands say of networks that give embeddings, which have no classes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate import api
from striate.cli import main
from striate.runs import rating
from striate.tasks.adopting import OneAnswer, kind_of
from striate.tasks.embed.losses import CosineSoftmax
from striate.tasks.embed.network import CentredNetwork
from striate.training.batch import Batch


class Small(nn.Sequential):
    """Images (N, 3, 16, 16) to embeddings (N, 6); zeros for a black image."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(
            nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
            nn.Linear(32, 6, bias=False),
        )  # fmt: skip


@pytest.fixture
def trained() -> striate.Trained:
    names = [f"e{i}" for i in range(6)]
    return striate.wrap(Small(), classes=names, preprocessing=(16, (0.0,) * 3, (1.0,) * 3), task="embed")  # fmt: skip


def test_a_network_is_called_by_what_is_inside() -> None:
    assert kind_of(CentredNetwork(Small(), 3, 6)) == "Small"
    assert kind_of(OneAnswer(CentredNetwork(Small(), 3, 6))) == "Small"


def test_a_tiled_image_s_embedding_is_a_row_that_can_be_read(
    trained: striate.Trained, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = api.tile(trained, tmp_path / "a.png", out=tmp_path / "a.json")
    assert found.verdict.startswith("An embedding of 6 numbers, with a length of ")
    assert len(found.tables[0].columns) == 3 and "%" not in found.verdict.partition(".")[0]
    assert len(found.data["rows"][0]) == 7  # all of them, with the length


def test_a_score_that_is_no_probability_is_not_called_one(
    trained: striate.Trained, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    [one] = api.explain(trained, pixels, methods=["gradient"])
    finding = one.finding
    [table] = finding.tables
    assert "the target's score" in table.caption and "target's probability" not in table.caption
    assert not any("The probability" in figure.caption for figure in finding.figures)
    assert "the prediction" not in finding.verdict


def test_an_embedding_of_length_zero_is_not_called_an_unreadable_file(
    trained: striate.Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "black.png")
    monkeypatch.setattr(api, "opened", lambda run: trained)
    with pytest.raises(SystemExit) as left:
        main(["predict", "run", str(tmp_path / "black.png")])
    said = capsys.readouterr()
    assert left.value.code == 1
    assert "1 of 1 files could not be used" in said.err and "not read" not in said.out + said.err
    assert "no direction to compare" in " ".join(said.out.split())


def test_a_range_test_sees_one_loss_although_the_margin_rises(monkeypatch: Any) -> None:
    """A margin that rises from step to step raises the loss, as a learning rate that is too high does."""
    loss = CosineSoftmax(margin=0.3, warmup=20)
    own = torch.tensor([[0.9, 0.1]])
    losses: list[float] = []

    def gradient(training: Any, batch: Batch) -> Any:
        made = loss((own, own), batch)
        losses.append(float(made.sum))
        return SimpleNamespace(mean=made.sum)

    class Stream:
        def from_step(self, step: int) -> Any:
            return (Batch(torch.zeros(1, 1), torch.tensor([0]), k) for k in range(step, 10**6))

    monkeypatch.setattr(rating, "gradient", gradient)
    monkeypatch.setattr(rating, "rates", lambda step, **more: [step(0.1) for _ in range(30)])
    optimizers = SimpleNamespace(step=lambda rate: None, zero_grad=lambda: None)
    training: Any = SimpleNamespace(enter_step=lambda: None, optimizers=optimizers, device=torch.device("cpu"))  # fmt: skip
    rating.rates_of(training, Stream(), used=None)  # type: ignore[arg-type]
    assert len(losses) == 30 and len(set(losses)) == 1
