"""Networks of reports to other tools' trackers, whose exported files answered differently: each goes out with the right
answers or is refused, and what was written is run again on other images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import striate
from striate import api
from striate.data import Preprocessing
from striate.errors import ExactnessError, UsageError


class Head(nn.Module):
    """A small network around one operation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.last = nn.Linear(4, 3)

    def middle(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.middle(self.first(x)).flatten(2).square().mean(2))


class Bicubic(Head):
    """pytorch#177138: the exporter wrote a coefficient of -0.75 for the antialiased bicubic filter, which has -0.5."""

    def middle(self, x: Tensor) -> Tensor:
        return F.interpolate(x, size=(7, 5), mode="bicubic", antialias=True)


class Bilinear(Head):
    """pytorch#183546: weights beyond the border were kept."""

    def middle(self, x: Tensor) -> Tensor:
        return F.interpolate(x, size=(5, 9), mode="bilinear", antialias=True)


class CeilPool(Head):
    """pytorch#113155: windows beyond the border of a pooling that rounds up."""

    def middle(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), 2, 2, ceil_mode=True)


class Spectral(Head):
    """pytorch#147854: a Fourier transform with a batch of any size."""

    def middle(self, x: Tensor) -> Tensor:
        found = torch.fft.rfft2(x, norm="ortho")
        return torch.cat([found.real, found.imag], 3)


class Sampled(Head):
    """Positions between pixels, with the border's own rules."""

    def middle(self, x: Tensor) -> Tensor:
        turn = torch.tensor([[0.9, 0.3, 0.1], [-0.3, 0.9, -0.2]]).expand(len(x), 2, 3)
        grid = F.affine_grid(turn, [len(x), 4, 8, 8], align_corners=False)
        return F.grid_sample(x, grid, align_corners=False, padding_mode="reflection")


@pytest.mark.parametrize("kind", [Bicubic, Bilinear, CeilPool, Spectral, Sampled])
def test_a_reported_network_goes_out_right_or_not_at_all(kind: type[Head], tmp_path: Path) -> None:
    torch.manual_seed(3)
    how = Preprocessing(channels=3, height=15, width=13, mean=(0.5,) * 3, std=(0.25,) * 3)
    trained = striate.wrap(kind(), classes=["a", "b", "c"], preprocessing=how)
    file = tmp_path / "m.onnx"
    try:
        api.export(trained, file, size=(15, 13))
    except (ExactnessError, UsageError):
        assert not list(tmp_path.iterdir())
        return
    images = np.random.default_rng(8).integers(0, 256, (5, 15, 13, 3)).astype(np.uint8)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": images})
    x = (torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255 - 0.5) / 0.25
    with torch.no_grad():
        right = trained.model.double()(x).numpy()
    assert np.abs(logits - right).max() < 1e-4 * max(right.std(), 1e-3)
