"""The neocognitron's experiment in small: its images, its measures, and sentences that fit the numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from striate.findings import Finding
from striate.lectures.experiments.neocognitron.images import canvas, generated, moved
from striate.lectures.experiments.neocognitron.measuring import unchanged
from striate.lectures.experiments.neocognitron.run import Sizes, neocognitron
from striate.lectures.experiments.setting import Setting
from striate.models import Neocognitron

SMALL = Sizes(
    side=16,
    digit=12,
    limit=40,
    present=30,
    planes=(6, 8, 10),
    epochs=1,
    copies=1,
    compared=12,
    seeds=3,
)


@pytest.fixture(scope="module")
def pages() -> dict[str, Finding]:
    return {f.name: f for f in neocognitron(Setting(seed=1), SMALL)}


def test_digits_move_and_bend_and_stay_on_the_canvas() -> None:
    images = canvas(torch.full((6, 8, 8, 1), 255, dtype=torch.uint8).numpy(), 20, 12)
    assert images[0, 0].sum() == pytest.approx(144)
    assert torch.equal(moved(images, 4, -2)[0, 0, 8:20, 2:14], images[0, 0, 4:16, 4:16])
    bent = generated(images, 4, torch.Generator().manual_seed(0))
    assert bent.shape == images.shape
    assert float(bent.min()) >= 0
    assert float(bent.max()) <= 1 + 1e-6
    assert len({round(float(b.sum()), 2) for b in bent}) == 6
    again = generated(images, 4, torch.Generator().manual_seed(0))
    assert torch.equal(bent, again)


def test_a_generated_digit_is_where_its_draws_put_it() -> None:
    """One dot, by hand: the sampling grid says where each pixel comes from."""
    image = torch.zeros(1, 1, 20, 20)
    image[0, 0, 12, 7] = 1
    made = generated(image, 4, torch.Generator().manual_seed(3))[0, 0]
    g = torch.Generator().manual_seed(3)
    angle = (torch.rand(1, generator=g) * 2 - 1) * math.radians(10)
    factor = 1 + (torch.rand(1, generator=g) * 2 - 1) * 0.12
    right, down = (int(torch.randint(-4, 5, (1,), generator=g)) for _ in range(2))
    dx, dy = 7 - 9.5, 12 - 9.5  # from the middle
    there = (
        9.5 + down + float(factor * (math.sin(angle) * dx + math.cos(angle) * dy)),
        9.5 + right + float(factor * (math.cos(angle) * dx - math.sin(angle) * dy)),
    )
    row, column = divmod(int(made.argmax()), 20)
    assert abs(row - there[0]) < 2 and abs(column - there[1]) < 2  # bent by 0.6 pixels


def test_other_seeds_are_counted_with_the_time(pages: dict[str, Finding]) -> None:
    data = pages["neocognitron-seeds"].data
    assert data["seeds"] == 3
    first = pages["neocognitron-accuracy"].data["accuracy"]["lenet5, digits"]
    assert data["right"]["lenet5"][0] == [first[0], first[-1]]
    mean, low, high = data["intervals"]["lenet5"][0]
    shares = [x for x, _ in data["right"]["lenet5"]]
    expected = stats.t.interval(0.95, 2, np.mean(shares), stats.sem(shares))
    assert mean == pytest.approx(np.mean(shares))
    assert [low, high] == pytest.approx(np.clip(expected, 0, 1))


def test_no_seed_begins_when_the_time_is_over() -> None:
    clock = iter(range(0, 10**6, 100))
    found = neocognitron(Setting(seed=1, budget=150.0, clock=lambda: next(clock)), SMALL)
    page = next(f for f in found if f.name == "neocognitron-seeds")
    assert page.data["seeds"] == 2 and page.status == "note"
    assert "2 seeds" in page.verdict


def test_no_shift_leaves_everything() -> None:
    images = torch.rand(8, 1, 16, 16)
    left = unchanged(Neocognitron(planes=(4, 4, 4)).eval(), images, 0)
    assert left["s1"].value == pytest.approx(1)
    assert left["c1"].value == pytest.approx(1)


def test_the_sentences_are_their_numbers(pages: dict[str, Finding]) -> None:
    assert list(pages) == [
        f"neocognitron-{x}" for x in ("accuracy", "seeds", "planes", "shift", "cells")
    ]
    accuracy = pages["neocognitron-accuracy"].data["accuracy"]
    own = accuracy["neocognitron, digits"]
    assert f"{100 * own[0]:.1f} % of 40 unseen digits" in pages["neocognitron-accuracy"].verdict
    used = pages["neocognitron-planes"].data["used"]
    assert f"{used['s1']} of 6 in S1" in pages["neocognitron-planes"].verdict
    c3 = pages["neocognitron-shift"].data["left"]["neocognitron, digits"]["2"]["c3"]
    assert f"correlates {c3[0]:.2f} ({c3[1]:.2f} to {c3[2]:.2f})" in pages["neocognitron-shift"].verdict  # fmt: skip
    cells = pages["neocognitron-cells"].data
    counts = [sum(c[k] for k in ("simple", "complex", "silent")) for c in cells.values()]
    assert counts == [6, 6, 8, 8, 10, 10]
    assert len(pages["neocognitron-planes"].figures) == 2
