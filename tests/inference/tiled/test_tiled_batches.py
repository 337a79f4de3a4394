"""Several images: what the module gives for all at once, or a refusal that names what mixes them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from striate.errors import GeometryError
from striate.inference.tiled import tiled


class Lambda(nn.Module):
    """A function as a module."""

    def __init__(self, f: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.f = f

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x)


def head() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


APART: dict[str, nn.Module] = {
    "as it is": Lambda(lambda x: x * 2),
    "channels first": Lambda(lambda x: x.permute(1, 0, 2, 3)),
    "channels as images": Lambda(lambda x: x.flatten(0, 1)[:, None]),
    "stacked before": Lambda(lambda x: torch.stack([x, x * 2], 0)),
    "stacked behind": Lambda(lambda x: torch.stack([x, x * 2], 1)),
    "logits": head(),
    "logits behind": nn.Sequential(head(), Lambda(lambda x: x.unsqueeze(0))),
}
MIXED: dict[str, nn.Module] = {
    "cat": Lambda(lambda x: torch.cat([x, x.flip(3)], 0)),
    "cat and chunk": Lambda(lambda x: sum(torch.cat([x, x.flip(3)], 0).chunk(2))),
    "mean": Lambda(lambda x: x - x.mean(0, keepdim=True)),
    "minus the first": Lambda(lambda x: x - x[:1]),
    "backwards": Lambda(lambda x: x.flip(0)),
    "the first": Lambda(lambda x: x[0]),
    "statistics": nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)),
    "centred logits": nn.Sequential(head(), Lambda(lambda x: x - x.mean(0))),
    "likeness": nn.Sequential(head(), Lambda(lambda x: x @ x.T)),
    "their number": Lambda(lambda x: x * len(x)),
}


def images() -> Tensor:
    return torch.rand(2, 3, 19, 17, generator=torch.Generator().manual_seed(0)) - 0.5


@pytest.mark.parametrize("name", APART)
def test_images_that_stay_apart_are_put_together_as_the_module_does(name: str) -> None:
    module, x = APART[name].eval(), images()
    with torch.no_grad():
        torch.testing.assert_close(tiled(module, x, tile=8), module(x))
        torch.testing.assert_close(tiled(module, x[:1], tile=8), module(x[:1]))


@pytest.mark.parametrize("name", MIXED)
def test_images_that_are_mixed_are_refused(name: str) -> None:
    with pytest.raises(
        GeometryError,
        match=r"mixes the images of a batch.*one image at a time|mix all positions",
    ):
        tiled(MIXED[name].eval(), images(), tile=8)
