"""A module is borrowed and given back bit for bit: before, during and after, and when something raises inside."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from striate.attribution import explain
from striate.borrow import borrowed
from striate.diagnostics import check_gradients, initial_loss, overfit_batch
from striate.geometry import trace
from striate.inference.incremental import occlusion


class Helper:
    """An object of plain Python that a module keeps."""

    def __init__(self) -> None:
        self.grid: Tensor | None = None
        self.by_size: dict[int, list[int]] = {0: [1]}


class Odd(nn.Module):
    """What no copy can be made of: a lock, a generator, an open file, kept activations; and weights in every dress."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.numbers = (i for i in range(9))
        self.file = open(__file__, encoding="utf-8")  # noqa: SIM115
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.old = nn.utils.weight_norm(nn.Conv2d(4, 4, 1))  # type: ignore[deprecated]
        self.new = parametrizations.weight_norm(nn.Conv2d(4, 4, 1))
        self.head = nn.Linear(4, 3)
        self.tied = self.head
        self.kept: list[Tensor] = []
        self.recent: deque[Tensor] = deque(maxlen=2)
        self.helper = Helper()
        self.nested: dict[str, dict[int, Tensor]] = {"by size": {}}
        self.fails = False

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            y = self.new(self.old(torch.relu(self.norm(self.conv(x)))))
        self.kept.append(y)
        self.recent.append(y)
        self.last = y
        self.helper.grid = y
        self.helper.by_size[x.shape[-1]] = [2]
        self.helper.by_size[0].append(3)
        self.nested["by size"][x.shape[-1]] = y
        if self.fails:
            raise RuntimeError("out of paper")
        return self.head(y.mean((2, 3)))


@pytest.fixture
def odd() -> Odd:
    torch.manual_seed(0)
    network = Odd().train()
    network.norm.eval()
    network(torch.rand(2, 3, 8, 8))  # keeps activations that require a gradient
    network.conv.weight.requires_grad_(False)
    network.head.weight.grad = torch.ones_like(network.head.weight)
    network.head.register_forward_hook(lambda *_: None)
    yield network
    network.file.close()


def state(network: Odd) -> dict[str, Any]:
    """Everything that can be seen of the module, tensors by identity, place in memory and bits."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    return {
        "tensors": [
            (n, id(t), t.data_ptr(), t.dtype, t.detach().numpy().tobytes(), t.requires_grad, t._version)
            for n, t in tensors
        ],
        "grads": [None if p.grad is None else (id(p.grad), p.grad.tolist()) for p in network.parameters()],
        "parts": [
            (n, type(m), m.training, [(k, id(v)) for k, v in m.__dict__.items() if k != "training"],
             list(m._forward_hooks), list(m._parameters))
            for n, m in network.named_modules()
        ],
        "kept": ([id(t) for t in network.kept], [id(t) for t in network.recent], id(network.helper.grid)),
        "deep": (repr(network.helper.by_size), [*network.nested["by size"]]),
        "random": torch.get_rng_state().tolist(),
    }  # fmt: skip


X = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 2])
USES: dict[str, Callable[[Odd], Any]] = {
    "trace": lambda m: trace(m, (1, 3, 8, 8)),
    "occlusion": lambda m: occlusion(m.eval(), X[0], 1, patch=4, stride=4),
    "occlusion in bfloat16": lambda m: occlusion(m.eval(), X[0], 1, patch=4, stride=4, dtype=torch.bfloat16),
    "explain": lambda m: explain(m, X[0], methods=["gradient"]),
    "check_gradients": lambda m: check_gradients(m, X, Y, entries=1),
    "initial_loss": lambda m: initial_loss(m, X, Y, 3),
    "overfit_batch": lambda m: overfit_batch(m, X, Y, steps=2),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("fails", [False, True], ids=["", "raising"])
def test_what_cannot_be_copied_is_used_and_given_back(odd: Odd, use: str, fails: bool) -> None:
    if "occlusion" in use:
        odd.eval()
    odd.fails = fails
    before = state(odd)
    if fails:
        with pytest.raises(Exception, match="out of paper"):
            USES[use](odd)
    else:
        assert USES[use](odd) is not None
    assert state(odd) == before


def during(odd: Odd, how: dict[str, Any], fired: list[str]) -> None:
    """What holds inside; ends in an error."""
    modes = [m.training for m in odd.modules()]
    with torch.inference_mode(), borrowed(odd, **how) as module:
        assert module is odd
        expected = {True: [True] * len(modes), False: [False] * len(modes), None: modes}
        assert [m.training for m in odd.modules()] == expected[how.get("train", False)]
        dtype = how.get("dtype", torch.float32)
        assert odd.conv.weight.dtype == odd.norm.running_mean.dtype == dtype
        out = odd(X.to(dtype))
        assert out.dtype == dtype
        assert out.requires_grad
        if how.get("own") or how.get("dtype"):
            assert odd.head.weight.grad is None
            out.sum().backward()
            assert not fired
            with torch.no_grad():
                odd.head.weight.fill_(7)
                odd.norm.running_mean.fill_(7)
            odd.requires_grad_(True)
        odd.extra = 1
        raise ZeroDivisionError


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize(
    "how", [{}, {"own": True}, {"dtype": torch.float64}, {"train": True}, {"train": None}], ids=str
)
def test_what_is_borrowed(odd: Odd, how: dict[str, Any]) -> None:
    fired: list[str] = []
    odd.head.weight.register_hook(lambda g: fired.append("hook"))
    odd.head.weight.register_post_accumulate_grad_hook(lambda p: fired.append("after"))
    before = state(odd)
    with pytest.raises(ZeroDivisionError):
        during(odd, how, fired)
    assert state(odd) == before
    odd(X).sum().backward()
    assert fired == ["hook", "after"]


def test_buffers_that_are_written_are_given_back_to_the_bit() -> None:
    network = nn.BatchNorm2d(3)
    network.running_mean = torch.tensor([float("nan"), -0.0, 1e-45])
    bits = network.running_mean.numpy().tobytes()
    with borrowed(network, train=True):
        network(X)
        assert network.running_mean.numpy().tobytes() != bits
    assert network.running_mean.numpy().tobytes() == bits
    assert int(network.num_batches_tracked) == 0


def test_weights_made_in_inference_mode() -> None:
    with torch.inference_mode():
        network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2))
    before = [(id(t), t.tolist()) for t in network.state_dict(keep_vars=True).values()]
    with borrowed(network, dtype=torch.float64):
        assert network(X.double()).dtype == torch.float64
    assert [(id(t), t.tolist()) for t in network.state_dict(keep_vars=True).values()] == before


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_a_scripted_module_has_its_mode_and_numbers_again() -> None:
    network = torch.jit.script(nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)))
    before = {n: t.clone() for n, t in network.state_dict().items()}
    with borrowed(network, own=True):
        assert not network.training
        with torch.no_grad():
            for p in network.parameters():
                p.zero_()
        assert not network(X).any()
    assert network.training
    assert all(torch.equal(before[n], t) for n, t in network.state_dict().items())
