"""Images in kinds of numbers that a network treats in its own way, and results that rounding alone moves."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

from striate.attribution import explain
from striate.errors import NotVerifiedWarning, StriateError, UsageError
from striate.inference.dense import dense
from striate.inference.incremental import occlusion
from striate.inference.tiled import tiled

G = torch.Generator().manual_seed(0)
BYTES = torch.randint(0, 256, (1, 3, 20, 22), dtype=torch.uint8, generator=G)


class Scales(nn.Module):
    """Divides whole numbers by 255, as torchvision's ConvertImageDtype does, and takes others as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        if not x.is_floating_point():
            x = x.float() / 255
        return self.last(self.first(x).relu().mean((2, 3)))


def test_whole_numbers_mean_what_they_mean_to_the_network() -> None:
    module = Scales().eval()
    torch.testing.assert_close(tiled(module, BYTES, tile=8), module(BYTES))
    with pytest.raises(UsageError, match="something else of images in uint8"):
        occlusion(module, BYTES, 1, patch=6, stride=6)
    with pytest.raises(UsageError, match="something else of images in uint8"):
        dense(module, BYTES, window=12, stride=4)
    occlusion(module, BYTES / 255, 1, patch=6, stride=6)  # the remedy
    dense(module, BYTES / 255, window=12, stride=4)


def test_what_takes_no_whole_numbers_gets_them_cast() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    torch.testing.assert_close(
        tiled(module, BYTES, tile=8), module(BYTES.float()), rtol=1e-5, atol=1e-3
    )
    pooled = nn.Sequential(nn.AvgPool2d(2), nn.BatchNorm2d(3)).eval()  # torch has no such pooling
    torch.testing.assert_close(tiled(pooled, BYTES, tile=8), pooled(BYTES.float()))


def test_complex_images_are_not_cut_to_their_real_part() -> None:
    x = torch.rand(1, 3, 20, 22, dtype=torch.complex64, generator=G)
    module = Scales().eval()
    uses = [
        lambda: tiled(nn.Conv2d(3, 4, 3), x, tile=8),
        lambda: occlusion(module, x, 1, patch=6, stride=6),
        lambda: dense(module, x, window=12, stride=4),
    ]
    for use in uses:
        with pytest.raises(UsageError, match="would drop their imaginary parts"):
            use()


@pytest.mark.parametrize("kind", ["meta", "sparse"])
def test_images_without_numbers_are_refused(kind: str) -> None:
    x = torch.rand(1, 3, 20, 22)
    x = x.to("meta") if kind == "meta" else x.to_sparse()
    module = Scales().eval()
    uses = [
        lambda: tiled(module, x, tile=8),
        lambda: occlusion(module, x, 1, patch=6, stride=6),
        lambda: dense(module, x, window=12, stride=4),
        lambda: explain(module, x, 1, trust=False),
    ]
    for use in uses:
        with pytest.raises(
            UsageError, match=f"the image is {'on the meta' if kind == 'meta' else 'sparse'}"
        ):
            use()
    with pytest.raises(UsageError, match="no image in a batch"):
        dense(module, torch.rand(0, 3, 20, 22), window=12, stride=4)


class Cancels(nn.Module):
    """Two convolutions of pixels a thousand times larger than their difference."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x + 1000) - self.conv(x + 999.9)


@pytest.mark.parametrize("what", ["cancelling", "flat"])
def test_rounding_in_the_middle_of_a_network_withholds_nothing(what: str) -> None:
    """Differences of 1e-3 of the result, of which the roundings of the image show nothing: measured in double precision."""
    norm = [
        nn.Conv2d(3, 4, 3, padding=1),
        nn.InstanceNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.InstanceNorm2d(4),
    ]
    for seed in range(6):
        torch.manual_seed(seed)
        module = (Cancels() if what == "cancelling" else nn.Sequential(*norm)).eval()
        x = (
            torch.full((1, 3, 9, 39), 0.5)
            if what == "cancelling"
            else torch.rand(1, 3, 32, 31) * 1e-6
        )
        _, certificate = tiled(module, x, tile=11, certificate=True)
        assert certificate.exact is not False


def test_what_is_nothing_but_rounding_is_not_verified() -> None:
    """In bfloat16 one over a difference that cancels: the tiles are the same in double precision, and noise as they are."""

    class Pole(Cancels):
        def forward(self, x: Tensor) -> Tensor:
            return 1 / (self.conv(x * 1e4) - self.conv(x * 1e4 + 1)).abs().add(1e-6)

    torch.manual_seed(0)
    module, x = Pole().eval().bfloat16(), torch.rand(1, 3, 40, 30).bfloat16()
    _, certificate = tiled(module, x, tile=11, certificate=True)
    assert certificate.exact is not True or certificate.difference < 0.01


def test_a_score_is_compared_in_double_precision_to_the_last_digit() -> None:
    """Group norm of constant channels is off by 1e-5 in torch's float32, and by 1e-14 in float64.

    The map of a black image hidden by black is flat, so that this is all of what is in it.
    """
    for seed in (3, 5):
        torch.manual_seed(seed)
        module = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.GroupNorm(1, 4),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, padding=1),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotVerifiedWarning)  # where memory is aligned otherwise
            occlusion(
                module.eval(),
                torch.zeros(1, 3, 41, 64),
                lambda out: out.flatten(1).mean(1).double(),
                patch=6,
                stride=10,
            )


class Chooses(nn.Module):
    """Takes rows by numbers that it was made with, for images of 12 rows."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.register_buffer("rows", torch.tensor([0, 3, 11]))

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "index":
            return x[:, :, self.rows]
        if self.how == "select":
            return x.index_select(2, self.rows)
        table = x.new_zeros(10, 3)
        return x[..., :3] + torch.nn.functional.embedding(self.rows, table).mean(0)


@pytest.mark.parametrize("how", ["index", "select", "table"])
def test_an_index_out_of_range_is_the_networks_own(how: str) -> None:
    """No trace reads the number: it is first met when values are computed, and said as what the module raises itself."""
    module, x = Chooses(how), torch.rand(1, 2, 9, 8)
    with pytest.raises((RuntimeError, IndexError)):
        module(x)
    said = r"refuses images of 1x2x9x8.*index|raises the same, so mend|mix all positions"
    with pytest.raises(StriateError, match=said):
        occlusion(module, x, lambda y: y.sum((1, 2, 3)), patch=2, stride=2)
    with pytest.raises(StriateError, match=said):
        tiled(module, x, tile=4)
    with pytest.raises(
        StriateError, match=r"refuses (images of 1x2x9x8|patches of 9x8 pixels): index"
    ):
        dense(
            nn.Sequential(module, nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            torch.rand(1, 2, 10, 10),
            window=(9, 8),
            stride=1,
        )
