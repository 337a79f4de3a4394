"""The architectures: sizes that their papers and the lectures print, small images, starting
weights.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from striate import models
from striate.errors import UsageError
from striate.models import densenet, lenet5, resnet, vgg
from striate.models.alexnet import response_norm
from striate.models.googlenet import GoogLeNet
from striate.models.initialise import start_layer
from striate.nn import BasicBlock, Bottleneck, DenseLayer, InceptionBlock


def shapes(network: nn.Module, x: Tensor) -> list[tuple[int, ...]]:
    """What leaves each part of a sequence."""
    sizes = []
    for part in network.children():
        x = part(x)
        sizes.append(tuple(x.shape[1:]))
    return sizes


def meta(spec: str, **options: object) -> nn.Module:
    with torch.device("meta"):
        return models.build(spec, **{"num_classes": 10, **options}).eval()


def test_the_printed_summary_of_nin_comes_out() -> None:
    # lecture 001: NiN().layer_summary((1, 1, 224, 224))
    network = meta("nin", in_channels=1, size=224)
    assert shapes(network, torch.empty(1, 1, 224, 224, device="meta")) == [
        (96, 54, 54),
        (96, 26, 26),
        (256, 26, 26),
        (256, 12, 12),
        (384, 12, 12),
        (384, 5, 5),
        (384, 5, 5),
        (10, 5, 5),
        (10, 1, 1),
        (10,),
    ]
    assert isinstance(network[6], nn.Dropout)


def test_lenet5_has_the_sizes_of_the_lectures() -> None:
    # lecture 001: padding 2 on 28 x 28, so that 16 maps of 5 x 5 reach the first fully connected layer
    first = meta("lenet5", in_channels=1)
    assert shapes(first.features, torch.empty(1, 1, 28, 28, device="meta"))[::3] == [
        (6, 28, 28),
        (16, 10, 10),
    ]
    assert first.classifier.fc1.in_features == 16 * 5 * 5
    # 61,706 = 6(25 + 1) + 16(150 + 1) + 120(400 + 1) + 84(120 + 1) + 10(84 + 1)
    assert sum(p.numel() for p in first.parameters()) == 61_706
    # lecture 002: no padding on 32 x 32, nn.Linear(16*5*5, 120)
    second = meta("lenet5-tanh", in_channels=3)
    assert second.classifier.fc1.in_features == 16 * 5 * 5
    assert [type(m) for m in first.features][1:3] == [nn.Sigmoid, nn.AvgPool2d]
    assert [type(m) for m in second.features][1:3] == [nn.Tanh, nn.MaxPool2d]


def test_the_papers_forms_by_their_parameters() -> None:
    """AlexNet of 2012 has 60,965,224; GoogLeNet's 6,998,552 (BVLC's of both), less 7,280 biases, plus two numbers of batch
    norm for each of these maps.
    """
    alexnet = meta("alexnet-2012", num_classes=1000)
    assert sum(p.numel() for p in alexnet.parameters()) == 60_965_224
    assert alexnet.features[0].weight.shape == (96, 3, 11, 11)
    googlenet = meta("googlenet", num_classes=1000)
    assert sum(p.numel() for p in googlenet.parameters()) == 6_998_552 - 7_280 + 2 * 7_280


def test_response_norm_is_the_papers_formula() -> None:
    """Section 3.3: a / (2 + 1e-4 * sum of squares over 5 neighbouring maps) ** 0.75."""
    a = torch.linspace(1, 30, 7).view(1, 7, 1, 1)
    row = a.flatten().tolist()
    expected = [
        x / (2 + 1e-4 * sum(y * y for y in row[max(0, i - 2) : i + 3])) ** 0.75
        for i, x in enumerate(row)
    ]
    assert response_norm()(a).flatten().tolist() == pytest.approx(expected, rel=1e-6)


def test_googlenet_has_the_sizes_of_its_papers_table() -> None:
    # Szegedy et al. (2015), table 1: output size after each stage
    network = meta("googlenet", num_classes=1000)
    assert isinstance(network, GoogLeNet)
    seen: dict[str, tuple[int, ...]] = {}
    for name, part in network.named_children():
        part.register_forward_hook(
            lambda module, args, out, name=name: seen.update({name: tuple(out.shape[1:])})
        )
    network(torch.empty(1, 3, 224, 224, device="meta"))
    assert seen["maxpool1"] == (64, 56, 56)
    assert seen["maxpool2"] == (192, 28, 28)
    assert seen["inception3a"] == (256, 28, 28)
    assert seen["inception3b"] == (480, 28, 28)
    assert [seen[f"inception4{c}"][0] for c in "abcde"] == [512, 512, 512, 528, 832]
    assert seen["inception5b"] == (1024, 7, 7)
    assert seen["fc"] == (1000,)


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        *((f"vgg{d}", d) for d in vgg.DEPTHS),
        *((f"resnet{d}", d) for d in resnet.DEPTHS),
        *((f"densenet{d}", d) for d in densenet.DEPTHS),
    ],
)
def test_a_network_is_named_by_its_layers_with_weights(name: str, depth: int) -> None:
    layers = [
        n
        for n, m in meta(name).named_modules()
        if isinstance(m, (nn.Conv2d, nn.Linear)) and "downsample" not in n
    ]
    assert len(layers) == depth


def test_resnet_shrinks_as_its_papers_table_says() -> None:
    # He et al. (2016), table 1: 112, 56, 56, 28, 14, 7 pixels, and section 4.2 for CIFAR-10
    x = torch.empty(1, 3, 224, 224, device="meta")
    sizes = shapes(meta("resnet50", num_classes=1000), x)
    assert [s[-1] for s in sizes if len(s) == 3] == [112, 112, 112, 56, 56, 28, 14, 7, 1]
    small = shapes(meta("resnet18", size=32), torch.empty(1, 3, 32, 32, device="meta"))
    assert [s[-1] for s in small if len(s) == 3] == [32, 32, 32, 32, 16, 8, 4, 1]


# the side of the last maps for 28 and 32 pixels: enough is left to pool
LAST_MAPS = {
    "resnet18": (4, 4),
    "densenet121": (3, 4),
    "nin": (2, 3),
    "alexnet": (2, 3),
    "vgg16": (1, 1),
}


@pytest.mark.parametrize(("name", "sides"), LAST_MAPS.items())
def test_the_small_stem_leaves_something_of_small_images(name: str, sides: tuple[int, int]) -> None:
    for side, expected in zip((28, 32), sides, strict=True):
        network = meta(name, size=side)
        last: list[tuple[int, ...]] = []
        pool = next(m for m in network.modules() if isinstance(m, nn.AdaptiveAvgPool2d))
        pool.register_forward_pre_hook(lambda m, args, last=last: last.append(tuple(args[0].shape)))
        network(torch.empty(1, 3, side, side, device="meta"))
        assert last[0][-2:] == (expected, expected)


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 32)])
@pytest.mark.parametrize("name", models.names())
def test_every_architecture_takes_small_images(name: str, channels: int, side: int) -> None:
    network = meta(name, in_channels=channels, num_classes=7, size=side)
    assert network(torch.empty(2, channels, side, side, device="meta")).shape == (2, 7)


@pytest.mark.parametrize("name", models.names())
def test_every_architecture_takes_the_images_that_it_was_drawn_for(name: str) -> None:
    entry = models.MODELS[name]
    network = meta(name, in_channels=entry.channels, num_classes=7)
    assert network(torch.empty(2, entry.channels, *entry.size, device="meta")).shape == (2, 7)
    assert entry.paper
    assert entry.description


FAMILIES = ("alexnet", "vgg11", "nin", "googlenet", "resnet18", "densenet121")


@pytest.mark.parametrize("name", FAMILIES)
def test_the_small_stem_follows_the_size_and_can_be_chosen(name: str) -> None:
    def state(**options: object) -> list[tuple[str, torch.Size]]:
        return [(n, p.shape) for n, p in meta(name, **options).named_parameters()]

    assert state(size=(64, 200)) == state(size=64) == state(size=100, small_stem=True)
    assert state(size=(67, 200)) == state(size=224) == state(size=100, small_stem=False)
    assert state(size=64) != state(size=224)


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50", "vgg11-bn", "densenet121", "nin", "lenet5"]
)
def test_a_new_network_answers_in_sensible_numbers(name: str) -> None:
    torch.manual_seed(0)
    network = models.build(name, num_classes=10, size=32).eval()
    with torch.no_grad():
        y = network(torch.randn(8, 3, 32, 32))
    assert 0.01 < float(y.std()) < 10


@pytest.mark.parametrize("name", ["resnet18", "mlp", "lenet5-tanh", "googlenet"])
def test_every_parameter_of_a_network_learns(name: str) -> None:
    torch.manual_seed(1)
    network = models.build(name, num_classes=4, size=32)
    logits = network(torch.randn(6, 3, 32, 32))
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 3, 0, 1])).backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def test_starting_weights_keep_the_variance() -> None:
    # He et al. (2015), equation 10: variance 2 / fan_in before a ReLU, 1 / fan_in before nothing
    torch.manual_seed(2)
    conv = nn.Conv2d(64, 256, 3)
    start_layer(conv, "relu")
    assert float(conv.weight.detach().std()) == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.02)
    assert not conv.bias.any()
    x = torch.randn(100, 64, 5, 5)
    for nonlinearity, function in (("sigmoid", torch.sigmoid), ("tanh", torch.tanh)):
        start_layer(conv, nonlinearity)
        y = function(conv(x * 0.1)).detach()
        assert 0.7 < float(y.std() / 0.1) < 1.7, "a small signal keeps its size"
    linear = nn.Linear(500, 300)
    start_layer(linear, "linear")
    assert float(linear.weight.detach().std()) == pytest.approx(math.sqrt(1 / 500), rel=0.02)


def test_residual_blocks_start_small() -> None:
    # De and Smith (2020): d blocks that each add a variance of 1 / d
    network = models.build("resnet18", num_classes=10)
    blocks = [m for m in network.modules() if isinstance(m, BasicBlock)]
    assert len(blocks) == 8
    assert all(float(b.bn2.weight[0].detach()) == pytest.approx(8**-0.5) for b in blocks)


def test_architectures_are_made_of_the_blocks_of_nn() -> None:
    def kinds(name: str) -> set[type]:
        return {type(m) for m in meta(name).modules()}

    assert BasicBlock in kinds("resnet34")
    assert Bottleneck in kinds("resnet152")
    assert InceptionBlock in kinds("googlenet")
    assert DenseLayer in kinds("densenet201")


def test_options_change_the_network() -> None:
    network = models.build("mlp", in_channels=1, num_classes=3, size=8, hidden=(5,), dropout=0.25)
    assert [n for n, _ in network.named_children()] == [
        "flatten",
        "fc1",
        "relu1",
        "dropout1",
        "fc2",
    ]
    narrow = models.build("googlenet", num_classes=3, wide_kernel=3)
    assert isinstance(narrow, GoogLeNet)
    assert narrow.inception3a.branch3[1].conv.weight.shape[-1] == 3


def test_lenet5_says_what_is_wrong() -> None:
    with pytest.raises(
        UsageError, match=r"8 x 8 pixels.*at pool2; give images of at least 12 x 12"
    ):
        models.build("lenet5", num_classes=10, size=8)
    with pytest.raises(UsageError, match=r"at least 16 x 16"):
        models.build("lenet5-tanh", num_classes=10, size=15)
    models.build("lenet5", num_classes=10, size=12)
    models.build("lenet5-tanh", num_classes=10, size=16)
    with pytest.raises(UsageError, match=r"form must be one of sigmoid, tanh, got 'relu'"):
        lenet5.build(form="relu")  # type: ignore[arg-type]


def test_the_table_is_frozen_and_lists_options() -> None:
    entry = models.MODELS["vgg11-bn"]
    with pytest.raises(AttributeError):
        entry.size = (1, 1)  # type: ignore[misc]
    assert entry.options == ("small_stem", "dropout")
    assert models.MODELS["efficientnet-lite0"].options == ("drop_rate", "drop_path_rate")
    groups = (
        models.names(),
        models.names(pixels=True),
        models.names(objects=True),
        models.names(gradient=False),
    )
    assert sorted(sum(groups, ())) == sorted(models.MODELS)
