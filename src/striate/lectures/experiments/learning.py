"""Training for experiments: tensors in memory, the loop of every training, a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from striate.lectures.experiments.setting import Progress, silent
from striate.tasks.classify.loss import CrossEntropy
from striate.training.averaging import WeightAverage
from striate.training.batch import Batch, LossFunction
from striate.training.callbacks import Callback
from striate.training.loop import EpochRecord, Training, fit
from striate.training.optimizers import Optimizers
from striate.training.schedule import Pace

M = TypeVar("M", bound=nn.Module)
Change = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Shuffled:
    """Endless shuffled batches of images (N, C, H, W) float and labels; step s is the same wherever the loop begins.

    change: what happens to the images of a batch before the network sees them, with random numbers of the step's own.
    """

    images: Tensor
    labels: Tensor
    batch: int
    seed: int
    change: Change | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass."""
        return max(1, len(self.images) // self.batch)

    def from_step(self, step: int) -> Iterator[Batch]:
        """See striate.training.loop.Batches."""
        epoch, first = divmod(step, self.steps_per_epoch)
        while True:
            generator = torch.Generator().manual_seed(1_000_003 * self.seed + epoch)
            order = torch.randperm(len(self.images), generator=generator)
            for index in order.split(self.batch)[first : self.steps_per_epoch]:
                x = self.images[index]
                if self.change is not None:
                    x = self.change(
                        x, torch.Generator().manual_seed((self.seed + 1) * 7_919 + step)
                    )
                yield Batch(x, self.labels[index])
                step += 1
            epoch, first = epoch + 1, 0


def seeded(seed: int, make: Callable[[], M]) -> M:
    """What `make` makes with torch's random numbers at `seed`; the caller's are left as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def learn(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    optimizer: torch.optim.Optimizer,
    *,
    steps: int,
    batch: int,
    seed: int,
    warmup: float = 0.25,
    loss: LossFunction | None = None,
    dtype: torch.dtype = torch.float32,
    average: float = 0.0,
    change: Change | None = None,
    fine_tuning: bool = False,
    callback: Callback | None = None,
    what: str = "training",
    progress: Progress = silent,
) -> list[EpochRecord]:
    """Train in place: the rate rises in a line for `warmup` of the steps to the optimizer's own, and falls to 0.

    average: decay a step of averaged weights, which the model has in the end; 0 for none. change: of the images of a
    batch, such as augmentation. fine_tuning: batch norm keeps the statistics that it has. callback: sees the training
    and its epochs. Returns the epochs.
    Raises KeyboardInterrupt where Ctrl-C ended it, TrainingError where the loss is not finite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        training = Training(
            model=model,
            optimizers=Optimizers([optimizer]),
            average=WeightAverage(model, average),
            pace=Pace(steps),
            warmup=warmup,
            loss=loss or CrossEntropy(),
            dtype=dtype,
            device=torch.device("cpu"),
            fine_tuning=fine_tuning,
        )
        data = Shuffled(images, labels, min(batch, len(images)), seed, change)
        hears = callback or Callback()
        hears.on_start(training)
        ended = fit(
            training,
            data,
            on_step=lambda m: progress(what, m.step, m.total),
            on_epoch=lambda history: hears.on_epoch(history[-1]),
        )
        if not ended:
            raise KeyboardInterrupt
        if average:
            model.load_state_dict(training.average.state)
    model.eval()
    return training.history or []


@torch.inference_mode()
def answers(model: nn.Module, images: Tensor, *, batch: int = 256) -> Tensor:
    """Logits (N, ...) of a model in evaluation form."""
    model.eval()
    return torch.cat([model(part) for part in images.split(batch)]).clone()
