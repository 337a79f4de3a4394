"""Preprocessing of others: the same pixels as timm's and torchvision's own transforms."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm.data
import torch
from PIL import Image
from skimage import data as pictures
from torchvision import transforms as T
from torchvision.models import ResNet18_Weights, get_weight
from torchvision.models.segmentation import FCN_ResNet50_Weights
from torchvision.transforms import v2
from torchvision.transforms._presets import OpticalFlow, VideoClassification

from striate.data import Preprocessing
from striate.data.foreign import as_preprocessing
from striate.errors import UsageError

PHOTOS = {
    "wide": pictures.chelsea(),  # 451 x 300
    "tall": np.ascontiguousarray(pictures.chelsea()[:, :211]),
    "smaller than the cut": pictures.astronaut()[:40, :90],
    "halves": pictures.astronaut()[:257, :301],
}
WEIGHTS = (
    "ResNet18_Weights.IMAGENET1K_V1", "ResNet50_Weights.IMAGENET1K_V2", "EfficientNet_B1_Weights.IMAGENET1K_V1",
    "Inception_V3_Weights.IMAGENET1K_V1", "Swin_T_Weights.IMAGENET1K_V1",
)  # fmt: skip


@pytest.fixture(autouse=True)
def in_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers resize as when the published weights were trained: columns, then rows. Pillow 13 takes what is cheaper."""
    resize = Image.Image.resize

    def columns_first(
        self: Image.Image,
        size: Any,
        resample: Any = None,
        box: Any = None,
        reducing_gap: Any = None,
    ) -> Image.Image:
        left, top, right, bottom = box or (0, 0, *self.size)
        across = resize(self, (size[0], self.height), resample, (left, 0, right, self.height))
        return resize(across, size, resample, (0, top, size[0], bottom))

    monkeypatch.setattr(Image.Image, "resize", columns_first)


def seen(preprocessing: Preprocessing, photo: np.ndarray) -> np.ndarray:
    """What the network reads, normalised: (C, H, W) float32."""
    pixels = torch.from_numpy(preprocessing.apply(photo))
    return preprocessing.normalise(pixels[None])[0].numpy()


def same(found: np.ndarray, peer: torch.Tensor, std: float) -> None:
    """Equal to far less than a grey level."""
    np.testing.assert_allclose(found, peer.numpy(), rtol=0, atol=0.01 / 255 / std)


@pytest.mark.parametrize("photo", list(PHOTOS))
@pytest.mark.parametrize("name", WEIGHTS)
def test_torchvisions_preset_gives_its_own_pixels(name: str, photo: str) -> None:
    preset: Any = get_weight(name).transforms()
    made = as_preprocessing(preset)
    same(seen(made, PHOTOS[photo]), preset(Image.fromarray(PHOTOS[photo])), 0.229)


@pytest.mark.parametrize("photo", list(PHOTOS))
@pytest.mark.parametrize(
    "change",
    [{}, {"crop_pct": 1.0, "interpolation": "bilinear"}, {"crop_mode": "squash"}, {"crop_mode": "border", "crop_pct": 1.0}],
    ids=lambda c: "-".join(map(str, c.values())) or "as-is",
)  # fmt: skip
def test_timms_config_gives_its_own_pixels(change: dict[str, Any], photo: str) -> None:
    config = {
        "input_size": (3, 160, 160), "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3), "interpolation": "bicubic",
        "crop_pct": 0.9, "crop_mode": "center", **change,
    }  # fmt: skip
    peer: Any = timm.data.create_transform(**config)
    made = as_preprocessing(config)
    same(seen(made, PHOTOS[photo]), peer(Image.fromarray(PHOTOS[photo])), 0.2)


def test_two_steps_survive_toml_and_are_said(tmp_path: Any) -> None:
    made = as_preprocessing(ResNet18_Weights.DEFAULT.transforms())
    assert made.resize == 256 and made.size == (224, 224)
    assert Preprocessing.from_dict(made.to_dict()) == made
    assert "ImageClassification" in made.why[0]
    large = tmp_path / "large.jpg"
    Image.fromarray(pictures.chelsea()).resize((1353, 900)).save(large)
    peer: Any = ResNet18_Weights.DEFAULT.transforms()
    found = made.normalise(torch.from_numpy(made.read(large))[None])[0].numpy()
    same(found, peer(Image.open(large)), 0.229)  # a JPEG too: it is not decoded at a fraction


def test_the_box_is_what_the_centre_keeps() -> None:
    made = as_preprocessing(ResNet18_Weights.DEFAULT.transforms())
    assert made.box(256, 512) == pytest.approx((144, 16, 368, 240))
    assert made.box(512, 256) == pytest.approx((16, 144, 240, 368))


def test_three_things_and_none() -> None:
    grey = as_preprocessing((28, 0.13, 0.31), channels=1)
    assert (grey.channels, grey.size, grey.mean, grey.std) == (1, (28, 28), (0.13,), (0.31,))
    assert as_preprocessing(((32, 64), (0.5,) * 3, (0.2,) * 3)).size == (32, 64)
    guess = as_preprocessing(None)
    assert guess.why[0].startswith("assumed") and guess.resize == 256
    assert as_preprocessing(None, channels=1).channels == 1
    own = Preprocessing(channels=3, height=8, width=8)
    assert as_preprocessing(own) is own


