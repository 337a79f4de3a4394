"""The training loop. It receives a model and batches, and builds neither."""

from __future__ import annotations

import functools
import math
import operator
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import nn

from striate.answer import answer_of
from striate.borrow import forward
from striate.errors import UsageError
from striate.training import depthwise
from striate.training.averaging import WeightAverage
from striate.training.batch import Batch, Loss, LossFunction
from striate.training.checkpoint import digest_of
from striate.training.divergence import explain_divergence
from striate.training.gradients import shared_gradient, structured
from striate.training.machine import micro_batch
from striate.training.optimizers import Optimizers
from striate.training.parts import cut_state, gathered, is_cut
from striate.training.schedule import Pace, learning_rate_factor
from striate.training.still import Parts, still_parts
from striate.training.watch import Update, Watch
from striate.training.world import here

REPLAN_SECONDS = 2.0  # between two looks at the clock, when the schedule must fit a time
CHECK_EVERY = 10  # steps between two looks at the loss: a look makes a GPU wait


class Batches(Protocol):
    """What the loop trains on; see `striate.training.batches.TrainingBatches`."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the images."""
        ...

    def from_step(self, step: int) -> Iterator[Batch]:
        """Batches from `step` on, without end; step s is the same whether the loop began at 0 or at s."""
        ...


@dataclass
class EpochRecord:
    """One row of metrics.csv. lr: the peak rate times the schedule. train, val: "loss" and the task's other numbers."""

    epoch: float
    step: int
    seconds: float
    lr: float
    train: dict[str, float]
    val: dict[str, float]
    images_per_second: float

    def row(self) -> dict[str, float | int]:
        """As metrics.csv holds it: `train_loss`, `val_loss` and so on."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "lr": self.lr,
            **{f"train_{name}": value for name, value in self.train.items()},
            **{f"val_{name}": value for name, value in self.val.items()},
            "images_per_second": self.images_per_second,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> EpochRecord:
        """The opposite of `row`; also of the rows in checkpoints of before, which hold None where nothing was measured."""
        parts: dict[str, dict[str, float]] = {"train": {}, "val": {}}
        rest: dict[str, Any] = {}
        for name, value in row.items():
            kind, _, of = name.partition("_")
            if kind not in parts or not of:
                rest[name] = value
            elif value is not None:
                parts[kind][of] = value
        return cls(**rest, train=parts["train"], val=parts["val"])


@dataclass(frozen=True)
class Moment:
    """What a progress display gets after each step. parts: means of the loss's parts, such as the accuracy, so far."""

    step: int
    total: int
    steps_per_epoch: int
    loss: float
    parts: Mapping[str, float]
    images_per_second: float
    seconds_left: float


