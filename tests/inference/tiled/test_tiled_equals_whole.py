"""Tiled inference gives the numbers of the whole image: zoo, timm's families, U-Nets, both strategies, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

import striate
from striate.errors import StriateError, UsageError
from striate.inference.tiled import Tiled, tiled
from striate.nn import DoubleConv


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max() / b.abs().max())


def image(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def settle(module: nn.Module) -> nn.Module:
    """Batch norms with statistics of their own, as after training."""
    generator = torch.Generator().manual_seed(2)
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.1, generator=generator)
            m.running_var.uniform_(0.5, 2, generator=generator)
    return module.eval()


def double(in_channels: int, out_channels: int) -> DoubleConv:
    return DoubleConv(in_channels, out_channels, padded=True, norm=True)


class SmallUNet(nn.Module):
    """Two levels, padded convolutions, transposed convolution up, concatenation across."""

    def __init__(self, bilinear: bool) -> None:
        super().__init__()
        self.down1, self.down2, self.middle = double(2, 6), double(6, 8), double(8, 12)
        if bilinear:
            up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
            self.up2, self.up1 = (
                nn.Sequential(up, nn.Conv2d(12, 8, 1)),
                nn.Sequential(up, nn.Conv2d(8, 6, 1)),
            )
        else:
            self.up2, self.up1 = nn.ConvTranspose2d(12, 8, 2, 2), nn.ConvTranspose2d(8, 6, 2, 2)
        self.right2, self.right1, self.out = double(16, 8), double(12, 6), nn.Conv2d(6, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.down1(x)
        b = self.down2(nn.functional.max_pool2d(a, 2))
        c = self.middle(nn.functional.max_pool2d(b, 2))
        b = self.right2(torch.cat((b, self.up2(c)), 1))
        return self.out(self.right1(torch.cat((a, self.up1(b)), 1)))


STRATEGIES = pytest.mark.parametrize("strategy", ["halo", "carry"])


@STRATEGIES
@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        ("compact", (1, 1, 150, 133)),
        ("resnet18", (1, 3, 161, 130)),
        ("vgg11-bn", (1, 3, 130, 141)),
        ("densenet121", (1, 3, 131, 97)),
        ("googlenet", (1, 3, 129, 160)),
        ("timm/efficientnet_lite0", (1, 3, 160, 130)),
        ("timm/mobilenetv3_small_100", (1, 3, 131, 150)),
        ("timm/convnext_atto", (1, 3, 160, 128)),
        ("timm/regnety_002", (1, 3, 150, 131)),
    ],
)
def test_logits_of_any_size_are_those_of_the_whole(
    spec: str, shape: tuple[int, ...], strategy: str
) -> None:
    module = settle(striate.build(spec, in_channels=shape[1], num_classes=7))
    x = image(*shape)
    with torch.inference_mode():
        whole = module(x)
    assert relative(tiled(module, x, tile=64, strategy=strategy), whole) < 1e-5


@pytest.mark.parametrize(
    "name",
    [
        "resnext50_32x4d", "skresnet18", "resnest14d", "dpn48b", "dla34", "hrnet_w18_small", "inception_v3", "xception41",
        "nf_resnet26", "repvgg_a0", "ghostnet_050", "fbnetc_100", "tinynet_e", "cspresnet50", "ese_vovnet19b_dw",
        "mobilenetv4_conv_small", "regnetz_b16",
    ],
)  # fmt: skip
def test_every_convolutional_family_of_timm(name: str) -> None:
    module = settle(striate.build(f"timm/{name}", in_channels=3, num_classes=7))
    x = image(1, 3, 160, 128)
    with torch.inference_mode():
        whole = module(x)
    assert relative(tiled(module, x, tile=64), whole) < 1e-5


@STRATEGIES
@pytest.mark.parametrize("bilinear", [False, True])
@pytest.mark.parametrize("tile", [16, 40, 500])
def test_a_map_has_no_seams(bilinear: bool, tile: int, strategy: str) -> None:
    module = settle(SmallUNet(bilinear))
    x = image(2, 2, 92, 120)
    with torch.inference_mode():
        whole = module(x)
    assert relative(tiled(module, x, tile=tile, strategy=strategy), whole) < 1e-5
    assert relative(tiled(module, x[0], tile=tile, strategy=strategy), whole[0]) < 1e-5


def test_the_module_is_as_before() -> None:
    module = settle(SmallUNet(False)).train(False)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    tiled(module, image(1, 2, 64, 64), tile=32)
    after = module.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


def test_less_memory_means_smaller_tiles_and_the_same_numbers() -> None:
    module, x = settle(SmallUNet(False)), image(1, 2, 256, 256)
    whole = module(x).detach()
    large, small = Tiled(module, x, memory="120MB"), Tiled(module, x, memory="20MB")
    assert small.plan.cells > large.plan.cells
    assert relative(small.run(), whole) < 1e-5


def test_too_little_memory_says_the_least_that_works() -> None:
    with pytest.raises(StriateError, match=r"[KMG]B"):
        Tiled(settle(SmallUNet(False)), image(1, 2, 256, 256), memory="10KB")


@pytest.mark.parametrize("suffix", [".tif", ".npy"])
def test_from_file_to_file(tmp_path: Path, suffix: str) -> None:
    module = settle(SmallUNet(True))
    pixels = np.random.default_rng(3).integers(0, 256, (100, 80, 2), dtype=np.uint8)
    tifffile.imwrite(
        tmp_path / "in.tif", pixels.transpose(2, 0, 1), tile=(16, 16), planarconfig="separate"
    )
    out = tmp_path / f"out{suffix}"
    tiled(module, tmp_path / "in.tif", tile=32, out=out)
    with torch.inference_mode():
        whole = module(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)[0]
    found = tifffile.imread(out) if suffix == ".tif" else np.load(out)
    assert relative(torch.from_numpy(found).reshape(whole.shape), whole) < 1e-5
    with pytest.raises(UsageError, match="exists"):
        tiled(module, tmp_path / "in.tif", tile=32, out=out)
    tiled(module, tmp_path / "in.tif", tile=32, out=out, force=True)


def test_a_certificate_states_and_checks() -> None:
    module, x = settle(SmallUNet(False)), image(1, 2, 96, 96)
    result, certificate = tiled(module, x, tile=32, certificate=True)
    assert relative(result, module(x).detach()) < 1e-5
    assert certificate.exact
    assert certificate.verdict
    assert certificate.to_dict()
    rows = dict(certificate.rows)
    assert rows["tiles"] == str(certificate.tiles) and rows["strategy"].startswith("tiles ")
    assert "of these" not in rows  # one pass


def test_values_that_are_not_finite_name_their_layer() -> None:
    module = settle(SmallUNet(False))
    with torch.no_grad():
        next(module.middle.parameters())[0] = float("inf")
    with pytest.raises(StriateError, match="middle"):
        tiled(module, image(1, 2, 64, 64), tile=32)


@pytest.mark.parametrize("arguments", [{"tile": 0}, {"memory": "much"}, {"strategy": "magic"}])
def test_wrong_arguments_are_said(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"tile|memory|strategy"):
        tiled(nn.Conv2d(1, 1, 3), image(1, 1, 20, 20), **arguments)


@pytest.mark.parametrize("outputs", [1, 3, 20])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "extra", "dilation"),
    [(1, 2, 0, 1, 1), (2, 2, 0, 0, 1), (3, 2, 1, 1, 1), (3, 2, 0, 0, 1), (4, 2, 1, 0, 1), (5, 3, 2, 2, 1), (3, 3, 0, 0, 2)],
)  # fmt: skip
def test_a_transposed_convolution_of_any_form(
    outputs: int, kernel: int, stride: int, padding: int, extra: int, dilation: int
) -> None:
    """torch's own in one pass: few outputs run as one convolution, others with outputs in whole strides."""
    torch.manual_seed(0)
    up = nn.ConvTranspose2d(4, outputs, kernel, stride, padding, extra, dilation=dilation)
    module = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), up, nn.ReLU()).double().eval()
    x = torch.rand(1, 2, 23, 29, dtype=torch.float64)
    with torch.no_grad():
        whole = module(x)
    for tile in (7, 12):
        torch.testing.assert_close(tiled(module, x, tile=tile), whole, rtol=0, atol=1e-12)
