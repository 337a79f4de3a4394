"""Borrowing: a user's module in evaluation form for a while, and given back bit for bit as it was."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def borrowed(module: nn.Module) -> Iterator[nn.Module]:
    """`module` in evaluation form; afterwards its mode, buffers, attributes, hooks and the random states are as before.

    Also when something raises inside. Parameters are never written, and their `grad` stays what it was, because
    gradients are asked for the image alone.
    """
    attributes = [(sub, dict(sub.__dict__), _containers(sub)) for sub in module.modules()]
    buffers = [(b, b.detach().clone()) for b in module.buffers()]
    try:
        for sub, _, _ in attributes:
            sub.training = False
        with random_states(), torch.inference_mode(False), torch.enable_grad():
            yield module
    finally:
        for sub, before, containers in attributes:
            for held, copy in containers:
                _put_back(held, copy)
            sub.__dict__.clear()
            sub.__dict__.update(before)
        with torch.no_grad():
            for buffer, value in buffers:
                if not _same(buffer, value):
                    buffer.copy_(value)


@contextmanager
def random_states() -> Iterator[None]:
    """Whatever is drawn inside, torch, numpy and Python draw afterwards as if it had not been."""
    cpu, python = torch.get_rng_state(), random.getstate()
    numpy = sys.modules.get("numpy")
    numpy_state = numpy.random.get_state() if numpy is not None else None
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        yield
    finally:
        torch.set_rng_state(cpu)
        random.setstate(python)
        if numpy is not None:
            numpy.random.set_state(numpy_state)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


def _containers(sub: nn.Module) -> list[tuple[Any, Any]]:
    """The lists, dicts and sets of a submodule (parameters, buffers, hooks among them) with shallow copies."""
    return [(v, v.copy()) for v in sub.__dict__.values() if isinstance(v, (dict, list, set))]


def _put_back(held: Any, copy: Any) -> None:
    if isinstance(held, list):
        held[:] = copy
    else:
        held.clear()
        held.update(copy)


def _same(a: Tensor, b: Tensor) -> bool:
    """Equality of bits for numbers, so that a NaN equals itself."""
    if a.is_floating_point():
        return torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)) and torch.equal(
            a.isnan(), b.isnan()
        )
    return torch.equal(a, b)
