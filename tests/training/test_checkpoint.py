from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from striate.errors import RunError
from striate.training.checkpoint import load_checkpoint, save_checkpoint


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    state = {"model": {"w": torch.arange(4.0)}, "pace": {"step": 3}, "rng": torch.get_rng_state()}
    save_checkpoint(tmp_path, state)
    back = load_checkpoint(tmp_path)
    assert back["pace"] == {"step": 3}
    assert torch.equal(back["model"]["w"], state["model"]["w"])


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'sprung'}",)

    (tmp_path / "last.pt").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(RunError, match="it is damaged"):
        load_checkpoint(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_no_checkpoint_and_a_cut_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no checkpoint"):
        load_checkpoint(tmp_path)
    save_checkpoint(tmp_path, {"x": torch.zeros(1000)})
    file = tmp_path / "last.pt"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(RunError, match="it is damaged"):
        load_checkpoint(tmp_path)
