"""build: names, sizes and arguments, right and wrong."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

import striate.models
from striate import models
from striate.errors import PatternError, UsageError
from striate.models.fitting import check_fits, misfit


@pytest.mark.parametrize("spec", ["VGG11_bn", " vgg11-bn ", "vgg11_BN"])
def test_case_and_underscores_make_no_difference(spec: str) -> None:
    with torch.device("meta"):
        network = models.build(spec, num_classes=2, size=32)
    assert isinstance(network.features[1], nn.BatchNorm2d)


@pytest.mark.parametrize(
    ("typo", "near"),
    [
        ("resnet-18", "resnet18"),
        ("resnet19", "resnet18"),
        ("vgg16bn", "vgg16-bn"),
        ("lenet", "lenet5"),
        ("alexnett", "alexnet"),
        ("efficientnet", "efficientnet-lite0"),
    ],
)
def test_a_typo_gets_the_nearest_names(typo: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"there is no model '{typo}'; did you mean .*{near}"):
        models.build(typo, num_classes=10)


def test_a_name_like_no_other_gets_the_whole_list() -> None:
    with pytest.raises(UsageError, match=r"there are .*resnet18.*timm/NAME and layer patterns"):
        models.build("qqqqq", num_classes=10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, r"num_classes must be a whole number of at least 1, got 0"),
        ({"num_classes": 2.0}, r"num_classes must be .*got 2\.0"),
        ({"num_classes": True}, r"num_classes must be .*got True"),
        ({"num_classes": 2, "in_channels": -1}, r"in_channels must be .*got -1"),
        ({"num_classes": 2, "size": 0}, r"size is \(height, width\) in pixels.*got 0"),
        ({"num_classes": 2, "size": (32, 32, 3)}, r"size is .*got \(32, 32, 3\)"),
        ({"num_classes": 2, "size": (32, 1.5)}, r"size is .*got \(32, 1\.5\)"),
        ({"num_classes": 2, "colour": 1}, r"resnet18 has no option 'colour'; it has small_stem"),
        ({"num_classes": 2, "pretrained": True}, r"no weights of resnet18.*use efficientnet-lite0"),
        ({"num_classes": 2, "pretrained": True, "weights": "x.pth"}, r"pretrained or weights, not"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        models.build("resnet18", **arguments)


@pytest.mark.parametrize("spec", ["", "  ", None, 18])
def test_a_spec_is_a_string(spec: object) -> None:
    with pytest.raises(UsageError, match=r"named by a string such as 'resnet18', got"):
        models.build(spec, num_classes=2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "answer"),
    [
        ("conv32-gap", True),
        ("INPUT -> CONV -> FC", True),
        ("[conv32]*2-fc", True),
        ("fc", True),
        ("lenet5", False),
        ("vgg16-bn", False),
        ("efficientnet-lite0", False),
        ("flat-earth", False),
    ],
)
def test_patterns_and_names_are_told_apart(spec: str, answer: bool) -> None:
    assert models.is_pattern(spec) is answer


def test_patterns_build_for_any_size_and_take_no_options() -> None:
    network = models.build("conv4-relu-pool-fc", in_channels=1, num_classes=3, size=(20, 30))
    assert network(torch.zeros(2, 1, 20, 30)).shape == (2, 3)
    assert models.build("conv4-fc", num_classes=3)(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
    with pytest.raises(UsageError, match=r"takes no options, got dropout"):
        models.build("conv4-fc", num_classes=3, dropout=0.5)
    with pytest.raises(UsageError, match=r"pattern has no published weights"):
        models.build("conv4-fc", num_classes=3, pretrained=True)
    with pytest.raises(PatternError):
        models.build("[conv4-fc", num_classes=3)


# the smallest side that fits, found by hand from the kernels and strides
LEAST = [
    ("alexnet", {}, 8, 15),  # 15 -> 7 -> 3 -> 1
    ("alexnet", {"small_stem": False}, 62, 63),  # 63 -> 15 -> 7 -> 3 -> 1
    ("nin", {}, 14, 15),
    ("vgg16", {"small_stem": False}, 31, 32),
    ("densenet121", {}, 7, 8),
]


@pytest.mark.parametrize(("name", "options", "small", "least"), LEAST, ids=str)
def test_an_image_that_shrinks_to_nothing_is_refused_with_a_size_that_fits(
    name: str, options: dict, small: int, least: int
) -> None:
    with (
        torch.device("meta"),
        pytest.raises(
            UsageError,
            match=rf"{name} shrinks an image of {small} x {small} pixels below one pixel at .*Pool.*"
            rf" come in; give images of at least {least} x {least} pixels",
        ),
    ):
        models.build(name, num_classes=2, size=small, **options)
    with torch.device("meta"):
        models.build(name, num_classes=2, size=least, **options)


def test_the_layer_is_named_with_the_size_that_comes_in() -> None:
    with pytest.raises(
        UsageError,
        match=r"at features.12 \(MaxPool2d.*, where 4 x 1 come in; give images of at least 15 x 15",
    ):
        models.build("alexnet", num_classes=2, size=(20, 8))


def test_an_image_that_fits_no_square_gets_advice_without_a_number() -> None:
    too_greedy = nn.Sequential(nn.AvgPool2d(5000))
    with pytest.raises(UsageError, match=r"where 8 x 8 come in; give larger images"):
        check_fits("greedy", too_greedy, 1, (8, 8))


def test_asking_whether_an_image_fits_leaves_the_network_alone() -> None:
    network = models.build("resnet18", num_classes=2, size=32)
    network.layer1.eval()
    before = {n: t.clone() for n, t in network.state_dict().items()}
    modes = [m.training for m in network.modules()]
    assert misfit(network, 3, (32, 32)) is None
    assert [m.training for m in network.modules()] == modes
    assert all(torch.equal(t, before[n]) for n, t in network.state_dict().items())
    assert all(not m._forward_pre_hooks for m in network.modules())


class Refusing(nn.Module):
    """Fails with `error` unless the image is 20 pixels high."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[2] < 20:
            raise self.error
        return x


