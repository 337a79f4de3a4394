"""A person's own embedding network, and what is known of the licences of published face weights."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate.cli import main
from striate.errors import UsageError, WeightsWarning
from striate.models.licences import licence_of

FACTORY = """
from torch import nn

def make(dimensions=12):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, dimensions))
"""
PREPROCESSING = (16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def network(dimensions: int = 12) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, dimensions),
    )


def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8)


def test_an_embedding_network_is_wrapped_without_names() -> None:
    trained = striate.wrap(network(), task="embed", preprocessing=PREPROCESSING)
    assert trained.classes == tuple(f"e{i}" for i in range(12))
    [prediction] = striate.predict(trained, image())
    x = (torch.from_numpy(image()).permute(2, 0, 1)[None] / 255 - 0.5) / 0.5
    direct = network()(x)[0].detach()
    assert prediction.length == pytest.approx(float(direct.norm()), rel=1e-4)
    np.testing.assert_allclose(prediction.embedding, direct / direct.norm(), atol=1e-5)


def test_other_tasks_still_need_names() -> None:
    with pytest.raises(UsageError, match="12 outputs, and the task classify needs their names"):
        striate.wrap(network(), preprocessing=PREPROCESSING)


def test_wrapping_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.py").write_text(FACTORY)
    torch.save(network().state_dict(), tmp_path / "w600k_r50.pt")
    factory = f"{tmp_path / 'own.py'}:make"
    arguments = ["wrap", factory, "--task", "embed", "--weights", str(tmp_path / "w600k_r50.pt")]
    more = ["--preprocessing", "16/0.5,0.5,0.5/0.5,0.5,0.5", "-o", str(tmp_path / "run")]
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, *more])
    assert "non-commercial research only" in capsys.readouterr().err
    Image.fromarray(image()).save(tmp_path / "a.png")
    with pytest.raises(SystemExit, match="0"):
        main(
            [
                "predict",
                str(tmp_path / "run"),
                str(tmp_path / "a.png"),
                "--model",
                factory,
                "--format",
                "csv",
            ]
        )
    assert capsys.readouterr().out.startswith("path,error,length,e0,e1")


def test_an_embedding_without_a_direction_is_named() -> None:
    dead = network()
    with torch.no_grad():
        dead[-1].weight.zero_()
        dead[-1].bias.zero_()
    [prediction] = striate.predict(
        striate.wrap(dead, task="embed", preprocessing=PREPROCESSING), image()
    )
    assert prediction.error is not None and "length 0" in prediction.error
    assert prediction.document()["embedding"] is None


@pytest.mark.parametrize(
    ("file", "names", "maker"),
    [
        ("20180402-114759-vggface2.pt", (), "facenet-pytorch"),
        (
            "net.pt",
            ("conv2d_1a.conv.weight", "last_bn.weight", "last_linear.weight"),
            "facenet-pytorch",
        ),
        (
            "backbone.pth",
            ("prelu.weight", "layer1.0.prelu.weight", "features.weight"),
            "InsightFace",
        ),
        ("ms1mv3_arcface_r50.pth", (), "InsightFace"),
        ("adaface_ir50_ms1mv2.ckpt", (), "AdaFace"),
        ("ir.pth", ("body.0.shortcut_layer.0.weight",), "AdaFace"),
    ],
)
def test_face_weights_are_known_by_their_names_or_tensors(
    file: str, names: tuple[str, ...], maker: str
) -> None:
    licence = licence_of(file, names)
    assert licence is not None and f"face weights of {maker}" in licence and "MIT" in licence


def test_other_weights_have_no_remark(tmp_path: Path) -> None:
    names = striate.build("resnet18", num_classes=10).state_dict()
    assert licence_of("resnet18.pt", names) is None
    torch.save(network().state_dict(), tmp_path / "mine.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error", WeightsWarning)
        striate.wrap(
            network(), task="embed", preprocessing=PREPROCESSING, weights=tmp_path / "mine.pt"
        )
