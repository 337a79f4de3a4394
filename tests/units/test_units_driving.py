"""Synthesis, silencing, neighbours and filters against what must come out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

from striate.errors import DataError, UsageError
from striate.models import build
from striate.units import Network, Probe, examine, features, kernels_of, maximise, nearest, silence
from striate.units.silencing import predictions


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    module = build("resnet18", in_channels=3, num_classes=4, size=32).eval()
    return Network(module, (1, 3, 32, 32))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(12, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["conv1", "layer1.0.conv1", "layer2.0.relu#2"])
def test_silencing_equals_a_manual_ablation(network: Network, images: Tensor, name: str) -> None:
    layer = network.layer(name)
    found = predictions(network, layer, [None, 3, 5], images)
    path = layer.members[-1].partition("#")[0]
    calls = []

    def ablate(unit: int | None):  # type: ignore[no-untyped-def]
        def hook(module: nn.Module, args: object, out: Tensor) -> Tensor | None:
            calls.append(path)
            number = 2 if "#2" in layer.members[-1] else 1
            if unit is None or len(calls) != number:
                return None
            out = out.clone()
            out[:, unit] = 0
            return out

        return hook

    for row, unit in zip(found, [None, 3, 5], strict=True):
        calls.clear()
        handle = network.module.get_submodule(path).register_forward_hook(ablate(unit))
        with torch.no_grad():
            want = network.module(network.from_pixels(images)).argmax(1)
        handle.remove()
        assert torch.equal(row, want), unit


def test_silencing_counts_by_class(network: Network, images: Tensor) -> None:
    layer = network.layer("layer1.0.conv1")
    labels = predictions(network, layer, [None], images)[0]  # right by construction
    labels = labels.clone()
    found = silence(network, layer, 2, images, labels, 4, others=3)
    assert found.accuracy == 1
    low, high = found.interval
    assert low <= found.change <= high <= 0
    assert len(found.others) == len(found.random) == 3
    assert 2 not in found.others
    assert found.counts.sum() == 12
    share = np.nansum(found.without_per_class * found.counts) / 12
    assert share == pytest.approx(found.without)
    with pytest.raises(UsageError, match="network's output"):
        silence(network, network.layer("fc"), 0, images, labels, 4)
    with pytest.raises(DataError, match="label each"):
        silence(network, layer, 0, images[:0], labels[:0], 4)


def test_neighbours_equal_scikit_learns(network: Network, images: Tensor) -> None:
    distances, numbers = nearest(network, images[:3], [images[:5], images[5:]], count=4)
    known = features(network, images).numpy()
    far, which = NearestNeighbors(n_neighbors=4).fit(known).kneighbors(known[:3])
    assert numbers.tolist() == which.tolist()
    np.testing.assert_allclose(distances, far, atol=1e-4)
    assert numbers[:, 0].tolist() == [0, 1, 2]
    with torch.no_grad():
        inner = network.module
        want = nn.Sequential(*list(inner.children())[:-1])(images).flatten(1)
    np.testing.assert_allclose(known, want, atol=1e-4)
    with pytest.raises(DataError, match="no images to search"):
        nearest(network, images[:1], [], count=2)


class Off(nn.Module):
    """Every unit is off on an image of plain noise: the ReLUs of both layers stop the gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 2, 5), nn.Conv2d(2, 1, 3)
        with torch.no_grad():
            self.first.weight.fill_(1.0)
            self.first.bias.fill_(-20.0)  # on only where 25 pixels sum to more than 20
            self.second.weight.fill_(1.0)
            self.second.bias.fill_(-1.0)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))))


def test_a_unit_that_is_off_is_driven_all_the_same() -> None:
    network = Network(Off(), (1, 1, 16, 16))
    layer = network.layer("second")
    probe = Probe(network, layer)
    found = maximise(network, layer, 0, steps=60, seeds=2, robust=False)
    assert (found.start == -1).all()  # its bias alone: everything below is off
    assert (found.end > 0).all()
    assert (probe.respond(found.images) > 0).all()
    assert float(found.images.mean()) > 0.6  # bright, as it asks for


@pytest.mark.parametrize(("what", "name"), [("unit", "layer2.0.conv1"), ("channel", "layer1.0.conv1"),
                                            ("layer", "layer1.0.conv1"), ("class", "fc")])  # fmt: skip
def test_synthesis_drives_and_is_not_grey(network: Network, what: str, name: str) -> None:
    found = maximise(network, network.layer(name), 1, what=what, steps=12, seeds=2, diversity=0.1)  # type: ignore[arg-type]
    assert (found.end > found.start.max()).all()
    assert not found.grey
    assert float(found.images.min()) >= 0
    assert float(found.images.max()) <= 1
    assert (found.images[0] - found.images[1]).abs().mean() > 0.02  # seeds differ
    again = maximise(network, network.layer(name), 1, what=what, steps=12, seeds=2, diversity=0.1)  # type: ignore[arg-type]
    assert torch.equal(found.images, again.images)


def test_synthesis_refuses_what_it_cannot_do(network: Network) -> None:
    layer = network.layer("conv1")
    with pytest.raises(UsageError, match="steps and seeds"):
        maximise(network, layer, 0, steps=0)
    with pytest.raises(UsageError, match="give its number"):
        maximise(network, layer)
    with pytest.raises(UsageError, match="no unit 64; the nearest is 63"):
        maximise(network, layer, 64)


def test_filters_tell_structure_noise_and_twins_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    wave = torch.sin(torch.arange(7) * 0.9).expand(7, 7)
    noise = torch.randn(7, 7, generator=generator)
    kernels = torch.stack(
        [wave, noise, 2 * wave + 0.01 * noise, torch.zeros(7, 7), -wave]
    ).unsqueeze(1)
    found = examine(kernels)
    assert found.noisy.tolist()[:3] == [False, True, False]
    assert found.duplicates.tolist() == [True, False, True, False, False]
    assert found.twin[:1].tolist() == [2]
    assert found.empty.tolist() == [False, False, False, True, False]


def test_kernels_of_every_kind_stand_unit_first() -> None:
    module = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(6, 8, 2, groups=2), nn.Flatten(),
                           nn.Linear(8 * 49, 5, bias=False))  # fmt: skip
    network = Network(module, (1, 4, 8, 8))
    shapes = [tuple(k.shape) for x in network.layers if (k := kernels_of(network, x)) is not None]
    assert shapes == [(6, 2, 3, 3), (8, 3, 2, 2), (5, 392, 1, 1)]
    turned = kernels_of(network, network.layers[1])
    assert turned is not None
    assert torch.equal(turned[5, 1], module[1].weight[4, 1])  # type: ignore[index]
