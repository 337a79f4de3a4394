"""The trace: what it records, what it leaves alone, what it refuses."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision import models

from striate.errors import GeometryError, UsageError
from striate.geometry import Geometry, replay, trace


def fingerprint(module: nn.Module) -> dict[str, Any]:
    """Everything of a module that a trace could change."""
    found: dict[str, Any] = {}
    for path, sub in module.named_modules():
        found[path] = {k: id(v) for k, v in sub.__dict__.items() if not isinstance(v, (dict, bool))}
        found[path + ".training"] = sub.training
        for name, value in sub.__dict__.items():
            if isinstance(value, dict):
                found[f"{path}.{name}"] = [(k, id(v)) for k, v in value.items()]
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        found[name] = (
            tensor.clone(),
            tensor.requires_grad,
            tensor.grad,
            tensor._version,
            tensor.device,
        )
    return found


def assert_same(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a.keys() == b.keys()
    for key in a:
        if isinstance(a[key], tuple) and isinstance(a[key][0], Tensor):
            assert torch.equal(a[key][0], b[key][0]), key
            assert a[key][1:] == b[key][1:], key
        else:
            assert a[key] == b[key], key


class Restless(nn.Module):
    """Leaves traces of its own: a counter, a cache, a list, a buffer and a random choice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("seen", torch.zeros(4))
        self.calls = 0
        self.sizes: list[int] = []
        self.cache: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.sizes.append(x.shape[-1])
        self.cache["grid"] = torch.arange(x.shape[-1], device=x.device)
        self.grid = self.cache["grid"]
        x = self.drop(self.norm(self.conv(x)))
        self.seen.add_(x.mean((0, 2, 3)))
        self.seen = self.seen * 2
        if random.random() + np.random.rand() + torch.rand(1).item() > 10:
            x = x + 1
        return x


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "make", [Restless, models.resnet18, models.googlenet, lambda: nn.LSTM(4, 3)]
)
@pytest.mark.filterwarnings("ignore:The default weight initialization")
def test_the_module_and_the_random_state_are_left_as_they_were(
    make: Callable[[], nn.Module], training: bool
) -> None:
    torch.manual_seed(0)
    module = make().train(training)
    calls: list[int] = []
    handle = next(module.children(), module).register_forward_hook(lambda *_: calls.append(1))
    before = fingerprint(module)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes()
    trace(module, (5, 4) if isinstance(module, nn.LSTM) else (2, 3, 75, 75))
    assert_same(before, fingerprint(module))
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert states[2] == np.random.get_state()[1].tobytes()
    assert not torch.nn.modules.module._global_forward_hooks
    assert not torch.nn.modules.module._global_forward_pre_hooks
    handle.remove()


def test_a_failed_trace_leaves_the_module_too() -> None:
    module = Restless()
    before = fingerprint(module)
    with pytest.raises(GeometryError):
        trace(module, (1, 5, 9, 9))
    assert_same(before, fingerprint(module))
    assert not torch.nn.modules.module._global_forward_hooks


class InPlace(nn.Module):
    """Views that are written through, in every way that models do."""

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        half = y[:, :2]
        half.add_(10)  # the base changes with its view
        rows = y.permute(0, 2, 3, 1)
        rows[..., 1:2].mul_(3)
        first, rest = y.split([1, 3], 1)
        rest.sub_(first)
        flat = y.view(y.shape[0], -1)
        flat.clamp_(max=60.0)
        y[..., 0, :] = 5.0
        y.unsqueeze(1)[:, 0, 2].neg_()
        z = y.t() if y.dim() == 2 else y.transpose(2, 3)
        z.relu_()
        return (
            torch.cat([half, z.transpose(2, 3), rows.permute(0, 3, 1, 2)], 1)
            + flat.view_as(y)[:, :1]
        )


def test_writes_through_views_reach_their_base() -> None:
    module = InPlace()
    x = torch.rand(1, 4, 5, 7) * 10
    geometry = trace(module, x)
    assert torch.equal(replay(geometry, module, x), module(x))
    assert not any(r.op.endswith("_") for r in geometry.records)


def test_layers_carry_the_paths_of_their_submodules() -> None:
    layers = {layer.name: layer for layer in trace(models.resnet18(), (1, 3, 64, 64))}
    conv = layers["layer2.0.downsample.0"]
    assert (conv.op, conv.kind, conv.module) == ("convolution", "Conv2d", "layer2.0.downsample.0")
    assert (conv.window, conv.stride, conv.params, conv.out_shape) == (
        (1, 1),
        (2, 2),
        8192,
        (1, 128, 8, 8),
    )
    assert layers["layer1.0.relu#2"].inputs == ("layer1.0.add",)
    assert layers["layer1.0.add"].inputs == ("layer1.0.bn2", "maxpool")
    assert layers["fc"].receptive_field == (None, None)
    assert list(layers)[:3] == ["conv1", "bn1", "relu"]


