"""Adopting: a network that was made elsewhere, checked once and brought to what a task reads."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from striate.answer import answer_of
from striate.borrow import borrowed, forward, refuse_numberless
from striate.data import Preprocessing
from striate.errors import StriateError, UsageError
from striate.tasks.around import Around
from striate.tasks.task import Task

WORDS = {2: "one row of numbers an image, (N, {k})", 4: "a map a class, (N, {k}, H, W)"}


class OneAnswer(Around):
    """A network whose output holds its prediction among other things, reduced to that."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @property
    def inside(self) -> nn.Module:
        """See Around."""
        return self.model

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> the prediction, see `answer_of`."""
        return answer_of(forward(self.model, images, writes=False))  # whoever gives them keeps them


class SameSize(OneAnswer):
    """A network whose maps are smaller than its images, as SegFormer's are, with maps of the images' size (bilinear)."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K, H, W)."""
        maps = super().forward(images)
        return interpolate(maps, images.shape[-2:], mode="bilinear", align_corners=False)


def kind_of(module: nn.Module) -> str:
    """What a network is called: its own class, without what a task puts around it, which says what is `inside`: what reduces
    its output to the prediction, or what compares it with centres in training."""
    if isinstance(module, Around):
        return kind_of(module.inside)
    return type(module).__name__


def channels_of(module: nn.Module) -> int | None:
    """Channels of the images that a network reads, by its first convolution, where it reads 1 or 3."""
    convolutions = (m for m in module.modules() if isinstance(m, nn.Conv2d))
    first = next(convolutions, None)
    return None if first is None or first.in_channels not in (1, 3) else first.in_channels


def adopt(module: nn.Module, preprocessing: Preprocessing, task: Task, outputs: int) -> nn.Module:
    """`module` in evaluation form on the CPU, in float32, giving the tensor of its prediction. It is changed to be so.

    outputs: how many classes, tags or numbers it is to give. Raises UsageError where it does not run on images of the
    preprocessing's size, or gives something else than the task reads.
    """
    refuse_numberless(module)
    own = module.cpu().float().eval().requires_grad_(False)
    shape = (1, preprocessing.channels, *preprocessing.size)
    output = _output(own, shape)
    if task.reads(output) and not isinstance(output, Tensor):
        task.refuse_output(output, torch.zeros(shape), outputs)
        return own
    prediction = answer_of(output)
    what = WORDS[task.axes].format(k=outputs)
    if prediction.ndim != task.axes:
        raise UsageError(
            f"the network gives {tuple(prediction.shape)} for an image {shape}, and the task {task.name} reads {what}; name "
            "the task that it was trained for, or return that"
        )
    if prediction.shape[1] != outputs + task.beside:
        raise UsageError(
            f"the network has {prediction.shape[1]:,} outputs, and {outputs:,} classes are named"
            + (
                f", beside which the task {task.name} reads {task.beside} numbers"
                if task.beside
                else ""
            )
            + "; name as many, in the order of its outputs"
        )
    if task.cell > 1:  # what a place of such a map says is of its own grid, which nothing resizes
        task.refuse_output(prediction, torch.zeros(shape), outputs)
    elif task.axes == 4 and prediction.shape[-2:] != shape[-2:]:
        return SameSize(own).eval()
    return own if isinstance(output, Tensor) else OneAnswer(own).eval()


def outputs_of(module: nn.Module, preprocessing: Preprocessing) -> int:
    """How many outputs a network gives for an image of the preprocessing's size. Raises UsageError where it gives none."""
    refuse_numberless(module)
    own = module.cpu().float().eval()
    prediction = answer_of(_output(own, (1, preprocessing.channels, *preprocessing.size)))
    return prediction.shape[1] if prediction.ndim > 1 else 1


def _output(module: nn.Module, shape: tuple[int, ...]) -> Any:
    try:
        with borrowed(module), torch.no_grad():
            return forward(module, torch.zeros(shape))
    except StriateError:
        raise
    except Exception as error:  # whatever a network of somebody else raises
        raise UsageError(
            f"the network cannot read an image {shape} ({type(error).__name__}: {error}); give the preprocessing of its "
            "training, with its size and channels"
        ) from error
