"""Recorder: how far each layer and channel moves, kept in the passes that a probe makes anyway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

LEAST_MOVE = 1e-6


@dataclass(frozen=True, eq=False)
class Pass:
    """One condition.

    note: its name. images (N, C, H, W). is_correct (N,): predicted correctly. responses: {layer: (N, channels)}.
    """

    note: str
    images: Tensor
    is_correct: Tensor
    responses: dict[str, Tensor]


class Recorder:
    """Mean responses of every channel of every convolution and linear layer but the last, which gives the logits.

    The clean pass is kept, and of the others the one with the fewest correct predictions. A response is the mean over
    positions of the layer's output.
    """

    def __init__(self, model: nn.Module) -> None:
        weighted = {
            name: m for name, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))
        }
        self.layers = dict(list(weighted.items())[:-1])
        self.clean: Pass | None = None
        self.worst: Pass | None = None
        self.order: list[str] = []
        self._parts: dict[str, list[Tensor]] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hooks on the layers for the time of a `with`; the module is given back as it was."""
        handles = [
            module.register_forward_hook(self._keep(name)) for name, module in self.layers.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _keep(self, name: str):  # type: ignore[no-untyped-def]
        def hook(module: nn.Module, given: object, out: Tensor) -> None:
            if isinstance(out, Tensor) and out.dim() in (2, 4):
                # A copy: an activation in place behind the layer must not change what is kept.
                value = out.mean((2, 3)) if out.dim() == 4 else out.clone()
                if name not in self.order:
                    self.order.append(name)
                self._parts.setdefault(name, []).append(value)

        return hook

    def close(self, note: str, images: Tensor, is_correct: Tensor) -> None:
        """End a pass: keep it if it is the clean one, or has the fewest correct predictions so far."""
        parts, self._parts = self._parts, {}
        responses = {n: torch.cat(p) for n, p in parts.items()}
        # A layer that runs twice in a pass has no single response an image.
        responses = {n: v for n, v in responses.items() if len(v) == len(images)}
        kept = Pass(note, images, is_correct, responses)
        if note == "clean":
            self.clean = kept
        elif self.worst is None or int(is_correct.sum()) < int(self.worst.is_correct.sum()):
            self.worst = kept

    def forget(self) -> None:
        """Forget all but the clean pass, before another probe."""
        self.worst = None

    def movement(self) -> dict[str, Tensor]:
        """{layer: (N, channels)}: how far each response moved from clean to worst, in its spread over clean images."""
        assert self.clean is not None and self.worst is not None
        moved = {}
        for name in self.order:
            if name in self.clean.responses and name in self.worst.responses:
                before = self.clean.responses[name]
                spread = before.std(0, unbiased=False)
                floor = spread.median().clamp_min(LEAST_MOVE) * 0.1
                moved[name] = (self.worst.responses[name] - before).abs() / spread.clamp_min(floor)
        return moved
