"""The views beside the first: drawings, windows, and where a network breaks, against the plain definitions."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from tests_of_pages import NAMES, SIDE, Open, classifier, pictures
from torch.nn import functional as F

from striate import ops


def numbers(studio: Open, grid: str) -> list[list[float]]:
    """A table of numbers as the page shows it."""
    rows = studio.page.locator(f"[data-grid={grid}] tr").all()
    return [[float(c.replace("−", "-")) for c in row.locator("td").all_inner_texts()] for row in rows]  # fmt: skip


def test_a_worked_example_shows_every_product_and_follows_the_sliders(studio: Open) -> None:
    page = studio.go("view=windows&.preset=matrix", ready="[data-grid=output] td")
    x = torch.tensor([[4, 5, 8, 7], [1, 8, 8, 8], [3, 6, 6, 4], [6, 5, 7, 8.0]])
    w = torch.tensor([[1, 4, 1], [1, 4, 3], [3, 3, 1.0]])
    assert numbers(studio, "input") == x.tolist() and numbers(studio, "weight") == w.tolist()
    y = F.conv2d(x[None, None], w[None, None])[0, 0]
    assert numbers(studio, "output") == y.tolist()
    page.locator("#window-grids").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    told = page.locator("#window-products").inner_text()
    terms = told.split(": ")[1].rstrip(".").split(" = ")
    assert told.startswith("Row 1, column 1") and float(terms[1]) == y[1, 1]
    products = [tuple(map(float, t.split(" × "))) for t in terms[0].split(" + ")]
    assert products == list(zip(x[1:, 1:].flatten().tolist(), w.flatten().tolist(), strict=True))
    # The matrix as it is painted: clear where no weight stands, one colour a weight.
    seen = studio.pixels("#window-matrix")
    matrix = ops.conv_matrix(torch.arange(1.0, 10).reshape(1, 1, 3, 3), [4, 4]).toarray()
    assert np.array_equal(seen[..., 3] > 0, matrix > 0)
    assert all(len(np.unique(seen[matrix == k], axis=0)) == 1 for k in range(1, 10))
    # The gradient that reaches the picture, by autograd.
    x.requires_grad_()
    dy = torch.tensor([[10.0, 20], [30, 40]])
    (dx,) = torch.autograd.grad(F.conv2d(x[None, None], w[None, None])[0, 0], x, dy)
    assert numbers(studio, "from") == dy.tolist() and numbers(studio, "to") == dx.tolist()
    page.get_by_role("slider", name="Stride").fill("2")
    page.get_by_role("slider", name="Padding").fill("1")
    studio.until("document.getElementById('window-told').textContent.includes('2 × 1 ')")
    counted = torch.arange(16.0).reshape(4, 4) % 10
    plain = F.conv2d(counted[None, None], torch.ones(1, 1, 3, 3), stride=2, padding=1)
    assert numbers(studio, "input") == counted.tolist()
    assert numbers(studio, "output") == plain[0, 0].tolist()


def test_the_maximum_is_marked_and_takes_the_whole_gradient(studio: Open) -> None:
    studio.go("view=windows&.preset=max", ready="[data-grid=output] td")
    assert numbers(studio, "output") == [[6, 8], [3, 4]]
    assert studio.page.locator("[data-input].won").inner_text() == "6"
    assert numbers(studio, "to") == [[0, 0, 0, 0], [0, 10, 0, 20], [30, 0, 0, 0], [0, 0, 0, 40]]


def test_a_pattern_says_its_sizes_fields_and_costs_or_what_is_wrong(studio: Open) -> None:
    page = studio.go("view=windows&.spec=conv4-relu-pool-fc&.side=8", ready="#pattern-layers td")
    rows = [r.locator("th, td").all_inner_texts() for r in page.locator("#pattern-layers tbody tr").all()]  # fmt: skip
    assert rows[0][2] == "4 × 8 × 8" and rows[0][5] == "3 × 3"
    assert int(rows[0][6]) == 4 * 3 * 9 + 4 and rows[2][2] == "4 × 4 × 4" and rows[2][5] == "4 × 4"
    page.get_by_label("Pattern or name").fill("conv4-nothing")
    studio.until("document.getElementById('pattern-told').textContent.includes('nothing')")


def test_a_curve_breaks_a_layer_is_found_a_channel_is_silenced(studio: Open) -> None:
    page = studio.go("view=break&.along=contrast", ready="#break-chart .hit")
    studio.until("document.querySelectorAll('#break-chart .hit').length === 17")
    said = page.locator("#break-chart").get_attribute("aria-label")
    images = torch.stack([torch.from_numpy(p).float() / 255 for p in pictures()])
    labels = torch.tensor([i % 3 for i in range(10)])
    with torch.no_grad():
        right = (classifier(0)((images - 0.5) / 0.25).argmax(1) == labels).float().mean()
    assert f"100 %: {100 * right:.0f} %" in said
    page.locator("#break-chart").focus()
    page.keyboard.press("ArrowLeft")
    studio.until("document.getElementById('break-sentence').textContent.includes('of 10 images')")
    studio.until("location.hash.includes('.amount=0.875')")
    # What nothing was found for is not offered to be silenced.
    channels = page.locator("#break-channels button").count()
    assert page.locator("#break-silence").is_visible() == (channels > 0)


def test_a_drawing_is_read_as_a_file_is_by_pointer_and_by_keys(studio: Open) -> None:
    page = studio.go("tool=draw")
    studio.until("!document.getElementById('pen').hidden")
    page.get_by_label("Ink").select_option("1")
    studio.until("document.getElementById('pixels').getContext('2d').getImageData(5, 5, 1, 1).data[0] === 0")  # fmt: skip
    studio.pull("#picture", (0.5, 0.2), (0.5, 0.8))
    read = "document.getElementById('pixels').getContext('2d').getImageData({}, {}, 1, 1).data[0]"
    studio.until(f"{read.format(16, 16)} > 240")
    # Answers arrive while the stroke goes on: the last one is of the picture as it is shown in the end.
    end = time.monotonic() + 30
    while True:
        seen = studio.pixels("#pixels")
        with torch.no_grad():
            pixels = torch.from_numpy(seen[..., :3].copy()).permute(2, 0, 1).float() / 255
            shares = classifier(0)((pixels[None] - 0.5) / 0.25)[0].softmax(0)
        told = page.locator("#bars [role=option]").first.inner_text().split("\n")
        if told == [NAMES[int(shares.argmax())], f"{100 * float(shares.max()):.1f} %"]:
            break
        assert time.monotonic() < end, told
        page.wait_for_timeout(50)
    assert seen[3, 3, 0] == 0 and seen.shape[:2] == (SIDE, SIDE)
    page.get_by_role("button", name="Clear").click()
    studio.until(f"{read.format(16, 16)} < 20")
    page.locator("#picture").focus()
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    studio.until(f"{read.format(17, 16)} > 100")


def test_the_camera_is_looked_at_until_it_is_stopped(studio: Open) -> None:
    page = studio.go("tool=draw")
    studio.until("!document.getElementById('pen').hidden")
    page.get_by_role("button", name="Camera").click()
    studio.until("document.getElementById('answer-told').textContent.includes('images a second')")
    assert len(np.unique(studio.pixels("#pixels")[..., :3].reshape(-1, 3), axis=0)) > 3
    page.get_by_role("button", name="Stop the camera").click()
    assert page.get_by_role("button", name="Camera").is_visible()


VIEWS = ["tool=draw", "view=windows", "view=break", "view=compare"]
READY = {
    "view=windows": "#pattern-layers td",
    "view=break": "#break-chart .hit",
    "view=compare": "#panels .share",
}


@pytest.mark.parametrize("where", VIEWS)
def test_axe_finds_nothing_and_a_phone_shows_it_all(studio: Open, where: str) -> None:
    ready: Any = READY.get(where, "#pen:not([hidden])")
    page = studio.go(where, width=390, ready=ready)
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    studio.axe()
