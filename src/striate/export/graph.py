"""The graph of an exported file: images as they are, uint8 (N, H, W, C), to what the task answers, nothing left outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from striate.answer import answer_of
from striate.errors import UsageError
from striate.export.framed import Framed
from striate.export.resize import Resize, trivial

if TYPE_CHECKING:
    from striate.tasks.trained import Trained

IMAGES = "images"


class Graph(nn.Module):
    """A trained network behind its preprocessing and before its answers.

    size: (height, width) of the images that it takes; None for any, of one size a batch.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, trained: Trained, size: tuple[int, int] | None) -> None:
        super().__init__()
        how = trained.preprocessing
        self.own_size = trained.task.axes == 4
        framed = self.own_size and how != how.unframed
        if framed and size is None:
            raise UsageError(
                f"{trained.name} reduces or enlarges images before it looks at them, by how much depends on their size, and "
                "no such resize was exported for images of any size; give --size HEIGHTxWIDTH"
            )
        self.trained = (trained,)  # in a tuple, so that its network is not registered twice
        self.network = trained.model
        self.resize: nn.Module | None = None
        if framed and size is not None and how.frame(*size) != size:
            self.resize = Framed(how, size)
        elif not self.own_size and not trivial(how, size):
            self.resize = Resize(how, size)
        first = next((p for p in trained.model.parameters() if p.is_floating_point()), None)
        self.kind = torch.float32 if first is None else first.dtype
        shape = (1, how.channels, 1, 1)
        self.register_buffer("scale", torch.tensor([1 / (255 * s) for s in how.std]).view(shape))
        shifts = [-m / s for m, s in zip(how.mean, how.std, strict=True)]
        self.register_buffer("shift", torch.tensor(shifts).view(shape))
        self.flip = trained.flip_test

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """uint8 (N, H, W, C) -> `pixels` (N, C, h, w) float32, whole grey levels, and the task's answers."""
        pixels = images.permute(0, 3, 1, 2).float()
        if self.resize is not None:
            pixels = self.resize(pixels)
        x = (pixels * self.scale + self.shift).to(self.kind)
        output = self.network(x)
        if self.flip:
            mirrored = answer_of(self.network(x.flip(-1)))
            output = answer_of(output)
            mirrored = mirrored.flip(-1) if output.ndim == 4 else mirrored
            output = (output + mirrored) / 2
        answers = self.trained[0].task.answers(output, self.trained[0])
        return (pixels, *answers.values())
