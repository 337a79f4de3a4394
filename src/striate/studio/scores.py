"""Scores: what a network says of one picture, as bars of classes, or as a drawing over it, or as lines of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from striate.answer import answer_of
from striate.errors import UsageError
from striate.studio.desk import Part
from striate.studio.shelf import Network
from striate.tasks.prediction import Drawing

TOP = 8
DRAWN = 100  # objects of a picture that are listed


@dataclass(frozen=True, eq=False)
class Scores:
    """raw: the network's numbers (K,). shares: as probabilities (K,). names: of the classes."""

    raw: Tensor
    shares: Tensor
    names: tuple[str, ...]

    @property
    def header(self) -> dict[str, Any]:
        """The best classes and what is asked about by default."""
        order = self.shares.argsort(descending=True, stable=True)[:TOP].tolist()
        return {
            "top": [
                {
                    "class": i,
                    "name": self.names[i],
                    "share": float(self.shares[i]),
                    "raw": float(self.raw[i]),
                }
                for i in order
            ]
        }


def has_bars(one: Network) -> bool:
    """Whether the network gives a number a class for an image."""
    task = one.trained.task
    return bool(task.decides) and task.axes == 2


def refuse_other(one: Network) -> None:
    """Raise UsageError for a network that gives no number a class for an image."""
    if not has_bars(one):
        raise UsageError(
            f"{one.target} gives {one.trained.task.about}; this is for networks that give a number a class for an image"
        )


def scores_of(one: Network, output: Tensor) -> Scores:
    """output: (1, K) of the network. Raises UsageError as `refuse_other`."""
    refuse_other(one)
    trained = one.trained
    answers = trained.task.answers(output.detach(), trained)
    return Scores(answers["logits"][0], answers["probabilities"][0], trained.classes)


def said_of(one: Network, output: Any) -> Part:
    """What the network's output (1, ...) says: `top` of the header for bars, or else `lines` under `headings`, and of a
    drawing `objects` and `parts` with the array `mask` (H, W)."""
    if has_bars(one):
        return scores_of(one, answer_of(output)).header, {}
    (prediction,) = one.trained.task.decode(output, one.trained)
    header: dict[str, Any] = {
        "headings": [name.strip() for name in prediction.headings(1)],
        "lines": [list(cells) for cells in prediction.cells(1)],
    }
    drawing = prediction.drawing(one.trained.classes)
    if drawing is None:
        return header, {}
    drawn, arrays = of_drawing(drawing)
    return {**header, **drawn}, arrays


def of_drawing(drawing: Drawing) -> Part:
    """A drawing as the page takes it: objects and parts in the header, and the mask (H, W) uint8 where there is one."""
    header = {
        "objects": [
            {"name": o.name, "score": o.score, "box": list(o.box), "colour": list(o.colour)}
            for o in drawing.objects[:DRAWN]
        ],
        "parts": [
            {"number": n, "name": name, "colour": list(colour), "pixels": pixels}
            for n, (name, colour, pixels) in drawing.parts.items()
        ],
    }
    mask = {} if drawing.mask is None else {"mask": np.ascontiguousarray(drawing.mask, np.uint8)}
    return header, mask
