"""Drawing: what one operation draws from its seed, and the lines that it writes."""

from __future__ import annotations

import random
from typing import Any


class Unfit(Exception):  # noqa: N818 - no error: the operation does not fit the shape
    """The operation cannot follow a tensor of this shape."""


class Draw:
    """One operation being written.

    shape: of `x` before it. saved: shapes of the variables s0, s1, ... number: of the step, for names of submodules.
    made: lines of `__init__`. lines: of `forward`.
    """

    def __init__(
        self, seed: int, shape: tuple[int, ...], saved: dict[str, tuple[int, ...]], number: int
    ) -> None:
        self.rng = random.Random(seed)
        self.seed, self.shape, self.saved, self.number = seed, shape, saved, number
        self.made: list[str] = []
        self.lines: list[str] = []

    # Numbers

    def coin(self, chance: float = 0.5) -> bool:
        return self.rng.random() < chance

    def int(self, low: int, high: int) -> int:
        """A number from low to high, both included; Unfit if there is none."""
        if high < low:
            raise Unfit
        return self.rng.randint(low, high)

    def pick(self, *items: Any) -> Any:
        return self.rng.choice(items)

    def float(self, low: float = -1.0, high: float = 1.0) -> float:
        return round(self.rng.uniform(low, high), 2)

    # The shape

    @property
    def rank(self) -> int:
        return len(self.shape)

    def need(self, condition: object) -> None:
        """Unfit unless the condition holds."""
        if not condition:
            raise Unfit

    def map(self) -> tuple[int, int, int, int]:
        """The shape of a map (N, C, H, W); Unfit for others."""
        self.need(self.rank == 4)
        n, c, h, w = self.shape
        return n, c, h, w

    def dim(self, least: int = 1, batch: float = 0.02) -> int:
        """A dimension with at least so many entries: seldom the first."""
        start = 0 if self.coin(batch) else 1
        fitting = [d for d in range(start, self.rank) if self.shape[d] >= least]
        self.need(fitting)
        return self.rng.choice(fitting)

    def side(self, dim: int) -> int:
        """A dimension as people write it, from the front or the back."""
        return dim - self.rank if self.coin() else dim

    def size(self, dim: int) -> str:
        """The size of a dimension as source: a number, or read from the shape; the batch is nearly always read."""
        if self.coin(0.03 if dim == 0 else 0.4):
            return str(self.shape[dim])
        return f"x.shape[{dim}]" if self.coin() else f"x.size({dim})"

    def sizes(self, *dims: int) -> str:
        return ", ".join(self.size(d) for d in dims)

    def at(self, dim: int, index: str) -> str:
        """An index that is `index` along `dim` and all along the others."""
        if dim == self.rank - 1 and self.coin():
            return f"..., {index}"
        rest = self.rank - 1 - dim
        if rest and self.coin(0.3):
            return ", ".join(["..."] + [index] + [":"] * rest)
        return ", ".join([":"] * dim + [index])

    # Lines

    def new(self, expression: str, kind: str = "m") -> str:
        """A submodule, parameter or buffer: its name."""
        name = f"{kind}{self.number}" + ("" if not self.made else f"_{len(self.made)}")
        if kind == "b":
            self.made.append(f"self.register_buffer('{name}', {expression})")
        else:
            self.made.append(f"self.{name} = {expression}")
        return f"self.{name}"

    def parameter(self, *shape: int) -> str:
        text = ", ".join(map(str, shape))
        return self.new(f"nn.Parameter(torch.randn({text}))", "p")

    def constant(self, expression: str) -> str:
        """A tensor of the network as a buffer, a parameter or an attribute."""
        kind = self.pick("b", "p", "c")
        if kind == "p":
            return self.new(f"nn.Parameter({expression})", "p")
        if kind == "c":
            return self.new(f"({expression}).double()", "c")
        return self.new(expression, "b")

    def after(self, line: str) -> None:
        """A line of `__init__` that makes nothing."""
        self.made.append(line)

    def run(self, *lines: str) -> None:
        self.lines += lines

    def x(self, expression: str) -> None:
        self.lines.append(f"x = {expression}")
