from __future__ import annotations

import copy
import io
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from striate.errors import TrainingError
from striate.tasks.classify.loss import CrossEntropy
from striate.training import Recipe
from striate.training.averaging import EVERY, WeightAverage
from striate.training.batch import Batch
from striate.training.loop import LossWatch, Training, fit, gradient, interruptible, predict_logits
from striate.training.optimizers import make_optimizer
from striate.training.schedule import Pace


class Stripes:
    """Two classes of noisy stripes; batch s depends on s alone."""

    steps_per_epoch = 4

    def from_step(self, step: int) -> Iterator[Batch]:
        while True:
            generator = torch.Generator().manual_seed(step)
            y = torch.randint(0, 2, (16,), generator=generator)
            x = torch.randn(16, 1, 8, 8, generator=generator) * 0.3
            stripe = torch.arange(8) % 2 * 2.0 - 1
            x += torch.where(y[:, None, None] == 0, stripe[None, :, None], stripe[None, None, :])[
                :, None
            ]
            yield Batch(x, y)
            step += 1


def make(
    total: int = 12, *, optimizer: str = "muon", average: float = 0.9, dropout: float = 0.2
) -> Training:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Dropout(dropout),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip
    recipe = Recipe(data="x", optimizer=optimizer, lr=0.02, weight_decay=0.01)
    return Training(
        model=model,
        optimizers=make_optimizer(recipe, [list(model.parameters())]),
        average=WeightAverage(model, average),
        pace=Pace(total),
        warmup=0.2,
        loss=CrossEntropy(0.1),
        dtype=torch.float32,
        device=torch.device("cpu"),
    )


@pytest.mark.parametrize("optimizer", ["muon", "sgd", "adamw"])
def test_it_learns(optimizer: str) -> None:
    training = make(60, optimizer=optimizer)
    assert fit(training, Stripes())
    assert training.history is not None
    assert training.history[-1].train["accuracy"] > 0.95
    assert training.history[-1].train["loss"] < training.history[0].train["loss"] / 2


@pytest.mark.parametrize("optimizer", ["muon", "sgd", "adamw"])
@pytest.mark.parametrize("stop", [1, 5, 8])
def test_a_resumed_training_ends_with_the_same_bits(optimizer: str, stop: int) -> None:
    whole = make(optimizer=optimizer)
    fit(whole, Stripes())

    states: list[bytes] = []

    def save(state: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        states.append(buffer.getvalue())

    fit(make(optimizer=optimizer), Stripes(), save=save, save_every=0)
    torch.manual_seed(99)  # resuming must not depend on the process's own random state
    second = make(optimizer=optimizer)
    second.load_state_dict(torch.load(io.BytesIO(states[stop - 1]), weights_only=True))
    assert second.pace.step == stop
    fit(second, Stripes())
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    for name, value in whole.average.state.items():
        assert torch.equal(value, second.average.state[name]), name


def test_parts_of_a_batch_add_up_to_its_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = next(Stripes().from_step(3))
    grads = []
    for size in (16, 5):
        monkeypatch.setattr("striate.training.loop.micro_batch", lambda *_, size=size: size)
        training = make(dropout=0.0)
        training.model[1].eval()  # batch norm sees parts, not the batch
        loss = gradient(training, batch)
        made = [p.grad.clone() for p in training.model.parameters()]
        grads.append([*made, loss.mean, loss.parts["accuracy"]])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


def test_a_loss_that_is_not_a_number_names_step_and_layer() -> None:
    training = make()
    training.model[3].register_forward_hook(lambda m, i, out: out * float("inf"))
    with pytest.raises(
        TrainingError,
        match=r"at step 0: the loss is not a number in layer 3; lower the learning rate",
    ):
        fit(training, Stripes())


def test_weights_that_are_not_finite_are_named() -> None:
    training = make()
    with torch.no_grad():
        training.model[3].weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(TrainingError, match=r"the weights 3\.weight are no longer finite"):
        fit(training, Stripes())


def test_only_a_loss_that_stays_high_counts_as_divergence() -> None:
    watch = LossWatch()
    assert not watch.diverged(2.0)
    assert not any(watch.diverged(30.0) for _ in range(19))
    assert not watch.diverged(2.0)
    assert [watch.diverged(30.0) for _ in range(20)] == [False] * 19 + [True]


def test_ctrl_c_ends_in_order_and_can_be_resumed() -> None:
    training = make(12)
    saved: list[dict[str, Any]] = []

    def press(moment: Any) -> None:
        if moment.step == 6:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    assert not fit(
        training, Stripes(), on_step=press, save=lambda s: saved.append(copy.deepcopy(s))
    )
    assert signal.getsignal(signal.SIGINT) is before
    assert training.history is not None
    assert training.history[-1].step == 6
    again = make(12)
    again.load_state_dict(saved[-1])
    assert fit(again, Stripes())
    whole = make(12)
    fit(whole, Stripes())
    assert all(
        torch.equal(a, b)
        for a, b in zip(again.model.parameters(), whole.model.parameters(), strict=True)
    )


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    with interruptible() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_head_learns_first() -> None:
    training = make(8)
    training.head, training.head_steps = training.model[8], 4
    start = copy.deepcopy(training.model.state_dict())
    at_four: dict[str, torch.Tensor] = {}

    def look(moment: Any) -> None:
        if moment.step == 4:
            at_four.update(copy.deepcopy(training.model.state_dict()))

    fit(training, Stripes(), on_step=look)
    assert torch.equal(start["3.weight"], at_four["3.weight"])
    assert not torch.equal(start["8.weight"], at_four["8.weight"])
    assert not torch.equal(at_four["3.weight"], training.model.state_dict()["3.weight"])


def test_averages_follow_the_weights_and_leave_them() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, 0.5)
    with torch.no_grad():
        model.weight.fill_(3.0)
    old = average.state["weight"].clone()
    average.update(EVERY - 1)
    assert torch.equal(average.state["weight"], old)
    step = 100 * EVERY
    average.update(step)
    torch.testing.assert_close(average.state["weight"], old * 0.5**EVERY + 3.0 * (1 - 0.5**EVERY))
    with average.applied() as applied:
        assert float(applied.weight.detach()) != 3.0
    assert float(model.weight.detach()) == 3.0


def test_flip_averaging_is_the_mean_of_both_mirror_images() -> None:
    model = make().model
    x = next(Stripes().from_step(0)).images
    both = predict_logits(model, [x], dtype=torch.float32, flip=True)
    one = predict_logits(model, [x], dtype=torch.float32)
    other = predict_logits(model, [x.flip(-1)], dtype=torch.float32)
    torch.testing.assert_close(both, (one + other) / 2)
    assert model.training
