"""The head, how a fine-tuning begins, and the layers from input to head."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import skimage.data
import torch
import torchvision
from torch import nn

from striate import models
from striate.errors import UsageError
from striate.models import head, layer_groups, load_weights
from striate.models.finetuning import class_layers, start_head

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


# Families of timm whose heads differ in form: linear, convolution, list, two distilled, norm and
# linear, MLP, class attention with an auxiliary head.
FAMILIES = [
    "timm/resnet10t", "timm/test_vit", "timm/dla46_c", "timm/crossvit_tiny_240", "timm/levit_128s",
    "timm/repvit_m0_9", "timm/deit_tiny_distilled_patch16_224", "timm/caformer_s18", "timm/volo_d1_224",
    "timm/efficientvit_b0", "timm/vgg11", "timm/efficientvim_m1", "timm/test_convnext", "timm/nf_resnet26",
]  # fmt: skip
TORCHVISION = [
    "squeezenet1_1", "mobilenet_v3_small", "resnet18", "densenet121", "inception_v3", "googlenet", "vit_b_16",
    "swin_t", "maxvit_t", "convnext_tiny", "efficientnet_b0", "shufflenet_v2_x0_5", "mnasnet0_5", "vgg11",
]  # fmt: skip


def of_torchvision(name: str, classes: int) -> nn.Module:
    make = getattr(torchvision.models, name)
    beside = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
    with torch.device("meta"):
        network: nn.Module = make(num_classes=classes, **beside)
    return network


@pytest.mark.parametrize("spec", [*models.names(), *FAMILIES, *TORCHVISION, "googlenet with aux"])
def test_the_layers_of_the_classes_are_those_that_change_with_them(spec: str) -> None:
    def make(classes: int) -> nn.Module:
        if spec in TORCHVISION:
            return of_torchvision(spec, classes)
        if spec == "googlenet with aux":
            return meta("googlenet", aux=True, num_classes=classes)
        return meta(spec, num_classes=classes)

    few, many = make(7), make(9)
    shapes = {n: p.shape for n, p in many.named_parameters()}
    changed = {n for n, p in few.named_parameters() if p.shape != shapes[n]}
    inside = {id(p) for layer in class_layers(few) for p in layer.parameters()}
    assert changed == {n for n, p in few.named_parameters() if id(p) in inside}


def first_loss(network: nn.Module, images: torch.Tensor, classes: int) -> float:
    """The cross-entropy with which a training on these images begins, over ln(classes)."""
    with torch.no_grad():
        y = network.eval()(images)
    logits = y if isinstance(y, torch.Tensor) else y[0]
    target = torch.arange(len(images)) % classes
    if logits.dim() == 4:
        target = target[:, None, None].expand(-1, *logits.shape[2:])
    loss = nn.functional.cross_entropy(logits, target)
    return float(loss) / math.log(classes)


def photographs(side: int) -> torch.Tensor:
    """Six crops of three photographs, as the packaged weights take them."""
    taken = [skimage.data.chelsea(), skimage.data.coffee(), skimage.data.rocket()]
    crops = [photo[o : o + side, o : o + side] for o in (0, 150) for photo in taken]
    return torch.stack([torch.from_numpy(c.copy()).permute(2, 0, 1) for c in crops]) / 128 - 1


@pytest.mark.parametrize("classes", [2, 30])
@pytest.mark.parametrize(
    "spec",
    ["efficientnet-lite0", "timm/tf_efficientnet_lite0", "unet:efficientnet-lite0", "fcn8s:efficientnet-lite0"],
)  # fmt: skip
def test_every_fine_tuning_begins_at_the_loss_of_guessing(spec: str, classes: int) -> None:
    torch.manual_seed(classes)
    network = models.build(spec, num_classes=classes, pretrained=True)
    assert first_loss(network, photographs(128), classes) == pytest.approx(1, abs=0.1)
    for layer in class_layers(network):
        assert float(layer.weight.detach().std()) < 0.02
        assert not layer.bias.any()


@pytest.mark.parametrize("spec", ["timm/test_vit", "timm/test_byobnet", "timm/levit_128s"])
def test_a_replaced_head_of_timm_begins_at_the_loss_of_guessing(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with weights from the hub: timm's `create_model(pretrained=True)` then fills all but the head."""
    monkeypatch.setattr(models.building.hub, "_reachable_weights", lambda name: {})
    monkeypatch.setattr("timm.models._builder.load_pretrained", lambda *args, **options: None)
    torch.manual_seed(0)
    network = models.build(spec, num_classes=3, pretrained=True)
    side = 224 if "levit" in spec else 160
    x = torch.randn(6, 3, side, side, generator=torch.Generator().manual_seed(0))
    assert first_loss(network, x, 3) == pytest.approx(1, abs=0.1)
    assert all(float(layer.weight.detach().std()) < 0.02 for layer in class_layers(network))


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small", "resnet18"])
def test_a_head_that_a_file_of_other_classes_leaves_out_starts_small(
    name: str, tmp_path: Path
) -> None:
    """Of torchvision's networks too: their own start is ten times as wide."""
    make = getattr(torchvision.models, name)
    torch.manual_seed(0)
    torch.save(make(num_classes=5).state_dict(), tmp_path / "w.pth")
    network = make(num_classes=3)
    assert load_weights(network, tmp_path / "w.pth", skip_head=True).skipped
    x = torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert first_loss(network, x, 3) == pytest.approx(1, abs=0.1)
    assert all(float(layer.weight.detach().std()) < 0.02 for layer in class_layers(network))


def test_a_head_of_the_classes_of_the_weights_stays_trained() -> None:
    network = models.build("efficientnet-lite0", num_classes=1000, pretrained=True)
    assert network.classifier.weight.std().item() > 0.02
    assert network.classifier.bias.any()


def test_only_the_layers_that_are_named_start_anew() -> None:
    network = models.build("googlenet", num_classes=4, aux=True, size=32)
    before = network.fc.weight.clone()
    start_head(network, {"aux1.fc2.weight"})
    assert torch.equal(network.fc.weight, before)
    assert network.aux1.fc2.weight.std().item() < 0.02 < network.aux2.fc2.weight.std().item()
