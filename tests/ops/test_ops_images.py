"""Image formation, filters, pyramids, equivariance and the small definitions, on real
photographs."""

from __future__ import annotations

from math import pi

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_sample_image
from torch import Tensor

from striate import ops
from striate.errors import UsageError

CASES = settings(max_examples=40, deadline=None)


@pytest.fixture(scope="module")
def photograph() -> Tensor:
    """A temple, grey, 0 to 1: (427, 640)."""
    return torch.from_numpy(load_sample_image("china.jpg").mean(2)) / 255


def test_sampling_takes_the_mean_of_each_cell(photograph: Tensor) -> None:
    small = ops.sample(photograph[:64, :96], 8)
    expected = torch.nn.functional.avg_pool2d(photograph[None, None, :64, :96], 8)[0, 0]
    torch.testing.assert_close(small, expected)
    points = ops.sample(photograph[:64, :96], 8, average=False)
    assert torch.equal(points, photograph[:64:8, :96:8])


def test_point_sampling_aliases_and_averaging_does_not() -> None:
    """A stripe every 8/7 pixels, taken every 8th of a pixel and sampled every pixel, looks 7
    wide."""
    x = torch.arange(448, dtype=torch.float64)
    stripes = (0.5 + 0.5 * torch.cos(2 * pi * x * 7 / 64))[None].expand(8, -1)
    points, means = ops.sample(stripes, 8, average=False), ops.sample(stripes, 8)
    slow = 0.5 + 0.5 * torch.cos(2 * pi * torch.arange(56).double() / 8)
    torch.testing.assert_close(points[0], slow)
    assert means.std() < 0.2 * points.std()


@pytest.mark.parametrize("levels", [2, 4, 16, 256])
def test_quantising_errs_by_at_most_half_a_level(levels: int, photograph: Tensor) -> None:
    pixels = ops.quantise(photograph, levels)
    assert pixels.dtype == torch.uint8
    assert pixels.max() <= levels - 1
    error = (ops.grey_values(pixels, levels) - photograph).abs().max()
    assert error <= 0.5 / (levels - 1) + 1e-12


def test_quantised_photograph_of_256_levels_is_the_file(photograph: Tensor) -> None:
    whole = torch.from_numpy(load_sample_image("china.jpg")[..., 0].astype(np.float64)) / 255
    assert torch.equal(
        ops.quantise(whole), torch.from_numpy(load_sample_image("china.jpg")[..., 0].copy())
    )


def test_histogram_counts_every_pixel() -> None:
    pixels = ops.lecture_pixels()
    counts = ops.histogram(pixels)
    np.testing.assert_array_equal(counts, np.bincount(pixels.flatten(), minlength=256))


@pytest.mark.parametrize("name", ops.FILTERS)
def test_filters_agree_with_scipy(name: str, photograph: Tensor) -> None:
    crop = photograph[100:140, 200:260]
    filtered = ops.filter_image(crop, ops.FILTERS[name])
    expected = scipy.ndimage.correlate(crop.numpy(), ops.FILTERS[name].numpy(), mode="nearest")
    np.testing.assert_allclose(filtered, expected, atol=1e-12)


def test_smoothing_filters_sum_to_one_and_edge_filters_to_zero() -> None:
    sums = {name: kernel.sum().item() for name, kernel in ops.FILTERS.items()}
    for name in ("identity", "box", "weighted average"):
        assert sums[name] == pytest.approx(1)
    for name in ("sobel x", "sobel y", "vertical edge", "horizontal edge"):
        assert sums[name] == 0


def test_gaussian_is_separable_and_round(photograph: Tensor) -> None:
    kernel = ops.gaussian(1.5)
    assert kernel.shape == (11, 11)
    assert torch.linalg.matrix_rank(kernel) == 1
    torch.testing.assert_close(kernel, kernel.rot90())
    crop = photograph[100:140, 200:260]
    smooth = scipy.ndimage.gaussian_filter(crop.numpy(), 1.5, mode="nearest", radius=5)
    np.testing.assert_allclose(ops.filter_image(crop, kernel), smooth, atol=1e-12)


