"""The module is given back bit for bit, whatever happened to it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.attribution import METHODS, attribute, explain, project
from striate.borrow import borrowed


class Diary(nn.Module):
    """Keeps everything that a forward pass could leave behind."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 3)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.pages: list[Tensor] = []
        self.fails_at = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        self.last = x
        self.pages.append(x)
        torch.rand(1)
        y = self.drop(torch.relu(self.norm(self.conv(x))))
        if self.fails_at and len(self.pages) >= self.fails_at:
            raise RuntimeError("out of paper")
        return self.head(y.mean((2, 3)))


@pytest.fixture
def diary() -> Diary:
    torch.manual_seed(0)
    network = Diary().train()
    network.norm.eval()  # a mode of its own
    network.conv.weight.requires_grad_(False)
    network.head.weight.grad = torch.ones_like(network.head.weight)
    network.head.register_forward_hook(lambda *a: None)
    return network


def fingerprint(network: nn.Module) -> dict[str, Any]:
    tensors = {n: (t.detach().numpy().tobytes(), id(t)) for n, t in network.state_dict(keep_vars=True).items()}  # fmt: skip
    flags = {
        n: (p.requires_grad, None if p.grad is None else p.grad.numpy().tobytes())
        for n, p in network.named_parameters()
    }
    parts = {
        n: (m.training, sorted(m.__dict__), list(m._forward_hooks), list(m._backward_hooks), list(m._parameters))
        for n, m in network.named_modules()
    }  # fmt: skip
    return {"tensors": tensors, "flags": flags, "parts": parts, "pages": len(network.pages)}  # type: ignore[arg-type]


@contextmanager
def unchanged(network: nn.Module) -> Iterator[None]:
    before = fingerprint(network)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    yield
    assert fingerprint(network) == before
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2][1])  # type: ignore[arg-type]


X = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
CALLS: dict[str, Callable[[nn.Module], Any]] = {
    **{
        name: lambda m, name=name: attribute(m, X, 1, name)
        for name, m in METHODS.items()
        if not m.needs and name != "d-rise"  # asks for a detection
    },
    "explain": lambda m: explain(m, X, methods=["gradient", "occlusion"]),
    "project": lambda m: project(m, X, "relu", 1),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_module_is_as_it_was(name: str, diary: Diary) -> None:
    with unchanged(diary):
        CALLS[name](diary)


@pytest.mark.parametrize("name", ["gradient", "guided-backpropagation", "grad-cam", "occlusion", "explain"])  # fmt: skip
def test_also_when_it_breaks_in_the_middle(name: str, diary: Diary) -> None:
    diary.fails_at = 1
    with unchanged(diary), pytest.raises(Exception, match="out of paper"):
        CALLS[name](diary)


def test_what_is_borrowed_is_in_evaluation_form_with_gradients(diary: Diary) -> None:
    with unchanged(diary), torch.no_grad(), borrowed(diary):
        assert not any(m.training for m in diary.modules())
        assert torch.is_grad_enabled()
        diary.calls.fill_(99)


def test_a_batch_norm_in_training_mode_keeps_its_statistics(diary: Diary) -> None:
    diary.norm.train()
    with unchanged(diary):
        first = attribute(diary, X, 1, "gradient").values
    torch.testing.assert_close(first, attribute(diary.eval(), X, 1, "gradient").values)
