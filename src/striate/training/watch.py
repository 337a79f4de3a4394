"""Watch: how strongly each layer's weights are pushed and moved, noted every few steps of a training."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from striate.training.parts import whole
from striate.writing import write_atomically

NOTES = 100  # steps noted in a training, about


class Update(NamedTuple):
    """One layer at one step: norms (root of the sum of squares) of the gradient, the weights and what the step changed."""

    step: int
    layer: str
    gradient: float
    weight: float
    update: float


class Watch:
    """Notes about a hundred steps of a training. It reads, and draws no random number: the training stays the same."""

    def __init__(self, rows: list[Update] | None = None) -> None:
        self.rows = rows or []
        self.next = 0

    def due(self, step: int, total: int) -> bool:
        """Whether this step is noted."""
        if step < self.next:
            return False
        self.next = step + max(1, total // NOTES)
        return True

    @torch.no_grad()
    def before(self, model: nn.Module) -> None:
        """Keep the weights as they are before the step, and the size of their gradients."""
        named = [(n, p) for n, p in model.named_parameters() if p.dim() > 1]
        self.names = [name.removesuffix(".weight") for name, _ in named]
        self.weights = [p.detach() for _, p in named]
        self.kept = [p.clone() for p in self.weights]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for _, p in named]
        self.gradients = torch._foreach_norm(grads)

    @torch.no_grad()
    def after(self, step: int) -> list[Update]:
        """Note what the step changed; returns the rows of this step."""
        changes = torch._foreach_norm(torch._foreach_sub(self.weights, self.kept))
        sizes = torch._foreach_norm(self.kept)
        table = torch.stack(
            [
                torch.stack([whole(n) for n in norms]).float()
                for norms in (self.gradients, sizes, changes)
            ]
        )
        numbers = table.T.tolist()  # one look at the device
        rows = [Update(step, name, *row) for name, row in zip(self.names, numbers, strict=True)]
        self.rows += rows
        del self.kept
        return rows


def write_updates(path: Path, rows: list[Update]) -> None:
    """Write all rows to `path`, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Update._fields)
    writer.writerows((r.step, r.layer, *(f"{v:.6g}" for v in r[2:])) for r in rows)
    write_atomically(path, text.getvalue().encode())


def read_updates(path: Path, *, before: float = math.inf) -> list[Update]:
    """The rows of `path` of steps below `before`; none where there is no such file. Raises ValueError for another file."""
    if not path.is_file():
        return []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
    except csv.Error as error:
        raise ValueError(str(error)) from None
    if not lines or tuple(lines[0]) != Update._fields:
        raise ValueError(f"the first line is not {','.join(Update._fields)}")
    rows = [Update(int(s), name, float(g), float(w), float(u)) for s, name, g, w, u in lines[1:]]
    return [r for r in rows if r.step < before]
