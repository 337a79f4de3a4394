"""Our EfficientNet-Lite0 and timm's: the same names, values, gradients and groups of layers."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.data import ImageNetInfo
from timm.models import group_parameters

from striate.models import build, imagenet_classes, layer_groups, lite0

SPEC = {"num_classes": 7, "drop_rate": 0.1, "drop_path_rate": 0.2}


@pytest.fixture
def pair() -> tuple[torch.nn.Module, torch.nn.Module]:
    torch.manual_seed(0)
    theirs = timm.create_model(lite0.ARCHITECTURE, **SPEC)
    ours = build("efficientnet-lite0", **SPEC)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("size", [(64, 64), (97, 130), (33, 40)])
def test_outputs_are_timms(
    pair: tuple[torch.nn.Module, torch.nn.Module], size: tuple[int, int]
) -> None:
    x = torch.randn(2, 3, *size)
    ours, theirs = (network.eval()(x) for network in pair)
    assert torch.equal(ours, theirs)


def test_a_training_step_is_timms(pair: tuple[torch.nn.Module, torch.nn.Module]) -> None:
    x = torch.randn(4, 3, 64, 64)
    outputs = []
    for network in pair:
        torch.manual_seed(1)  # of what is dropped
        outputs.append(network.train()(x))
        outputs[-1].square().sum().backward()
    assert torch.equal(*outputs)
    for ours, theirs in zip(pair[0].parameters(), pair[1].parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)  # type: ignore[arg-type]
    for ours, theirs in zip(pair[0].buffers(), pair[1].buffers(), strict=True):
        assert torch.equal(ours, theirs)


def test_layers_are_grouped_as_timm_groups_them(
    pair: tuple[torch.nn.Module, torch.nn.Module],
) -> None:
    network, theirs = pair
    names = {id(p): name for name, p in network.named_parameters()}
    groups = [sorted(names[id(p)] for p in group) for group in layer_groups(network)]
    matched = group_parameters(theirs, theirs.group_matcher(coarse=False))  # type: ignore[operator]
    head = {"classifier.weight", "classifier.bias"}
    expected = [sorted(set(matched[i]) - head) for i in sorted(matched)]
    assert groups == [group for group in (*expected, sorted(head)) if group]


def test_maps_are_timms() -> None:
    theirs = timm.create_model(lite0.ARCHITECTURE, features_only=True, in_chans=1)
    ours = lite0.maps(in_channels=1, pretrained=False)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(1, 1, 80, 65)
    assert list(ours.channels) == theirs.feature_info.channels()
    assert list(ours.strides) == theirs.feature_info.reduction()
    for a, b in zip(ours.eval()(x), theirs.eval()(x), strict=True):
        assert torch.equal(a, b)


def test_first_weights_have_the_spread_of_timms() -> None:
    """Convolutions sqrt(2 / fan out), where the fan out of a depthwise one is of one channel; the head uniform."""
    torch.manual_seed(2)
    ours = build("efficientnet-lite0", num_classes=50)
    theirs = timm.create_model(lite0.ARCHITECTURE, num_classes=50)
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if a.numel() > 2000:
            assert float(a.detach().std() / b.detach().std()) == pytest.approx(1, abs=0.15), name


def test_imagenets_classes_are_timms() -> None:
    words = [t.partition(",")[0] for t in ImageNetInfo("imagenet-1k").label_descriptions()]
    differing = [(a, b) for a, b in zip(imagenet_classes(), words, strict=True) if a != b]
    assert [b for _, b in differing] == ["crane", "crane", "maillot", "maillot"]
