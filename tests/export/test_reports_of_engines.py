"""More reports to other tools' trackers, of engines that fuse layers wrongly and of networks that were not as they should
be: each file is run again by its own engine on other images, against float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import striate
from striate import api
from striate.data import Preprocessing
from striate.errors import ExactnessError, UsageError

from .test_reports import Head, answers, differ, wrapped


class AveragePadded(Head):
    """pytorch#183528: the last windows of an average that counts its padding and rounds up were divided by too much."""

    def middle(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=True)


class Scaled(Head):
    """ncnn#6836, pytorch#27376: a scale that gives no whole number of pixels was taken anew from these."""

    def middle(self, x: Tensor) -> Tensor:
        modes = ("bilinear", "bicubic")
        return torch.cat([F.interpolate(x, scale_factor=1.5, mode=m)[..., :9] for m in modes], 3)


class ChannelSlope(Head):
    """openvino#35958, openvino#33371: the slopes of a PReLU went to another axis; here both are as long."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.PReLU(4)
        self.slope.weight.data = torch.tensor([0.5, -1.5, 2.5, 0.1])

    def middle(self, x: Tensor) -> Tensor:
        return self.slope(x[:, :, :4, :4])


class Encoder(Head):
    """pytorch#110557: the encoder's fast way, which the exporter did not take."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.2, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def middle(self, x: Tensor) -> Tensor:
        return self.encoder(x.flatten(2).transpose(1, 2)).transpose(1, 2)


class WholeMean(Head):
    """onnxruntime#20357: a mean over channels, rows and columns at once was another one in OpenVINO."""

    def middle(self, x: Tensor) -> Tensor:
        return x * x.mean((1, 2, 3), keepdim=True) + x.std((1, 2, 3), keepdim=True)


class ChannelScale(Head):
    """onnxruntime#25855, onnx#8203: a scale of another axis was fused into a norm over the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = (
            nn.Parameter(torch.rand(4, 1, 1)),
            nn.Parameter(torch.rand(4, 1, 1)),
        )

    def middle(self, x: Tensor) -> Tensor:
        along = x.shape[-1:]
        normed = F.layer_norm(x, along) * self.scale + self.shift
        return normed + F.rms_norm(x, [int(n) for n in along]) * self.scale


class Skip(Head):
    """onnxruntime#17689: a sum and the norm behind it were fused, and lost digits."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(4), nn.Linear(4, 4)

    def middle(self, x: Tensor) -> Tensor:
        last = x.permute(0, 2, 3, 1)
        return self.norm(last + self.mix(last)).permute(0, 3, 1, 2) + x


class Instance(Head):
    """onnxscript#1262, pytorch#128501: instance norms went out as batch norms in training, or for no batch of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = nn.InstanceNorm2d(4, track_running_stats=True, affine=True)
        self.own, self.groups = nn.InstanceNorm2d(4), nn.GroupNorm(2, 4)
        self.kept.running_mean = torch.tensor([0.3, -0.2, 0.1, 0.5])
        self.kept.running_var = torch.tensor([0.4, 1.7, 0.9, 0.2])

    def middle(self, x: Tensor) -> Tensor:
        return self.kept(x) + self.own(x) * x + self.groups(x)


class Hard(Head):
    """openvino#37989: chains of clamped activations were compiled to something else."""

    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Conv2d(4, 4, 3, groups=2)

    def middle(self, x: Tensor) -> Tensor:
        y = F.hardswish(self.again(x))
        bent = F.hardsigmoid(y * 2) + F.mish(y) + F.gelu(y, approximate="tanh")
        return bent + F.softplus(y, beta=3, threshold=1) + y.clamp(-0.2, 0.4)


class Unpooled(Head):
    """pytorch#39046: a pooling that is undone by the places of its largest values."""

    def middle(self, x: Tensor) -> Tensor:
        largest, where = F.max_pool2d(x, 2, return_indices=True)
        return F.max_unpool2d(largest, where, 2, output_size=x.shape[2:])


