"""The kernels that the pages show, and kernels laid out as tiles."""

from __future__ import annotations

import torch

from striate.kernels import examine
from striate.lectures.first_units import first_units, laid_out


def test_the_kernels_are_those_of_a_first_layer_that_has_learned() -> None:
    kernels = first_units()
    assert kernels.shape == (96, 3, 11, 11)
    assert kernels.dtype == torch.float32
    learned = examine(kernels)
    assert (~learned.noisy & ~learned.empty).sum() > 48, "most have a structure that noise has not"


def test_tiles_stand_in_rows_on_white_with_grey_for_nothing() -> None:
    kernels = torch.zeros(3, 3, 2, 2)
    kernels[0, 0, 0, 0] = 4.0  # red, the largest weight of the first
    kernels[1, 2, 1, 1] = -0.5
    page = laid_out(kernels, columns=2, gap=1)
    assert page.shape == (5, 5, 3)  # two rows of two tiles of 2 x 2, with a gap of 1
    assert page[0, 0].tolist() == [1.0, 0.5, 0.5]
    assert page[1, 4].tolist() == [0.5, 0.5, 0.0]
    assert page[3, 0].tolist() == [0.5, 0.5, 0.5], "a kernel of zeros is grey"
    assert (page[2] == 1).all(), "the gap between rows"
    assert (page[:, 2] == 1).all(), "the gap between columns"
    assert (page[3:, 3:] == 1).all(), "the place of a fourth"


def test_one_kernel_fills_its_picture() -> None:
    assert laid_out(torch.ones(1, 3, 11, 11)).shape == (11, 11, 3)
