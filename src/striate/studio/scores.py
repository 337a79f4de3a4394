"""Scores: what a network says of one picture, for the page's bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from striate.errors import UsageError
from striate.studio.shelf import Network

TOP = 8


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


def refuse_other(one: Network) -> None:
    """Raise UsageError for a network that gives no number a class for an image."""
    task = one.trained.task
    if not task.decides or task.axes != 2:
        raise UsageError(
            f"{one.target} gives {task.about}; the studio shows its layers and their maps, and bars of classes for "
            "networks that classify"
        )


def scores_of(one: Network, output: Tensor) -> Scores:
    """output: (1, K) of the network. Raises UsageError as `refuse_other`."""
    refuse_other(one)
    trained = one.trained
    answers = trained.task.answers(output.detach(), trained)
    return Scores(answers["logits"][0], answers["probabilities"][0], trained.classes)