CHAINS = {
    "cut": T.Compose([T.Resize(61), T.CenterCrop(48), T.ToTensor(), T.Normalize((0.4,) * 3, (0.2,) * 3)]),
    "two sides": T.Compose([T.Resize((40, 56)), T.ToTensor(), T.Normalize((0.4,) * 3, (0.2,) * 3)]),
    "bicubic, oblong": T.Compose(
        [T.Resize(64, T.InterpolationMode.BICUBIC), T.CenterCrop((32, 48)), T.ToTensor()]
    ),
    "nested": T.Compose([T.Compose([T.Resize(61), T.CenterCrop(48)]), T.ToTensor()]),
    "v2": v2.Compose(
        [
            v2.Resize(61), v2.CenterCrop(48), v2.ToImage(), v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.4] * 3, [0.2] * 3),
        ]
    ),
    "grey": T.Compose([T.Grayscale(), T.Resize(61), T.CenterCrop(48), T.ToTensor(), T.Normalize((0.4,), (0.2,))]),
}  # fmt: skip


@pytest.mark.parametrize("photo", list(PHOTOS))
@pytest.mark.parametrize("name", list(CHAINS))
def test_a_chain_of_transforms_gives_its_own_pixels(name: str, photo: str) -> None:
    chain = CHAINS[name]
    found, peer = (
        seen(as_preprocessing(chain), PHOTOS[photo]),
        chain(Image.fromarray(PHOTOS[photo])),
    )
    # Grey is rounded before the resize there and here alike.
    same(found, peer, 0.2)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([T.RandomResizedCrop(8), T.ToTensor()], "RandomResizedCrop draws at random"),
        ([T.Resize(8), T.ToTensor()], "shorter side alone leaves images in sizes of their own"),
        ([T.CenterCrop(8), T.ToTensor()], "a chain without Resize"),
        ([T.Resize((8, 8)), T.PILToTensor()], "never brings bytes to 0 to 1"),
        ([T.Resize((8, 8)), T.Lambda(abs), T.ToTensor()], "Lambda here is not"),
        ([T.ToTensor(), T.Resize((8, 8), antialias=False)], "without antialias"),
    ],
    ids=["random", "one side", "cut alone", "bytes", "code", "aliased"],
)  # fmt: skip
def test_a_chain_that_cannot_be_followed_says_why(steps: list[Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        as_preprocessing(T.Compose(steps))


def test_hugging_faces_processors() -> None:
    """The three shapes of preprocessor_config.json: ViT's, CLIP's and ConvNeXt's."""
    base = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": 0.00392156862745098}
    vit = as_preprocessing({**base, "size": {"height": 224, "width": 224}, "resample": 2})
    assert (vit.fit, vit.size, vit.resize, vit.interpolation) == (
        "squash",
        (224, 224),
        0,
        "bilinear",
    )
    clip = as_preprocessing(
        {
            **base,
            "size": {"shortest_edge": 256},
            "crop_size": {"height": 224, "width": 224},
            "resample": 3,
        }
    )
    assert (clip.fit, clip.size, clip.resize, clip.interpolation) == (
        "crop",
        (224, 224),
        256,
        "bicubic",
    )
    convnext = as_preprocessing({**base, "size": {"shortest_edge": 224}, "crop_pct": 0.875})
    assert (convnext.fit, convnext.size, convnext.resize) == ("crop", (224, 224), 256)
    with pytest.raises(UsageError, match="shorter side alone"):
        as_preprocessing({**base, "size": {"shortest_edge": 224}})


def test_a_segmenters_preset_keeps_the_images_own_size() -> None:
    made = as_preprocessing(FCN_ResNet50_Weights.DEFAULT.transforms())
    assert made.mean == (0.485, 0.456, 0.406) and "not done here" in made.why[0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("imagenet", "preprocessing is str, and is not understood; give a striate"),
        (OpticalFlow(), "preprocessing is OpticalFlow"),
        (VideoClassification(crop_size=(112, 112), resize_size=(128, 171)), "another task than images"),
        ({"mean": (0.5,), "std": (0.5,)}, "input_size is missing"),
        ((224, (123.7, 116.3, 103.5), (58.4, 57.1, 57.4)), r"divide mean and std by 255"),
        (SimpleNamespace(mean=[0.5], std=[0.5], resize_size=[9], crop_size=[8], interpolation="hamming"), "hamming is not"),
    ],
    ids=["text", "flow", "video", "config", "bytes", "filter"],
)  # fmt: skip
def test_what_is_not_understood_says_what_is(given: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        as_preprocessing(given)


def test_channels_must_be_the_networks() -> None:
    with pytest.raises(UsageError, match="reads 1 channel and the preprocessing gives 3"):
        as_preprocessing(ResNet18_Weights.DEFAULT.transforms(), channels=1)
