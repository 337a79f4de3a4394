"""Parts of a network that do not learn run folded, and nothing else of a training step changes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.inference.incremental.kernel import fused_by_onednn
from striate.inference.parts import SIZES, FoldedParts
from striate.models import freeze
from striate.models.lite0 import Block, Stage
from striate.training.still import still_parts

pytestmark = pytest.mark.skipif(
    not fused_by_onednn(torch.empty(1, 1, 1, 1)), reason="torch was built without oneDNN"
)


def network() -> nn.Sequential:
    torch.manual_seed(3)
    made = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        Block(8, Stage(1, 3, 2, 2, 8), 2, 0.0),
        Block(8, Stage(1, 3, 1, 2, 8), 1, 0.0),
        nn.Flatten(),
        nn.Linear(8 * 36, 3),
    ).eval()
    for part in made.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.uniform_(-0.3, 0.3)
            part.running_var.uniform_(0.5, 1.5)
    return made


def gradients(module: nn.Module, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    learning = [p for p in module.parameters() if p.requires_grad]
    output = module(images)
    return output.detach(), list(torch.autograd.grad(output.square().sum(), learning))


def test_a_step_with_folded_parts_is_the_step_without_within_rounding() -> None:
    module, images = network(), torch.randn(5, 3, 12, 12)
    for part in (module[0], module[1]):
        part.requires_grad_(False)
    parts = still_parts(module)
    assert parts == [module[0], module[1]]
    faster = FoldedParts(parts, torch.float32)
    expected, wanted = gradients(module, images)
    with faster.running():
        found, got = gradients(module, images)
        again, _ = gradients(module, images)
    assert [made is not None for made in faster.folded.values()] == [True, True]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(again, found)
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    # And it runs as it stands again: to the bit.
    assert torch.equal(gradients(module, images)[0], expected)
    assert not any("forward" in part.__dict__ for part in module.modules())


def test_a_gradient_that_is_asked_through_a_part_is_the_modules_own() -> None:
    module = network().requires_grad_(False)
    images = torch.randn(2, 3, 12, 12, requires_grad=True)
    (expected,) = torch.autograd.grad(module(images).sum(), images)
    with FoldedParts(still_parts(module), torch.float32).running():
        (found,) = torch.autograd.grad(module(images).sum(), images)
    assert torch.equal(found, expected)
    assert float(expected.abs().sum()) > 0


class Two(nn.Module):
    """A part that takes two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        given: Tensor = self.conv(x)
        return given if y is None else given + y


def test_what_is_no_map_of_one_tensor_runs_as_it_stands() -> None:
    part, x = Two().requires_grad_(False).eval(), torch.randn(2, 3, 6, 6)
    with torch.no_grad():
        expected = part(x, x)
        flat = part(x[0])
        faster = FoldedParts([part], torch.float32)
        with faster.running():
            assert torch.equal(part(x, x), expected)
            assert torch.equal(part(x, y=x), expected)
            assert torch.equal(part(x[0]), flat)
    assert not faster.folded


def test_images_of_many_sizes_do_not_fill_the_memory() -> None:
    part = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU()).requires_grad_(False).eval()
    faster = FoldedParts([part], torch.float32)
    for side in range(6, 6 + 2 * SIZES):
        x = torch.randn(1, 3, side, side)
        expected = part(x)
        with faster.running():
            torch.testing.assert_close(part(x), expected)
    assert len(faster.folded) == SIZES


def test_a_forward_that_somebody_has_put_in_place_stays() -> None:
    part = nn.Conv2d(3, 3, 3).requires_grad_(False).eval()
    part.__dict__["forward"] = lambda x: x + 1
    with FoldedParts([part], torch.float32).running():
        assert torch.equal(part(torch.zeros(1, 3, 4, 4)), torch.ones(1, 3, 4, 4))
    assert "forward" in part.__dict__


@pytest.mark.parametrize(("share", "groups"), [(0, 0), (0.34, 1), (0.7, 2), (1, 3)])
def test_that_share_of_the_layers_before_the_head_is_frozen(share: float, groups: int) -> None:
    module = network()
    sizes = [sum(p.numel() for p in part.parameters()) for part in module[:3]]
    assert freeze(module, share) == sum(sizes[:groups])
    frozen = [not any(p.requires_grad for p in part.parameters()) for part in module[:3]]
    assert frozen == [True] * groups + [False] * (3 - groups)
    assert all(p.requires_grad for p in module[4].parameters())
