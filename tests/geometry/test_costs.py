"""Parameters and multiply-adds against figures that others publish."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torchvision.models import (
    get_model_builder,
    get_model_weights,
    list_models,
    segmentation,
    video,
)

from striate.geometry import trace


class OnMeta(TorchFunctionMode):
    """Builds parameters without memory, but leaves the small tables that a constructor computes with."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.empty, torch.ones, torch.zeros):
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def published(name: str) -> list[tuple[dict[str, Any], int]]:
    """The facts and the input size of each of an architecture's weights."""
    found = []
    for weights in get_model_weights(name):
        size = weights.transforms().crop_size
        found.append((weights.meta, size[0] if isinstance(size, (list, tuple)) else size))
    return found


def options(name: str, size: int) -> dict[str, Any]:
    """What torchvision's builder sets when it loads the weights."""
    if name.startswith("vit"):
        return {"image_size": size}
    return {"aux_logits": False} if name == "googlenet" else {}


@pytest.mark.filterwarnings("ignore:The default weight initialization")
@pytest.mark.parametrize("name", list_models(__import__("torchvision").models))
def test_figures_that_torchvision_publishes(name: str) -> None:
    """Every architecture for classification: num_params exactly, GFLOPS (which are multiply-adds) to its digits."""
    seen: set[tuple[int, float]] = set()
    for meta, size in published(name):
        if (size, meta["_ops"]) in seen:
            continue
        seen.add((size, meta["_ops"]))
        with OnMeta():
            module = get_model_builder(name)(weights=None, **options(name, size)).eval()
        geometry = trace(module, (1, 3, size, size))
        assert geometry.total_params == meta["num_params"]
        assert geometry.total_macs is not None
        assert round(geometry.total_macs / 1e9, 3) == meta["_ops"]


# (frames, height, width) of the clips that the figures stand for: what the references trained on, not `min_temporal_size`
CLIPS = {
    **dict.fromkeys(("mc3_18", "r2plus1d_18", "r3d_18"), (16, 112, 112)),
    **dict.fromkeys(("mvit_v1_b", "mvit_v2_s", "s3d", "swin3d_s", "swin3d_t"), (16, 224, 224)),
}


@pytest.mark.parametrize("name", CLIPS)
def test_figures_of_video_networks(name: str) -> None:
    (weights,) = get_model_weights(name)
    assert video is not None
    with OnMeta():
        module = get_model_builder(name)(weights=None).eval()
    geometry = trace(module, (1, 3, *CLIPS[name]))
    assert geometry.total_params == weights.meta["num_params"]
    assert geometry.total_macs is not None
    assert round(geometry.total_macs / 1e9, 3) == weights.meta["_ops"]


@pytest.mark.parametrize(
    "name",
    [
        "lraspp_mobilenet_v3_large",
        "deeplabv3_mobilenet_v3_large",
        "deeplabv3_resnet50",
        "deeplabv3_resnet101",
        "fcn_resnet50",
        "fcn_resnet101",
    ],
)
def test_figures_of_segmentation_networks(name: str) -> None:
    (weights,) = get_model_weights(name)
    assert segmentation is not None
    extra = {} if "lraspp" in name else {"aux_loss": True}
    with OnMeta():
        module = get_model_builder(name)(weights=None, weights_backbone=None, **extra).eval()
    geometry = trace(module, (1, 3, 520, 520))
    assert geometry.total_params == weights.meta["num_params"]
    assert geometry.total_macs is not None
    assert round(geometry.total_macs / 1e9, 3) == weights.meta["_ops"]
    assert isinstance(geometry.unflatten(range(len(geometry.outputs))), dict)


def test_lenet_like_example_of_lecture_000() -> None:
    """Lecture 000's table: conv(1, 32, 5) has 832 parameters and 460,800 products; the rest by the same arithmetic."""
    network = nn.Sequential(
        nn.Conv2d(1, 32, 5), nn.MaxPool2d(3), nn.ReLU(), nn.Conv2d(32, 64, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(256, 200), nn.ReLU(), nn.Linear(200, 10),
    )  # fmt: skip
    table = [
        (layer.name, layer.out_shape[1:], layer.params, layer.macs)
        for layer in trace(network, (1, 1, 28, 28))
    ]
    assert table == [
        ("0", (32, 24, 24), 832, 460_800),
        ("1", (32, 8, 8), 0, 0),
        ("2", (32, 8, 8), 0, 0),
        ("3", (64, 4, 4), 51_264, 819_200),
        ("4", (64, 2, 2), 0, 0),
        ("5", (64, 2, 2), 0, 0),
        ("7", (200,), 51_400, 51_200),
        ("8", (200,), 0, 0),
        ("9", (10,), 2_010, 2_000),
    ]


def test_a_transposed_convolution_is_counted_once() -> None:
    """2x2 inputs, each meeting a 3x3 kernel from 4 channels to 6: 4 * 4 * 6 * 9 products, at any stride."""
    geometry = trace(nn.ConvTranspose2d(4, 6, 3, stride=4), (1, 4, 2, 2))
    assert geometry.total_macs == 4 * 4 * 6 * 9


class Shared(nn.Module):
    """One layer run twice, and a functional product."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(self.layer(x))
        return y @ y.transpose(0, 1)


def test_shared_layers_count_parameters_once_and_products_each_time() -> None:
    layers = list(trace(Shared(), (3, 8)))
    assert [(x.name, x.params, x.macs) for x in layers] == [
        ("layer", 64, 192), ("layer#2", 0, 192), ("mm", 0, 72)
    ]  # fmt: skip


class Spectrum(nn.Module):
    """An operation whose products nobody counts."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft2(x).real


def test_what_cannot_be_counted_is_unknown() -> None:
    geometry = trace(Spectrum(), (1, 1, 8, 8))
    assert geometry.total_macs is None
    assert geometry.known_macs == 0


def test_attention_counts_its_products() -> None:
    """4 tokens of 8 features, 2 heads: 3 + 1 projections of 4*8*8, scores and mixture of 2 * (4*4*4) each."""
    module = nn.MultiheadAttention(8, 2, batch_first=True)
    geometry = trace(module, [(1, 4, 8)] * 3)
    assert geometry.total_macs == 4 * 4 * 8 * 8 + 2 * 2 * 4 * 4 * 4
    assert geometry.total_params == sum(p.numel() for p in module.parameters())
