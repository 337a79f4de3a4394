"""Weights lie as each size of map wants them, and one layout is held once."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.inference.incremental.kernel import Kernel, fused_by_onednn
from striate.inference.layouts import laid_out, layout, layout_for
from striate.inference.tiled import tiled

pytestmark = pytest.mark.skipif(
    not fused_by_onednn(torch.empty(1, 1, 1, 1)), reason="torch was built without oneDNN"
)
SIZES = [(30, 30), (30, 29), (14, 14), (15, 17), (14, 30), (9, 40)]


def asked(weight: Tensor, size: tuple[int, int], padding: int) -> bytes:
    shape = (1, weight.shape[1], *size)
    return layout(
        laid_out(
            weight, shape, padding=(padding, padding), stride=(1, 1), dilation=(1, 1), groups=1
        )
    )


def test_a_layout_is_the_same_whatever_lay_in_its_memory_before() -> None:
    weight, other = torch.randn(64, 64, 3, 3), torch.randn(64, 64, 3, 3)
    for size in SIZES:
        first = asked(weight, size, 1)
        asked(torch.randn(8, 8, 1, 1), (5, 5), 0)  # writes elsewhere
        assert asked(other, size, 1) == first
        found = layout_for(
            (64, 64, 3, 3), torch.float32, (1, 64, *size), (1, 1), (1, 1), (1, 1), 1, torch.get_num_threads()
        )  # fmt: skip
        assert found == first
    # Blocks of 16, 24 and 32 channels at most, padded alike.
    assert len({asked(weight, size, p) for size in SIZES for p in (0, 1)}) <= 4


def test_every_size_gets_the_layout_that_it_wants_and_equal_ones_are_shared() -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(48, 32, 3, 3), torch.randn(48)
    kernel = Kernel(weight, bias, (1, 1), (1, 1), (1, 1), 1, None)
    for size in SIZES:
        for padded in (True, False):
            x = torch.randn(2, 32, *size)
            expected = F.conv2d(x, weight, bias, padding=1 if padded else 0)
            torch.testing.assert_close(kernel(x, padded), expected, rtol=1e-4, atol=1e-4)
    assert len(kernel.packed) == 2 * len(SIZES)
    assert len({id(w) for w in kernel.packed.values()}) == len(kernel.layouts)
    for key, laid in kernel.packed.items():
        *shape, high, wide = key
        wanted = laid_out(
            weight, shape, padding=(high, wide), stride=(1, 1), dilation=(1, 1), groups=1
        )
        assert layout(laid) == layout(wanted)


def test_tiles_of_uneven_sizes_are_no_trap() -> None:
    """A 3 x 3 kernel laid out for one size took 4 to 40 times as long at another, with AVX2."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(256, 256, 3), nn.ReLU(), nn.Conv2d(256, 256, 3)).eval()
    image = torch.randn(1, 256, 64, 64)
    with torch.inference_mode():
        expected = module(image)
        found = tiled(module, image, tile=(30, 30))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
