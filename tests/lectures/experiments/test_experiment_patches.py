"""The patches experiment in small: orders, designs, what is exact, and pages that fit the numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.findings import Finding
from striate.lectures.experiments.patches.networks import (
    FAMILIES,
    Design,
    make,
    matched_width,
    orders,
    parameters,
    reorder,
)
from striate.lectures.experiments.patches.pages import order_page, shift_page, size_page
from striate.lectures.experiments.patches.run import Result, Sizes, canvas, measure
from striate.robustness.transforms import shifted


def test_reordering_moves_whole_patches() -> None:
    x = torch.arange(2 * 16.0).reshape(2, 1, 4, 4)
    swapped = reorder(x, 2, torch.tensor([3, 1, 2, 0]))
    assert torch.equal(swapped[:, :, :2, :2], x[:, :, 2:, 2:])
    assert torch.equal(swapped[:, :, :2, 2:], x[:, :, :2, 2:])
    own = orders(2, 4, seed=0)
    each = reorder(x, 2, own)
    assert torch.equal(each[1:], reorder(x[1:], 2, own[1]))
    back = reorder(swapped, 2, torch.tensor([3, 1, 2, 0]).argsort())
    assert torch.equal(back, x)


@pytest.mark.parametrize("family", FAMILIES)
def test_networks_have_about_equal_parameters(family: str) -> None:
    for patch in (4, 8, 16):
        design = Design(family, patch, "learned" if "transformer" in family else "built in")
        with torch.device("meta"):
            count = parameters(make(design, matched_width(design, 32, 30_000), 32))
        assert abs(count / 30_000 - 1) < 0.15


def test_garments_stay_whole_when_they_move() -> None:
    sizes = Sizes()
    x = canvas(np.full((1, 28, 28, 1), 255, np.uint8), sizes)
    assert x.shape == (1, 1, 32, 32)
    for row, column in ((4, 0), (0, -4)):
        assert float(shifted(x, row, column).sum()) == pytest.approx(float(x.sum()))


def test_without_positions_a_whole_patch_changes_nothing() -> None:
    torch.manual_seed(0)
    sizes = Sizes(side=16, garment=8)
    design = Design("transformer", 4, "none")
    network = make(design, 16, 16).eval()
    x = torch.zeros(3, 1, 16, 16)
    x[:, :, 4:12, 4:12] = torch.rand(3, 1, 8, 8)
    found = measure(design, [network], x, torch.zeros(3, dtype=torch.long), orders(3, 16, 0), sizes)
    change = [float(c.mean()) for c in found.change]
    assert change[0] == 0 and change[4] < 1e-7
    assert min(change[1:4]) > 1e-6
    assert np.array_equal(found.right, found.shuffled)


def result(
    accuracy: float, shuffled: float, change: list[float] | None, count: int = 200
) -> Result:
    """What a network would give that is right on the first images."""
    at = (
        np.arange(count)[None].repeat(2, 0) / count
    )  # less a little below, as 0.8 - 0.2 is above 0.6
    return Result(
        parameters=30_000, macs=1, right=at < accuracy - 1e-9, shuffled=at < shuffled - 1e-9,
        change=[np.full((2, count), c) for c in change or ()], moved=[at < accuracy for _ in change or ()],
    )  # fmt: skip


@pytest.fixture
def results() -> dict[Design, Result]:
    made = {}
    for i, family in enumerate(FAMILIES):
        usual = "learned" if "transformer" in family else "built in"
        for patch in (4, 8):
            change = [0.0, 0.1, 0.2, 0.2, 0.1 + i / 100] if patch == 4 else None
            made[Design(family, patch, usual)] = result(0.9 - patch / 40 - i / 20, 0.2, change)
        made[Design(family, 4, usual, reordered=True)] = result(
            0.8 - i / 20 - 0.2 * (i == 0), 0.2, None
        )
    made[Design("transformer", 4, "none")] = result(0.5, 0.5, [0.0, 0.1, 0.2, 0.1, 0.0])
    return made


def pages(results: dict[Design, Result]) -> dict[str, Finding]:
    x = torch.rand(2, 1, 32, 32)
    ordered = order_page(results, x, orders(1, 64, 0)[0], orders(2, 64, 1))
    return {
        page.name: page for page in (size_page(results, 100, 200, 3), ordered, shift_page(results))
    }


def test_the_pages_say_what_the_numbers_are(results: dict[Design, Result]) -> None:
    made = pages(results)
    assert made["patches-size"].verdict.startswith(
        "With patches of 4 pixels and 30,000 to 30,000 parameters the convolution is best, 80.0 % of 200 unseen"
    )
    order = made["patches-order"].verdict
    assert order.startswith(
        "The transformer without positions predicts the same whatever the order"
    )
    assert "the convolution loses most (−20.0 points)" in order
    assert "no loss is shown for the mixer and the transformer and the compact transformer" in order
    shift = made["patches-shift"].verdict
    assert shift.startswith(
        "Moved by a whole patch of 4 pixels the transformer without positions predicts the same"
    )
    assert "up to 20.0 %" in shift
    assert made["patches-shift"].data["exact"] == ["transformer without positions"]


def test_without_a_difference_none_is_claimed(results: dict[Design, Result]) -> None:
    change = [0.0, 0.1, 0.1, 0.1, 0.1]
    same = {d: result(0.7, 0.2, change if r.change else None) for d, r in results.items()}
    made = pages(same)
    assert "is within the error" in made["patches-size"].verdict
    assert "looks at where patches are" in made["patches-order"].verdict
    assert made["patches-shift"].data["exact"] == []
