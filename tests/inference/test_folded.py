"""The folded form of a network gives what the module gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.inference import folded as folded_file
from striate.inference.folded import fold, fold_values
from striate.inference.incremental.kernel import fused_by_onednn
from striate.models import build
from striate.units import Network

pytestmark = pytest.mark.skipif(
    not fused_by_onednn(torch.empty(1, 1, 1, 1)), reason="torch was built without oneDNN"
)


def settled(module: nn.Module) -> nn.Module:
    """In evaluation form, with statistics of batch norm that change something."""
    generator = torch.Generator().manual_seed(1)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            own = [] if part.weight is None else [part.weight.data, part.bias.data]
            scales, shifts = [part.running_var, *own[:1]], [part.running_mean, *own[1:]]
            for low, tensors in ((0.5, scales), (-0.3, shifts)):
                for tensor in tensors:
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) + low)
    return module.eval()


class Tails(nn.Module):
    """Sums whose parts are read again: as a view, by another sum, and as the result."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6))
        self.third = nn.Conv2d(6, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        view = x[:, :, ::2]
        y = torch.relu(self.second(x) + x)
        z = self.third(y) + x
        w = nn.functional.relu6(self.third(z) + y)
        return torch.cat([w.mean((2, 3)), z.amax((2, 3)), view.mean((2, 3))], 1)


class Mixes(nn.Module):
    """Gives each image what depends on the others."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x).mean((2, 3))
        return y - y.mean(0)


@pytest.mark.parametrize(
    "spec", ["efficientnet-lite0", "resnet18", "densenet121", "lenet5", "tails"]
)
def test_it_gives_what_the_module_gives_in_double_precision(spec: str) -> None:
    torch.manual_seed(0)
    module = Tails() if spec == "tails" else build(spec, num_classes=7, size=64)
    images = torch.randn(3, 3, 64, 64)
    settled(module)
    with torch.no_grad():
        exact = module.double()(images.double())
    folded = fold(module.float(), images[:2])
    assert folded is not None
    near = 2e-5 * float(exact.abs().max())
    for count in (3, 1):
        found = folded(images[:count]).double()
        torch.testing.assert_close(found, exact[:count], rtol=1e-3, atol=near)


class Padded(nn.Module):
    """Zero padding that is uneven, shared, negative or not of zeros in front of convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, 2), nn.Conv2d(6, 6, (3, 5), 2, groups=6)
        self.c, self.d = nn.Conv2d(6, 4, 3, dilation=2), nn.Conv2d(6, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(nn.functional.pad(x, (0, 1, 1, 2)))
        y = self.b(nn.functional.pad(x, (1, 2, 0, 1)))
        shared = nn.functional.pad(y, (2, 3, 2, 3))
        z = self.c(shared)
        one = self.d(nn.functional.pad(y, (1, 1, 1, 2), value=1.0))
        cut = self.d(nn.functional.pad(y, (2, -1, 1, 1)))
        front = self.d(nn.functional.pad(y, (2, 1, 2, 1)))
        return torch.cat([t.amax((2, 3)) for t in (shared, z, one, cut, front)], 1)


def test_padding_in_front_of_a_convolution_is_done_by_it() -> None:
    torch.manual_seed(0)
    module, images = Padded().eval(), torch.randn(2, 3, 33, 38)
    folded = fold(module, images)
    assert folded is not None
    with torch.no_grad():
        exact = module.double()(images.double())
    torch.testing.assert_close(folded(images).double(), exact, rtol=1e-4, atol=1e-5)
    pads = [n for n in folded.network.nodes if n.record.op == "constant_pad_nd"]
    assert len(pads) == 4  # that of the stem and the one behind it are gone


class Shared(nn.Module):
    """A convolution whose maps two batch norms read, and that runs twice (spikingjelly#662)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.one, self.two = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        z = self.two(self.layer(x))
        return torch.cat([t.amax((2, 3)) for t in (self.one(y), self.two(y), z)], 1)


def ended(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())


FOLDED = {
    "affine=False (pytorch#45474)": ended(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), nn.ReLU()),
    "a bias of its own (yolov3#807)": ended(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.LeakyReLU(0.2)),
    "shared": Shared(),
    "groups and dilation": ended(nn.Conv2d(3, 6, 3, dilation=2, groups=3), nn.BatchNorm2d(6), nn.Hardtanh(-2, 2)),
    "weights of a parametrisation": ended(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4)),
    "reflected borders": ended(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(4)),
    "batch norm first": ended(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)),
    "writes into its input": ended(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3)),
    "a number of images in its shapes": nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Unflatten(1, (4, 196))),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDED)
def test_what_other_tools_fold_wrongly_is_right(name: str) -> None:
    module, images = settled(FOLDED[name]), torch.randn(3, 3, 16, 16)
    folded = fold(module, images[:2])
    assert folded is not None
    with torch.no_grad():
        for part in (images, images[:1], -images):
            torch.testing.assert_close(folded(part), module(part.clone()), rtol=1e-4, atol=1e-5)


def test_the_module_and_the_images_stay_as_they_were() -> None:
    module, images = settled(Tails()), torch.randn(2, 3, 16, 16)
    state, kept = {k: v.clone() for k, v in module.state_dict().items()}, images.clone()
    folded = fold(module, images)
    assert folded is not None
    folded(images)
    assert torch.equal(images, kept)
    assert all(torch.equal(v, state[k]) for k, v in module.state_dict().items())


def test_what_cannot_be_folded_is_left_as_it_is() -> None:
    images = torch.randn(2, 3, 16, 16)
    hooked = settled(Tails())
    hooked.second.register_forward_hook(lambda module, args, output: output * 2)
    several = nn.Module()
    several.layer = nn.Conv2d(3, 4, 3)
    several.forward = lambda x: [several.layer(x), x]  # type: ignore[method-assign]
    dropping = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout()).eval()
    dropping[1].training = True
    assert fold(hooked, images) is None
    assert fold(Mixes().eval(), images) is None
    assert fold(several.eval(), images) is None
    assert fold(nn.Sequential(nn.Flatten(), nn.Linear(768, 2)).eval(), images) is None
    assert fold(settled(Tails()).double(), images.double(), torch.float64) is None
    unknown = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    assert fold(unknown, images) is None
    noisy = fold(nn.Sequential(nn.Conv2d(3, 4, 3), Noise()).eval(), images)
    assert noisy is None


@pytest.mark.parametrize("spec", ["efficientnet-lite0", "tails"])
def test_in_bfloat16_it_is_as_near_as_the_module_is(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folded_file, "fused_by_onednn", lambda weight: True)  # where it is not fast
    torch.manual_seed(0)
    module = settled(Tails() if spec == "tails" else build(spec, num_classes=7, size=32))
    images = torch.randn(2, 3, 32, 32)
    folded = fold(module, images, torch.bfloat16)
    assert folded is not None
    with torch.no_grad():
        exact = module(images)
        with torch.autocast("cpu", torch.bfloat16):
            plain = module(images).float()
    off, own = ((one - exact).abs().max() for one in (folded(images), plain))
    assert 0 < off <= 2.5 * own


def test_what_takes_too_much_memory_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    module, images = settled(Tails()), torch.randn(2, 3, 16, 16)
    assert fold(module, images) is not None
    monkeypatch.setattr(folded_file, "MOST_BYTES", 20_000)
    assert fold(module, images) is None


class Noise(nn.Module):
    """Draws numbers at every pass."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


def test_values_on_the_way_are_the_modules() -> None:
    torch.manual_seed(0)
    module = settled(Tails())
    images = torch.randn(3, 3, 8, 8)
    network = Network(module, (1, 3, 8, 8))
    convolved = next(r.output for r in network.geometry.records if r.name == "second.0")
    ends = [r.output for r in network.geometry.records if "relu" in r.op or r.op == "hardtanh"]
    assert len(ends) == 3
    with torch.inference_mode():
        exact = network.forward(images, [*ends, convolved])
        found: dict[int, Tensor] = {}
        folded = fold_values(network.geometry, module, ends, images, exact)
        assert folded is not None
        folded(images, lambda index, value: found.update({index: value.clone()}))
        for end in ends:
            assert torch.allclose(found[end], exact[end], atol=1e-5)
        by_hand = module.first(images)
        assert torch.allclose(found[ends[0]], by_hand, atol=1e-5)
        # What lies within a folded step is not made, and what differs is not taken.
        assert fold_values(network.geometry, module, [convolved], images, exact) is None
        other = {**exact, ends[1]: exact[ends[1]] * 1.001}
        assert fold_values(network.geometry, module, ends, images, other) is None
