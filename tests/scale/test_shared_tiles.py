"""One image over several workers is to the byte what one worker gives, and equal to the plain network's answer."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import striate
from striate import api
from striate.cli import main
from striate.data import Preprocessing
from striate.errors import RunError, UsageError
from striate.inference.tiled import Bands, Shared, Tiled
from striate.models import build

CLASSES = ["a", "b", "c"]
NETWORKS = """from striate.models import build
def segment(): return build("unet", in_channels=3, num_classes=3, width=4)
def detect(): return build("centernet", in_channels=3, num_classes=3, width=4)
def classify(): return build("[conv4-relu-pool]-gap-fc", in_channels=3, num_classes=3, size=(32, 32))
"""


class Excited(nn.Module):
    """Squeeze-and-excitation, so that every pixel hangs on all."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(self.pool(x)).sigmoid()


class Deviations(nn.Module):
    """A variance, a norm, a largest and a smallest value of the whole image, and whether any is beyond 1."""

    def forward(self, x: Tensor) -> Tensor:
        some = [
            x.var((2, 3)),
            x.std((2, 3)),
            torch.linalg.vector_norm(x, 2, (2, 3)),
            x.amax((2, 3)),
            x.amin((2, 3)),
        ]
        return torch.cat([*some, x.sum((2, 3)), (x > 1).any(3).any(2).float()], 1)


def conv(a: int, b: int, stride: int = 1) -> nn.Module:
    return nn.Conv2d(a, b, 3, padding=1, stride=stride)


CASES: dict[str, Callable[[], nn.Module]] = {
    "three passes": lambda: nn.Sequential(
        conv(3, 6), nn.ReLU(), Excited(6), nn.GroupNorm(2, 6), conv(6, 6, 2), nn.InstanceNorm2d(6), nn.Conv2d(6, 2, 1)
    ),
    "a mean of all": lambda: nn.Sequential(conv(3, 6), Excited(6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)),
    "all kinds of statistics": lambda: nn.Sequential(conv(3, 4), Deviations()),
    "a linear layer on all": lambda: nn.Sequential(conv(3, 2, 8), nn.Flatten(), nn.Linear(2 * 12 * 9, 5)),
    "wide views": lambda: build("unet", in_channels=3, num_classes=3, width=4),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_any_number_of_workers_gives_the_same_bits(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = CASES[name]().eval()
    # A trend, so that no worker's statistics are those of another.
    image = torch.rand(3, 96, 72) + torch.linspace(-1, 3, 96)[:, None]
    results = []
    for of in (1, 2, 5):
        folder = tmp_path / str(of)
        for k in (5, 2, 4, 1, 3):  # in any order, one after the other: none waits
            if k <= of:
                job = Shared(network, image, tile=24)
                job.work(Bands(folder, job.digest(), k, of))
        job = Shared(network, image, tile=24)
        results.append(job.join(Bands(folder, job.digest(), 0, of)))
        assert job.certificate is not None and job.certificate.exact
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])
    with torch.no_grad():
        right = network.double()(image[None].double())[0]
    off = (results[0].double() - right).abs().max() / right.abs().max()
    assert off < 3e-6
    if name != "three passes" and name != "wide views":  # whose plain walk keeps rows
        plain = Tiled(network.float(), image, tile=24, strategy="halo").run()
        assert (plain - results[0]).abs().max() <= 1e-6 * plain.abs().max()