def test_box_smoothing_lets_fine_stripes_through_where_gaussian_does_not() -> None:
    """Lecture 000, "Average vs. Gaussian Smoothing": the spectrum of a box has side lobes."""
    box, gauss = ops.box(9), ops.gaussian(2.6, 8)
    spectra = [torch.fft.rfft(kernel.sum(0), 512).abs() for kernel in (box, gauss)]
    fine = slice(int(512 * 1.4 / 9), None)  # stripes narrower than 9 / 1.4 pixels
    assert spectra[0][fine].max() > 0.2
    assert spectra[1][fine].max() < 0.05


def test_gradient_magnitude_does_not_care_for_direction() -> None:
    ramp = torch.arange(7.0)[None].expand(7, 7).double()
    for image in (ramp, ramp.T, ramp.flip(1), (ramp.T).flip(0)):
        torch.testing.assert_close(ops.gradient_magnitude(image)[3, 3], torch.tensor(8.0).double())


@given(st.integers(3, 20), st.integers(3, 20), st.integers(1, 3), st.integers(0, 2**32 - 1))
@CASES
def test_laplacian_pyramid_reconstructs(h: int, w: int, levels: int, seed: int) -> None:
    image = torch.randn(h, w, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    levels = min(levels, 1 + (min(h, w) >= 3) + (min(h, w) >= 5))
    pyramid = ops.laplacian_pyramid(image, levels)
    assert len(pyramid) == levels
    torch.testing.assert_close(ops.from_laplacian(pyramid), image, rtol=0, atol=1e-12)


def test_pyramids_of_a_photograph(photograph: Tensor) -> None:
    gauss = ops.gaussian_pyramid(photograph, 5)
    assert [tuple(level.shape) for level in gauss] == [
        (427, 640),
        (214, 320),
        (107, 160),
        (54, 80),
        (27, 40),
    ]
    laplace = ops.laplacian_pyramid(photograph, 5)
    torch.testing.assert_close(ops.from_laplacian(laplace), photograph, rtol=0, atol=1e-12)
    assert all(detail.abs().mean() < 0.05 for detail in laplace[:-1]), "details are small"


def test_reduce_smooths_before_it_subsamples() -> None:
    stripes = torch.tensor([0.0, 1.0]).repeat(8).expand(16, 16).double()
    torch.testing.assert_close(ops.reduce(stripes), torch.full((8, 8), 0.5).double())
    flat = torch.full((9, 7), 0.3).double()
    torch.testing.assert_close(ops.reduce(flat), torch.full((5, 4), 0.3).double())
    torch.testing.assert_close(ops.expand(ops.reduce(flat), (9, 7)), flat, rtol=0, atol=1e-12)


@given(
    st.sampled_from([(8, 8), (16, 8), (20, 12), (12, 40)]),
    st.integers(1, 2),
    st.integers(1, 6),
    st.integers(0, 2**32 - 1),
)
@CASES
def test_steerable_pyramid_reconstructs(
    size: tuple[int, int], scales: int, orientations: int, seed: int
) -> None:
    image = torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    pyramid = ops.steerable_pyramid(image, scales, orientations)
    assert [tuple(b.shape) for b in pyramid.bands] == [
        (orientations, size[0] >> s, size[1] >> s) for s in range(scales)
    ]
    torch.testing.assert_close(ops.from_steerable(pyramid), image, rtol=0, atol=1e-12)


@given(st.integers(1, 7), st.floats(-7, 7))
@CASES
def test_rotating_the_filter_equals_mixing_the_basis(orientations: int, angle: float) -> None:
    size = (16, 20)
    basis = [
        ops.oriented_mask(size, orientations, k * pi / orientations) for k in range(orientations)
    ]
    mixed = sum(
        w * b for w, b in zip(ops.steering_weights(orientations, angle), basis, strict=True)
    )
    torch.testing.assert_close(
        mixed, ops.oriented_mask(size, orientations, angle), rtol=0, atol=1e-12
    )


def test_mask_at_an_angle_is_the_turned_mask() -> None:
    size = (17, 17)  # an odd side has no frequency that is its own negative
    upright = torch.fft.fftshift(ops.oriented_mask(size, 4, 0.0))
    sideways = torch.fft.fftshift(ops.oriented_mask(size, 4, pi / 2))
    torch.testing.assert_close(torch.rot90(upright, -1), sideways, rtol=0, atol=1e-12)


def test_steered_band_is_the_answer_of_the_turned_filter(photograph: Tensor) -> None:
    image = photograph[:128, :160]
    pyramid = ops.steerable_pyramid(image, 1, 4)
    r = (
        2
        * pi
        * torch.sqrt(
            torch.fft.fftfreq(128).double()[:, None].square()
            + torch.fft.fftfreq(160).double().square()
        )
    )
    inner = torch.where(r / 2 < pi / 4, 1.0, torch.cos(pi / 2 * torch.log2(2 * r / pi)))
    inner[r >= pi] = 0.0
    mask = ops.oriented_mask((128, 160), 4, 0.6) * inner
    expected = torch.fft.ifft2(torch.fft.fft2(image) * mask).real
    torch.testing.assert_close(ops.steer(pyramid.bands[0], 0.6), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("k", range(4))
def test_each_band_prefers_its_own_stripes(k: int) -> None:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    angle = k * pi / 4
    stripes = torch.sin((x * np.cos(angle) + y * np.sin(angle)) * pi / 3).double()
    window = torch.hann_window(64, dtype=torch.float64)
    bands = ops.steerable_pyramid(stripes * window[:, None] * window, 1, 4).bands[0]
    energy = bands.square().sum((1, 2))
    assert energy.argmax() == k
    assert energy[(k + 2) % 4] < 0.01 * energy[k], "the direction across answers least"


def test_steerable_energy_is_that_of_the_image(photograph: Tensor) -> None:
    """The squared masks add up to one, so the parts have the energy of the whole (a tight
    frame)."""
    image = photograph[:64, :64] - photograph[:64, :64].mean()
    p = ops.steerable_pyramid(image, 2, 3)
    parts = [p.high, p.bands[0], 2 * p.bands[1], 4 * p.low]  # a level has a quarter of the pixels
    energy = sum(part.square().sum() for part in parts)
    torch.testing.assert_close(energy, image.square().sum())


@given(st.integers(-6, 6), st.integers(-6, 6))
@CASES
def test_translate(down: int, right: int) -> None:
    x = torch.arange(1.0, 21).reshape(4, 5)
    y = ops.translate(x, (down, right))
    for i in range(4):
        for j in range(5):
            inside = 0 <= i - down < 4 and 0 <= j - right < 5
            assert y[i, j] == (x[i - down, j - right] if inside else 0)
    assert torch.equal(ops.translate(x, (down, right), "circular"), x.roll((down, right), (0, 1)))


@given(st.integers(-3, 3), st.integers(-3, 3), st.integers(0, 2**32 - 1))
@CASES
def test_convolution_is_equivariant_where_nothing_ends(down: int, right: int, seed: int) -> None:
    """Lecture 003, f(translate(x)) = translate(f(x)): exactly, on an image that wraps around."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, 2, 6, 7, generator=generator, dtype=torch.float64)
    w = torch.randn(3, 2, 3, 3, generator=generator, dtype=torch.float64)

    def layer(x: Tensor) -> Tensor:
        return ops.conv(x, w, padding=1, padding_mode="circular")

    assert ops.equivariance_gap(layer, x, (down, right), fill="circular").max() < 1e-12


def test_padding_and_stride_break_equivariance() -> None:
    x, w = torch.rand(1, 1, 8, 8).double() + 1, torch.ones(1, 1, 3, 3).double()

    def padded(x: Tensor) -> Tensor:
        return ops.conv(x, w, padding=1)

    gap = ops.equivariance_gap(padded, x, (0, 2))[0, 0]
    assert gap[:, 3:-1].max() < 1e-12, "away from the border nothing changed"
    assert gap[:, 1].min() > 1, "the padding that moved in is not what padding was there before"
    assert gap[:, -1].min() > 1, "what left the image is no longer seen from inside"

    def strided(x: Tensor) -> Tensor:
        return ops.conv(x, w, stride=2, padding=1, padding_mode="circular")

    assert ops.equivariance_gap(strided, x, (2, 4), stride=2, fill="circular").max() < 1e-12
    moved = strided(ops.translate(x, (0, 1), "circular"))
    nearest = min(
        (moved - ops.translate(strided(x), (0, s), "circular")).abs().max() for s in range(4)
    )
    assert nearest > 0.1, "one pixel at stride 2 is no shift of the output at all"


def test_occlusion_finds_the_one_pixel_that_counts() -> None:
    image = torch.rand(2, 6, 7).double()
    drops = ops.occlusion_map(lambda x: float(x[1, 3, 4]), image, patch=2, stride=1)
    assert drops.shape == (5, 6)
    hidden = torch.zeros(5, 6).double()
    hidden[2:4, 3:5] = image[1, 3, 4]
    torch.testing.assert_close(drops, hidden)
    drops = ops.occlusion_map(lambda x: float(x.sum()), image, patch=3, stride=2, baseline=1.0)
    assert drops.shape == (2, 3)
    assert drops[1, 2].item() == pytest.approx(float((image[:, 2:5, 4:7] - 1).sum()))


def test_top_k_and_neighbours() -> None:
    scores = torch.tensor([[0.1, 0.5, 0.4], [0.6, 0.3, 0.1]])
    assert ops.top_k_accuracy(scores, torch.tensor([2, 0]), 1) == 0.5
    assert ops.top_k_accuracy(scores, torch.tensor([2, 0]), 2) == 1.0
    features = torch.tensor([[0.0, 0], [3, 4], [1, 0], [0, 2]])
    assert ops.nearest_neighbours(features, torch.tensor([0.0, 0]), 3).tolist() == [0, 2, 3]


image9 = torch.zeros(9, 9)
FAULTS = {
    "sample": (lambda: ops.sample(image9, 10), r"1 to 9 pixels wide, got 10"),
    "levels": (lambda: ops.quantise(image9, 1), r"2 to 256 levels, got 1"),
    "even": (lambda: ops.filter_image(image9, ops.box(2)), r"make its sides odd"),
    "sigma": (lambda: ops.gaussian(0.0), r"sigma must be more than 0 pixels, got 0"),
    "pyramid": (lambda: ops.gaussian_pyramid(image9, 5), r"has 1 to 4 levels, got 5"),
    "steerable": (
        lambda: ops.steerable_pyramid(image9, 2, 4),
        r"multiples of 4, at least 8; got \(9, 9\): crop or pad it to \(8, 8\)",
    ),
    "steerable scales": (lambda: ops.steerable_pyramid(image9, 0, 4), r"1 or more scales"),
    "fill": (lambda: ops.translate(image9, (1, 1), "mirror"), r"'zeros' or 'circular'"),
    "shift": (
        lambda: ops.equivariance_gap(lambda x: x, image9, (1, 0), stride=2),
        r"shift by multiples of 2",
    ),
    "patch": (
        lambda: ops.occlusion_map(float, torch.zeros(1, 3, 3), patch=4),
        r"patch of 4 pixels does not fit into 3 x 3",
    ),
    "k": (lambda: ops.top_k_accuracy(image9, torch.zeros(9), 10), r"k must be 1 to 9"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_say_what_and_how(name: str) -> None:
    call, message = FAULTS[name]
    with pytest.raises(UsageError, match=message):
        call()
