"""S cells and C cells of the neocognitron, as torch operations.

Source: Fukushima, "Neocognitron: a self-organizing neural network model for a mechanism of pattern recognition
unaffected by shift in position", Biological Cybernetics 36 (1980), 193-202. The equations are its own; u are outputs
of excitatory cells, v of inhibitory ones, phi(x) = max(x, 0):

    S   u = r phi[(1 + sum a u) / (1 + 2 r / (1 + r) b v) - 1],   v = sqrt(sum c u^2)
    C   u = psi[(1 + sum d u) / (1 + v) - 1],   psi(x) = phi(x / (alpha + x)),   v = mean over the planes of sum d u

An inhibitory input divides what excites (shunting inhibition). Where both are large an S cell compares the ratio of
sum a u and b v with r / (1 + r), and neither contrast nor the number of reinforcements matters.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FALL = 0.7  # of c, a cell from the centre: "monotonically decreasing" in the paper, the number is our choice
BLUR = 0.8  # of d, likewise
CENTRE = 0.3  # d in the centre; our choice: few C cells are saturated by several S cells then
ALPHA = 0.5  # of psi
START = 1e-4  # of the excitatory synapses: "small positive" in the paper


def falling(side: int, fall: float) -> Tensor:
    """fall ** distance from the centre, in cells: (side, side)."""
    at = torch.arange(side) - (side - 1) / 2
    return fall ** torch.sqrt(at[:, None] ** 2 + at**2)


def first_synapses(planes: int, inputs: int, side: int) -> Tensor:
    """Excitatory synapses before any learning, (planes, inputs, side, side): weak, each plane's preference another.

    The paper says what they depend on and that nothing in them is random, not the function, which is our choice: from one
    input plane, the orientation pi k / planes; from several, the planes at the same place of the row, wherever they lie.
    """
    if inputs == 1:
        at = torch.arange(side) - (side - 1) / 2
        angle = torch.atan2(-at[:, None], at.expand(side, side))
        turn = math.pi * torch.arange(planes)[:, None, None] / planes
        kernel = 0.5 + 0.5 * torch.cos(2 * (angle - turn))
        return START * (kernel * falling(side, FALL))[:, None]
    here, there = torch.arange(planes) / planes, torch.arange(inputs) / inputs
    near = 1 - (here[:, None] - there).abs()
    return START * near[:, :, None, None] * falling(side, FALL) / inputs


class Excitation(nn.Module):
    """The excitatory synapses `a` of S cells, (planes, inputs, side, side), and their sum; no gradient changes them."""

    def __init__(self, inputs: int, planes: int, side: int, padding: int) -> None:
        super().__init__()
        self.padding = padding
        self.weight = nn.Parameter(first_synapses(planes, inputs, side), requires_grad=False)

    def forward(self, u: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, planes, H', W')."""
        return F.conv2d(u, self.weight, padding=self.padding)


class Inhibition(nn.Module):
    """The V cell that sees what an S column sees, and its synapses `b` (planes,) to the S cells.

    c (1, inputs, side, side) is fixed, falls from the centre, and adds up to 1.
    """

    c: Tensor

    def __init__(self, inputs: int, planes: int, side: int, padding: int) -> None:
        super().__init__()
        self.padding = padding
        c = falling(side, FALL)
        self.register_buffer("c", (c / c.sum() / inputs).expand(1, inputs, side, side).contiguous())
        self.weight = nn.Parameter(torch.zeros(planes), requires_grad=False)

    def forward(self, u: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, planes, H', W')."""
        v = torch.sqrt(F.conv2d(u * u, self.c, padding=self.padding))
        return self.weight[:, None, None] * v


class SLayer(nn.Module):
    """Planes of S cells: (N, C, H, W), none below 0, to (N, P, H', W'); a plane shares its synapses.

    side: of the area that a cell is connected to, in cells. r: how much inhibition weighs against excitation: a cell of
    a trained plane is silent where the cosine, weighted by c, of its input and of what it has learned is below
    r / (1 + r). learning_r: the same while it learns, r if not given. q: how much one reinforcement adds.
    """

    def __init__(
        self,
        inputs: int,
        planes: int,
        *,
        side: int = 5,
        padding: int = 2,
        r: float,
        q: float,
        learning_r: float | None = None,
    ) -> None:
        super().__init__()
        self.side, self.padding = side, padding
        self.r, self.learning_r, self.q = r, r if learning_r is None else learning_r, q
        self.excitation = Excitation(inputs, planes, side, padding)
        self.inhibition = Inhibition(inputs, planes, side, padding)
        self.relu = nn.ReLU()

    def forward(self, u: Tensor) -> Tensor:
        return self.respond(u, self.r)

    def respond(self, u: Tensor, r: float) -> Tensor:
        """Outputs at any r."""
        divisor = 1 + 2 * r / (1 + r) * self.inhibition(u)
        return self.relu(r * ((1 + self.excitation(u)) / divisor - 1))

    @torch.no_grad()
    def reinforce(self, u: Tensor, plane: int, row: int, column: int) -> None:
        """Let a plane learn from what its cell at (row, column) sees in u (inputs, H, W): a grows by q c u, b by q v / 2.

        Every synapse grows in proportion to what comes through it (equations 9 and 10 of the paper).
        """
        p, n = self.padding, self.side
        seen = F.pad(u, (p, p, p, p))[:, row : row + n, column : column + n]
        c = self.inhibition.c[0]
        self.excitation.weight[plane] += self.q * c * seen
        self.inhibition.weight[plane] += self.q / 2 * torch.sqrt((c * seen * seen).sum())


class Blur(nn.Module):
    """What a C cell adds up of its own S plane: the weights d (planes, 1, side, side), fixed, fall from the centre."""

    d: Tensor

    def __init__(self, planes: int, side: int, stride: int, padding: int) -> None:
        super().__init__()
        self.planes, self.stride, self.padding = planes, stride, padding
        d = CENTRE * falling(side, BLUR)
        self.register_buffer("d", d.expand(planes, 1, side, side).contiguous())

    def forward(self, u: Tensor) -> Tensor:
        """(N, planes, H, W) to (N, planes, H', W')."""
        return F.conv2d(u, self.d, stride=self.stride, padding=self.padding, groups=self.planes)


class Whole(nn.Module):
    """What a C cell of the last layer adds up: all of its S plane, with equal weights."""

    def forward(self, u: Tensor) -> Tensor:
        """(N, planes, H, W) to (N, planes, 1, 1)."""
        return u.sum((2, 3), keepdim=True)


class CLayer(nn.Module):
    """Planes of C cells, one behind each S plane: (N, P, H, W) to (N, P, H', W'). Nothing in it learns.

    A C cell does not mind which of the S cells in its area responds; the mean of all planes inhibits it.
    pool: what it adds up, `Blur` or `Whole`.
    """

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool
        self.relu = nn.ReLU()

    def forward(self, u: Tensor) -> Tensor:
        pooled = self.pool(u)
        x = (1 + pooled) / (1 + pooled.mean(1, keepdim=True)) - 1
        return self.relu(x / (ALPHA + x.abs()))  # psi: a cell with x below 0 is silent