def test_classic_receptive_fields() -> None:
    """VGG-16: 212 pixels at stride 32 after its last pooling; AlexNet: 195 at 32 (Araujo et al. 2019, distill.pub)."""
    with torch.device("meta"):
        vgg16, alexnet, resnet50 = models.vgg16(), models.alexnet(), models.resnet50().eval()
    vgg = {x.name: x.receptive_field[0] for x in trace(vgg16.features, (1, 3, 224, 224))}
    assert (vgg["30"].size, vgg["30"].stride) == (212, 32)
    alex = {x.name: x.receptive_field[0] for x in trace(alexnet.features, (1, 3, 224, 224))}
    assert (alex["12"].size, alex["12"].stride, alex["0"].start) == (195, 32, -2)
    resnet = {
        x.name: x.receptive_field[0] for x in trace(resnet50, (1, 3, 224, 224)) if x.name != "fc"
    }
    assert (resnet["conv1"].size, resnet["conv1"].stride, resnet["conv1"].start) == (7, 2, -3)
    assert (resnet["maxpool"].size, resnet["maxpool"].stride, resnet["maxpool"].start) == (
        11,
        4,
        -5,
    )


def test_up_sampling_has_more_than_one_receptive_field() -> None:
    """A 3x3 kernel after nearest doubling sees 2 coarse pixels, at either phase; its stride is half a pixel."""
    network = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3, padding=1))
    axis = [layer.receptive_field[0] for layer in trace(network, (1, 1, 8, 8))][-1]
    assert axis is not None
    assert (axis.size, str(axis.stride), axis.start) == (2, "1/2", -1)
    assert axis.phases == ((-1, 0), (0, 1))


class Outputs(nn.Module):
    """Returns a dict with a tuple, a number and the input itself."""

    def forward(self, x: Tensor) -> dict[str, Any]:
        return {"out": (x.relu(), 3, None), "same": x}


def test_the_output_tree_is_kept() -> None:
    geometry = trace(Outputs(), (1, 2, 3, 3))
    x = torch.randn(1, 2, 3, 3)
    found = replay(geometry, Outputs(), x)
    assert list(found) == ["out", "same"]
    assert torch.equal(found["out"][0], x.relu())
    assert found["out"][1:] == (3, None)
    assert torch.equal(found["same"], x)


@pytest.mark.filterwarnings("ignore:The default weight initialization")
def test_training_form_has_its_auxiliary_outputs_and_global_statistics() -> None:
    geometry = trace(models.googlenet(num_classes=5).train(), (2, 3, 96, 96))
    assert [geometry.values[i].shape for i in geometry.outputs if i is not None] == [(2, 5)] * 3
    norm = geometry.record("conv1.bn")
    assert norm.plan.kind == "normalise"
    assert geometry.pull(norm.output, ((0, 1), (0, 1)))[geometry.inputs[0]] == ((0, 96), (0, 96))


class Choosing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(x) if x.sum() > 0 else x


class Picking(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[x > 0]


class Leaving(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(x.numpy() + 1)


REFUSED: list[tuple[Callable[[], nn.Module], Any, str]] = [
    (Choosing, (1, 3, 4, 4), "Choosing decides by the data .*trace the parts before and after"),
    (
        lambda: nn.Sequential(nn.Conv2d(3, 3, 1), Picking()),
        (1, 3, 4, 4),
        r"1 \(Picking\) needs the data itself",
    ),
    (Leaving, (1, 3, 4, 4), "Leaving needs the data itself"),
    (
        models.resnet18,
        (1, 1, 64, 64),
        r"conv1 \(Conv2d\) refuses an input of 1x1x64x64: it takes 3 channels, got 1",
    ),
    (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 2)),
        (1, 3, 4, 4),
        r"1 \(Linear\) refuses .*give the input shape",
    ),
    (
        models.resnet18,
        (3, 64, 64),
        r"bn1 \(BatchNorm2d\) refuses .*with the number of images first: \(1, 3, 64, 64\)",
    ),
    (
        lambda: models.vit_b_16(),
        (1, 3, 64, 64),
        "VisionTransformer refuses an input of 1x3x64x64: Wrong image height",
    ),
]


@pytest.mark.parametrize(("make", "shape", "message"), REFUSED, ids=[m for *_, m in REFUSED])
def test_refusals_name_the_layer_and_the_way_out(
    make: Callable[[], nn.Module], shape: Any, message: str
) -> None:
    with torch.device("meta"):
        module = make()
    with pytest.raises(GeometryError, match=message):
        trace(module, shape)


@pytest.mark.parametrize("shape", [(1, 3, 0, 4), "1x3x4x4", (), (1.0, 3), 5, [None], (1, True)])
def test_what_is_no_shape_is_refused(shape: Any) -> None:
    with pytest.raises(UsageError, match="an input is a shape of positive integers"):
        trace(nn.ReLU(), shape)


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(UsageError, match=r"takes a torch.nn.Module, got function"):
        trace(lambda x: x, (1, 3, 4, 4))  # type: ignore[arg-type]


