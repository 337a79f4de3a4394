"""Around: a module that a task puts around a person's network, and that is none of its own."""

from __future__ import annotations

from torch import nn


class Around(nn.Module):
    """A module around a network. inside: the network, by whose class it is called."""

    @property
    def inside(self) -> nn.Module:
        """The network."""
        raise NotImplementedError
