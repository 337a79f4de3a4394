"""The line experiment in small: the network and its images, the waves, the spectra, and sentences that fit the numbers."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from striate import ops
from striate.findings import Finding
from striate.lectures.experiments.lines.images import plain_lines, waved, wide_lines
from striate.lectures.experiments.lines.network import (
    LineNetwork,
    Starts,
    count_errors,
    train_starts,
)
from striate.lectures.experiments.lines.run import Sizes, lines
from striate.lectures.experiments.lines.spectra import Reader, energies
from striate.lectures.experiments.setting import Setting

SMALL = Sizes(
    train=400, test=300, strange=60, waved=20, side=32, starts=6, epochs=6, periods=(2.0, 3.0, 8.0), widths=(1, 7),
)  # fmt: skip


@pytest.fixture(scope="module")
def pages() -> dict[str, Finding]:
    return {f.name: f for f in lines(Setting(seed=1), SMALL)}


def handmade() -> LineNetwork:
    """Kernel 1 a vertical stripe, kernel 2 a horizontal one, each voting for its class."""
    network = LineNetwork()
    stripe = torch.full((9, 9), -1 / 72)
    stripe[:, 4] = 1 / 9
    with torch.no_grad():
        network.conv.weight.copy_(torch.stack([stripe, stripe.T])[:, None])
        network.conv.bias.zero_()
        network.linear.weight.copy_(torch.tensor([[-1.0, 1.0], [1.0, -1.0]]))
        network.linear.bias.zero_()
    return network.eval()


def test_the_network_is_the_lectures_formula() -> None:
    torch.manual_seed(0)
    network, image = LineNetwork().eval(), torch.rand(1, 1, 14, 12)
    z1 = ops.conv_im2col(image, network.conv.weight, network.conv.bias)
    z3 = ops.linear(ops.global_mean_pool(ops.relu(z1)), network.linear.weight, network.linear.bias)
    assert torch.allclose(network(image).softmax(1), ops.softmax(z3, -network.tau), atol=1e-6)


def test_votes_say_where_a_kernel_pushes() -> None:
    assert handmade().votes.tolist() == [20.0, -20.0]


def test_networks_side_by_side_are_the_networks_alone() -> None:
    torch.manual_seed(3)
    networks = [LineNetwork().eval() for _ in range(3)]
    x, y = plain_lines(40, size=24, seed=0)
    together = Starts(networks)(x)
    for s, network in enumerate(networks):
        assert torch.allclose(together[:, s], network(x), atol=1e-5)
        assert torch.allclose(Starts(networks).network(s)(x), network(x), atol=1e-6)
        assert count_errors(networks, x, y)[s] == int((network(x).argmax(1) != y).sum())


def test_training_and_test_lines_are_different_images() -> None:
    x, y = plain_lines(20, size=32, seed=4)
    later, labels = plain_lines(20, size=32, seed=4, first=20)
    assert y.tolist() == labels.tolist() == [0, 1] * 10
    assert not any(torch.equal(a, b) for a in x for b in later)
    # A vertical line repeats along its column: differences down are rarer than across.
    down, across = x.diff(dim=2).abs().sum((1, 2, 3)), x.diff(dim=3).abs().sum((1, 2, 3))
    assert torch.equal(down < across, y == 0)


@pytest.mark.parametrize("width", [1, 5])
def test_a_wave_runs_along_the_line_and_moves_its_spectrum(width: int) -> None:
    images, labels = wide_lines(width, 2, size=32, seed=0)
    images[:] = 0
    images[0, :, 8 : 8 + width] = images[1, 8 : 8 + width, :] = 1
    power = torch.fft.fft2(torch.from_numpy(images)).abs() ** 2
    pure = torch.fft.fft2(waved(images, labels, period=4, wave="pure")[:, 0]).abs() ** 2
    raised = torch.fft.fft2(waved(images, labels, period=4, wave="raised")[:, 0]).abs() ** 2
    # cos(2 pi r / 4) puts half the amplitude 8 rows up and half 8 rows down; (1 + cos) / 2 leaves half where it was.
    for moved, share in ((pure, 0.25), (raised, 0.0625)):
        assert torch.allclose(moved[0, 8], share * power[0, 0], atol=1e-2)
        assert torch.allclose(moved[1, :, 24], share * power[1, :, 0], atol=1e-2)
    assert torch.allclose(pure[0, 0], torch.zeros(32), atol=1e-3)
    assert torch.allclose(raised[0, 0], power[0, 0] / 4, atol=1e-2)


@pytest.mark.parametrize("width", [1, 3, 9])
def test_wide_lines_are_as_wide_as_asked(width: int) -> None:
    images, labels = wide_lines(width, 6, size=48, seed=2)
    for image, label in zip(images, labels, strict=True):
        runs = np.flatnonzero((image if label else image.T).any(1))
        assert len(runs) >= width
        along = (image if label else image.T).sum(1).max()
        assert along >= 12


def test_energies_by_parseval_are_those_of_the_full_correlation() -> None:
    torch.manual_seed(5)
    kernels, images = torch.randn(2, 9, 9), torch.rand(3, 1, 20, 17)
    full = F.conv2d(F.pad(images, (8, 8, 8, 8)), kernels[:, None])
    assert torch.allclose(energies(kernels, images), full.square().sum((2, 3)), rtol=1e-4)


def test_the_spectra_know_that_a_wave_breaks_wide_lines_and_not_thin_ones() -> None:
    """Two stripes for kernels: a line nine wide has its energy at low frequencies, where neither listens, until the wave."""
    network = handmade()
    x, y = plain_lines(60, size=48, seed=1)
    assert (network(x).argmax(1) == y).all()
    reader = Reader.of(network, x, y)
    assert reader.vertical == 0
    assert (reader.answers(x) == y).all()
    thin, labels = wide_lines(1, 40, size=48, seed=1)
    wanted = torch.from_numpy(labels)
    pure = waved(thin, labels, period=3, wave="pure")
    assert (reader.answers(pure) != wanted).float().mean() > 0.9
    assert (network(pure).argmax(1) != wanted).float().mean() > 0.9
    raised = waved(thin, labels, period=3, wave="raised")
    assert (network(raised).argmax(1) == wanted).float().mean() > 0.9


def test_training_starts_keeps_no_random_state_and_repeats_itself() -> None:
    x, y = plain_lines(100, size=24, seed=0)
    state = torch.get_rng_state()
    first, losses = train_starts(x, y, seed=7, starts=2, epochs=1)
    assert torch.equal(state, torch.get_rng_state())
    again, same = train_starts(x, y, seed=7, starts=2, epochs=1)
    assert losses == same
    assert all(torch.equal(a.kernels, b.kernels) for a, b in zip(first, again, strict=True))
    other, _ = train_starts(x, y, seed=8, starts=2, epochs=1)
    assert not torch.equal(first[0].kernels, other[0].kernels)
    assert F.cross_entropy(first[1](x), y).item() == pytest.approx(losses[1], abs=1e-5)


def test_the_pages_follow_from_the_seed() -> None:
    tiny = replace(
        SMALL, train=60, test=40, strange=10, waved=6, side=24, starts=2, epochs=1, periods=(2.0, 4.0), widths=(1, 5)
    )  # fmt: skip
    first, again, other = (lines(Setting(seed=s), tiny) for s in (1, 1, 2))
    assert [replace(f, seconds=None) for f in again] == [replace(f, seconds=None) for f in first]
    assert other[1].data["kernels"] != first[1].data["kernels"]


def test_it_learns_and_the_headline_counts_what_it_missed(pages: dict[str, Finding]) -> None:
    page = pages["lines-training"]
    assert page.data["errors"] < 0.1 * 300
    assert page.data["key_figure"]["value"] == pytest.approx(1 - page.data["errors"] / 300)
    assert page.verdict.startswith(f"Misses {page.data['errors']} of 300 unseen images")
    assert page.data["kept"] == int(np.argmin(page.data["losses"]))
    assert page.data["errors_of_starts"][page.data["kept"]] == page.data["errors"]
    assert sum(row[2] for row in page.tables[0].rows) == page.data["errors"]


def test_the_wave_sentence_is_its_cells(pages: dict[str, Finding]) -> None:
    page = pages["lines-waves"]
    cells = page.data["cells"]
    assert len(cells) == 2 * (1 + 2 * 3)
    wide = [c for c in cells if c["width"] == 7 and c["wave"] == "raised"]
    worst = min(wide, key=lambda c: c["right"])
    assert page.data["worst_wide_raised"] == worst
    said = re.search(r"lines of 7 pixels ([\d.]+) %", page.verdict)
    assert said and float(said[1]) == pytest.approx(100 * worst["right"], abs=0.06)
    assert worst["right"] == pytest.approx((worst["vertical"] + worst["horizontal"]) / 2)
    turned = sum(c["wave"] == "pure" and c["right"] <= 0.05 for c in cells)
    assert page.data["turned_by_pure"] == [turned, 6]


def test_the_spectra_sentence_is_the_mean_over_all_conditions(pages: dict[str, Finding]) -> None:
    cells = pages["lines-waves"].data["cells"]
    agree = sum(c["explained"] for c in cells) / len(cells)
    assert pages["lines-spectra"].data["agree"] == pytest.approx(agree)
    assert f"{100 * agree:.1f} %".replace("100.0 %", "100 %") in pages["lines-spectra"].verdict


def test_the_lecture_is_said_to_hold_only_where_it_does(pages: dict[str, Finding]) -> None:
    page = pages["lines-lecture"]
    holds = {row[0]: row[3] for row in page.tables[0].rows}
    missed = pages["lines-domains"].data["missed"]
    assert (holds["Out of domain"] == "yes") == (missed == 0)
    turned, cases = pages["lines-waves"].data["turned_by_pure"]
    assert (holds["Vulnerability: a pure sinusoid"] == "yes") == (turned == cases)
    assert page.data["held"] == sum(v == "yes" for v in holds.values())