@dataclass(kw_only=True)
class Training:
    """A training under way: everything that changes from step to step.

    model and optimizers are changed in place. `loss` is what is made small; `dtype` is the type that layers compute in;
    `warmup` and `pace` are the schedule; `deadline` (time.monotonic seconds) makes the schedule fit a time.
    """

    model: nn.Module
    optimizers: Optimizers
    average: WeightAverage
    pace: Pace
    warmup: float
    loss: LossFunction
    dtype: torch.dtype
    device: torch.device
    head: nn.Module | None = None  # for the first `head_steps` steps only this part learns
    head_steps: int = 0
    fine_tuning: bool = False  # batch norm keeps the statistics of the images it was trained on
    # Makes of parts that do not learn what runs them faster; None runs them as they stand.
    faster: Callable[[list[nn.Module]], Parts] | None = None
    deadline: float | None = None
    history: list[EpochRecord] | None = None
    seconds: float = 0.0  # spent in steps, all attempts together
    watch: Watch | None = None  # notes gradients and updates; not part of the state

    def __post_init__(self) -> None:
        # What a person froze stays frozen when the head's own steps are over.
        self.learning = [p for p in self.model.parameters() if p.requires_grad]
        self.resting: list[nn.Module] = []
        self.still: Parts | None = None
        self.depthwise = depthwise.gains(self.model, self.device, self.dtype)

    @property
    def lr(self) -> float:
        """The peak learning rate of the last layers; set it to scale all groups' rates alike, from the next step on."""
        return self.optimizers.peaks[0][-1]

    @lr.setter
    def lr(self, value: float) -> None:
        if not (value > 0 and math.isfinite(value)):
            raise UsageError(f"a learning rate must be greater than 0, got {value}")
        self.optimizers.scale(value / self.lr)

    def enter_step(self) -> None:
        """Put the model into the form that the present step trains."""
        self.model.train()
        if self.fine_tuning:
            for module in self.model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        if self.head is not None:
            only_head = self.pace.step < self.head_steps
            heads = {id(p) for p in self.head.parameters()}
            for parameter in self.learning:
                parameter.requires_grad_(not only_head or id(parameter) in heads)
        if self.fine_tuning:
            self._rest(still_parts(self.model))

    def _rest(self, parts: list[nn.Module]) -> None:
        """Parts that do not learn are in evaluation form: they have no noise, and may run in another way."""
        for part in parts:
            part.eval()
        if self.faster is None or parts == self.resting:
            return
        self.resting, self.still = parts, self.faster(parts) if parts else None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within it the model runs as fast as it can."""
        with (
            self.still.running() if self.still is not None else nullcontext(),
            depthwise.Depthwise() if self.depthwise else nullcontext(),
        ):
            yield

    def state_dict(self) -> dict[str, Any]:
        """All of it, as tensors, numbers and lists; the CPU's random state included (dropout draws from it).

        Of a network that several processes hold in parts all ask together: the first gets it whole, the others None for it.
        """
        state = {
            "model": self.model.state_dict(),
            "optimizers": self.optimizers.state_dict(),
            "average": self.average.state,
            "pace": asdict(self.pace),
            "history": [record.row() for record in self.history or []],
            "seconds": self.seconds,
            "lr": self.lr,  # a callback may have changed it
            "rng": torch.get_rng_state(),
            "rng_cuda": torch.cuda.get_rng_state(self.device)
            if self.device.type == "cuda"
            else None,
        }
        return gathered(state, keep=here().leads) if self.sharded else state

    @property
    def sharded(self) -> bool:
        """Whether several processes hold the network in parts; see `striate.training.fsdp`."""
        return any(is_cut(p) for p in self.model.parameters())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from where `state_dict` was taken."""
        self.model.load_state_dict(cut_state(state["model"], self.model.state_dict()))
        self.optimizers.load_state_dict(state["optimizers"])
        mean = cut_state(state["average"], self.average.state)
        self.average.state = {k: v.to(self.device) for k, v in mean.items()}
        self.pace = Pace(**state["pace"])
        self.history = [EpochRecord.from_row(row) for row in state["history"]]
        self.seconds = state["seconds"]
        self.lr = state.get("lr", self.lr)
        torch.set_rng_state(state["rng"])
        if state["rng_cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["rng_cuda"], self.device)


def fit(
    training: Training,
    batches: Batches,
    *,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
    on_step: Callable[[Moment], bool | None] = lambda moment: None,
    on_epoch: Callable[[list[EpochRecord]], bool | None] = lambda history: None,
    on_watch: Callable[[list[Update]], None] = lambda rows: None,
    save: Callable[[dict[str, Any]], None] = lambda state: None,
    save_every: float = 60.0,
) -> bool:
    """Train until the pace is done; returns False when a first Ctrl-C ended it before.

    evaluate(model) gives "loss" and the task's other numbers on the validation images, after each epoch, of the averaged
    weights. on_step, on_epoch: what hears of each; where it gives False, the training has come to its end.
    save(state) is called after each epoch and every `save_every` seconds. Raises TrainingError when the loss is no longer
    finite or far above its start, with the layer.
    """
    t, pace, world = training, training.pace, here()
    history = t.history = t.history if t.history is not None else []
    started, last_save = time.monotonic() - t.seconds, time.monotonic()
    meter, watch = Meter(), LossWatch()
    planned, planned_at = time.monotonic(), pace.step
    stopping = False
    t.enter_step()
    with interruptible() as stop:
        stream = batches.from_step(pace.step)
        while not pace.done and not stopping:
            if pace.step == t.head_steps:
                t.enter_step()
            batch = next(stream)
            factor = learning_rate_factor(pace.progress, t.warmup)
            made = gradient(t, batch)
            loss = made.mean
            meter.add(loss, made.parts, batch.whole)
            looked = pace.step % CHECK_EVERY == 0 or t.device.type == "cpu"
            if looked and watch.diverged(float(loss)):
                raise explain_divergence(t.model, batch.images, pace.step, float(loss), t.lr)
            watching = (
                t.watch if t.watch is not None and t.watch.due(pace.step, pace.total) else None
            )
            if watching is not None:
                watching.before(t.model)
            t.optimizers.step(factor)
            if watching is not None:
                on_watch(watching.after(pace.step))
            t.optimizers.zero_grad()
            pace.advance()
            t.average.update(pace.step)
            t.seconds = time.monotonic() - started
            ended = looked and on_step(meter.moment(pace, batches.steps_per_epoch)) is False
            stopping, elapsed, left = bool(stop), time.monotonic() - planned, math.inf
            if t.deadline is not None:
                left = t.deadline - time.monotonic()
            due = time.monotonic() - last_save > save_every
            # What one of them decides all do, at the same step; the slowest one's time counts.
            if world.size > 1:
                told = [0.0, 0.0, 0.0, -left, 0.0]
                if looked:
                    told = world.highest(ended, stopping, elapsed, -left, due)
                ended, stopping, elapsed, left = bool(told[0]), bool(told[1]), told[2], -told[3]
                due = bool(told[4])
            if ended:
                pace.end()
            epoch_ends = pace.step % batches.steps_per_epoch == 0 or pace.done or stopping
            if epoch_ends:
                rate = meter.images_per_second()
                val: dict[str, float] = {}
                if evaluate is not None:
                    with t.average.applied() as model, t.running():
                        val = evaluate(model)
                    t.enter_step()
                history.append(
                    EpochRecord(
                        epoch=round(pace.step / batches.steps_per_epoch, 3),
                        step=pace.step,
                        seconds=round(t.seconds, 2),
                        lr=t.lr * factor,
                        train={"loss": meter.mean_loss(), **meter.parts()},
                        val=val,
                        images_per_second=round(rate, 1),
                    )
                )
                if world.any(on_epoch(history) is False):
                    pace.end()
                refuse_drift(t)
                meter = Meter()
            now = time.monotonic()
            if world.size == 1:
                elapsed = now - planned
                left = math.inf if t.deadline is None else t.deadline - now
            if t.deadline is not None and elapsed > REPLAN_SECONDS and not pace.done:
                pace.replan(left, elapsed / (pace.step - planned_at))
                planned, planned_at = now, pace.step
            if epoch_ends or due:
                save(t.state_dict())
                last_save = time.monotonic()
    return pace.done


def refuse_drift(t: Training) -> None:
    """Raise TrainingError where processes that train together do not hold the same numbers any more."""
    if here().size == 1:
        return
    state = {name: one for name, one in t.model.state_dict().items() if not is_cut(one)}
    facts = {
        "the digest of the weights": digest_of(state),
        "the state of the random numbers": digest_of(torch.get_rng_state()),
    }
    here().refuse_differences(
        facts,
        "they began alike and went apart: train on machines of one kind, and let no callback, layer or loss of your own do "
        "what differs between processes",
    )


def gradient(t: Training, batch: Batch) -> Loss:
    """Add the gradient of the batch's loss, a few images at a time; returns the loss without its graph.

    The loss is the sum over all micro-batches divided by all their weight. That is known after the last one only, so each
    is divided by the weight that the first one promises, and the gradient is corrected where that was not the whole.
    A loss of related images has no such sum: it gets the outputs of all micro-batches, whose graphs are kept until then.
    Where several processes share the batch, see `shared_gradient`.
    """
    world = here()
    if world.size > 1:
        return shared_gradient(t, batch, world)
    size = micro_batch(
        len(batch), batch.images.shape[-2], batch.images.shape[-1], batch.images.device
    )
    if getattr(t.loss, "related", False):
        outputs = [output_of(t, part) for part in batch.split(size)]
        loss = t.loss(joined(outputs), batch)
        loss.mean.backward()
        return loss.detach()
    made: list[Loss] = []
    promised: float | None = None
    for part in batch.split(size):
        loss = t.loss(output_of(t, part), part)
        if size >= len(batch):
            loss.mean.backward()
            return loss.detach()
        if promised is None and float(loss.weight) > 0:
            promised = float(loss.weight) * len(batch) / len(part)
        (loss.sum / (promised or 1.0)).backward()
        made.append(loss.detach())
    whole = functools.reduce(operator.add, made)
    if promised is not None and promised != float(whole.weight):
        with torch.no_grad():
            for parameter in t.model.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(promised / float(whole.weight))
    return whole


def output_of(t: Training, part: Batch) -> Any:
    """What the network gives for a micro-batch, with its graph."""
    x = part.images.contiguous(memory_format=torch.channels_last)
    precision = torch.autocast(t.device.type, t.dtype, enabled=t.dtype != torch.float32)
    with precision, t.running():
        # The batch is this step's alone: a network may write into it.
        return forward(t.model, x, writes=False)


def joined(outputs: Sequence[Any]) -> Any:
    """Outputs of micro-batches, tensors (n, ...) or tuples, lists and dicts of such, as the output of the whole batch."""
    return outputs[0] if len(outputs) == 1 else structured(outputs, torch.cat)


@torch.inference_mode()
def predict_logits(
    model: nn.Module, batches: Iterable[torch.Tensor], *, dtype: torch.dtype, flip: bool = False
) -> torch.Tensor:
    """Logits (N, classes) float32 on the CPU for batches x (n, C, H, W); with `flip`, the mean with the mirrored image's."""
    was_training = model.training
    model.eval()
    rows = []
    try:
        for x in batches:
            size = micro_batch(len(x), x.shape[-2], x.shape[-1], x.device)
            for part in x.split(size):
                part = part.contiguous(memory_format=torch.channels_last)
                with torch.autocast(x.device.type, dtype, enabled=dtype != torch.float32):
                    logits = answer_of(forward(model, part)).float()
                    if flip:
                        logits = (logits + answer_of(forward(model, part.flip(-1))).float()) / 2
                rows.append(logits.cpu())
    finally:
        model.train(was_training)
    return torch.cat(rows)


class Meter:
    """Means since it was made; the cost of a step does not grow with their number."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.losses: list[torch.Tensor] = []
        self.sums: dict[str, torch.Tensor] = {}
        self.images = 0

    def add(self, loss: torch.Tensor, parts: Mapping[str, torch.Tensor], images: int) -> None:
        """Count one step."""
        self.losses.append(loss)
        for name, value in parts.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.images += images

    def mean_loss(self) -> float:
        """Mean of the steps' losses."""
        return float(torch.stack(self.losses).mean())

    def parts(self) -> dict[str, float]:
        """Means over images of the losses' parts: such as the share of augmented images that were right when seen."""
        return {name: float(value) / max(self.images, 1) for name, value in self.sums.items()}

    def images_per_second(self) -> float:
        """Images a second of wall-clock time."""
        return self.images / max(time.monotonic() - self.start, 1e-9)

    def moment(self, pace: Pace, steps_per_epoch: int) -> Moment:
        """The last steps in numbers."""
        per_step = (time.monotonic() - self.start) / len(self.losses)
        return Moment(
            step=pace.step,
            total=pace.total,
            steps_per_epoch=steps_per_epoch,
            loss=float(torch.stack(self.losses[-20:]).mean()),
            parts=self.parts(),
            images_per_second=self.images_per_second(),
            seconds_left=(pace.total - pace.step) * per_step,
        )


class LossWatch:
    """Distinguishes a loss that has left for good from one that is only high."""

    def __init__(self) -> None:
        self.first: float | None = None
        self.high = 0

    def diverged(self, loss: float) -> bool:
        """Whether the loss is not finite, or was above three times its start (plus 5) for twenty looks in a row."""
        if not math.isfinite(loss):
            return True
        self.first = loss if self.first is None else self.first
        self.high = self.high + 1 if loss > 3 * self.first + 5 else 0
        return self.high >= 20


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """A list that the first Ctrl-C fills, so that the loop can end in order; the second Ctrl-C interrupts at once."""
    stop: list[int] = []

    def on_signal(number: int, frame: Any) -> None:
        if stop:
            raise KeyboardInterrupt
        stop.append(number)

    try:
        before = signal.signal(signal.SIGINT, on_signal)
    except ValueError:  # not in the main thread: nobody can press Ctrl-C here
        yield stop
        return
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
