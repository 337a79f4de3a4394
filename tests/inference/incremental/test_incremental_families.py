"""The zoo and timm's families: the map of incremental inference is that of the plain loop."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from striate.geometry.box import volume
from striate.inference.incremental import Incremental, occlusion
from striate.inference.incremental.occlusion import positions
from striate.models import build

Pair = tuple[int, int]


def lively(network: nn.Module) -> nn.Module:
    """Statistics and weights that hide no mistake: no zeros, no identities."""
    generator = torch.Generator().manual_seed(3)
    for p in network.parameters():
        d = p.data
        if float(d.abs().max()) == 0 or (p.dim() <= 1 and float(d.std(unbiased=False)) == 0):
            p.data += 0.1 * torch.randn(p.shape, generator=generator)
    for m in network.modules():
        if (
            isinstance(m, nn.BatchNorm2d)
            and m.running_mean is not None
            and m.running_var is not None
        ):
            m.running_mean += 0.1 * torch.randn(m.running_mean.shape, generator=generator)
            m.running_var *= 0.7 + 0.6 * torch.rand(m.running_var.shape, generator=generator)
    return network.eval()


def plain(network: nn.Module, image: Tensor, boxes: Tensor, baseline: float, target: int) -> Tensor:
    """One forward pass an image."""
    found = []
    with torch.no_grad():
        for (a, b), (c, d) in boxes.tolist():
            changed = image.clone()
            changed[..., a:b, c:d] = baseline
            found.append(network(changed)[0, target])
    return torch.stack(found)


def compare(
    network: nn.Module,
    size: tuple[int, int],
    channels: int,
    patch: tuple[int, int],
    stride: tuple[int, int],
) -> None:
    image = torch.randn(1, channels, *size, generator=torch.Generator().manual_seed(1))
    rows, columns, boxes = positions(image, patch, stride)
    drops, scores = occlusion(
        network, image, 1, patch=patch, stride=stride, baseline=0.3, return_scores=True
    )
    assert drops.shape == (rows, columns)
    want = plain(network, image, torch.from_numpy(boxes), 0.3, 1)
    scale = max(1.0, float(want.abs().max()))
    torch.testing.assert_close(scores.flatten(), want, rtol=0, atol=1e-5 * scale)
    with torch.no_grad():
        clean = float(network(image)[0, 1])
    torch.testing.assert_close(drops.flatten(), clean - want, rtol=0, atol=2e-5 * scale)


# name: (image, channels, patch, stride); patches and strides that do not divide the image among them
ZOO = {
    "lenet5": ((28, 28), 1, (7, 7), (6, 6)),
    "compact": ((28, 28), 1, (5, 3), (7, 5)),
    "mlp": ((28, 28), 1, (9, 9), (9, 9)),
    "alexnet": ((95, 83), 3, (16, 16), (29, 31)),
    "vgg11-bn": ((64, 64), 3, (9, 9), (17, 17)),
    "resnet18": ((75, 61), 3, (8, 8), (23, 19)),
    "resnet50": ((64, 64), 3, (8, 8), (27, 40)),
    "densenet121": ((64, 64), 3, (7, 9), (28, 28)),
    "googlenet": ((71, 71), 3, (11, 11), (29, 29)),
    "nin": ((96, 96), 3, (16, 16), (40, 40)),
}


@pytest.mark.parametrize("name", ZOO)
def test_zoo(name: str) -> None:
    size, channels, patch, stride = ZOO[name]
    torch.manual_seed(0)
    network = lively(build(name, in_channels=channels, num_classes=4, size=size))
    compare(network, size, channels, patch, stride)


FAMILIES = {
    "seresnet18": 65,
    "efficientnet_lite0": 65,
    "efficientnet_b0": 64,
    "mobilenetv3_small_050": 64,
    "inception_v3": 79,
    "regnety_002": 64,
    "convnext_atto": 64,
    "resnetv2_50": 64,
    "dpn68": 64,
    "res2net50_26w_4s": 48,
    "ghostnet_050": 64,
    "cspresnet50": 48,
    "nf_resnet26": 65,
    "skresnet18": 49,
    "repvgg_a0": 64,
    "poolformer_s12": 64,
    "edgenext_xx_small": 64,
    "levit_128s": 224,
    "vit_tiny_patch16_224": 224,
}


@pytest.mark.parametrize("name", FAMILIES)
def test_timm(name: str) -> None:
    torch.manual_seed(0)
    size = FAMILIES[name]
    network = lively(timm.create_model(name, num_classes=3))
    patch, stride = (size // 6, size // 7), (size // 3 + 5, size // 2)
    compare(network, (size, size), 3, patch, stride)


def test_less_is_computed_than_by_the_plain_loop() -> None:
    """The counts are those of the trace, and boxes are never smaller than what changes."""
    network = build("resnet18", in_channels=3, num_classes=10, size=(96, 96)).eval()
    session = Incremental(network, torch.zeros(3, 96, 96))
    boxes = positions(session.image, 8, 8)[2]
    costs = session.costs(boxes)
    assert costs.plain == len(boxes) * (session.geometry.total_macs or 0)
    assert costs.exact <= costs.planned < costs.plain
    assert costs.bound == pytest.approx(costs.plain / costs.exact)
    exact = 0.0
    for box in boxes.tolist():  # the same, box by box, from the rules themselves
        reached = session.geometry.push(tuple(map(tuple, box)))
        for r in session.geometry.records:
            value = session.geometry.values[r.output]
            if r.live and r.macs:
                exact += r.macs * volume(reached[r.output]) / volume(value.full)
    assert costs.exact == pytest.approx(exact, rel=1e-6)
