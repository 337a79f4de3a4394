"""Weight averaging: a running mean of the weights, which is evaluated and saved in place of the last ones."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from striate.training.parts import local

EVERY = 4  # steps between two updates: the mean needs no more, and the copy costs time


class WeightAverage:
    """Exponential mean of all parameters and buffers with `decay` a step (Polyak & Juditsky 1992).

    The decay grows with the steps made, min(decay, (1 + step) / (10 + step)), so that the first weights are soon
    forgotten. With decay 0 the average is the model itself and costs nothing.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = model
        self.state = copy.deepcopy(model.state_dict()) if decay else {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the model's weights after `step` into the mean."""
        if not self.decay or step % EVERY:
            return
        keep = min(self.decay, (1 + step) / (10 + step)) ** EVERY
        mean, last = [], []
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                mean.append(local(self.state[name]))
                last.append(local(value))
            else:
                self.state[name].copy_(value)
        torch._foreach_lerp_(mean, last, 1 - keep)

    @contextmanager
    def applied(self) -> Iterator[nn.Module]:
        """The model with the averaged weights, for the duration of a `with`."""
        if not self.decay:
            yield self.model
            return
        own = copy.deepcopy(self.model.state_dict())
        self.model.load_state_dict(self.state)
        try:
            yield self.model
        finally:
            self.model.load_state_dict(own)
