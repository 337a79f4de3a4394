"""Predictions of many images: in order, as the module gives them, in the same memory however many there are."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate.data.files import Found
from striate.data.preprocessing import Preprocessing
from striate.inference.incremental.kernel import fused_by_onednn
from striate.tasks import forward as module
from striate.tasks.trained import Trained


def trained_on(side: int, *, flip: bool = False) -> Trained:
    """A network of random weights that tells 3 classes apart."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )  # fmt: skip
    preprocessing = Preprocessing(channels=3, height=side, width=side)
    trained = striate.wrap(network.eval(), classes=("a", "b", "c"), preprocessing=preprocessing)
    return replace(trained, flip_test=flip)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """150 images, of which the 4th and the 130th cannot be read."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    paths = [folder / f"{i:03d}.png" for i in range(150)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (20, 20, 3)).astype(np.uint8)).save(path)
    for i in (3, 129):
        paths[i].write_bytes(b"\x89PNG\r\n\x1a\n and nothing")
    return [str(path) for path in paths]


@pytest.mark.parametrize("flip", [False, True])
def test_many_files_are_predicted_as_each_of_them_is(files: list[str], flip: bool) -> None:
    trained, threads = trained_on(16, flip=flip), torch.get_num_threads()
    many = list(striate.predict(trained, files))
    assert [p.path for p in many] == files
    assert [i for i, p in enumerate(many) if p.error is not None] == [3, 129]
    for i in (0, 2, 4, 63, 64, 128, 130, 149):
        (alone,) = striate.predict(trained, [files[i]])
        first, second = dict(alone.top), dict(many[i].top)  # type: ignore[attr-defined]
        assert first == pytest.approx(second, abs=2e-5)
    assert torch.get_num_threads() == threads


@pytest.mark.skipif(not fused_by_onednn(torch.empty(1, 1, 1, 1)), reason="nothing is folded")
def test_many_images_are_folded_and_few_are_not() -> None:
    cpu = torch.device("cpu")
    assert module.Forward(trained_on(16), cpu, module.MANY).alone
    assert not module.Forward(trained_on(16), cpu, module.MANY - 1).alone


def test_a_reader_that_fails_ends_it_and_who_stops_early_waits_for_nothing() -> None:
    forward = module.Forward(trained_on(16), torch.device("cpu"), 1000)
    asked: list[int] = []

    def read(i: int) -> np.ndarray:
        asked.append(i)
        if i == 500:
            raise MemoryError("no more")
        return np.zeros((3, 16, 16), np.uint8)

    pieces = forward.stream(range(1_000_000), read)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert len(asked) < 5000
    with pytest.raises(MemoryError, match="no more"):
        list(forward.stream(range(1000), read))


def test_five_thousand_images_take_no_more_memory_than_a_thousand(tmp_path: Path) -> None:
    path = str(tmp_path / "one.png")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path)
    answers: Iterator[object] = striate.predict(trained_on(64), Found(files=(path,) * 5000))
    assert sum(1 for _ in islice(answers, 1000)) == 1000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(1 for _ in answers) == 4000
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert more < 16_000  # KiB; kept as they are read, the images would take 49 MB, normalised 197
