"""Still: the parts of a network that do not learn."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from torch import nn


class Parts(Protocol):
    """Submodules that do not learn, run in another way; see `striate.inference.parts`."""

    def running(self) -> AbstractContextManager[None]:
        """Within it they run in that way, with the same result within rounding."""
        ...


def still_parts(module: nn.Module) -> list[nn.Module]:
    """The largest submodules with parameters of which none is trained; none lies within another."""
    found: list[nn.Module] = []
    for child in module.children():
        parameters = list(child.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            found.append(child)
        else:
            found += still_parts(child)
    return found
