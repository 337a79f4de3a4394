"""The deformation probe on networks whose answers are known beforehand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.robustness import Context
from striate.robustness.deformation import SHARES, deformation, sizes_of


class MeanBrightness(nn.Module):
    """Two classes by the mean of the image, which bending hardly changes; a convolution gives it maps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.full((2, 1, 3, 3), 1 / 9))

    def forward(self, x: Tensor) -> Tensor:
        mean = torch.relu(self.conv(x)).mean((2, 3))
        return torch.stack((0.5 - mean[:, 0], mean[:, 1] - 0.5), 1) * 50


class OnePixel(nn.Module):
    """Two classes by one pixel of a fine chequerboard: any bending at that place decides it anew."""

    def forward(self, x: Tensor) -> Tensor:
        at = x[:, 0, 16, 16]
        return torch.stack((0.5 - at, at - 0.5), 1) * 50


def chequers(count: int) -> tuple[Tensor, Tensor]:
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    board = ((rows + columns) % 2).float()
    images = torch.stack([(board if i % 2 else 1 - board)[None] for i in range(count)])
    return images, images[:, 0, 16, 16].long()


def test_a_mean_is_stable_and_a_pixel_is_not() -> None:
    torch.manual_seed(0)
    images = torch.rand(40, 1, 32, 32) * 0.4 + torch.arange(40).remainder(2).view(-1, 1, 1, 1) * 0.6
    labels = (images.mean((1, 2, 3)) > 0.5).long()
    stable = deformation(Context(MeanBrightness().eval(), images, labels, ("dark", "bright")))
    assert stable.status == "good"
    assert stable.data["accuracy"] == [1.0] * len(SHARES)
    assert stable.tables[-1].rows[0][0] == "pixels" and stable.tables[-1].rows[0][3] == 1.0
    layer = next(iter(n for n in stable.data["layers"] if n != "pixels"))
    moved = stable.data["layers"][layer]["deformed"]
    assert moved == sorted(moved)  # bending more moves it further

    fine, classes = chequers(40)
    broken = deformation(Context(OnePixel().eval(), fine, classes, ("dark", "bright")))
    assert broken.status == "warning"
    assert broken.data["accuracy"][-1] < 0.8
    assert "layers" not in broken.data  # it has no maps to compare


def test_sizes_are_shares_of_the_side() -> None:
    assert sizes_of(100) == [1.0, 2.0, 4.0, 8.0]
