"""The shift experiment in small: who moves with the image, and sentences that fit the numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from striate.findings import Finding
from striate.lectures.experiments.learning import answers
from striate.lectures.experiments.setting import Setting
from striate.lectures.experiments.shift.networks import NETWORKS
from striate.lectures.experiments.shift.run import Sizes, canvas, shift, wandering
from striate.robustness.transforms import shifted

SMALL = Sizes(side=20, digit=12, epochs=5, batch=32, limit=256)


@pytest.fixture(scope="module")
def pages() -> dict[str, Finding]:
    return {f.name: f for f in shift(Setting(seed=2), SMALL)}


def test_the_canvas_holds_the_whole_digit_at_every_shift() -> None:
    digits = np.full((2, 8, 8, 1), 255, np.uint8)
    images = canvas(digits, SMALL)
    assert images.shape == (2, 1, 20, 20)
    assert images[0, 0, 4:16, 4:16].min() == 1
    for d in (-SMALL.most, SMALL.most):
        assert shifted(images, d, -d).sum() == images.sum() == 2 * 12 * 12


def test_wandering_moves_every_image_and_loses_nothing() -> None:
    images = canvas(np.full((30, 8, 8, 1), 255, np.uint8), SMALL)
    moved = wandering(images, SMALL.most, torch.Generator().manual_seed(0))
    assert torch.equal(moved.sum((1, 2, 3)), images.sum((1, 2, 3)))
    assert len({tuple(np.argwhere(i.numpy() > 0)[0]) for i in moved[:, 0]}) > 15


@pytest.mark.parametrize(
    ("name", "step"), [("conv, no stride", 1), ("conv, global mean", 8)], ids=str
)
def test_a_global_mean_is_invariant_where_no_stride_comes_between(name: str, step: int) -> None:
    """Far from the borders, by any pixel without strides, by whole strides with them (three poolings by 2)."""
    torch.manual_seed(0)
    network = NETWORKS[name].make(64).eval()
    image = torch.zeros(1, 1, 64, 64)
    image[..., 24:34, 22:33] = torch.rand(10, 11)
    with torch.no_grad():
        here, there = network(image), network(shifted(image, step, -step))
        between = network(shifted(image, 3, 0))
    assert torch.allclose(here, there, atol=1e-5)
    assert torch.allclose(here, between, atol=1e-5) == (step == 1)


def test_the_fully_connected_network_is_not_invariant() -> None:
    torch.manual_seed(0)
    network, image = NETWORKS["mlp"].make(20).eval(), torch.rand(1, 1, 20, 20)
    assert not torch.allclose(answers(network, image), answers(network, shifted(image, 0, 1)), atol=1e-3)  # fmt: skip


def test_the_table_is_the_data_and_the_lecture_holds(pages: dict[str, Finding]) -> None:
    page = pages["shift-accuracy"]
    accuracy = page.data["accuracy"]
    assert set(accuracy) == set(NETWORKS)
    for row in page.tables[0].rows:
        assert list(row[1:-1]) == accuracy[row[0]]
        assert row[-1] == page.data["consistency"][row[0]]
    assert accuracy["mlp"][0] > 0.75
    assert accuracy["mlp"][-1] < accuracy["mlp"][0] - 0.3
    best = max(accuracy, key=lambda n: accuracy[n][-1])
    assert page.data["key_figure"]["value"] == accuracy[best][-1]
    assert f"best is {best}" in page.verdict


def test_each_change_is_worth_the_difference_of_its_networks(pages: dict[str, Finding]) -> None:
    page = pages["shift-accuracy"]
    for _what, names, value, low, high in page.data["steps"]:
        before, after = names.split(" → ")
        there = page.data["accuracy"]
        assert value == pytest.approx(there[after][-1] - there[before][-1], abs=1e-9)
        assert low <= value <= high


def test_the_sevens_sentence_counts_the_answers(pages: dict[str, Finding]) -> None:
    page = pages["shift-seven"]
    moves, said = page.data["moves"], page.data["said"]
    assert moves == list(range(-4, 5))
    for name, kept in page.data["kept"].items():
        assert kept == sum(a == 7 for a in said[name])
        assert [s > 0.5 for s in page.data["scores"][name]] <= [a == 7 for a in said[name]]
    assert f"{page.data['kept']['mlp']} of 9 places" in page.verdict or "all 9" in page.verdict
    others = {a for a in said["mlp"] if a != 7}
    assert all(str(a) in page.verdict for a in others)


def test_strides_cost_equivariance(pages: dict[str, Finding]) -> None:
    error = {(r[0], r[1]): r[5] for r in pages["shift-layers"].data["layers"]}
    assert error["conv, no stride", "conv3"] < 0.2 * error["conv, global mean", "conv3"]
    assert ("mlp", "conv1") not in error


def test_the_same_seed_gives_the_same_pages() -> None:
    tiny = Sizes(side=20, digit=16, epochs=1, batch=32, limit=40)
    first, again, other = (shift(Setting(seed=s), tiny) for s in (3, 3, 4))
    assert [replace(f, seconds=None) for f in again] == [replace(f, seconds=None) for f in first]
    assert other[0].data["accuracy"] != first[0].data["accuracy"]
