"""Weights under other names: taken in order where order and shapes leave no doubt, refused with what to build elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from striate.errors import UsageError
from striate.models import load_weights


class Residual(nn.Module):
    """Two layers in the order that is asked for, and a head."""

    def __init__(self, first: str = "conv1", second: str = "conv2") -> None:
        super().__init__()
        self.block = nn.ModuleDict({first: nn.Conv2d(3, 3, 3), second: nn.Conv2d(3, 3, 3)})
        self.norm = nn.BatchNorm2d(3)
        self.fc = nn.Linear(3, 2)


def state(module: nn.Module, seed: int = 1) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return {n: torch.rand_like(t) if t.dim() else t for n, t in module.state_dict().items()}


def values(module: nn.Module) -> list[Tensor]:
    return [t for t in module.state_dict().values() if t.dim()]


@pytest.mark.parametrize("prefix", ["", "module."])
def test_numbered_and_renamed_layers_are_taken_in_order_and_said(
    prefix: str, tmp_path: Path
) -> None:
    module = Residual()
    numbered = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)), nn.BatchNorm2d(3), nn.Linear(3, 2)
    )
    renamed = {n.replace("norm", "bnorm"): t for n, t in state(module).items()}
    for tensors in (state(numbered), renamed):
        torch.save({f"{prefix}{n}": t for n, t in tensors.items()}, tmp_path / "w.pth")
        loaded = load_weights(module, tmp_path / "w.pth")
        given = [t for t in tensors.values() if t.dim()]
        assert all(torch.equal(a, b) for a, b in zip(values(module), given, strict=True))
        assert "fit in order and shape" in loaded.notes[0]
        assert "see that the predictions are right" in loaded.notes[0]


@pytest.mark.parametrize(
    ("first", "second"), [("conv2", "conv1"), ("key", "conv1"), ("conv2", "query")]
)
def test_siblings_that_may_be_swapped_are_refused(first: str, second: str, tmp_path: Path) -> None:
    torch.save({f"net.{n}": t for n, t in state(Residual(first, second)).items()}, tmp_path / "w.pth")  # fmt: skip
    module = Residual()
    before = [t.clone() for t in values(module)]
    if {first, second} == {"conv1", "conv2"}:  # the same names, wherever they stand
        load_weights(module, tmp_path / "w.pth")
        expected = state(Residual(first, second))["block.conv1.weight"]
        assert torch.equal(module.state_dict()["block.conv1.weight"], expected)
        return
    with pytest.raises(UsageError, match=r"does not fit the network: missing: block\.conv"):
        load_weights(module, tmp_path / "w.pth")
    assert all(torch.equal(a, b) for a, b in zip(values(module), before, strict=True))


def test_files_that_are_sorted_by_name_hold_no_order(tmp_path: Path) -> None:
    save_file(state(Residual("a", "b")), tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match="write a function that makes it with the code of its"):
        load_weights(Residual(), tmp_path / "w.safetensors")


def test_what_fastai_saved_is_refused_with_what_to_build_and_that_loads(tmp_path: Path) -> None:
    def made() -> nn.Sequential:
        body = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3))
        return nn.Sequential(body, nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)))

    tensors = state(made())
    torch.save({"model": tensors, "opt": {}}, tmp_path / "learner.pth")
    with pytest.raises(
        UsageError, match=r"To do: build .*: nn.Sequential\(body, head\), as fastai"
    ):
        load_weights(Residual(), tmp_path / "learner.pth")
    module = made()
    load_weights(module, tmp_path / "learner.pth")
    assert torch.equal(module.state_dict()["1.1.weight"], tensors["1.1.weight"])
