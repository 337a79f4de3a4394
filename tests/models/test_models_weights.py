"""Weights from files: what is read, what is refused, and that nothing runs."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from striate import models
from striate.errors import UsageError
from striate.models import Loaded, load_weights

SPEC = "conv4-bn-relu-gap-fc"


def network(num_classes: int = 3) -> nn.Module:
    return models.build(SPEC, in_channels=1, num_classes=num_classes, size=8)


def state(num_classes: int = 3) -> dict[str, Tensor]:
    return {n: t.clone() for n, t in network(num_classes).state_dict().items()}


def equal(module: nn.Module, tensors: dict[str, Tensor]) -> bool:
    own = module.state_dict()
    return all(torch.equal(own[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin"])
def test_tensors_come_back_from_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    saved = state()
    path = tmp_path / f"w{suffix}"
    if suffix == ".safetensors":
        save_file(saved, path)
    else:
        torch.save(saved, path)
    module = network()
    assert load_weights(module, path) == Loaded(path, tuple(saved), ())
    assert equal(module, saved)
    assert equal(models.build(SPEC, in_channels=1, num_classes=3, size=8, weights=path), saved)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": s, "optimizer": {"lr": 0.1}},
        lambda s: {"model_state_dict": s},
        lambda s: {f"module.{n}": t for n, t in s.items()},
        lambda s: {"state_dict": {f"module._orig_mod.{n}": t for n, t in s.items()}},
        lambda s: {n: t for n, t in s.items() if "num_batches" not in n},
        lambda s: {"_metadata": "notes", **s},
    ],
)
def test_what_training_scripts_wrap_around_is_taken_off(tmp_path: Path, wrap) -> None:  # type: ignore[no-untyped-def]
    saved = state()
    torch.save(wrap(saved), tmp_path / "w.pth")
    module = network()
    load_weights(module, tmp_path / "w.pth")
    assert equal(module, saved)


def test_a_head_for_other_classes_is_left_out_and_said(tmp_path: Path) -> None:
    saved, path = state(num_classes=5), tmp_path / "w.safetensors"
    save_file(saved, path)
    module = network()
    report = load_weights(module, path, skip_head=True)
    assert report.skipped == ("fc1.bias", "fc1.weight")
    assert "conv1.weight" in report.loaded
    assert "fc1.weight" not in report.loaded
    assert 0 < float(module.state_dict()["fc1.weight"].std()) < 0.02
    assert not module.state_dict()["fc1.bias"].any()
    assert equal(module, {n: t for n, t in saved.items() if not n.startswith("fc1")})
    with pytest.warns(UserWarning, match=r"w.safetensors was trained on other classes: fc1.bias"):
        models.build(SPEC, in_channels=1, num_classes=3, size=8, weights=path)
    with pytest.raises(
        UsageError, match=r"fc1.weight is \(5, 4\) in the file and \(3, 4\).*build it with 5"
    ):
        load_weights(network(), path)


def test_heads_beside_the_way_are_left_out_too(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    trained = models.build("googlenet", num_classes=4, aux=True, size=32)
    save_file(trained.state_dict(), path)
    module = models.build("googlenet", num_classes=6, aux=True, size=32)
    report = load_weights(module, path, skip_head=True)
    assert report.skipped == (
        "aux1.fc2.bias",
        "aux1.fc2.weight",
        "aux2.fc2.bias",
        "aux2.fc2.weight",
        "fc.bias",
        "fc.weight",
    )
    assert "aux1.fc1.weight" in report.loaded


def test_a_head_of_the_same_classes_is_loaded_with_the_rest(tmp_path: Path) -> None:
    saved, path = state(), tmp_path / "w.safetensors"
    save_file(saved, path)
    assert load_weights(network(), path, skip_head=True).skipped == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: {n: t for n, t in s.items() if n != "conv1.bias"},
            r"missing: conv1.bias\. To do",
        ),
        (lambda s: {**s, "extra": torch.zeros(1)}, r"unexpected: extra\. To do: build the network"),
        (
            lambda s: {**s, "conv1.weight": torch.zeros(4, 3, 3, 3)},
            r"conv1.weight is \(4, 3, 3, 3\) in the file and \(4, 1, 3, 3\) in the network",
        ),
        (
            lambda s: {f"layer{i}.{n}": t for i, (n, t) in enumerate(reversed(s.items()))},
            r"missing: conv1.weight, conv1.bias, bn1.weight and 5 more; unexpected: layer0.*and 6 more",
        ),
    ],
)
def test_weights_of_another_network_are_refused_and_change_nothing(
    tmp_path: Path, change, message: str
) -> None:  # type: ignore[no-untyped-def]
    torch.save(change(state()), tmp_path / "w.pth")
    module = network()
    before = {n: t.clone() for n, t in module.state_dict().items()}
    with pytest.raises(UsageError, match=rf"w.pth does not fit the network: {message}"):
        load_weights(module, tmp_path / "w.pth")
    assert equal(module, before)


class Harmful:
    """What an attacker would put into a file: unpickled, it would make a folder."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("save", ["torch", "pickle"])
def test_a_file_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path, save: str) -> None:
    harm, path = tmp_path / "harm", tmp_path / "w.pth"
    content = {**state(), "trap": Harmful(str(harm))}
    if save == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(
        UsageError, match=r"holds more than tensors, or is damaged, and is not opened"
    ):
        load_weights(network(), path)
    assert not harm.exists()


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    def refused(path: Path, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            load_weights(network(), path)

    refused(tmp_path / "none.pth", r"there is no weights file .*none.pth")
    refused(tmp_path, r"there is no weights file")
    (tmp_path / "w.h5").write_bytes(b"x")
    refused(tmp_path / "w.h5", r"read from .safetensors, .pth, .pt and .bin files, got w.h5")
    (tmp_path / "w.safetensors").write_bytes(b"short")
    refused(tmp_path / "w.safetensors", r"is no safetensors file that can be read")
    (tmp_path / "empty.pth").write_bytes(b"")
    refused(tmp_path / "empty.pth", r"empty.pth")
    torch.save(state(), tmp_path / "cut.pth")
    whole = (tmp_path / "cut.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "cut.pth", r"cut.pth")
    torch.save(torch.zeros(3), tmp_path / "one.pth")
    refused(tmp_path / "one.pth", r"holds a Tensor, not named tensors")
    torch.save({"epoch": 3}, tmp_path / "none.pth")
    refused(tmp_path / "none.pth", r"holds no named tensors")
