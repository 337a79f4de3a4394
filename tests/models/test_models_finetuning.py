"""The head, and the layers from input to head."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from striate import models
from striate.errors import UsageError
from striate.models import head, layer_groups

TIMM = [
    "timm/resnet18",
    "timm/mobilenetv3_small_050",
    "timm/vit_tiny_patch16_224",
    "timm/convnext_atto",
]
PATTERNS = ["[conv8-bn-relu]*3-gap-fc", "conv8-relu-conv-gap"]


def meta(spec: str, **options: object) -> nn.Module:
    with torch.device("meta"):
        return models.build(spec, **{"num_classes": 7, **options})


@pytest.mark.parametrize("spec", [*models.names(), *TIMM, *PATTERNS, "googlenet with aux"])
def test_groups_hold_every_parameter_once_and_end_in_the_head(spec: str) -> None:
    network = meta("googlenet", aux=True) if spec == "googlenet with aux" else meta(spec)
    groups = layer_groups(network)
    listed = [id(p) for group in groups for p in group]
    assert sorted(listed) == sorted(id(p) for p in network.parameters())
    assert all(groups)
    assert {id(p) for p in head(network).parameters()} <= {id(p) for p in groups[-1]}
    assert len(groups) > 1


@pytest.mark.parametrize("spec", [*models.names(), *TIMM, *PATTERNS])
def test_the_head_is_what_changes_with_the_number_of_classes(spec: str) -> None:
    few, many = meta(spec, num_classes=7), meta(spec, num_classes=9)
    shapes = dict(many.named_parameters())
    changed = {n for n, p in few.named_parameters() if p.shape != shapes[n].shape}
    inside = {id(p) for p in head(few).parameters()}
    assert changed == {n for n, p in few.named_parameters() if id(p) in inside and n in changed}
    assert changed


def order(spec: str) -> list[list[str]]:
    network = meta(spec)
    named = {id(p): n for n, p in network.named_parameters()}
    return [[named[id(p)] for p in group] for group in layer_groups(network)]


def test_groups_of_resnet18_are_its_stem_blocks_and_head() -> None:
    groups = order("resnet18")
    assert groups[0] == ["conv1.weight", "bn1.weight", "bn1.bias"]
    assert [g[0].split(".conv1")[0] for g in groups[1:-1]] == [
        f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)
    ]
    assert groups[-1] == ["fc.weight", "fc.bias"]


def test_groups_of_timms_resnet18_are_in_the_same_order() -> None:
    ours, theirs = order("resnet18"), order("timm/resnet18")
    assert theirs[0][0] == ours[0][0]
    assert theirs[-1] == ours[-1]
    flat = [n for g in theirs for n in g]
    assert flat.index("layer1.0.conv1.weight") < flat.index("layer4.1.conv2.weight")


def test_auxiliary_classifiers_train_with_the_head() -> None:
    network = meta("googlenet", aux=True)
    named = {id(p): n for n, p in network.named_parameters()}
    last = {named[id(p)].split(".")[0] for p in layer_groups(network)[-1]}
    assert last == {"fc", "aux1", "aux2"}


def test_groups_follow_the_way_through_the_network() -> None:
    """A parameter of an early group moves the activations that a later group reads, never the other
    way round.
    """
    network = models.build("[conv4-bn-relu]*3-gap-fc", in_channels=1, num_classes=2, size=8).eval()
    x = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    groups = layer_groups(network)
    inputs: list[torch.Tensor] = []
    convs = [m for m in network if isinstance(m, (nn.Conv2d, nn.Linear))]
    for m in convs:
        m.register_forward_pre_hook(lambda m, args: inputs.append(args[0].clone()))
    network(x)
    before = inputs.copy()
    with torch.no_grad():
        groups[1][0].add_(0.1)
    inputs.clear()
    network(x)
    moved = [not torch.equal(a, b) for a, b in zip(inputs, before, strict=True)]
    assert moved == [False, False, True, True]


def test_frozen_parameters_are_in_no_group() -> None:
    network = models.build("resnet18", num_classes=2, size=32)
    network.conv1.weight.requires_grad_(False)
    assert all(p.requires_grad for g in layer_groups(network) for p in g)
    assert id(network.conv1.weight) not in {id(p) for g in layer_groups(network) for p in g}


def test_heads_by_name() -> None:
    assert head(meta("resnet18")) is not None
    network = meta("vgg11")
    assert head(network) is network.classifier[-1]
    network = meta("nin")
    assert head(network) is network[7]
    with torch.device("meta"):
        peer = torchvision.models.mobilenet_v3_small()
    assert head(peer) is peer.classifier[-1]
    layer = nn.Linear(2, 2)
    assert head(layer) is layer
    assert [len(g) for g in layer_groups(layer)] == [2]


def test_several_classifiers_are_one_head() -> None:
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.one, self.two = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)

        def get_classifier(self) -> tuple[nn.Module, nn.Module]:
            return self.one, self.two

    network = TwoHeads()
    assert list(head(network)) == [network.one, network.two]  # type: ignore[call-overload]
    assert [len(g) for g in layer_groups(network)] == [2, 4]


def test_a_network_without_parameters_has_no_head() -> None:
    with pytest.raises(UsageError, match=r"Sequential has no parameters, so it has no head"):
        head(nn.Sequential(nn.ReLU()))