def test_an_unknown_layer_is_met_with_its_neighbours() -> None:
    geometry = trace(models.resnet18(), (1, 3, 64, 64))
    with pytest.raises(
        UsageError, match=r"no layer is called 'layer4.1.con2'; near it: layer4.1.conv2"
    ):
        geometry.record("layer4.1.con2")
    assert geometry.record("layer4").name == "layer4.1.relu#2"
    with pytest.raises(UsageError, match=r"has 2x2 positions, got \(2, 0\)"):
        geometry.receptive_field("layer4", (2, 0))


def test_several_inputs_and_inputs_by_name() -> None:
    class Sum(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return a + b

    for inputs in ([(1, 2, 4, 4), (1, 2, 4, 4)], {"b": (1, 2, 4, 4), "a": torch.zeros(1, 2, 4, 4)}):
        geometry = trace(Sum(), inputs)
        assert len(geometry.inputs) == 2
        assert geometry.values[geometry.outputs[0]].spatial


def test_a_geometry_holds_no_tensor() -> None:
    geometry = trace(models.mobilenet_v3_small(), (1, 3, 64, 64))

    def visit(thing: Any) -> None:
        assert not isinstance(thing, Tensor)
        if isinstance(thing, (tuple, list)):
            for item in thing:
                visit(item)
        elif hasattr(thing, "__slots__") and not isinstance(thing, type):
            for name in thing.__slots__:
                visit(getattr(thing, name, None))

    visit(geometry.records)
    visit(geometry.values)


TIMM = [
    "convnext_atto", "cspresnet50", "davit_tiny", "dla46x_c", "dm_nfnet_f0",
    "edgenext_xx_small", "efficientnet_lite0", "efficientvit_b0", "fastvit_t8",
    "focalnet_tiny_srf", "ghostnet_050", "hrnet_w18_small", "inception_v3", "levit_128s",
    "mixnet_s", "mobilenetv3_small_050", "mobilevit_xxs", "nf_regnet_b1", "poolformer_s12",
    "pvt_v2_b0", "regnety_002", "res2net50_26w_4s", "resnest14d", "resnetv2_50", "shvit_s1",
    "swin_tiny_patch4_window7_224", "tf_efficientnet_b0", "tiny_vit_5m_224", "tresnet_m",
    "vit_tiny_patch16_224", "xception41", "xcit_nano_12_p8_224",
]  # fmt: skip


@pytest.mark.parametrize("name", TIMM)
@pytest.mark.filterwarnings("ignore")
def test_timm_families_in_training_and_evaluation(name: str) -> None:
    with torch.device("meta"):
        module = timm.create_model(name)
    shape = (1, *module.default_cfg["input_size"])
    geometry: Geometry = trace(module.eval(), shape)
    assert geometry.total_macs
    assert geometry.total_params == sum(p.numel() for p in module.parameters())
    assert geometry.values[geometry.outputs[0]].shape == (1, module.num_classes)
    trained = trace(module.train(), (2, *shape[1:])).total_macs
    assert trained is not None
    # tables of positions, made from parameters alone, do not grow with the batch
    assert 1.9 * geometry.total_macs < trained <= 2 * geometry.total_macs


LOCAL = [
    "convnext_atto",
    "mixnet_s",
    "tf_efficientnet_b0",
    "tresnet_m",
    "swin_tiny_patch4_window7_224",
    "repvgg_a0",
]


@pytest.mark.parametrize("name", LOCAL)
def test_no_operation_of_these_is_global(name: str) -> None:
    """Asymmetric padding, channels-last, space to depth by reshape, shifted windows: each has its rule."""
    with torch.device("meta"):
        module = timm.create_model(name).eval()
    geometry = trace(module, (1, *module.default_cfg["input_size"]))
    assert not [r.name for r in geometry.records if r.plan.kind == "global"]


def test_inference_mode_changes_nothing() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    plain = [(layer.op, layer.out_shape, layer.macs) for layer in trace(module, (1, 3, 16, 16))]
    with torch.inference_mode():
        found = [(layer.op, layer.out_shape, layer.macs) for layer in trace(module, (1, 3, 16, 16))]
    assert found == plain


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # by torch's compiler itself
def test_a_compiled_module_is_traced_as_what_it_was_compiled_from() -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()).eval()
    plain = trace(module, (1, 1, 8, 8))
    wrapped = trace(torch.compile(module), (1, 1, 8, 8))
    module.compile()  # in place
    inside = trace(module, (1, 1, 8, 8))
    for other in (wrapped, inside):
        assert [r.op for r in other.records] == [r.op for r in plain.records]
        assert other.total_macs == plain.total_macs
    assert [layer.name for layer in inside] == [layer.name for layer in plain]
