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


def test_a_bit_that_flipped_in_the_numbers_is_seen(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"x": torch.zeros(1000)})
    file = tmp_path / "last.pt"
    data = bytearray(file.read_bytes())
    data[data.index(bytes(4000)) + 2001] ^= 4
    file.write_bytes(data)
    with pytest.raises(RunError, match=r"is not the one that training wrote|it is damaged"):
        load_checkpoint(tmp_path)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"x": 1}, run="one")
    assert load_checkpoint(tmp_path, run="one") == {"x": 1}
    with pytest.raises(RunError, match="belongs to another run"):
        load_checkpoint(tmp_path, run="other")


def test_a_checkpoint_of_before_digests_is_read(tmp_path: Path) -> None:
    torch.save({"x": 1}, tmp_path / "last.pt")
    assert load_checkpoint(tmp_path, run="one") == {"x": 1}
    torch.save([1], tmp_path / "last.pt")
    with pytest.raises(RunError, match="no state of a training"):
        load_checkpoint(tmp_path)
