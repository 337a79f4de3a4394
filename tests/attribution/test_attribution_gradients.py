"""Gradients: captum's numbers where captum works, and the properties that the papers prove."""

from __future__ import annotations

import pytest
import torch
from captum import attr as captum
from torch import Tensor, nn

from striate.attribution import (
    attribute,
    grad_cam,
    gradient,
    gradient_x_input,
    integrated_gradients,
    occlusion_map,
    smoothgrad,
)
from striate.attribution.gradients import noise_of
from striate.errors import StriateError, UsageError

CLASS = 3


def close(got: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(got, wanted.detach(), rtol=0, atol=1e-5)


def test_gradient_is_captums_saliency(plain: nn.Module, images: Tensor) -> None:
    x = images.clone().requires_grad_()
    close(gradient(plain, images, CLASS), captum.Saliency(plain).attribute(x, CLASS, abs=False))


def test_gradient_x_input_is_captums(plain: nn.Module, images: Tensor) -> None:
    wanted = captum.InputXGradient(plain).attribute(images.clone().requires_grad_(), CLASS)
    close(gradient_x_input(plain, images, CLASS), wanted)


@pytest.mark.parametrize("baseline", [0.0, 0.5])
def test_integrated_gradients_are_captums(
    plain: nn.Module, images: Tensor, baseline: float
) -> None:
    wanted = captum.IntegratedGradients(plain).attribute(
        images, baselines=baseline, target=CLASS, n_steps=20
    )
    got = integrated_gradients(plain, images, CLASS, baseline=baseline, steps=20, batch=7)
    close(got, wanted.float())


def test_occlusion_is_captums(plain: nn.Module, images: Tensor) -> None:
    wanted = captum.Occlusion(plain).attribute(
        images[:1], (3, 4, 4), (3, 2, 2), target=CLASS, baselines=0.4
    )
    got = occlusion_map(plain, images[0], CLASS, patch=4, stride=2, baseline=0.4)
    close(got, wanted[0, 0].float())


def test_grad_cam_is_captums(plain: nn.Sequential, images: Tensor) -> None:
    wanted = captum.LayerGradCam(plain, plain[5]).attribute(images, CLASS, relu_attributions=True)
    found = grad_cam(plain, images, CLASS)
    assert found.layer.name == "5"
    close(found.maps[:, None], wanted)


def test_integrated_gradients_sum_to_the_difference_of_scores(
    plain: nn.Module, images: Tensor
) -> None:
    """Completeness, proposition 1 of Sundararajan et al. 2017."""
    colours = torch.tensor([0.2, 0.5, 0.7])
    got = integrated_gradients(plain, images, CLASS, baseline=colours, steps=200).sum((1, 2, 3))
    with torch.no_grad():
        start = plain(colours.view(1, 3, 1, 1).expand(1, 3, 18, 14))[:, CLASS]
        wanted = plain(images)[:, CLASS] - start
    torch.testing.assert_close(got, wanted, rtol=0, atol=2e-3)


def test_a_linear_network_is_explained_exactly(images: Tensor) -> None:
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 18 * 14, 4)).eval()
    weight = linear[1].weight[2].detach().view(1, 3, 18, 14)  # type: ignore[union-attr,index]
    close(gradient(linear, images, 2), weight.expand(2, -1, -1, -1))
    close(integrated_gradients(linear, images, 2, steps=1), weight * images)
    close(smoothgrad(linear, images, 2, samples=3), weight.expand(2, -1, -1, -1))


def test_smoothgrad_is_the_mean_gradient_of_noisy_copies(plain: nn.Module, images: Tensor) -> None:
    noise = noise_of(images, 5, 0.2, seed=4)
    wanted = torch.stack([gradient(plain, images + noise[:, i], CLASS) for i in range(5)]).mean(0)
    close(smoothgrad(plain, images, CLASS, samples=5, noise=0.2, seed=4, batch=2), wanted)
    spread = images[1].max() - images[1].min()
    measured = noise_of(images, 400, 0.2, seed=4)[1].std() / spread
    assert float(measured) == pytest.approx(0.2, rel=0.01)