def killed(folder: str, at: int) -> None:
    """A worker that dies, without a word, as its band number `at` of the last pass is under way."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = CASES["three passes"]().eval()
    image = torch.rand(3, 96, 72, generator=torch.Generator().manual_seed(1))
    done = 0

    def take(place: int, box: Any, piece: Tensor) -> None:
        raise AssertionError("a shard hands out nothing")

    job = Shared(network, image, tile=24, take=take)

    def progress(n: int, of: int) -> None:
        nonlocal done
        done += 1
        if done == at:
            os.kill(os.getpid(), signal.SIGKILL)

    job.work(Bands(Path(folder), job.digest(), 1, 2, progress))


def pieces_of(folder: Path, number: int) -> dict[str, bytes]:
    torch.manual_seed(0)
    network = CASES["three passes"]().eval()
    image = torch.rand(3, 96, 72, generator=torch.Generator().manual_seed(1))
    found: dict[str, bytes] = {}
    job = Shared(
        network,
        image,
        tile=24,
        take=lambda place, box, piece: found.update({f"{box}": piece.numpy().tobytes()}),
    )
    bands = Bands(folder, job.digest(), number, 2)
    if number:
        job.work(bands)
    else:
        job.join(bands)
    return found


def test_a_worker_that_is_killed_goes_on_and_changes_nothing(tmp_path: Path) -> None:
    for number in (1, 2, 0):
        right = pieces_of(tmp_path / "right", number)
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=killed, args=(str(tmp_path / "two"), 20))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "two").rglob("band-*")}
    assert before
    with pytest.raises(RunError):
        pieces_of(tmp_path / "two", 0)
    both = [threading.Thread(target=pieces_of, args=(tmp_path / "two", k)) for k in (1, 2)]
    for thread in both:  # two at once, who share what is left
        thread.start()
        time.sleep(0.05)
    for thread in both:
        thread.join()
    assert pieces_of(tmp_path / "two", 0) == right
    assert all(p.stat().st_mtime_ns == at for p, at in before.items())  # nothing was done again


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each kind, and an image of 128 x 96 pixels."""
    root = tmp_path_factory.mktemp("tiles")
    rng = np.random.default_rng(0)
    np.save(root / "image.npy", rng.integers(0, 255, (3, 128, 96)).astype(np.uint8))
    (root / "nets.py").write_text(NETWORKS)
    torch.manual_seed(0)
    for task in ("segment", "detect", "classify"):
        network = api.find_factory(f"{root / 'nets.py'}:{task}")()
        how = Preprocessing(channels=3, height=32, width=32)
        striate.save(
            striate.wrap(network, classes=CLASSES, preprocessing=how, task=task), root / task
        )
    return root


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


def tiling(place: Path, task: str, out: Path, *more: object) -> list[object]:
    own = ["--model", f"{place / 'nets.py'}:{task}"]
    return ["tile", place / task, place / "image.npy", *own, "--tile", "64", "-o", out, *more]


def told(file: Path) -> Any:
    """What is in a file, without what is measured."""
    if file.suffix == ".npy":
        return np.load(file).tobytes()
    document = json.loads(file.read_text())
    document.pop("certificate", None)
    return document


