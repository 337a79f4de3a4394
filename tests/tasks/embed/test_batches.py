"""Batches of several images of each of several identities; what others reported of theirs is named where it is tried."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.data.augment import Augmentation
from striate.data.preprocessing import Preprocessing
from striate.tasks.embed.batches import BalancedBatches, in_groups
from striate.training.batches import MemoryImages


def batches_of(counts: list[int], batch: int, each: int, seed: int = 0) -> BalancedBatches:
    labels = torch.from_numpy(
        np.random.default_rng(9).permutation(np.repeat(np.arange(len(counts)), counts))
    )
    return BalancedBatches(
        images=MemoryImages(torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8), labels),
        preprocessing=Preprocessing(channels=1, height=2, width=2), augmentation=Augmentation(), classes=len(counts),
        batch=batch, seed=seed, device=torch.device("cpu"), each=each,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "batch", "each"),
    [
        ([12] * 8, 16, 4),
        ([3, 1, 7, 40, 2, 9], 12, 3),
        ([1] * 20, 16, 2),
        ([500, 4, 4, 4], 12, 4),
        ([5, 6], 32, 4),
    ],
)
def test_a_batch_holds_p_different_identities_with_k_images_each(
    counts: list[int], batch: int, each: int
) -> None:
    made = batches_of(counts, batch, each)
    labels = made.images.labels
    for epoch in range(3):
        for index in made.order(epoch):
            drawn = labels[index].reshape(-1, each)
            assert (drawn == drawn[:, :1]).all()  # K of each
            names = drawn[:, 0].tolist()
            assert (
                len(set(names)) == len(names) == min(batch // each, len(counts))
            )  # torchreid 45: one came twice


def test_an_epoch_takes_each_image_about_once() -> None:
    # torchreid 19 and 103, OpenUnReID 39: K images of each identity an epoch, and all others left out.
    made = batches_of([12, 12, 20, 8, 12], 16, 4)
    seen = torch.cat(made.order(0))
    assert (
        len(seen) == 64 and len(seen.unique()) >= 58
    )  # the last groups may all be of one identity
    uneven = batches_of([40, 4, 4, 4, 4, 7], 8, 4)
    times = torch.bincount(
        torch.cat([i for epoch in range(8) for i in uneven.order(epoch)]), minlength=63
    )
    assert times.min() >= 1


def test_a_step_is_the_same_whether_the_loop_began_at_0_or_there() -> None:
    made = batches_of([5, 9, 4, 6, 11], 8, 4, seed=3)
    stream = made.from_step(0)
    first = [next(stream).targets.tolist() for _ in range(12)]
    later = made.from_step(7)
    assert [next(later).targets.tolist() for _ in range(5)] == first[7:]
    assert [
        next(batches_of([5, 9, 4, 6, 11], 8, 4, seed=4).from_step(0)).targets.tolist()
    ] != first[:1]


def test_an_identity_with_few_images_gives_them_again() -> None:
    rng = np.random.default_rng(0)
    assert [sorted(g) for g in in_groups(np.array([7]), 3, rng)] == [[7, 7, 7]]
    groups = in_groups(np.arange(10, 15), 4, rng)
    assert [len(set(g.tolist())) for g in groups] == [
        4,
        4,
    ]  # the second is filled from the first, each once
    assert set(np.concatenate(groups).tolist()) == set(range(10, 15))


def test_thousands_of_identities_fill_batches() -> None:
    # pytorch-metric-learning 237: a sampler for tens of labels, asked for thousands.
    made = batches_of([2] * 5_000, 128, 2)
    order = made.order(0)
    assert len(order) == 10_000 // 128 and len(torch.cat(order).unique()) == len(order) * 128