def test_each_image_may_have_its_class(plain: nn.Module, images: Tensor) -> None:
    both = torch.tensor([1, 4])
    for method in (gradient, integrated_gradients):
        got = method(plain, images, both)
        close(got[:1], method(plain, images[:1], 1))
        close(got[1:], method(plain, images[1:], 4))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (torch.zeros(0, 3, 18, 14), "there is no image in a batch of shape"),
        (torch.zeros(18, 14), r"images are a tensor \(N, C, H, W\), got the shape \(18, 14\)"),
        (torch.zeros(1, 3, 18, 14, dtype=torch.uint8), "got torch.uint8; divide by 255"),
        (torch.full((1, 3, 18, 14), float("nan")), "the image holds values that are not finite"),
    ],
)
def test_images_that_are_none(plain: nn.Module, bad: Tensor, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        gradient(plain, bad, 0)


def test_another_number_of_channels_says_what_the_network_takes(plain: nn.Module) -> None:
    with pytest.raises(
        StriateError, match=r"the network refuses images of 1x1x18x14: .* 3 channels"
    ):
        gradient(plain, torch.zeros(1, 1, 18, 14), 0)


@pytest.mark.parametrize("target", [5, -1, torch.tensor([0, 5]), True])
def test_a_class_that_does_not_exist(plain: nn.Module, images: Tensor, target: int) -> None:
    with pytest.raises(UsageError, match=r"out of range|not all classes"):
        gradient(plain, images, target)


def test_broken_weights_are_named(plain: nn.Sequential, images: Tensor) -> None:
    with torch.no_grad():
        plain[4].weight[0, 0, 0, 0] = float("nan")  # type: ignore[union-attr,index,operator]
    with pytest.raises(StriateError, match=r"not finite \(its 4\.weight is not finite\)"):
        integrated_gradients(plain, images, 0)


def test_a_cut_gradient_is_said(images: Tensor) -> None:
    class Cut(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.detach().mean((2, 3))

    with pytest.raises(UsageError, match="no gradient gets from the target to the image"):
        gradient(Cut(), images, 0)


def test_inference_mode_outside_makes_no_difference(plain: nn.Module, images: Tensor) -> None:
    wanted = gradient(plain, images, CLASS)
    with torch.inference_mode():
        close(gradient(plain, images.clone(), CLASS), wanted)


def test_a_black_image_has_a_map_without_nan(plain: nn.Module) -> None:
    black = torch.zeros(1, 3, 18, 14)
    assert not bool(gradient_x_input(plain, black, 0).any())
    assert bool(torch.isfinite(smoothgrad(plain, black, 0)).all())


@pytest.mark.parametrize("method", ["gradient", "gradient-x-input", "integrated-gradients"])
def test_a_derivative_that_is_not_finite_is_refused(method: str) -> None:
    """1 / x of black pixels is clamped in the score, and 0 times infinity in its derivative: no map of NaN."""

    class Reciprocal(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = torch.nn.functional.avg_pool2d(x.square(), 2)
            return x.reciprocal().clamp(-3, 3).mean((2, 3))

    image = torch.rand(3, 8, 8)
    image[:, :4] = 0
    module = Reciprocal()
    assert bool(torch.isfinite(module(image[None])).all())
    with pytest.raises(UsageError, match=r"derivative .* is not finite.*occlusion"):
        attribute(module, image, 1, method)
    assert bool(torch.isfinite(attribute(module, image, 1, "occlusion").values).all())


def test_scores_in_bfloat16_of_what_cannot_be_traced() -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return self.lstm(x.flatten(2).transpose(1, 2))[1][0][-1]  # type: ignore[no-any-return]

    module, image = Reads().eval(), torch.rand(3, 4, 5)
    try:
        module(image[None])
    except RuntimeError as error:  # oneDNN on processors that do not compute in bfloat16
        pytest.skip(f"this processor has no such layer: {error}")
    found = attribute(module, image, 1, "occlusion").values
    assert bool(torch.isfinite(found).all())
