"""On Ray: what is killed leaves no row missing and none double, and the answers are those of one process. Needs ray."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate import api
from striate.data import Preprocessing
from striate.errors import UsageError
from striate.models import build
from striate.runs.shards import BLOCK

COUNT = 5 * BLOCK + 7
SPEC = "[conv4-relu-pool]-gap-fc"
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="ray is not installed"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, and a folder of images that take a moment each."""
    root = tmp_path_factory.mktemp("ray")
    rng = np.random.default_rng(0)
    (root / "images").mkdir()
    for i in range(COUNT):
        Image.fromarray(rng.integers(0, 255, (160, 160, 3)).astype(np.uint8)).save(
            root / "images" / f"{i:03}.png"
        )
    np.save(root / "large.npy", rng.integers(0, 255, (3, 96, 64)).astype(np.uint8))
    (root / "nets.py").write_text(
        "from striate.models import build\n"
        f"def make(): return build({SPEC!r}, in_channels=3, num_classes=3, size=(32, 32))\n"
    )
    torch.manual_seed(0)
    network = build(SPEC, in_channels=3, num_classes=3, size=(32, 32))
    how = Preprocessing(channels=3, height=32, width=32)
    striate.save(striate.wrap(network, classes=["a", "b", "c"], preprocessing=how), root / "run")
    return root


def command(place: Path, *more: str) -> list[str]:
    model = ["--model", f"{place / 'nets.py'}:make"]
    return [
        sys.executable,
        "-m",
        "striate",
        "predict",
        str(place / "run"),
        str(place / "images"),
        *model,
        *more,
    ]


def begun(place: Path, parts: Path) -> subprocess.Popen[str]:
    """A driver with two actors, in a process group of its own."""
    return subprocess.Popen(
        command(place, "--on", "ray", "--workers", "2", "--parts", str(parts), "--format", "csv"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def children(pid: int) -> Iterator[tuple[int, str]]:
    """(process, command line) of all processes below one."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    waiting = [pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            waiting.append(child)
            try:
                yield child, (Path("/proc") / str(child) / "cmdline").read_text()
            except OSError:
                continue


def first_block(parts: Path, driver: subprocess.Popen[str]) -> list[Path]:
    """The blocks that are there, one at least."""
    while driver.poll() is None:
        found = sorted(parts.glob("shard-1-of-1/block-*"))
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(driver.stderr.read() if driver.stderr else "")


@needs_ray
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds its processes in /proc")
def test_a_killed_actor_and_a_killed_driver_cost_no_row(place: Path, tmp_path: Path) -> None:
    right = subprocess.run(
        command(place, "--format", "csv", "--engine", "torch"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert right.stdout.count("\n") == COUNT + 1

    driver = begun(place, tmp_path / "actor")
    first_block(tmp_path / "actor", driver)
    actor = next(pid for pid, line in children(driver.pid) if line.startswith("ray::Blocks"))
    os.kill(actor, signal.SIGKILL)
    out, err = driver.communicate()
    assert driver.returncode == 0, err
    assert out == right.stdout

    driver = begun(place, tmp_path / "driver")
    done = first_block(tmp_path / "driver", driver)
    before = {p: p.stat().st_mtime_ns for p in done}
    driver.kill()
    driver.communicate()
    assert len(list((tmp_path / "driver").glob("shard-1-of-1/block-*"))) <= COUNT // BLOCK + 1
    driver = begun(place, tmp_path / "driver")
    out, err = driver.communicate()
    assert driver.returncode == 0, err
    assert out == right.stdout
    assert all(p.stat().st_mtime_ns == at for p, at in before.items())


@needs_ray
def test_tiles_on_ray_are_those_of_shards(place: Path, tmp_path: Path) -> None:
    run, made = str(place / "run"), f"{place / 'nets.py'}:make"
    opened = api.load(run, model=api.find_factory(made))
    found = api.tile_on_ray(
        run,
        place / "large.npy",
        tmp_path / "out.json",
        parts=tmp_path / "ray",
        model=made,
        workers=2,
        tile=32,
    )
    for k in (1, 2, 3):
        api.tile_shard(
            opened,
            place / "large.npy",
            tmp_path / "two.json",
            shard=f"{k}/3",
            parts=tmp_path / "shards",
            tile=32,
        )
    other = api.merge(tmp_path / "shards", run=opened)
    assert found.data["document"]["classes"] == other.data["document"]["classes"]  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="the shards are not of one job: --tile differs"):
        api.tile_on_ray(
            run,
            place / "large.npy",
            tmp_path / "o.json",
            parts=tmp_path / "ray",
            model=made,
            workers=2,
            tile=64,
        )


def test_without_ray_the_way_there_is_said(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'striate\[ray\]', or take --shard K/N"):
        api.predict_on_ray(
            place / "run",
            place / "images",
            tmp_path / "parts",
            model=f"{place / 'nets.py'}:make",
            workers=1,
        )
    from striate.cli import main

    for more, words in (
        (["--on", "spark"], "--on takes ray"),
        (["--on", "ray"], "give --parts DIR"),
        (["--on", "ray", "--parts", "p", "--shard", "1/2"], "leave --shard out"),
        (["--workers", "2"], "--workers is how many"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["predict", str(place / "run"), "x.png", *more])
        assert end.value.code == 2 and words in capsys.readouterr().err
