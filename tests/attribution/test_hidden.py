"""The probability with a patch at each place, and how it is laid over the image (lecture 004, figure 13)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from striate.attribution import Explanation, Hidden, Map, explain, occlusion_probability
from striate.attribution.classmap import window_map
from striate.attribution.overlay import DIM, dimmed, over, over_scale
from striate.attribution.panels import strength
from striate.errors import UsageError


def test_each_value_is_the_softmax_of_the_image_with_that_patch_hidden(plain: nn.Module) -> None:
    torch.manual_seed(0)
    image = torch.rand(3, 11, 9)
    found = occlusion_probability(plain, image, 2, patch=(4, 3), stride=3, baseline=0.5, temperature=2.0)  # fmt: skip
    assert found.tops == (0, 3, 6, 7)  # the last stands flush with the border: 11 - 4
    assert found.lefts == (0, 3, 6)
    for r, top in enumerate(found.tops):
        for c, left in enumerate(found.lefts):
            hidden = image.clone()
            hidden[:, top : top + 4, left : left + 3] = 0.5
            with torch.no_grad():
                expected = (plain(hidden[None]) / 2.0).softmax(1)[0, 2]
            assert float(found.values[r, c]) == pytest.approx(float(expected), abs=1e-6)
    with torch.no_grad():
        assert found.whole == pytest.approx(float((plain(image[None]) / 2).softmax(1)[0, 2]))


def test_over_the_image_a_patchs_middle_has_its_value() -> None:
    found = Hidden(
        values=torch.tensor([[0.9, 0.5], [0.7, 0.1]]), tops=(0, 4), lefts=(0, 4), patch=(3, 3), whole=0.95
    )  # fmt: skip
    shown = found.pixels((7, 7))
    assert shown[1, 1].item() == pytest.approx(0.9)  # the middle of rows 0 to 2, columns 0 to 2
    assert shown[5, 5].item() == pytest.approx(0.1)
    assert shown[3, 1].item() == pytest.approx(0.8)  # half-way between 0.9 and 0.7
    assert shown[0, 6].item() == pytest.approx(0.5)  # beyond the outermost middle: the same
    assert found.strength == pytest.approx((0.95, 0.1))


def test_what_has_no_probability_is_refused(plain: nn.Module) -> None:
    image = torch.rand(3, 9, 9)
    with pytest.raises(UsageError, match="out of range"):
        occlusion_probability(plain, image, 5)
    one = nn.Sequential(nn.Flatten(), nn.Linear(243, 1))
    with pytest.raises(UsageError, match="two classes"):
        occlusion_probability(one, image, 0)
    mask = nn.Conv2d(3, 4, 1)
    with pytest.raises(UsageError, match="two classes"):
        occlusion_probability(mask, image, 0)


def test_explanations_of_a_class_have_it_and_others_do_not(plain: nn.Module) -> None:
    image = torch.rand(3, 12, 12)
    explained = explain(plain, image, 1, methods=["occlusion", "gradient"], trust=False)
    assert explained.hidden is not None
    assert explained.hidden.whole == pytest.approx(explained.probability)
    drawn = strength(explained, explained.maps["occlusion"])
    least = explained.hidden.pixels((12, 12))
    assert drawn.shape == (12, 12)
    # The strongest colour is where the probability is least.
    assert float(least.flatten()[drawn.argmax()]) == pytest.approx(float(least.min()))
    assert explain(plain, image, 1, methods=["gradient"], trust=False).hidden is None
    by_function = explain(plain, image, lambda y: y[:, 0], methods=["occlusion"], trust=False)
    assert by_function.hidden is None


def lightness(colours: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB (WCAG 2.1), which is what all eyes, colour-blind or not, have in common."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def test_lightness_rises_with_the_map_over_every_grey() -> None:
    for row in over_scale():
        assert (np.diff(lightness(row)) > 0).all()
    grey = dimmed(torch.ones(3, 2, 2))
    assert np.allclose(grey, DIM)
    assert np.allclose(over(grey, np.zeros((2, 2))), DIM)  # nothing marked: the photograph as it is


class Bright(nn.Module):
    """Two classes; the second's logit is the mean of the image's pixels, of any size."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean((1, 2, 3))
        return torch.stack([-mean, mean], 1)


@pytest.mark.parametrize(
    ("side", "half"),
    [("top", "lower"), ("bottom", "upper"), ("left", "right"), ("right", "left")],
)
def test_a_class_map_that_is_blank_over_half_the_image_names_the_edge(side: str, half: str) -> None:
    image = torch.zeros(1, 32, 32)
    bright = {
        "top": image[:, :16], "bottom": image[:, 16:], "left": image[:, :, :16], "right": image[:, :, 16:]
    }  # fmt: skip
    bright[side].fill_(1.0)
    found = window_map(Bright(), image, 1)
    assert 0.4 < float((found.values <= 0).double().mean()) < 0.6
    assert f"pixel of the {half} half" in found.blank
    assert "edge score 0.0, all 81 0.5" in found.blank


def test_a_class_map_that_is_drawn_nearly_everywhere_says_nothing() -> None:
    image = torch.ones(1, 32, 32)
    image[:, 28:, 28:] = 0
    assert window_map(Bright(), image, 1).blank == ""


def test_a_map_without_a_probability_is_drawn_by_its_own_values() -> None:
    one = Map(method="occlusion", values=torch.eye(4), shown=torch.eye(4))
    e = Explanation(
        image=torch.rand(1, 4, 4), target="a", probability=None, top=(), maps={"occlusion": one}
    )
    assert np.array_equal(strength(e, one), np.eye(4))