class Shuffled(Head):
    """Channels and pixels that change places."""

    def middle(self, x: Tensor) -> Tensor:
        x = x[:, :, :12, :12]
        return F.pixel_shuffle(F.pixel_unshuffle(x, 3).roll(1, 1), 3) + F.channel_shuffle(x, 2)


KINDS = (
    AveragePadded, Scaled, ChannelSlope, Encoder, WholeMean, ChannelScale, Skip, Instance, Hard, Unpooled, Shuffled
)  # fmt: skip


@pytest.mark.parametrize("end", [".onnx", ".xml"])
def test_networks_that_engines_fuse_go_out_right(end: str, tmp_path: Path) -> None:
    if end == ".xml":
        pytest.importorskip("openvino", reason="the extra striate[openvino] is not installed")
    trained, file = wrapped(KINDS), tmp_path / f"m{end}"
    assert api.export(trained, file, size=(15, 13)).status == "good"
    assert not differ(trained, file)


class Adaptive(Head):
    """A pooling to a given size, of sides that it does not divide."""

    def middle(self, x: Tensor) -> Tensor:
        return F.adaptive_max_pool2d(x, (7, 5))


def test_what_onnx_has_no_word_for_is_refused_with_the_layer(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"adaptive_max_pool2d of layer parts\.0; export to \.pt2"):
        api.export(wrapped((Adaptive,)), tmp_path / "m.onnx", size=(15, 13))
    assert not list(tmp_path.iterdir())


def unsettled() -> nn.Module:
    """A network in training form, with dropout and a batch norm that has seen other images than its statistics say."""
    torch.manual_seed(2)
    made = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 3),
    )  # fmt: skip
    made[1].running_mean.uniform_(-0.5, 0.5)
    return made.train()


def test_a_network_in_training_form_goes_out_in_evaluation_form(tmp_path: Path) -> None:
    """pytorch#105661, onnxruntime#26504: whoever forgot eval() got other answers from the file, without a word."""
    network = unsettled()
    how = Preprocessing(channels=3, height=12, width=12, mean=(0.5,) * 3, std=(0.25,) * 3)
    trained = striate.wrap(network, classes=list("abc"), preprocessing=how)
    api.export(trained, tmp_path / "m.onnx", size=(12, 12))
    images = np.random.default_rng(1).integers(0, 256, (4, 12, 12, 3)).astype(np.uint8)
    x = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
    with torch.no_grad():
        right = network.eval()(x).numpy()
    assert np.abs(answers(tmp_path / "m.onnx", images) - right).max() < 1e-5


class Outlying(nn.Module):
    """A sum of a few large numbers whose small difference decides."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1, bias=False)
        self.last = nn.Conv2d(4, 2, 1, bias=False)
        with torch.no_grad():
            first = [[1.0, 0, 0], [0, 1, 0], [200, 200, 200], [-200, -200, -200]]
            for layer, rows in ((self.first, first), (self.last, [[1.0, 0, 3, 3], [0, 1, 3, 3]])):
                layer.weight.copy_(torch.tensor(rows)[..., None, None])

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).mean((2, 3), keepdim=True)).flatten(1)


def test_int8_that_loses_what_decides_is_refused(tmp_path: Path) -> None:
    """openvino_notebooks#837: 80 % of the answers were right before, 40 % afterwards, and the file was written."""
    pytest.importorskip("openvino", reason="the extra striate[openvino] is not installed")
    pytest.importorskip("nncf", reason="the extra striate[int8] is not installed")
    rng = np.random.default_rng(3)
    images = rng.integers(90, 110, (80, 12, 12, 3)).astype(np.uint8)
    images[::2, ..., 0] += 20
    images[1::2, ..., 1] += 20
    how = Preprocessing(channels=3, height=12, width=12, mean=(0.4,) * 3)
    trained = striate.wrap(Outlying(), classes=["a", "b"], preprocessing=how)
    data = images, ["ab"[i % 2] for i in range(80)]
    with pytest.raises(ExactnessError, match=r"INT8 costs .* points of accuracy .* on 40 images, and 1 were"):  # fmt: skip
        api.export(trained, tmp_path / "m.xml", size=(12, 12), precision="int8", data=data)
    assert not list(tmp_path.iterdir())
