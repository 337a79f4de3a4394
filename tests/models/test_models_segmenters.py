"""Networks that label every pixel."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from striate import build, trace
from striate.errors import UsageError
from striate.models import full_size, is_segmenter, names
from striate.models.fcn import bilinear
from striate.models.segnet import SegNet
from striate.nn.full_size import FullSize, fit, on_lattice
from striate.nn.unet import up_twice

SPECS = [
    "unet",
    "unet-valid",
    "segnet",
    "fcn8s",
    "fcn16s",
    "fcn32s",
    "fcn8s:alexnet",
    "fcn8s:compact",
    "fcn16s:lenet5",
    "unet:efficientnet-lite0",
    "unet:timm/mobilenetv3_small_050",
    "fcn8s:[conv8-relu-pool]*3-fc",
]


def test_the_paper_s_unet_has_its_numbers() -> None:
    # Ronneberger, Fischer, Brox (2015), figure 1: 572 x 572 in, 388 x 388 out, for two classes.
    with torch.device("meta"):
        network = build("unet-valid", in_channels=1, num_classes=2)
    geometry = trace(network.eval(), (1, 1, 572, 572))
    assert list(geometry)[-1].out_shape == (1, 2, 388, 388)
    assert geometry.total_params == 31_030_658


@pytest.mark.parametrize("spec", SPECS)
def test_every_pixel_of_any_size_gets_logits(spec: str) -> None:
    torch.manual_seed(0)
    network = full_size(build(spec, in_channels=3, num_classes=4)).eval()
    with torch.inference_mode():
        for height, width in ((70, 101), (33, 40)):
            logits = network(torch.randn(1, 3, height, width))
            assert logits.shape == (1, 4, height, width)
            assert logits.isfinite().all()


def test_names_tell_labellers_from_classifiers() -> None:
    assert {"unet", "unet-valid", "fcn8s", "segnet"} <= set(names(pixels=True))
    assert not set(names()) & set(names(pixels=True))
    assert is_segmenter("unet:timm/resnet18") and is_segmenter("FCN8s:resnet18")
    assert not is_segmenter("resnet18") and not is_segmenter("timm/resnet18")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("segnet:resnet18", "segnet takes no backbone; these do: unet, fcn"),
        ("unet:", "names no backbone; write unet:resnet18"),
        ("unet:unet", "unet has a backbone itself; a backbone classifies"),
        ("fcn8s:mlp", "mlp has no maps of several resolutions"),
        ("fcn8s:lenet5", "cannot be summed over 3; take fcn32s or fcn16s"),
        ("unet:resnet19", "there is no model 'resnet19'"),
        ("unet:timm/resnet19", "timm has no model 'resnet19'"),
    ],
)
def test_what_cannot_be_built_says_so(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(spec, in_channels=3, num_classes=4)


def test_options_of_the_unet() -> None:
    small = build("unet", in_channels=1, num_classes=3, depth=2, width=8, up="bilinear")
    assert small(torch.zeros(2, 1, 20, 24)).shape == (2, 3, 20, 24)
    with pytest.raises(UsageError, match="depth must be 1 to 7, got 0"):
        build("unet", in_channels=1, num_classes=3, depth=0)
    with pytest.raises(UsageError, match="up must be one of transposed, bilinear, nearest"):
        build("unet", in_channels=1, num_classes=3, up="cubic")
    with pytest.raises(UsageError, match="takes sides of 188"):
        build("unet-valid", in_channels=1, num_classes=3)(torch.zeros(1, 1, 256, 256))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_valid_unet_loses_its_margin_and_no_more(depth: int) -> None:
    with torch.device("meta"):
        network = build("unet-valid", in_channels=1, num_classes=2, depth=depth, width=4)
        side = 2 * network.margin + network.least + 3 * network.stride  # type: ignore[operator]
        out = network(torch.empty(1, 1, side, side))  # type: ignore[call-overload]
    assert out.shape[-1] == side - 2 * network.margin  # type: ignore[operator]


def test_full_size_answers_for_the_pixels_in_their_places() -> None:
    # The middle of the answer is the network's own where no mirrored pixel reaches.
    torch.manual_seed(0)
    network = build("unet-valid", in_channels=1, num_classes=2, depth=1, width=4).eval()
    whole = full_size(network)
    assert isinstance(whole, FullSize)
    x = torch.randn(1, 1, 60, 60)
    with torch.inference_mode():
        direct = network(x)
        full = whole(x)
    m = (60 - direct.shape[-1]) // 2
    torch.testing.assert_close(full[..., m:-m, m:-m], direct, rtol=1e-5, atol=1e-6)


def test_on_lattice_pads_and_cuts_back() -> None:
    seen = []

    def network(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.shape[-2:])
        return x * 2

    x = torch.randn(1, 1, 13, 16)
    assert torch.equal(on_lattice(network, x, 8), x * 2)
    assert seen == [(16, 16)]


def test_fit_keeps_the_middle() -> None:
    x = torch.arange(5.0).view(1, 1, 1, 5)
    assert fit(x, torch.zeros(1, 1, 1, 3)).flatten().tolist() == [1, 2, 3]
    assert fit(x, torch.zeros(1, 1, 1, 8)).flatten().tolist() == [0, 0, 1, 2, 3, 4, 4, 4]


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_an_fcn_starts_as_bilinear_interpolation(factor: int) -> None:
    x = torch.randn(1, 2, 9, 9)
    layer = bilinear(2, factor, learn=True)
    with torch.inference_mode():
        got = layer(x)
        wanted = nn.functional.interpolate(x, scale_factor=factor, mode="bilinear")
    # At the border interpolation repeats pixels and the transposed convolution adds nothing.
    inner = slice(factor, -factor)
    assert got.shape == wanted.shape or factor % 2
    m = min(got.shape[-1], wanted.shape[-1])
    torch.testing.assert_close(
        got[..., :m, :m][..., inner, inner], wanted[..., :m, :m][..., inner, inner]
    )


def test_segnet_puts_maxima_back_where_they_came_from() -> None:
    # One stage without weights that change anything: unpooling is torch's by indices.
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 10)
    pooled, indices = nn.functional.max_pool2d(x, 2, return_indices=True)
    wanted = nn.functional.max_unpool2d(pooled.relu(), indices, 2)
    network = SegNet(3, 2, depth=1, width=3)
    network.encoder[0] = nn.Identity()
    seen: list[torch.Tensor] = []
    network.decoder[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    network(x)
    torch.testing.assert_close(seen[0], wanted)


@pytest.mark.parametrize("up", ["bilinear", "nearest"])
def test_interpolation_after_a_1x1_convolution_is_interpolation_before_it(up: str) -> None:
    layer = up_twice(3, 2, up)
    assert isinstance(layer, nn.Sequential)
    x = torch.randn(1, 3, 5, 6)
    torch.testing.assert_close(layer(x), layer[0](layer[1](x)), rtol=1e-5, atol=1e-6)
