"""The pass over a data set against the same by brute force."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import DataError, UsageError
from striate.geometry import receptive_field
from striate.inference.folded import Folded
from striate.inference.incremental.kernel import fused_by_onednn
from striate.models import build
from striate.units import Network, index_units
from striate.units.fields import crop, field_box
from striate.units.layers import find_unit
from striate.units.overview import sees
from striate.units.top_images import order_keys, read_keys

SPECS = {
    "compact": (1, 16),
    "resnet18": (3, 32),
    "efficientnet-lite0": (3, 64),
    "[[conv6k5s2-relu]-pool]*2-[fc8-relu]-fc": (3, 32),
}


def network(spec: str, channels: int, size: int) -> Network:
    torch.manual_seed(3)
    module = build(spec, in_channels=channels, num_classes=5, size=size).eval()
    return Network(module, (1, channels, size, size), mean=[0.3] * channels, std=[0.2] * channels)


@pytest.mark.parametrize("spec", SPECS)
def test_index_equals_brute_force(spec: str) -> None:
    channels, size = SPECS[spec]
    net = network(spec, channels, size)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(
        0, 256, (30, channels, size, size), dtype=torch.uint8, generator=generator
    )
    labels = torch.arange(30) % 5
    index = index_units(
        net, [(images[:13], labels[:13]), (images[13:], labels[13:])], top=4, classes=5
    )
    layers = [net.layers[0], net.layers[len(net.layers) // 2], net.layers[-1]]
    values = net.forward(net.images(images), [x.response for x in layers])
    for layer in layers:
        maps = net.maps(layer.response, values[layer.response], 30).reshape(30, layer.units, -1)
        found = index[layer.name]
        peak, place = maps.max(2)
        best = torch.sort(peak, dim=0, descending=True, stable=True)
        torch.testing.assert_close(found.peaks, best.values[:4].T, rtol=1e-4, atol=1e-5)
        same = found.images == best.indices[:4].T
        ties = found.peaks - peak.gather(0, found.images.T).T  # another order only between equals
        assert same.float().mean() > 0.98
        assert ties.abs().max() < 1e-4
        own = place.gather(0, found.images.T).T
        assert (found.places == own).float().mean() > 0.98
        torch.testing.assert_close(found.mean, maps.mean((0, 2)), rtol=1e-4, atol=1e-5)
        share = 2.5 / maps[:, 0].numel()  # the sign of two responses near 0 depends on the batch
        torch.testing.assert_close(
            found.active, (maps > 0).float().mean((0, 2)), atol=share, rtol=0
        )
        dead = (maps <= 0).all(0).float().mean(1)
        torch.testing.assert_close(found.dead_positions, dead, atol=1e-2, rtol=0)
        means = torch.stack([peak[labels == c].clamp(min=0).mean(0) for c in range(5)], 1)
        assert found.class_means is not None
        torch.testing.assert_close(found.class_means, means, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", ["compact", "resnet18", "efficientnet-lite0"])
def test_field_box_is_geometrys_own_at_borders_too(spec: str) -> None:
    channels, size = SPECS[spec]
    net = network(spec, channels, size)
    for layer in [x for x in net.layers if len(x.grid) == 2][::4]:
        rows, cols = layer.grid
        for position in {(0, 0), (rows - 1, cols - 1), (0, cols // 2), (rows // 2, cols // 2)}:
            want = receptive_field(net.geometry, layer.members[-1], position).box
            assert field_box(layer, position, net.size) == want, (layer.name, position)


def test_only_the_crop_decides_a_peak() -> None:
    net = network("[conv4k5-relu-pool]*2-fc", 1, 32)
    layer = net.layer("conv2")
    images = torch.rand(6, 1, 32, 32)
    index = index_units(net, [images], layers=[layer])
    for peak in index[layer.name].top(1):
        hidden = torch.rand(1, 1, 32, 32)
        (top, bottom), (left, right) = peak.box
        hidden[0, :, top:bottom, left:right] = crop(images[peak.image], peak.box)
        found = net.forward(hidden, [layer.response])[layer.response]
        assert float(found[(0, 1, *peak.position)]) == pytest.approx(peak.response, abs=1e-5)


class Functional(nn.Module):
    """Functional, in-place and reused activations, no module of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 2, 3)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.first(x))
        return self.act(self.act(self.second(x)) - 0.5).mean((2, 3))


def test_functional_and_reused_activations_count() -> None:
    net = Network(Functional(), (1, 1, 8, 8))
    assert [(x.name, x.activation, x.units) for x in net.layers] == [
        ("first", "relu", 3), ("second", "relu", 2), ("act#2", "relu", 2)
    ]  # fmt: skip
    index = index_units(net, [torch.rand(5, 1, 8, 8)])
    assert (index["first"].peaks >= 0).all()


def test_a_usual_network_runs_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    net, ran = network("compact", 1, 16), []
    run = Folded.forward
    monkeypatch.setattr(Folded, "forward", lambda *given: (ran.append(1), run(*given))[1])
    index_units(net, [torch.rand(4, 1, 16, 16)])
    assert len(ran) == (2 if fused_by_onednn(torch.empty(1, 1, 1, 1)) else 0)


