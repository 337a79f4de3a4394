"""Grad-CAM's layer by geometry, targets of segmenters, and occlusion where nothing can be traced."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from striate.attribution import attribute, class_map, grad_cam, gradient, occlusion_map, scorer
from striate.attribution.layers import last_map, spread
from striate.errors import UsageError
from striate.geometry import trace
from striate.models import build


@pytest.mark.parametrize(
    ("spec", "shape", "layer", "size"),
    [
        ("resnet18", (1, 3, 224, 224), "", (7, 7)),
        ("densenet121", (1, 3, 224, 224), "", (7, 7)),
        ("efficientnet-lite0", (1, 3, 224, 224), "bn2.act", (7, 7)),
        ("compact", (1, 1, 8, 8), "stages.0.6", (4, 4)),
        ("googlenet", (1, 3, 224, 224), "", (7, 7)),
    ],
)
def test_grad_cam_takes_the_last_map_before_the_pooling(
    spec: str, shape: tuple[int, ...], layer: str, size: tuple[int, int]
) -> None:
    with torch.device("meta"):
        network = build(spec, in_channels=shape[1], num_classes=10, size=shape[2:])
    found = last_map(trace(network.eval(), shape))
    assert found.out_shape[2:] == size
    assert layer in found.name
    assert found.op not in ("convolution", "native_batch_norm")


def test_in_a_segmenter_it_is_at_the_bottom() -> None:
    with torch.device("meta"):
        network = build("unet", in_channels=1, num_classes=3)
    geometry = trace(network.eval(), (1, 1, 64, 64))
    assert last_map(geometry).out_shape[2:] == (4, 4)


def test_a_network_without_maps_says_so(images: Tensor) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(756, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    with pytest.raises(UsageError, match="Grad-CAM needs a layer whose values still have places"):
        grad_cam(network, images, 0)


def test_a_layer_that_does_not_exist_or_has_no_map(plain: nn.Sequential, images: Tensor) -> None:
    with pytest.raises(UsageError, match="no layer is called 'layer9'"):
        grad_cam(plain, images, 0, layer="layer9")
    with pytest.raises(UsageError, match=r"needs a map \(N, C, h, w\), and 8 gives \(1, 5\)"):
        grad_cam(plain, images, 0, layer="8")


def test_a_map_lies_over_what_its_positions_see() -> None:
    """A valid 5x5 convolution of stride 4: position 0 looks at pixels 0 to 4, so its middle is pixel 2."""
    network = nn.Sequential(nn.Conv2d(1, 2, 5, stride=4), nn.ReLU()).eval()
    layer = next(iter(trace(network, (1, 1, 13, 13))))
    row = torch.tensor([[[0.0, 4.0, 8.0]] * 3])
    assert spread(row, layer, (13, 13))[0, 5].tolist() == [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8]


class Segmenter(nn.Module):
    """Three classes a pixel: the logits are the image's channels, doubled."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


class TestSegmenter:
    x = torch.zeros(1, 3, 4, 4)
    x[0, 1, :2] = 1.0  # class 1 above
    x[0, 2, 2:] = 1.0  # class 2 below

    def test_a_class_is_asked_where_the_image_has_it(self) -> None:
        wanted = torch.zeros(3, 4, 4)
        wanted[1, :2] = 2 / 8
        assert torch.equal(gradient(Segmenter(), self.x, 1)[0], wanted)

    def test_a_class_that_is_nowhere_is_asked_everywhere(self) -> None:
        assert torch.equal(gradient(Segmenter(), self.x, 0)[0, 0], torch.full((4, 4), 2 / 16))

    def test_a_pixel_and_a_rectangle(self) -> None:
        pixel = gradient(Segmenter(), self.x, (1, 2, 3))[0]
        assert pixel.nonzero().tolist() == [[1, 2, 3]]
        region = gradient(Segmenter(), self.x, (2, (1, 3), slice(0, 2)))[0]
        assert region.nonzero().tolist() == [[2, 1, 0], [2, 1, 1], [2, 2, 0], [2, 2, 1]]
        assert float(region.sum()) == 2.0

    def test_occlusion_of_a_class(self) -> None:
        drops = occlusion_map(Segmenter(), self.x, 1, patch=1, stride=1)
        assert torch.allclose(drops[:2], torch.full((2, 4), 0.25))
        assert not bool(drops[2:].any())

    @pytest.mark.parametrize("target", [3, (1, 4, 0), (1, 0), (3, 0, 0)])
    def test_places_that_do_not_exist(self, target: object) -> None:
        with pytest.raises(UsageError, match=r"out of range|indices: class and position"):
            scorer(target, Segmenter()(self.x))  # type: ignore[arg-type]


