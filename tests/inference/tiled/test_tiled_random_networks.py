"""Random stacks of every rule: tiles of any size, by either strategy, give the numbers of the whole image."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from torch import nn

from striate.inference.tiled import Tiled

# The networks are those that prove the rules themselves.
_spec = importlib.util.spec_from_file_location(
    "networks", Path(__file__).parents[2] / "geometry" / "test_random_networks.py"
)
assert _spec is not None
assert _spec.loader is not None
networks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(networks)

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
TAILS = ("map", "mean", "maximum", "linear", "moments")


def with_tail(network: nn.Module, channels: int, tail: str) -> nn.Module:
    """The network as it is, or a classifier: what ends the positions is gathered over tiles."""
    ends: dict[str, list[nn.Module]] = {
        "map": [],
        "mean": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3)],
        "maximum": [nn.AdaptiveMaxPool2d(1), nn.Flatten()],
        "linear": [nn.AdaptiveAvgPool2d((3, 2)), nn.Flatten(), nn.Linear(6 * channels, 3)],
        "moments": [nn.GroupNorm(1, channels), nn.Conv2d(channels, 2, 3, padding=1)],
    }
    return nn.Sequential(network, *ends[tail]).eval()


def settle(network: nn.Module) -> None:
    for m in network.modules():
        if isinstance(m, nn.BatchNorm2d):
            assert m.running_mean is not None
            assert m.running_var is not None
            m.running_mean.uniform_(-0.3, 0.3)
            m.running_var.uniform_(0.5, 2)


@given(
    seed=st.integers(0, 10**6),
    depth=st.integers(1, 5),
    size=st.tuples(st.integers(17, 45), st.integers(17, 45)),
    tile=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    strategy=st.sampled_from(("halo", "carry", "auto")),
    tail=st.sampled_from(TAILS),
    dtype=st.sampled_from((torch.float32, torch.float64)),
)
@settings(max_examples=120, deadline=None)
def test_tiles_are_the_whole(
    seed: int,
    depth: int,
    size: tuple[int, int],
    tile: tuple[int, int],
    strategy: str,
    tail: str,
    dtype: torch.dtype,
) -> None:
    network, _ = networks.random_network(seed, depth)
    x = torch.randn(1, 2, *size, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    with torch.no_grad():
        settle(network)
        network = network.to(dtype)
        try:
            channels = network(x.clone()).shape[1]
        except RuntimeError as error:
            if "divisible by downscale_factor" not in str(error):
                raise
            reject()  # a network that takes even sides only
        module = with_tail(network, channels, tail).to(dtype)
        want = module(x.clone())
    got = Tiled(module, x, tile=tile, strategy=strategy).run()
    assert got.shape == want.shape
    scale = want.abs().max().clamp(min=1e-3)
    assert (got - want).abs().max() <= (1e-5 if dtype == torch.float32 else 1e-12) * scale
