"""Distances: what they must be by hand, and equal to the package `lpips` with the same weights."""

from __future__ import annotations

import os

import pytest
import torch
from torch import nn

from striate.errors import UsageError
from striate.geometry import trace
from striate.models import build
from striate.models.stored import read_stored
from striate.similarity import Comparer, feature_layers, linear_weights

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Two(nn.Module):
    """Two channels: the image and its negative, then a mean over 2 x 2 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Conv2d(1, 2, 1, bias=False)
        self.pool = nn.AvgPool2d(2)
        self.next = nn.Conv2d(2, 2, 1, bias=False)
        with torch.no_grad():
            self.kernel.weight.copy_(torch.tensor([1.0, 2.0]).view(2, 1, 1, 1))
            self.next.weight.copy_(torch.eye(2).view(2, 2, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        lowered = self.kernel(x) - torch.tensor([0.0, 1.0]).view(1, 2, 1, 1)
        return self.next(self.pool(torch.relu(lowered))).mean((2, 3))


def test_by_hand() -> None:
    """One pixel in 16 changes from (1, 1) to (0.5, 0): its unit vectors differ by (1 - 1/sqrt 2)² + 1/2 = 2 - sqrt 2."""
    a = torch.ones(1, 1, 4, 4)
    b = a.clone()
    b[..., 1, 2] = 0.5
    found = Comparer(Two().eval(), (1, 1, 4, 4), layers=["relu"])(a, b)
    assert found.distance.item() == pytest.approx((2 - 2**0.5) / 16, rel=1e-6)
    assert found.map[0].argmax().item() == 1 * 4 + 2
    assert found.map[0, 3, 0].item() == 0


def test_equal_images_and_symmetry() -> None:
    torch.manual_seed(0)
    comparer = Comparer(
        build("compact", in_channels=1, num_classes=3, size=(32, 32)).eval(), (1, 1, 32, 32)
    )
    a, b = torch.rand(2, 3, 1, 32, 32)
    assert comparer(a, a).distance.abs().max() == 0
    assert torch.allclose(comparer(a, b).distance, comparer(b, a).distance, rtol=1e-5)
    assert torch.allclose(comparer(a, b).distance, sum(comparer(a, b).layers.values()))
    one_by_one = torch.cat([comparer(x[None], y[None]).distance for x, y in zip(a, b, strict=True)])
    assert torch.allclose(comparer(a, b).distance, one_by_one, rtol=1e-5)


def test_black_where_no_channel_answers() -> None:
    black = torch.zeros(1, 1, 4, 4)
    found = Comparer(Two().eval(), (1, 1, 4, 4), layers=["relu"])(black, black)
    assert found.distance.item() == 0 and bool(torch.isfinite(found.map).all())


def test_gradient_goes_through() -> None:
    a = torch.rand(1, 1, 4, 4, requires_grad=True)
    Comparer(Two().eval(), (1, 1, 4, 4))(a, torch.rand(1, 1, 4, 4)).distance.sum().backward()
    assert a.grad is not None and a.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("vgg16", ["features.3", "features.8", "features.15", "features.22", "features.29"]),
        ("resnet18", ["relu", "layer1.1.relu#2", "layer2.1.relu#2", "layer3.1.relu#2", "layer4.1.relu#2"]),
        ("unet", ["down.0.conv.5", "down.1.conv.5", "down.2.conv.5", "down.3.conv.5", "bottom.5"]),
    ],
)  # fmt: skip
def test_layers_without_names(spec: str, names: list[str]) -> None:
    """VGG's are those that Zhang et al. chose; a U-Net's are those on the way down."""
    with torch.device("meta"):
        module = build(spec, in_channels=3, num_classes=10, size=(224, 224)).eval()
    assert [x.name for x in feature_layers(trace(module, (1, 3, 224, 224)))] == names


def test_a_network_without_maps() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
    with pytest.raises(UsageError, match="no layer whose values still have places"):
        Comparer(flat, (1, 1, 4, 4))


@pytest.mark.parametrize(("net", "spec"), [("alex", "alexnet"), ("vgg", "vgg16")])
def test_equal_to_lpips(net: str, spec: str) -> None:
    lpips = pytest.importorskip("lpips")
    torch.manual_seed(0)
    with pytest.warns(
        UserWarning, match="weights"
    ):  # torchvision of the way in which lpips asks for no weights
        peer = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    module = build(spec, in_channels=3, num_classes=2, size=(224, 224)).eval()
    module.features.load_state_dict(  # type: ignore[union-attr, operator]
        {name.split(".", 1)[1]: tensor for name, tensor in peer.net.state_dict().items()}
    )
    file = os.path.join(os.path.dirname(lpips.__file__), "weights", "v0.1", f"{net}.pth")
    weights = linear_weights(next(iter(read_stored(file).sets.values())), file)  # type: ignore[arg-type]
    a = torch.rand(2, 3, 64, 72)
    b = (a + 0.2 * torch.randn_like(a)).clamp(0, 1)
    found = Comparer(module, (1, 3, 64, 72), mean=MEAN, std=STD, weights=weights)(a, b)
    with torch.no_grad():
        expected = peer(a, b, normalize=True).flatten()
    assert torch.allclose(found.distance, expected, rtol=1e-5, atol=1e-5)
    assert (found.distance - expected).abs().max() < 1e-5


def test_linear_weights_of_another_network() -> None:
    weights = [torch.ones(n) for n in (64, 192, 384, 256, 256)]
    module = build("resnet18", in_channels=3, num_classes=2, size=(64, 64)).eval()
    with pytest.raises(UsageError, match="fitted to AlexNet"):
        Comparer(module, (1, 3, 64, 64), weights=weights)
    with pytest.raises(UsageError, match="belong to no published network"):
        Comparer(module, (1, 3, 64, 64), weights=weights[:2])
    with pytest.raises(UsageError, match="do not fit the layers"):
        Comparer(module, (1, 3, 64, 64), weights=weights[:1], layers=["layer2"])
