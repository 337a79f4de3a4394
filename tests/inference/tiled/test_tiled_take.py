"""Pieces of maps that a caller takes as they are made: of each map every position once, with the plain network's numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.errors import UsageError
from striate.inference.tiled import Tiled


class Levels(nn.Module):
    """Two maps of different strides beside a number that is no map."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.b = nn.Conv2d(4, 5, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> tuple[int, Tensor, Tensor]:
        fine = self.a(x)
        return 7, fine, self.b(fine)


@pytest.mark.parametrize("strategy", ["halo", "carry"])
@pytest.mark.parametrize("tile", [16, 37, 200])
def test_every_position_of_every_map_comes_once(strategy: str, tile: int) -> None:
    torch.manual_seed(0)
    network, image = Levels().eval(), torch.randn(3, 77, 101)
    with torch.no_grad():
        _, *whole = network(image[None])
    made = {1: torch.zeros_like(whole[0]), 2: torch.zeros_like(whole[1])}
    seen = {place: torch.zeros(m.shape[-2:]) for place, m in made.items()}

    def take(place, box, piece):
        (top, bottom), (left, right) = box
        made[place][..., top:bottom, left:right] = piece
        seen[place][top:bottom, left:right] += 1

    job = Tiled(network, image, tile=tile, strategy=strategy, take=take)
    result = job.run(certificate=True)
    assert result == (7, None, None) and job.certificate.exact
    for place, expected in zip((1, 2), whole, strict=True):
        assert (seen[place] == 1).all()
        assert torch.allclose(made[place], expected, atol=1e-5)


def test_what_is_taken_is_nowhere_else() -> None:
    image = torch.zeros(3, 32, 32)

    def take(place, box, piece):
        pass

    with pytest.raises(UsageError, match="leave out= and finish= away"):
        Tiled(nn.Conv2d(3, 1, 3), image, take=take, out="made.npy")
    with pytest.raises(UsageError, match="leave resume= away"):
        Tiled(nn.Conv2d(3, 1, 3), image, take=take).run(resume="journal")
