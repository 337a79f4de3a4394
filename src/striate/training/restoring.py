"""Restoring: whether what a checkpoint holds is the state of this training, before any of it is taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from striate.schema import Key, above, expect, is_kind, shortened, within
from striate.training.loop import Training
from striate.training.optimizers import Muon

# What each optimizer remembers of a parameter, all of it or nothing.
REMEMBERED: dict[type, set[str]] = {
    torch.optim.SGD: {"momentum_buffer"},
    torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"},
    Muon: {"momentum"},
}
STATE = {
    "model": Key(dict), "optimizers": Key(list), "average": Key(dict), "pace": Key(dict), "history": Key(list),
    "seconds": Key(float, check=within(0, 1e12)), "lr": Key(float, optional=True, check=above(0)), "rng": Key(Tensor),
    "rng_cuda": Key((Tensor, type(None))),
}  # fmt: skip
PACE = {
    "total": Key(int, check=within(1, 2**62)), "step": Key(int, check=within(0, 2**62)),
    "progress": Key(float, check=within(0, 1 + 1e-6)),
}  # fmt: skip
EPOCH = ("epoch", "step", "seconds", "lr", "images_per_second")


def check_state(training: Training, state: Any) -> None:
    """Raise ValueError, naming the key and what was got, unless `state` is one of this training's `state_dict`s."""
    expect(state, STATE)
    check_tensors(state["model"], training.model.state_dict(), "model")
    check_tensors(state["average"], training.average.state, "average")
    parts = training.optimizers.parts
    if len(state["optimizers"]) != len(parts):
        raise ValueError(f"optimizers must hold {len(parts)}, got {len(state['optimizers'])}")
    for i, (part, stored) in enumerate(zip(parts, state["optimizers"], strict=True)):
        check_optimizer(part, stored, f"optimizers[{i}]")
    expect(state["pace"], PACE, "pace")
    if state["pace"]["step"] > state["pace"]["total"]:
        raise ValueError(f"pace.step must not exceed pace.total, got {state['pace']['step']}")
    for i, row in enumerate(state["history"]):
        check_epoch(row, f"history[{i}]")
    rng, now = state["rng"], torch.get_rng_state()
    if rng.dtype != now.dtype or rng.shape != now.shape:
        raise ValueError(f"rng must be {form(now)}, got {form(rng)}")


def check_tensors(stored: Mapping[str, Any], now: Mapping[str, Any], where: str) -> None:
    """Raise ValueError unless tensors have the names, shapes and types of those there are now, and finite numbers."""
    kinds = {
        n: Key(Tensor if isinstance(value, Tensor) else type(value)) for n, value in now.items()
    }
    expect(stored, kinds, where)
    for name, value in now.items():
        if isinstance(value, Tensor):
            check_tensor(stored[name], value, f"{where}.{name}")


def check_tensor(stored: Tensor, like: Tensor, where: str) -> None:
    """Raise ValueError unless a tensor has the shape and type of another, and finite numbers."""
    if stored.shape != like.shape or stored.dtype != like.dtype or stored.layout != like.layout:
        raise ValueError(f"{where} must be {form(like)}, got {form(stored)}")
    if stored.is_floating_point() and not bool(torch.isfinite(stored).all()):
        raise ValueError(f"{where} holds numbers that are not finite")


def check_optimizer(part: torch.optim.Optimizer, stored: Any, where: str) -> None:
    """Raise ValueError unless settings and memory are those of an optimizer of these parameters."""
    expect(stored, {"state": Key(dict), "param_groups": Key(list)}, where)
    groups = part.state_dict()["param_groups"]
    if len(stored["param_groups"]) != len(groups):
        raise ValueError(f"{where}.param_groups must hold {len(groups)}, got {len(stored['param_groups'])}")  # fmt: skip
    for i, (group, now) in enumerate(zip(stored["param_groups"], groups, strict=True)):
        here = f"{where}.param_groups[{i}]"
        expect(group, {name: Key(kinds_of(value)) for name, value in now.items()}, here)
        for name, value in now.items():
            if name != "lr" and group[name] != value:  # only the rate moves in a training
                raise ValueError(f"{here}.{name} must be {shortened(value)}, got {shortened(group[name])}")  # fmt: skip
    numbered: dict[int, nn.Parameter] = {
        index: parameter
        for now, group in zip(groups, part.param_groups, strict=True)
        for index, parameter in zip(now["params"], group["params"], strict=True)
    }
    for index, memory in stored["state"].items():
        here = f"{where}.state[{shortened(index)}]"
        if not is_kind(index, (int,)) or index not in numbered:
            raise ValueError(f"{here} belongs to no parameter")
        names = REMEMBERED[type(part)]
        expect(memory, {name: Key((Tensor, type(None))) for name in names}, here)
        for name in names:
            value = memory[name]
            if value is None and name == "momentum_buffer":  # a parameter without a gradient so far
                continue
            like = torch.zeros(()) if name == "step" else numbered[index].detach()
            if value is None:
                raise ValueError(f"{here}.{name} is missing")
            check_tensor(value, like, f"{here}.{name}")


def check_epoch(row: Any, where: str) -> None:
    """Raise ValueError unless it is a row of an `EpochRecord`."""
    expect(row, {name: Key(int if name == "step" else float) for name in EPOCH}, where, more=True)
    for name, value in row.items():
        good = value is None or (isinstance(value, int | float) and not isinstance(value, bool))
        if name not in EPOCH and (not str(name).startswith(("train_", "val_")) or not good):
            raise ValueError(f"{where}.{shortened(name)} is no number of an epoch, got {shortened(value)}")  # fmt: skip
    if row.get("train_loss") is None:
        raise ValueError(f"{where}.train_loss is missing")


def kinds_of(value: Any) -> type | tuple[type, ...]:
    """The kinds that a setting of an optimizer may have."""
    if isinstance(value, float):
        return float
    return type(value)


def form(tensor: Tensor) -> str:
    """`float32 (8, 3, 3, 3)`."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
