"""A checkpoint of the right form with wrong contents is refused, and what does not fit is named."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from striate.training.averaging import WeightAverage
from striate.training.batch import Batch, Loss
from striate.training.loop import Training, fit
from striate.training.optimizers import make_optimizer
from striate.training.recipe import Recipe
from striate.training.restoring import check_state
from striate.training.schedule import Pace

CPU = torch.device("cpu")


class Few:
    steps_per_epoch = 2

    def from_step(self, step: int) -> Iterator[Batch]:
        while True:
            images = torch.randint(
                0, 9, (4, 4, 6, 6), generator=torch.Generator().manual_seed(step)
            )
            yield Batch(images.float(), torch.tensor([0, 1, 0, 1]))
            step += 1


def loss(output: Any, batch: Batch) -> Loss:
    value = nn.functional.cross_entropy(output, batch.targets)
    return Loss(value * len(batch), torch.tensor(float(len(batch))))


def training(optimizer: str) -> Training:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )  # fmt: skip
    recipe = Recipe(data="x", optimizer=optimizer, lr=0.01, weight_decay=0.01)
    return Training(
        model=model, optimizers=make_optimizer(recipe, [list(model.parameters())]), average=WeightAverage(model, 0.9),
        pace=Pace(8), warmup=0.1, loss=loss, dtype=torch.float32, device=CPU,
    )  # fmt: skip


def state_of(optimizer: str) -> dict[str, Any]:
    states: list[dict[str, Any]] = []
    trained = training(optimizer)
    fit(trained, Few(), save=lambda state: states.append(copy.deepcopy(state)))
    return states[1]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_what_was_saved_fits(optimizer: str) -> None:
    state = state_of(optimizer)
    fresh = training(optimizer)
    check_state(fresh, state)
    fresh.load_state_dict(state)
    check_state(fresh, fresh.state_dict())
    check_state(training(optimizer), training(optimizer).state_dict() | {"history": []})


def at(state: Any, *path: Any) -> tuple[Any, Any]:
    for key in path[:-1]:
        state = state[key]
    return state, path[-1]


def put(value: Any, *path: Any) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        holder, key = at(state, *path)
        holder[key] = value

    return change


def drop(*path: Any) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        holder, key = at(state, *path)
        del holder[key]

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop("model"), "model is missing"),
        (drop("model", "0.bias"), r"model.0.bias is missing"),
        (put(torch.zeros(9), "model", "0.bias"), r"model.0.bias must be float32 \(3,\), got float32 \(9,\)"),
        (put(torch.zeros(3, dtype=torch.float64), "model", "0.bias"), "got float64"),
        (put(torch.full((3,), float("nan")), "model", "0.bias"), "model.0.bias holds numbers that are not finite"),
        (put("x", "model", "0.bias"), "model.0.bias must be a Tensor"),
        (put({}, "average"), "average.0.weight is missing"),
        (put([], "optimizers"), "optimizers must hold 1, got 0"),
        (put(3, "optimizers", 0), r"optimizers\[0\] must be a table"),
        (put("0.1", "optimizers", 0, "param_groups", 0, "lr"), r"param_groups\[0\].lr must be a number"),
        (put([7], "optimizers", 0, "param_groups", 0, "params"), r"params must be \[0"),
        (put(float("nan"), "optimizers", 0, "param_groups", 0, "eps"), "eps must be a number"),
        (drop("optimizers", 0, "state", 0, "exp_avg"), r"state\[0\].exp_avg is missing"),
        (put(torch.zeros(2), "optimizers", 0, "state", 0, "exp_avg"), r"state\[0\].exp_avg must be float32 \(3, 4, 3, 3\)"),
        (put({}, "optimizers", 0, "state", 99), "belongs to no parameter"),
        (put(-1, "pace", "step"), "pace.step must lie between"),
        (put(99, "pace", "step"), "pace.step must not exceed pace.total"),
        (put(float("nan"), "pace", "progress"), "pace.progress must be a number"),
        (put("soon", "seconds"), "seconds must be a number"),
        (put(0.0, "lr"), "lr must be greater than 0"),
        (put([3], "history"), r"history\[0\] must be a table"),
        (put("x", "history", 0, "val_loss"), r"history\[0\].'val_loss' is no number"),
        (drop("history", 0, "train_loss"), "train_loss is missing"),
        (put(torch.zeros(3), "rng"), "rng must be uint8"),
        (put(1, "more"), "'more' is no key"),
    ],
    ids=range(25),
)  # fmt: skip
def test_what_does_not_fit_is_named(change: Callable[[dict[str, Any]], None], words: str) -> None:
    state = state_of("adamw")
    change(state)
    with pytest.raises(ValueError, match=words):
        check_state(training("adamw"), state)


def test_a_state_of_another_optimizer_is_refused() -> None:
    for mine, other in (("sgd", "adamw"), ("adamw", "muon"), ("muon", "sgd")):
        with pytest.raises(ValueError, match="optimizers"):
            check_state(training(mine), state_of(other))
