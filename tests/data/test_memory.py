"""Splits as tensors, in memory and through torch's DataLoader."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from striate.data import (
    Preprocessing,
    SplitDataset,
    choose_preprocessing,
    decoded_bytes,
    load_memory,
    open_source,
)
from striate.data.preprocessed import preprocessed
from striate.data.source import ArraySplit
from striate.errors import DataError

Fill = Callable[..., Path]


@pytest.mark.parametrize("size", [8, 11])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_array_in_memory_is_what_each_image_gives(size: int, channels: int) -> None:
    split = open_source("digits").val
    preprocessing = Preprocessing(channels=channels, height=size, width=size)
    images, labels = load_memory(split, preprocessing)
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert images.is_contiguous()
    expected = np.stack([preprocessing.apply(split.image(i)) for i in range(len(split))])
    np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(labels, split.labels)


def test_files_in_memory_are_what_each_image_gives(fill: Fill) -> None:
    source = open_source(fill("a", "b", images=20))
    preprocessing = choose_preprocessing(source, size=(7, 9))
    seen: list[tuple[int, int]] = []
    images, labels = load_memory(source.train, preprocessing, progress=lambda *at: seen.append(at))
    dataset = SplitDataset(source.train, preprocessing)
    assert len(dataset) == len(source.train)
    for i in range(len(dataset)):
        image, label = dataset[i]
        assert torch.equal(image, images[i])
        assert label == labels[i]
    assert seen[-1] == (len(source.train), len(source.train))
    total = sum(load_memory(s, preprocessing)[0].numel() for s in source.splits.values())
    assert decoded_bytes(source, preprocessing) == total == 40 * 3 * 7 * 9


def test_the_tensor_is_a_copy() -> None:
    source = open_source("digits")
    images, labels = load_memory(source.train, choose_preprocessing(source))
    before = source.train.image(0).copy(), source.train.labels.copy()
    images.zero_()
    labels.zero_()
    np.testing.assert_array_equal(source.train.image(0), before[0])
    np.testing.assert_array_equal(source.train.labels, before[1])


def test_chunks_follow_the_order_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.data.preprocessed.CHUNK", 64 * 5)
    split = open_source("digits").val
    order = np.random.default_rng(0).permutation(len(split))
    for size in (8, 9):
        preprocessing = Preprocessing(channels=1, height=size, width=size)
        chunks = list(preprocessed(split, preprocessing, order))
        assert len(chunks) > 20
        whole = np.stack([preprocessing.apply(split.image(int(i))) for i in order])
        np.testing.assert_array_equal(np.concatenate(chunks), whole)


def test_an_empty_split() -> None:
    source = open_source("digits", val=0)
    images, labels = load_memory(source.val, choose_preprocessing(source))
    assert images.shape == (0, 1, 8, 8)
    assert labels.shape == (0,)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_with_worker_processes(fill: Fill, workers: int) -> None:
    source = open_source(fill("a", "b", images=20))  # threads have decoded before the fork
    preprocessing = choose_preprocessing(source)
    dataset = SplitDataset(source.train, preprocessing)
    loader = DataLoader(dataset, batch_size=8, num_workers=workers)
    images = torch.cat([batch[0] for batch in loader])
    assert torch.equal(images, load_memory(source.train, preprocessing)[0])


def test_a_source_travels_to_another_process(fill: Fill) -> None:
    source = open_source(fill("a", "b"))
    dataset = SplitDataset(source.train, choose_preprocessing(source))
    again = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(again[0][0], dataset[0][0])
    assert len(pickle.dumps(dataset)) < 5_000


def test_a_file_that_is_gone_since_is_named(fill: Fill) -> None:
    root = fill("a", "b")
    source = open_source(root)
    preprocessing = choose_preprocessing(source)
    (root / source.train.keys[1]).unlink()
    message = f"cannot read .*{source.train.keys[1]}: there is no such file"
    with pytest.raises(DataError, match=message):
        SplitDataset(source.train, preprocessing)[1]
    with pytest.raises(DataError, match=message):
        load_memory(source.train, preprocessing)


def test_more_than_the_memory_holds() -> None:
    image = np.zeros((1, 1, 1, 1), dtype=np.uint8)
    split = ArraySplit.of(image, np.zeros(1), ["x"]).take(np.zeros(2**20, dtype=np.int64))
    preprocessing = Preprocessing(channels=3, height=8192, width=8192)
    with pytest.raises(
        DataError, match=r"1,048,576 images of 8192 x 8192 pixels need 196,608.0 GiB"
    ):
        load_memory(split, preprocessing)