def test_a_layer_that_refuses_a_size_is_quoted_with_a_size_that_fits() -> None:
    network = nn.Sequential(nn.ReLU(), Refusing(AssertionError("8 is no good height")))
    with pytest.raises(
        UsageError,
        match=r"odd does not take an image of 8 x 9 pixels at 1: 8 is no good height; "
        r"images of 20 x 20 pixels fit",
    ):
        check_fits("odd", network, 1, (8, 9))
    network = nn.Sequential(nn.Sequential(), nn.Linear(3, 3))
    with pytest.raises(UsageError, match=r"square does not take .* at 1: .*; use another size"):
        check_fits("square", network, 1, (8, 8))


def test_an_operation_without_shapes_is_no_misfit() -> None:
    assert misfit(Refusing(NotImplementedError("no meta kernel")), 1, (8, 8)) is None


def test_the_public_list_is_complete() -> None:
    for name in striate.models.__all__:
        assert hasattr(striate.models, name)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("spec", "message"), [("unet(width=0)", "a layer of no channels"), ("unet(width=-1)", "no option is below zero")]
)  # fmt: skip
def test_a_width_that_leaves_nothing_is_refused(spec: str, message: str, device: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
        with torch.device(device), pytest.raises(UsageError, match=message):
            models.build(spec, num_classes=2, size=32)


def test_options_of_a_network_on_a_backbone_stand_before_the_colon() -> None:
    with torch.device("meta"):
        small = models.build("mask-rcnn(channels=16, hidden=32):efficientnet-lite0", num_classes=3)
        fine = models.build("fcos(finest=4, levels=2):resnet18", num_classes=3)
    assert small.roi_heads.box_head.fc6.weight.shape == (32, 16 * 49)
    assert fine(torch.zeros(1, 3, 64, 64, device="meta")).strides == (4, 8)


@pytest.mark.parametrize("backbone", ["resnet18", "efficientnet-lite0"])
def test_options_behind_the_backbone_are_refused_with_where_they_stand(backbone: str) -> None:
    # Behind efficientnet-lite0 they were left out without a word, and the network had eight times the channels.
    with pytest.raises(UsageError, match=r"write it before the colon: mask-rcnn\(channels=32\)"):
        models.build(f"mask-rcnn:{backbone}(channels=32,hidden=128)", num_classes=3)
    with pytest.raises(UsageError, match="has no option 'colour'"):
        models.build(f"fcos:{backbone}(colour=1)", num_classes=3)
    with pytest.raises(UsageError, match="given in"):
        models.build(f"fcos(levels=2):{backbone}", num_classes=3, levels=3)
