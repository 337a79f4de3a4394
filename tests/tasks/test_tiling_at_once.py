"""Two processes that tile into one output at one moment: one of them works, the other is refused in a sentence."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from striate.errors import WriteError
from striate.inference.tiled import Tiled
from striate.writing import held, sweep

fcntl = pytest.importorskip("fcntl")
NETWORK = nn.Conv2d(1, 2, 3, padding=1).eval()
IMAGE = torch.arange(64 * 64, dtype=torch.float32).reshape(1, 1, 64, 64) / 4096


@pytest.mark.parametrize("suffix", [".tif", ".npy"])
def test_an_output_that_is_being_written_is_refused_and_stays(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"map{suffix}"
    with held(out):
        before = sorted(os.listdir(tmp_path))
        with pytest.raises(WriteError, match=r"map\.\w+ is being written by another process; wait"):
            Tiled(NETWORK, IMAGE, tile=32, out=out).run()
        assert sorted(os.listdir(tmp_path)) == before
    Tiled(NETWORK, IMAGE, tile=32, out=out).run()
    assert os.listdir(tmp_path) == [out.name]  # neither a lock nor unfinished work is left
    if suffix == ".npy":
        with torch.no_grad():
            assert np.allclose(np.load(out), NETWORK(IMAGE)[0].numpy(), atol=1e-5)


def test_another_output_of_the_folder_is_free(tmp_path: Path) -> None:
    with held(tmp_path / "a.tif"), held(tmp_path / "b.tif"):
        Tiled(NETWORK, IMAGE, tile=32, out=tmp_path / "c.npy").run()
    assert os.listdir(tmp_path) == ["c.npy"]


def test_a_held_output_is_no_leftover_and_one_of_a_dead_process_is(tmp_path: Path) -> None:
    with held(tmp_path / "a.tif"):
        sweep(tmp_path)
        assert len(os.listdir(tmp_path)) == 1
        child = os.fork()
        if not child:  # dies with the lock in its hand
            lock = held(tmp_path / "b.tif")
            lock.__enter__()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(os.listdir(tmp_path)) == 2
        with held(tmp_path / "b.tif"):
            pass
        assert len(os.listdir(tmp_path)) == 1