def test_torchvisions_segmenters_answer_under_out(images: Tensor) -> None:
    class Answers(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"out": 2 * x, "aux": x}

    assert torch.equal(gradient(Answers(), images, (0, 1, 1)), gradient(Segmenter(), images, (0, 1, 1)))  # fmt: skip
    drops = occlusion_map(Answers(), images[0], (0, 1, 1), patch=2, stride=1)
    assert torch.equal(drops, occlusion_map(Segmenter(), images[0], (0, 1, 1), patch=2, stride=1))


def test_occlusion_of_a_network_that_decides_by_the_data(images: Tensor) -> None:
    class Decides(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sum((2, 3)) * (1.0 if bool((x.sum() > -1).all()) else 2.0)

    class Same(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sum((2, 3))

    got = occlusion_map(Decides(), images[0], 1, patch=5, stride=3)
    torch.testing.assert_close(
        got, occlusion_map(Same(), images[0], 1, patch=5, stride=3), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("patch", [0, (3,), 40])
def test_patches_that_do_not_fit(plain: nn.Module, images: Tensor, patch: object) -> None:
    with pytest.raises(
        UsageError, match=r"1 pixel or more|does not fit into an image of \(18, 14\)"
    ):
        occlusion_map(plain, images[0], 0, patch=patch)  # type: ignore[arg-type]


def test_a_class_map_is_the_score_of_each_window(plain: nn.Module) -> None:
    image = torch.rand(3, 20, 17, generator=torch.Generator().manual_seed(0))
    found = class_map(plain, image, 2, window=12, stride=4)
    assert found.shape == (3, 2)
    with torch.no_grad():
        wanted = plain(image[None, :, 4:16, 4:16])[0, 2]
    torch.testing.assert_close(found[1, 1], wanted, rtol=0, atol=1e-5)
    with pytest.raises(UsageError, match="target 5 is out of range: the network has 5 classes"):
        class_map(plain, image, 5, window=12)


def test_a_pixel_of_the_class_map_is_the_mean_of_the_windows_that_hold_it(plain: nn.Module) -> None:
    image = torch.rand(3, 32, 24, generator=torch.Generator().manual_seed(1))
    found = attribute(plain, image, 2, "class-map")
    with torch.no_grad():
        scores = torch.tensor(
            [[plain(image[None, :, t : t + 16, s : s + 12])[0, 2] for s in range(13)] for t in range(0, 17, 2)]
        )  # fmt: skip
    assert found.remark.startswith("what windows of 16 × 12 pixels score by themselves")
    first, middle = scores[0, 0] - scores.mean(), scores[:8, :12].mean() - scores.mean()
    torch.testing.assert_close(found.values[0, 0], first, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.values[15, 11], middle, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.shown, found.values.clamp(min=0))


def test_a_class_map_needs_a_smaller_window_and_a_class(plain: nn.Module) -> None:
    fixed = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 10 * 10, 4)).eval()
    image = torch.rand(3, 12, 12)
    with pytest.raises(UsageError, match="windows of 6 × 6 pixels, and this network no image smaller"):  # fmt: skip
        attribute(fixed, image, 1, "class-map")
    with pytest.raises(UsageError, match="one class of a classifier"):
        attribute(plain, image, lambda output: output[:, 0], "class-map")


@pytest.mark.parametrize("method", ["gradient", "grad-cam", "occlusion"])
@pytest.mark.parametrize("form", ["dict", "tuple", "dataclass"])
def test_a_class_is_explained_in_whatever_holds_the_prediction(
    plain: nn.Module, images: Tensor, method: str, form: str
) -> None:
    @dataclass
    class Output:
        logits: Tensor
        hidden: Tensor

    class Holds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = plain

        def forward(self, x: Tensor) -> object:
            logits, hidden = self.inner(x), x.mean((2, 3))
            if form == "tuple":
                return logits, hidden
            return Output(logits, hidden) if form == "dataclass" else {"logits": logits, "hidden": hidden}  # fmt: skip

    got = attribute(Holds(), images[:1], 3, method)
    torch.testing.assert_close(
        got.values, attribute(plain, images[:1], 3, method).values, rtol=0, atol=1e-6
    )
