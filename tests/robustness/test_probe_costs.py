"""What a probe is said to cost, against counted passes forward and back."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from striate.robustness import PROBES, Context, Recorder, run_probe
from striate.robustness.shortcuts import shortcuts

CLASSES, SIDE = 4, 24
# calibration reads what others have predicted, and samples trains; neither sends the images through by itself.
COUNTED = [name for name in PROBES if name not in ("samples", "calibration")]


class Counting(nn.Module):
    """Predicts by a network and counts the images that go forward and back through it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.passes = network, 0

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to (N, K)."""
        self.passes += len(images)
        out = self.network(images)
        if images.requires_grad and torch.is_grad_enabled():
            out.register_hook(self.backward)
        return out  # type: ignore[no-any-return]

    def backward(self, gradient: Tensor) -> None:
        """Count what comes back."""
        self.passes += len(gradient)


def striped(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images with a stripe of a class's own place and colour, and their classes."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    images = torch.rand(count, 3, SIDE, SIDE, generator=g) / 2
    for c in range(CLASSES):
        images[labels == c, c % 3, 6 * c : 6 * c + 6] += 0.4
    return images, labels


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A small network that knows the stripes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, CLASSES)
        )  # fmt: skip
        adam = torch.optim.Adam(made.parameters(), 1e-2)
        images, labels = striped(128, 0)
        for _ in range(80):
            adam.zero_grad()
            nn.functional.cross_entropy(made(images), labels).backward()
            adam.step()
    return made.eval().requires_grad_(False)


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("count", [24])
def test_the_table_is_within_a_factor_of_two_of_what_is_counted(
    network: nn.Module, name: str, count: int
) -> None:
    counting = Counting(network).eval()
    images, labels = striped(count, 1)
    context = Context(counting, images, labels, list("abcd"), recorder=Recorder(counting))
    assert context.accuracy > 0.9
    counting.passes = 0
    run = partial(shortcuts, training=striped(128, 2)) if name == "shortcuts" else None
    run_probe(context, name, run)
    assert 0.5 < PROBES[name].passes(count, CLASSES) / counting.passes < 2.0
