"""Parts: submodules of a network that no longer learn, run in their folded form while the rest of it is trained.

A network whose first layers keep their weights runs them forward only, so that what makes prediction fast makes training
fast. The network itself stays as it is: its parts get another `forward` for as long as a step lasts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from striate.inference.folded import Folded, fold

SIZES = 4  # of images, for which a part is folded; those of other sizes run as it stands
EXAMPLES = 2  # images by which a folded part is compared with the module

Key = tuple[int, ...]


class FoldedParts:
    """Submodules in evaluation form, none within another, whose weights do not change as long as this is used.

    parts: of one network on the CPU; each is taken if it turns one tensor (N, C, H, W) into one tensor and can be folded,
    see `striate.inference.folded`. dtype: what layers compute in.
    """

    def __init__(self, parts: Sequence[nn.Module], dtype: torch.dtype) -> None:
        # One that has been given a `forward` of its own already is left to whoever gave it.
        self.parts = [p for p in parts if "forward" not in p.__dict__]
        self.dtype = dtype
        self.folded: dict[tuple[int, Key], Folded | None] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within it the parts run folded, wherever no gradient is asked through them."""
        for part in self.parts:
            part.__dict__["forward"] = partial(self._forward, part)
        try:
            yield
        finally:
            for part in self.parts:
                del part.__dict__["forward"]

    def _forward(self, part: nn.Module, *args: Any, **kwargs: Any) -> Any:
        plain = type(part).forward
        if len(args) != 1 or kwargs or not isinstance(args[0], Tensor) or args[0].dim() != 4:
            return plain(part, *args, **kwargs)
        x = args[0]
        folded = None if x.requires_grad else self._folded(part, x)
        if folded is None:
            return plain(part, x)
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            return folded(x)

    def _folded(self, part: nn.Module, x: Tensor) -> Folded | None:
        key = (id(part), tuple(x.shape[1:]))
        if key not in self.folded:
            if sum(number == id(part) for number, _ in self.folded) >= SIZES:
                return None
            own = part.__dict__.pop("forward")  # it is traced as it stands
            try:
                with torch.autocast("cpu", enabled=False):
                    self.folded[key] = fold(part, x[:EXAMPLES].float(), self.dtype)
            finally:
                part.__dict__["forward"] = own
        return self.folded[key]
