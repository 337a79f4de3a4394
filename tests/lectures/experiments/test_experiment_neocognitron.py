"""The neocognitron's experiment in small: its images, its measures, and sentences that fit the numbers."""

from __future__ import annotations

import pytest
import torch

from striate.findings import Finding
from striate.lectures.experiments.neocognitron.images import canvas, generated, moved
from striate.lectures.experiments.neocognitron.measuring import unchanged
from striate.lectures.experiments.neocognitron.run import Sizes, neocognitron
from striate.lectures.experiments.setting import Setting
from striate.models import Neocognitron

SMALL = Sizes(
    side=16, digit=12, limit=40, present=30, planes=(6, 8, 10), epochs=1, copies=1, compared=12
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


def test_no_shift_leaves_everything() -> None:
    images = torch.rand(8, 1, 16, 16)
    left = unchanged(Neocognitron(planes=(4, 4, 4)).eval(), images, 0)
    assert left["s1"].value == pytest.approx(1)
    assert left["c1"].value == pytest.approx(1)


def test_the_sentences_are_their_numbers(pages: dict[str, Finding]) -> None:
    assert list(pages) == [f"neocognitron-{x}" for x in ("accuracy", "planes", "shift", "cells")]
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