@pytest.mark.parametrize(
    ("task", "suffix"), [("segment", ".npy"), ("detect", ".json"), ("classify", ".json")]
)
def test_merged_tiles_are_one_workers_file(
    task: str, suffix: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ["--run", place / task, "--model", f"{place / 'nets.py'}:{task}"]
    files = []
    for of in (1, 3):
        out, parts = tmp_path / f"{of}{suffix}", tmp_path / f"parts-{of}"
        for k in range(1, of + 1):
            status, path, _ = printed(
                capsys, *tiling(place, task, out, "--shard", f"{k}/{of}", "--parts", parts)
            )
            assert status == 0 and path.strip() == str(parts) and not out.exists()
        status, shown, said = printed(capsys, "merge", parts, *own)
        assert status == 0, said
        assert "Equal to the plain module" in " ".join(shown.split())
        files.append(told(out))
        status, _, said = printed(capsys, "merge", parts, *own)
        assert status == 2 and f"{out} exists; " in said
        assert printed(capsys, "merge", parts, *own, "--force")[0] == 0
    assert files[0] == files[1]
    plain = tmp_path / f"plain{suffix}"
    assert printed(capsys, *tiling(place, task, plain))[0] == 0
    if task == "segment":  # rounding may tip a pixel between two classes
        assert np.mean(np.load(plain) != np.load(tmp_path / f"3{suffix}")) < 1e-3
    elif task == "detect":
        mine, others = told(plain)["annotations"], files[1]["annotations"]
        assert len(mine) == len(others) > 0
        assert np.allclose([a["score"] for a in mine], [a["score"] for a in others], atol=1e-5)


def test_shards_that_lack_or_differ_are_named(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ["--run", place / "segment", "--model", f"{place / 'nets.py'}:segment"]
    out, parts = tmp_path / "mask.npy", tmp_path / "parts"

    def shard(k: int, *more: object) -> tuple[int, str, str]:
        return printed(
            capsys, *tiling(place, "segment", out, "--shard", f"{k}/6", "--parts", parts, *more)
        )

    for k in (1, 2):
        assert shard(k)[0] == 0
    status, _, said = printed(capsys, "merge", parts, *own)
    assert (
        status == 1
        and "2 shards of 6" in said
        and "did not end: 3/6, 4/6" in said
        and not out.exists()
    )
    status, _, said = shard(3, "--memory", "2GB")
    assert status == 2 and "--memory differs (1GB and 2GB)" in said
    assert "has none of its own" in shard(6)[2]  # more workers than rows of tiles
    for k in (3, 4):
        shard(k)
    bands = sorted(parts.glob("pass-000/band-*"))
    assert len(bands) == 4
    whole = bands[2].read_bytes()
    bands[2].write_bytes(whole[:-9])  # cut off: its shard is named, and mends it
    status, _, said = printed(capsys, "merge", parts, *own)
    assert status == 1 and "1 shard of 6" in said and "3/6" in said
    assert shard(3)[0] == 0 and bands[2].read_bytes()[:2000] == whole[:2000]
    bands[1].write_bytes(
        bands[1].read_bytes()[:40] + b"\xff" + bands[1].read_bytes()[41:]
    )  # one byte
    status, _, said = printed(capsys, "merge", parts, *own)
    assert status == 1 and "band-000001 is damaged or cut off" in said
    assert not out.exists() and not list(tmp_path.glob("*unfinished*"))
    other = tmp_path / "other"
    assert (
        printed(
            capsys,
            *tiling(place, "segment", out, "--shard", "1/6", "--parts", other, "--tile", "32"),
        )[0]
        == 0
    )
    shutil.copy(other / "pass-000" / "band-000000", bands[1])
    status, _, said = printed(capsys, "merge", parts, *own)
    assert status == 1 and "2/6" in said  # of another job, so not there
    shutil.copy(bands[0], bands[1])
    assert printed(capsys, "merge", parts, *own)[0] == 1  # of this job, but another band
    assert shard(2)[0] == 0
    assert printed(capsys, "merge", parts, *own)[0] == 0
    status, _, said = printed(
        capsys, "merge", parts, "--run", place / "detect", "--model", f"{place / 'nets.py'}:detect"
    )
    assert status == 2 and "the network differs" in said
    np.save(place / "image.npy", np.load(place / "image.npy")[:, ::-1])
    try:
        status, _, said = printed(capsys, "merge", parts, *own, "--force")
        assert status == 2 and "the image differs" in said
    finally:
        np.save(place / "image.npy", np.load(place / "image.npy")[:, ::-1])


def test_what_shards_cannot_have_is_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--shard", "1/2", "--parts", tmp_path / "parts"]
    status, _, said = printed(
        capsys, *tiling(place, "segment", tmp_path / "m.npy", *more, "--engine", "onnxruntime")
    )
    assert status == 2 and "computed by torch" in said
    status, _, said = printed(
        capsys, *tiling(place, "segment", tmp_path / "m.npy", "--shard", "1/2")
    )
    assert status == 2 and "belong together" in said
    with pytest.raises(UsageError, match="share one image, got 2"):
        Shared(nn.Conv2d(1, 1, 3), torch.rand(2, 1, 16, 16))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "tile.json").write_text("{")
    with pytest.raises(RunError, match="is damaged; delete"):
        api.merge(tmp_path / "broken")