def test_memory_does_not_grow_with_the_images() -> None:
    net = network("compact", 1, 16)
    few = index_units(net, [torch.rand(8, 1, 16, 16)])
    many = index_units(net, (torch.rand(8, 1, 16, 16) for _ in range(10)))
    assert many.count == 80
    assert few.state_bytes == many.state_bytes < 10**6


def test_keys_keep_order_and_come_back() -> None:
    values = torch.tensor([[-1.5], [0.0], [-0.0], [2.5], [2.5], [1e-30]])
    keys = order_keys(values, 7)
    assert keys.flatten().argsort(descending=True).tolist() == [3, 4, 5, 1, 2, 0]
    back, images = read_keys(keys)
    assert torch.equal(back, values)
    assert images.flatten().tolist() == [7, 8, 9, 10, 11, 12]


def test_dead_selective_and_sparse_units_by_hand() -> None:
    """Four units on four one-pixel images of two classes: one dead, one for class 1, one for all, one for a single image."""
    conv = nn.Conv2d(1, 4, 1)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([0.0, 1.0, 0.0, 1.0]).view(4, 1, 1, 1))
        conv.bias.copy_(torch.tensor([-1.0, -0.5, 1.0, -0.9]))
    net = Network(nn.Sequential(conv, nn.ReLU()), (1, 1, 1, 1))
    images = torch.tensor([0.0, 0.25, 0.75, 1.0]).view(4, 1, 1, 1)
    found = index_units(net, [(images, torch.tensor([0, 0, 1, 1]))], classes=2)["0"]
    assert found.dead.tolist() == [True, False, True, False]  # one never on, one the same for all
    assert found.selectivity is not None
    assert found.preferred is not None
    assert found.preferred.tolist() == [-1, 1, 0, 1]
    assert found.selectivity[1].item() == pytest.approx(1.0)
    assert found.selectivity[2].item() == pytest.approx(0.0)
    # Vinje and Gallant: (1 - (mean)^2 / mean of squares) / (1 - 1/n); peaks 0, 0, 0.25, 0.5 and 0, 0, 0, 0.1
    assert found.sparseness[1].item() == pytest.approx(
        (1 - (0.1875**2) / 0.078125) / 0.75, abs=1e-5
    )
    assert found.sparseness[3].item() == pytest.approx(1.0, abs=1e-5)


def test_bad_input_says_what_to_do() -> None:
    net = network("compact", 1, 16)
    with pytest.raises(DataError, match="no images"):
        index_units(net, [])
    with pytest.raises(DataError, match="no images in the batch"):
        index_units(net, [torch.rand(0, 1, 16, 16)])
    with pytest.raises(DataError, match=r"takes images \(N, 1, 16, 16\), got \(1, 1, 20, 16\)"):
        index_units(net, [torch.rand(2, 1, 20, 16)])
    with pytest.raises(DataError, match=r"got \(1, 3, 16, 16\)"):
        index_units(net, [torch.rand(2, 3, 16, 16)])
    with pytest.raises(DataError, match="uint8 or float"):
        index_units(net, [torch.zeros(2, 1, 16, 16, dtype=torch.int64)])
    with pytest.raises(UsageError, match=r"no layer 'stages.0.00'; .* stages\.0\.0"):
        net.layer("stages.0.00")
    with pytest.raises(UsageError, match="no unit 99; the nearest is 15"):
        find_unit(net.layers[0], 99)


def test_weights_that_are_not_finite_are_refused() -> None:
    module = nn.Conv2d(1, 2, 3)
    with torch.no_grad():
        module.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(UsageError, match="weight holds 1 weights that are not finite"):
        Network(module, (1, 1, 8, 8))


def test_black_images_leave_numbers_finite() -> None:
    net = network("compact", 1, 16)
    found = index_units(
        net, [(torch.zeros(3, 1, 16, 16, dtype=torch.uint8), torch.tensor([0, 1, 2]))], classes=5
    )
    for layer in found.layers.values():
        assert torch.isfinite(layer.mean).all()
        assert layer.dead.all()  # the same for every image
    assert net.module.training is False


def test_module_is_unchanged_and_its_mode_comes_back() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).train()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    index_units(Network(module, (1, 1, 8, 8)), [torch.rand(4, 1, 8, 8)])
    assert all(part.training for part in module.modules())
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_units_behind_attention_say_that_they_see_the_whole_image() -> None:
    """Their crops are those of their own patch; a far pixel changes them all the same."""
    module = build(
        "cct(depth=1, width=16, heads=2)", in_channels=1, num_classes=3, size=(32, 32)
    ).eval()
    network = Network(module, (1, 1, 32, 32))
    by_name = {layer.name: layer for layer in network.layers}
    own = by_name["tokenizer.0"]
    behind = next(x for n, x in by_name.items() if n.endswith("self_attention.out_proj"))
    assert not own.reaching and behind.reaching
    assert "whole image" in sees(behind) and "whole" not in sees(own)
    image = torch.rand(1, 1, 32, 32)
    far = image.clone()
    far[..., -1, -1] += 1
    maps = [
        network.maps(behind.response, network.forward(x, [behind.response])[behind.response], 1)[
            0, :, 0, 0
        ]
        for x in (image, far)
    ]
    assert not torch.equal(*maps)
