"""The neocognitron against its paper's equations, worked by hand, and its learning rule (Fukushima 1980)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import striate
from striate.errors import AssumedWarning, UsageError
from striate.models import Neocognitron, build, fit_readout, self_organise
from striate.models.neocognitron import CLayer, SLayer, representatives
from striate.models.neocognitron.cells import Blur, Whole
from striate.units import Network


def bars(side: int = 16) -> Tensor:
    """Black images with one white line: across or upright, at every place that is not on the border."""
    images = torch.zeros(2 * (side - 8), 1, side, side)
    for i, at in enumerate(range(4, side - 4)):
        images[2 * i, 0, at, 3 : side - 3] = 1
        images[2 * i + 1, 0, 3 : side - 3, at] = 1
    return images


def layer(a: float, b: float, r: float) -> SLayer:
    """One S cell on one input cell, so that sums have one term and c is 1."""
    s = SLayer(1, 1, side=1, padding=0, r=r, q=1.0)
    s.excitation.weight.fill_(a)
    s.inhibition.weight.fill_(b)
    return s


def test_an_s_cell_divides_excitation_by_inhibition() -> None:
    # r phi[(1 + a u) / (1 + 2 r / (1 + r) b v) - 1], v = sqrt(u^2) = u
    u = torch.tensor([[[[0.5]]]])
    # r = 4: 4 ((1 + 3 x 0.5) / (1 + 1.6 x 1 x 0.5) - 1) = 4 (2.5 / 1.8 - 1) = 1.5556
    assert layer(3, 1, 4)(u).item() == pytest.approx(1.5556, abs=1e-4)
    # a = 1: (1 + 0.5) / 1.8 is below 1, and the cell is silent
    assert layer(1, 1, 4)(u).item() == 0
    # r = 1.5: 1.5 ((1 + 1.5) / (1 + 1.2 x 0.5) - 1) = 1.5 (2.5 / 1.6 - 1) = 0.84375
    assert layer(3, 1, 1.5)(u).item() == pytest.approx(0.84375)


def test_a_trained_s_cell_is_silent_below_its_cosine() -> None:
    """After one reinforcement by x the cell responds to y where cos(x, y), weighted by c, is above r / (1 + r)."""
    torch.manual_seed(0)
    s = SLayer(1, 1, padding=0, r=4.0, q=1e3)
    s.excitation.weight.zero_()
    x, noise = torch.rand(1, 5, 5), torch.rand(1, 5, 5)
    s.reinforce(x, 0, 0, 0)
    c = s.inhibition.c[0]
    for share in torch.linspace(0, 1, 21):
        y = (1 - share) * x + share * noise.flip(-1) * (noise > 0.6)
        cosine = float((c * x * y).sum() / ((c * x * x).sum() * (c * y * y).sum()).sqrt())
        assert (s(y[None]).item() > 0) == (cosine > 0.8)
    # the pattern itself, far into saturation: r ((1 + r) / r - 1) = 1, whatever its contrast
    assert s(x[None]).item() == pytest.approx(1, abs=0.05)
    assert s(x[None] / 2).item() == pytest.approx(1, abs=0.05)


def test_reinforcement_is_the_papers() -> None:
    s = SLayer(1, 2, side=3, padding=1, r=4.0, q=2.0)
    before = s.excitation.weight.clone()
    u = torch.zeros(1, 4, 4)
    u[0, 0, 0], u[0, 1, 1] = 1.0, 0.5
    s.reinforce(u, 1, 0, 0)
    c = s.inhibition.c[0, 0]
    assert float(s.inhibition.c.sum()) == pytest.approx(1)
    grown = (s.excitation.weight - before)[1, 0]
    # the cell at (0, 0) has its own input in the centre and (1, 1) below to the right
    assert grown[1, 1] == pytest.approx(float(2 * c[1, 1]))
    assert grown[2, 2] == pytest.approx(float(2 * c[2, 2] * 0.5))
    v = math.sqrt(float(c[1, 1] + c[2, 2] * 0.25))
    assert s.inhibition.weight.tolist() == [0, pytest.approx(v)]
    assert torch.equal(s.excitation.weight[0], before[0])


def test_a_c_cell_adds_up_and_is_inhibited_by_the_mean_of_all_planes() -> None:
    # two planes with sums 3 and 0, v = 1.5: (1 + 3) / 2.5 - 1 = 0.6 -> 0.6 / (0.5 + 0.6); (1 + 0) / 2.5 - 1 < 0 -> 0
    u = torch.zeros(1, 2, 2, 2)
    u[0, 0] = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    assert CLayer(Whole())(u).flatten().tolist() == [pytest.approx(0.6 / 1.1), 0]
    blur = Blur(2, 5, 2, 4)
    one = torch.zeros(1, 2, 16, 16)
    one[0, 0, 4, 4] = 1
    # d in the centre 0.3; the mean of the planes 0.15: (1.3 / 1.15 - 1) / (0.5 + ...)
    x = 1.3 / 1.15 - 1
    assert CLayer(blur)(one)[0, 0, 3, 3].item() == pytest.approx(x / (0.5 + x), rel=1e-5)
    assert CLayer(blur)(one)[0, 1].max() == 0


def test_one_seed_a_plane_and_the_strongest_of_each_column() -> None:
    responses = torch.zeros(3, 9, 9)
    # far apart: plane 0 is a candidate of two columns
    responses[0, 1, 1], responses[0, 7, 7] = 1.0, 2.0
    # beside a stronger cell: a candidate of the columns that do not hold that
    responses[1, 1, 2] = 0.5
    responses[2, 1, 7] = 3.0
    chosen = representatives(responses, column=5)
    assert chosen == [(0, 7, 7), (1, 1, 2), (2, 1, 7)]  # of plane 0's candidates the larger
    assert representatives(responses, column=9) == [(2, 1, 7)]  # one column: winner takes all
    assert representatives(torch.zeros(3, 9, 9)) == []


def test_planes_learn_different_features_without_labels() -> None:
    images = bars()
    network = Neocognitron(planes=(6, 8, 8), q=(4.0, 1e3, 1e4)).eval()
    learned = self_organise(network, images, passes=2)
    assert [o.layer for o in learned] == ["s1", "s2", "s3"]
    assert all(o.used >= 2 for o in learned[:2])
    s1 = network.maps(images)["s1"].amax((2, 3))  # (N, planes)
    across, upright = s1[0::2].mean(0), s1[1::2].mean(0)
    assert float((across / (across + upright + 1e-9)).max()) > 0.9
    assert float((upright / (across + upright + 1e-9)).max()) > 0.9


def test_a_shift_changes_c_cells_less_than_s_cells() -> None:
    images = bars()
    network = Neocognitron(planes=(6, 8, 8), q=(4.0, 1e3, 1e4)).eval()
    self_organise(network, images, passes=2)
    before, after = (
        network.maps(images[6:8]),
        network.maps(images[8:10]),
    )  # the same lines a pixel on
    change = {k: float((before[k] - after[k]).norm() / before[k].norm()) for k in before}
    assert change["c1"] < 0.7 * change["s1"]
    assert change["c3"] < 0.3 * change["s1"]


def test_the_papers_maps_and_planes() -> None:
    network = build("neocognitron", in_channels=1, num_classes=10).eval()
    assert isinstance(network, Neocognitron)
    maps = network.maps(torch.rand(1, 1, 16, 16))
    assert {k: tuple(v.shape[1:]) for k, v in maps.items()} == {
        "s1": (24, 16, 16),
        "c1": (24, 10, 10),
        "s2": (24, 8, 8),
        "c2": (24, 6, 6),
        "s3": (24, 2, 2),
        "c3": (24, 1, 1),
    }
    geometry = striate.trace(network, (1, 1, 16, 16))
    units = Network(network, (1, 1, 16, 16))
    assert [units.layer(k).name for k in maps] == [f"{k}.relu" for k in maps]
    field = next(x for x in geometry if x.name == "c1.relu").receptive_field[0]
    assert (field.size, field.stride) == (9, 2)


def test_what_does_not_fit_is_refused_and_gradient_alone_is_warned_of() -> None:
    with pytest.raises(UsageError, match=r"8 x 8 pixels.*at least 9 x 9"):
        build("neocognitron", in_channels=1, num_classes=10, size=8)
    assert build("neocognitron", in_channels=3, num_classes=2, size=9).eval()(
        torch.rand(2, 3, 9, 9)
    ).shape == (2, 2)
    with pytest.raises(UsageError, match="planes is 3 numbers"):
        build("neocognitron", in_channels=1, num_classes=10, planes=(24, 24))
    network = Neocognitron(planes=(2, 2, 2))
    with pytest.warns(AssumedWarning, match="self_organise"):
        network.train()
    assert [n for n, p in network.named_parameters() if p.requires_grad] == ["head.weight", "head.bias"]  # fmt: skip


def test_images_and_labels_that_do_not_fit_are_refused() -> None:
    network = Neocognitron(planes=(4, 4, 4), num_classes=3).eval()
    dots = (torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(0)) > 0.8).float()
    for images in (dots.repeat(1, 3, 1, 1), (255 * dots).to(torch.uint8), dots[0], dots / 0 * 0):
        with pytest.raises(UsageError, match="neocognitron"):
            self_organise(network, images)
    for labels in (torch.zeros(5, dtype=torch.long), torch.full((6,), 7), torch.full((6,), -1)):
        with pytest.raises(UsageError, match="label"):
            fit_readout(network, dots, labels)
    assert not any(o.used for o in self_organise(network, 0 * dots))  # black teaches nothing


def test_a_read_out_of_one_image_is_finite() -> None:
    network = Neocognitron(planes=(4, 4, 4), num_classes=3).eval()
    image = (torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0)) > 0.8).float()
    self_organise(network, image)
    assert fit_readout(network, image, torch.tensor([1])) < 0.5
    assert bool(torch.isfinite(network(image)).all()) and int(network(image).argmax()) == 1
