"""An interrupted run goes on where it stopped, and comes to the same numbers."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from striate.errors import StriateError, UsageError
from striate.inference.tiled import Tiled

SIZE = (90, 110)


def network(kind: str = "map", seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    parts: list[nn.Module] = [
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, stride=2, padding=1),
    ]  # fmt: skip
    if kind != "map":
        parts.insert(2, nn.GroupNorm(2, 4))
    if kind == "classes":
        parts += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*parts).eval()


def image() -> torch.Tensor:
    return torch.randn(1, 2, *SIZE, generator=torch.Generator().manual_seed(3))


class Stop:
    """Raises at the given tile."""

    def __init__(self, at: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.at, self.error, self.heard = at, error, [0]

    def __call__(self, done: int, total: int, seconds: float) -> None:
        assert 0 < done <= total
        assert seconds >= 0
        self.heard.append(done)
        if done >= self.at:
            raise self.error


class Counting:
    """A `preprocess` that changes nothing and counts the pixels that were read."""

    def __init__(self) -> None:
        self.pixels = 0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.pixels += x.shape[-1] * x.shape[-2]
        return x


@pytest.mark.parametrize("strategy", ["halo", "carry"])
@pytest.mark.parametrize("suffix", [".npy", ".tif", ".zarr"])
def test_finished_tiles_of_a_file_are_reused(tmp_path: Path, suffix: str, strategy: str) -> None:
    out = tmp_path / f"map{suffix}"
    made: dict[str, Any] = {"tile": 16, "strategy": strategy, "out": out}
    with pytest.raises(KeyboardInterrupt):
        Tiled(network(), image(), **made).run(progress=Stop(30))
    assert (tmp_path / f"map{suffix}.partial").exists()
    assert not out.exists() and (tmp_path / f"map.unfinished{suffix}").exists()
    heard: list[int] = []
    reading = Counting()
    job = Tiled(network(), image(), preprocess=reading, **made)
    job.run(progress=lambda done, total, seconds: heard.append(done), check=False)
    assert heard[0] > 20
    assert heard[-1] == job.plan.cells
    assert reading.pixels < SIZE[0] * SIZE[1]
    assert [p.name for p in tmp_path.iterdir()] == [out.name]
    fresh = Tiled(network(), image(), tile=16, strategy=strategy).run()[0].detach()
    assert np.array_equal(read(out), fresh.numpy())


def read(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".zarr":
        import zarr

        return np.asarray(zarr.open(str(path), mode="r")[:])
    import tifffile

    return tifffile.imread(path)


@pytest.mark.parametrize("strategy", ["halo", "carry"])
@pytest.mark.parametrize("at", [1, 30, 50, 80])
def test_what_was_gathered_is_kept(tmp_path: Path, strategy: str, at: int) -> None:
    """Two passes and a global mean: interrupted in each, resumed, the same logits."""
    module, journal = network("classes"), tmp_path / "work"
    stop = Stop(at)
    with pytest.raises(KeyboardInterrupt):
        Tiled(module, image(), tile=16, strategy=strategy).run(resume=journal, progress=stop)
    heard: list[int] = []
    job = Tiled(module, image(), tile=16, strategy=strategy)
    got = job.run(resume=journal, progress=lambda done, total, seconds: heard.append(done))
    assert len(job.plan.walks) == 2
    assert heard[-1] == job.plan.cells
    assert (
        len(heard) < job.plan.cells or at < 42
    )  # a pass that stored its values for the next is begun again
    with torch.no_grad():
        want = module(image())
    assert (got - want).abs().max() <= 1e-5 * want.abs().max()
    assert not journal.exists()


PROGRAM = """
import signal, sys, time, torch
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
sys.path.insert(0, {folder!r})
from {module} import image, network
from striate.inference.tiled import Tiled

def slowly(x):
    time.sleep(0.01)
    return x

def tell(done, total, seconds):
    print(done, flush=True)
    if done >= 25:
        time.sleep(60)  # until the signal comes

Tiled(network(), image(), tile=16, out={out!r}, preprocess=slowly, strategy="carry").run(progress=tell)
"""


def test_a_process_that_was_stopped_is_taken_up(tmp_path: Path) -> None:
    here = Path(__file__)
    out = tmp_path / "map.npy"
    program = PROGRAM.format(folder=str(here.parent), module=here.stem, out=str(out))
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 25:
            process.send_signal(signal.SIGINT)
            break
    process.communicate()
    assert process.returncode != 0
    heard: list[int] = []
    job = Tiled(network(), image(), tile=16, out=out, strategy="carry")
    job.run(progress=lambda done, total, seconds: heard.append(done))
    assert heard[0] >= 16
    with torch.no_grad():
        want = network()(image())[0]
    assert np.abs(np.load(out) - want.numpy()).max() <= 1e-5 * want.abs().max()


CHANGES: dict[str, Callable[[], dict[str, Any]]] = {
    "network": lambda: {"module": network(seed=1)},
    "image": lambda: {"image": image() + 1},
    "tile": lambda: {"tile": 20},
    "preprocess": lambda: {"preprocess": lambda x: x * 2},
    "finish": lambda: {"finish": lambda x: x * 2},
}


@pytest.mark.parametrize("what", CHANGES)
def test_other_work_is_not_taken_up(tmp_path: Path, what: str) -> None:
    out = tmp_path / "map.npy"
    made: dict[str, Any] = {"module": network(), "image": image(), "tile": 16, "out": out}
    with pytest.raises(KeyboardInterrupt):
        Tiled(**made).run(progress=Stop(10))
    job = Tiled(**made | CHANGES[what]())
    with pytest.raises(UsageError, match="belongs to another network, image or tile"):
        job.run()
    heard: list[int] = []
    job.run(force=True, progress=lambda done, total, seconds: heard.append(done))
    assert heard[0] == 1
    assert (np.load(out)[0] != 0).any()


def test_a_journal_that_was_damaged_is_not_believed(tmp_path: Path) -> None:
    out = tmp_path / "map.npy"
    with pytest.raises(KeyboardInterrupt):
        Tiled(network(), image(), tile=16, out=out).run(progress=Stop(10))
    Path(f"{out}.partial").write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match="exists"):
        Tiled(network(), image(), tile=16, out=out).run()


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_a_full_disk_keeps_what_is_finished(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / f"map{suffix}"
    write, left = os.pwrite, [700]

    def full(file: int, data: Any, offset: int) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, data, offset)

    made: dict[str, Any] = {"tile": 16, "strategy": "halo", "out": out}
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(
            StriateError, match=r"No space left on device; finished tiles stay"
        ) as e:
            Tiled(network(), image(), **made).run()
    assert str(out) in str(e.value)
    heard: list[int] = []
    Tiled(network(), image(), **made).run(progress=lambda done, *_: heard.append(done))
    assert heard[0] > 1
    fresh = Tiled(network(), image(), tile=16, strategy="halo").run()[0]
    assert np.array_equal(read(out), fresh.detach().numpy())


@pytest.mark.parametrize("suffix", [".npy", ".zarr"])
def test_an_output_that_is_written_over_stays_until_the_new_one_is_complete(
    tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"map{suffix}"
    Tiled(network(), image(), tile=16, out=out).run()
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(KeyboardInterrupt):
        Tiled(network(seed=1), image(), tile=16, out=out).run(force=True, progress=Stop(30))
    assert all(p.read_bytes() == content for p, content in before.items())
    Tiled(network(seed=1), image(), tile=16, out=out).run(force=True)
    assert [p.name for p in tmp_path.iterdir()] == [out.name]
    assert any(p.read_bytes() != content for p, content in before.items())
