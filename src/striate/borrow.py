"""Borrow: whatever touches a user's module takes it through here, and gives it back bit for bit as it was.

A module is never copied: locks, open files, generators, kept activations and closures cannot be. Where an analysis needs
weights of its own (to train, shuffle or cast them), the module's tensors get other numbers for a while.
"""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import is_
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from striate.errors import UsageError

PLAIN = frozenset(
    {int, float, bool, str, bytes, complex, type(None), torch.dtype, torch.device, torch.Size}
)
SIMPLE = PLAIN | {Tensor, nn.Parameter}  # hold nothing that would have to be kept
CONTAINERS = (dict, list, set, deque)
DEPTH = 4  # containers and objects in each other, as caches by size and by device are
Kept = tuple[Any, Any]  # a container or the attributes of an object, and a shallow copy
# A submodule, its class, its attributes and a shallow copy of them.
Saved = tuple[nn.Module, type, dict[str, Any], dict[str, Any]]


@contextmanager
def borrowed(
    module: nn.Module,
    *,
    train: bool | None = False,
    dtype: torch.dtype | None = None,
    own: bool = False,
) -> Iterator[nn.Module]:
    """`module` in evaluation form; afterwards everything of it, and the random states, are as before.

    Parameters and buffers (numbers, kind of number, `grad`, `requires_grad`, hooks), modes, attributes, what they hold,
    classes and hooks of submodules come back, also when something raises inside.

    train: in training form instead, None as it is. dtype: parameters and buffers of floating point cast to it. own: the
    tensors hold copies, so that they may be trained, shuffled or moved; their gradient hooks are silent. Without `own`
    and `dtype` parameters must not be written. Gradients are on, inference mode is off.

    Raises UsageError for a lazy layer that was never run: its weights would be made here, and could not be unmade.
    """
    refuse_lazy(module)
    parts = list(module.modules())
    modes = [getattr(sub, "training", False) for sub in parts]  # frozen scripts have none
    try:
        with (
            untouched(parts),
            torch.inference_mode(False),
            torch.enable_grad(),
        ):
            if train is not None:
                for sub in parts:
                    if hasattr(sub, "training"):
                        sub.training = train
            swapped = own or dtype is not None
            with _copies(parts, dtype) if swapped else _lent(module):
                yield module
    finally:
        for sub, mode in zip(parts, modes, strict=True):
            if (
                getattr(sub, "training", mode) != mode
            ):  # of a scripted module, which has no attributes of Python
                sub.training = mode


def forward(module: nn.Module, images: Tensor, *, writes: bool = True) -> Any:
    """What `module` gives for images (N, C, H, W), which stay as they are: it gets a copy, into which it may write.

    Images are mostly given more than once, together and alone, clean and changed, so a network that begins with
    `nn.ReLU(inplace=True)` or `x.sub_(mean)` must not spoil them. Gradients reach the images themselves.

    writes: False where the module is known only to read its input; it then gets the images themselves.
    """
    return module(images.clone() if writes else images)


@dataclass(slots=True)
class Left:
    """What a forward pass left behind, by name, known at the end: attributes and buffers that it changed, and generators
    of random numbers, torch's own apart, from which it drew."""

    changed: list[str] = field(default_factory=list)
    drawn: list[str] = field(default_factory=list)


@contextmanager
def untouched(parts: Iterable[nn.Module]) -> Iterator[Left]:
    """Put back what a forward pass leaves behind in submodules: attributes, what they hold, hooks, modes, classes; and
    the random states, those that `parts` keep too.

    Gives a `Left` that is filled in at the end.
    """
    saved: list[Saved] = []
    inner: list[Kept] = []
    empty: list[Any] = []
    others: list[Any] = []
    seen: set[int] = set()
    for sub in parts:
        state = sub.__dict__
        saved.append((sub, sub.__class__, state, state.copy()))
        # A network of 500 submodules has 15,000 attributes: what most of them are is told by the type alone.
        for value in state.values():
            kind = type(value)
            if kind in SIMPLE or (kind is tuple and SIMPLE.issuperset(map(type, value))):
                continue
            if isinstance(value, CONTAINERS):
                if value:
                    _keep(value, inner, seen, DEPTH)
                else:
                    empty.append(value)
            elif not isinstance(value, (Tensor, nn.Module)):
                others.append(value)
                _keep(value, inner, seen, DEPTH)
    versions: dict[int, tuple[Tensor, int]] = {}
    for sub, *_ in saved:
        for held in (sub._parameters, sub._buffers):
            for t in held.values():
                if t is None or (type(t) not in SIMPLE and is_lazy(t)) or t.is_inference():
                    continue
                versions[id(t)] = t, t._version
    left = Left()
    with random_states(others) as drawn:
        try:
            yield left
        finally:
            left.drawn = drawn()
            moved = {i: (t, n) for i, (t, n) in versions.items() if t._version != n}
            changed = [(sub, kind, held, before) for sub, kind, held, before in saved
                       if sub.__class__ is not kind or not _same(held, before)]  # fmt: skip
            refilled = [(held, copy) for held, copy in inner if not _alike(held, copy)]
            filled = [held for held in empty if held]
            if moved or changed or refilled or filled:
                left.changed = _listed(saved, [*refilled, *[(held, ()) for held in filled]], moved)
            for sub, kind, held, before in changed:
                if sub.__class__ is not kind:
                    sub.__class__ = kind
                if not _same(held, before):
                    held.clear()
                    held.update(before)
            for held, copy in refilled:
                _put_back(held, copy)
            for held in filled:
                held.clear()
            if (
                moved
            ):  # an in-place call counts as a change to autograd, although nothing was written
                tensors, numbers = zip(*moved.values(), strict=True)
                torch._C._autograd._unsafe_set_version_counter(tensors, numbers)


def _listed(saved: Iterable[Saved], refilled: Iterable[Kept], moved: Container[int]) -> list[str]:
    """Names of attributes and entries that are not what they were, and of buffers that were written."""
    changed = []
    for sub, _, state, before in saved:
        changed += [k for k in state if k not in before or state[k] is not before[k]]
        changed += [name for name, t in sub._buffers.items() if id(t) in moved]
    for held, copy in refilled:
        changed += _moved(held, copy)
    return list(dict.fromkeys(changed))


@contextmanager
def random_states(others: Iterable[Any] = ()) -> Iterator[Callable[[], list[str]]]:
    """Whatever is drawn inside, torch, numpy, Python and the generators among `others` draw afterwards as before.

    Gives a function that lists which of them, torch's own apart, have been drawn from.
    """
    cpu, python = torch.get_rng_state(), random.getstate()
    numpy = sys.modules.get("numpy")
    numpy_state = numpy.random.get_state(legacy=False) if numpy is not None else None
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    own = [(g, ask, put, ask()) for g, ask, put in _generators(others, numpy)]

    def drawn() -> list[str]:
        sources = ["Python's random"] if random.getstate() != python else []
        if numpy is not None and _differs(numpy.random.get_state(legacy=False), numpy_state):
            sources.append("numpy.random")
        return sources + [
            f"a {type(g).__name__}" for g, ask, _, state in own if _differs(ask(), state)
        ]

    try:
        yield drawn
    finally:
        torch.set_rng_state(cpu)
        random.setstate(python)
        if numpy is not None:
            numpy.random.set_state(numpy_state)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        for _, _, put, state in own:
            put(state)


def _generators(
    others: Iterable[Any], numpy: Any
) -> Iterator[tuple[Any, Callable[[], Any], Callable[[Any], Any]]]:
    """The generators of random numbers among some objects, with how to read and to set their state."""
    for value in others:
        if isinstance(value, torch.Generator):
            yield value, value.get_state, value.set_state
        elif isinstance(value, random.Random):
            yield value, value.getstate, value.setstate
        elif numpy is not None and isinstance(value, numpy.random.Generator):
            bits = value.bit_generator
            yield value, lambda b=bits: b.state, lambda s, b=bits: setattr(b, "state", s)  # type: ignore[misc]
        elif numpy is not None and isinstance(value, numpy.random.RandomState):
            yield value, lambda v=value: v.get_state(legacy=False), value.set_state  # type: ignore[misc]


def _differs(a: Any, b: Any) -> bool:
    """Whether two states of a generator differ; they are nested dicts, tuples, arrays and tensors."""
    if isinstance(a, dict):
        return any(_differs(v, b[k]) for k, v in a.items())
    if isinstance(a, (tuple, list)):
        return any(map(_differs, a, b))
    different = a != b
    return bool(different.any()) if hasattr(different, "any") else bool(different)


def _keep(value: Any, kept: list[Kept], seen: set[int], depth: int) -> None:
    """Note a container or an object of plain Python, and those in it, with shallow copies."""
    if id(value) in seen or depth == 0:
        return
    seen.add(id(value))
    if isinstance(value, CONTAINERS):
        kept.append((value, value.copy()))
        inside: Iterable[Any] = value.values() if isinstance(value, dict) else value
        if SIMPLE.issuperset(map(type, inside)):
            return
    elif isinstance(value, tuple):
        inside = value
    else:
        state = _attributes(value)
        if state is None:
            return
        kept.append((state, state.copy()))
        inside = state.values()
    for item in list(inside):
        if type(item) not in SIMPLE and not isinstance(item, (Tensor, nn.Module)):
            _keep(item, kept, seen, depth - 1)


def _attributes(value: Any) -> dict[str, Any] | None:
    """The attributes of an object of a class written in Python; None for classes, functions and what libraries hold."""
    if isinstance(value, (type, ModuleType)) or callable(value):
        return None
    root = type(value).__module__.partition(".")[0]
    state = getattr(value, "__dict__", None)
    ours = root not in ("torch", "numpy") and root not in sys.stdlib_module_names
    plain = isinstance(state, dict) and (ours or isinstance(value, SimpleNamespace))
    return state if plain else None


def _moved(held: Any, copy: Any) -> list[str]:
    """Names of the entries of a container that are not what they were; "a list" and so on where they have none."""
    if isinstance(held, dict):
        return [str(k) for k in held if k not in copy or held[k] is not copy[k]]
    return [] if _alike(held, copy) else [f"a {type(held).__name__}"]


def _put_back(held: Any, copy: Any) -> None:
    """Give a container the entries that it had."""
    if isinstance(held, list):
        held[:] = copy
    else:
        held.clear()
        held.extend(copy) if isinstance(held, deque) else held.update(copy)


def _alike(held: Any, copy: Any) -> bool:
    """Whether a container holds the same objects as its copy; equal ones for a set."""
    if isinstance(held, dict):
        return _same(held, copy)
    if isinstance(held, (list, deque)):
        return len(held) == len(copy) and all(map(is_, held, copy))
    return bool(held == copy)


def _same(one: dict[Any, Any], other: dict[Any, Any]) -> bool:
    """Whether two dicts hold the same objects under the same keys, in the same order."""
    return list(one) == list(other) and all(map(is_, one.values(), other.values()))


@contextmanager
def _lent(module: nn.Module) -> Iterator[None]:
    """Give the buffers the numbers that they had, and the parameters their flags and gradients."""
    kept = [(b, b.detach().clone()) for b in module.buffers() if _holds_numbers(b)]
    flags = [
        (p, p.requires_grad, p.grad) for p in module.parameters() if not is_lazy(p) and p.is_leaf
    ]
    try:
        yield
    finally:
        for buffer, value in kept:
            if not _equal(buffer, value):
                with torch.inference_mode(buffer.is_inference()), torch.no_grad():
                    buffer.copy_(value)
        for p, needs, grad in flags:
            if p.requires_grad != needs:
                p.requires_grad_(needs)
            if p.grad is not grad:
                p.grad = grad


@contextmanager
def _copies(parts: Iterable[nn.Module], dtype: torch.dtype | None) -> Iterator[None]:
    """Let each parameter and buffer hold a copy of its numbers, and its own again afterwards.

    The tensor objects stay, so that tied weights, lists of weights and closures all see the copy. Only tensors made in
    inference mode take no other numbers: they are replaced.
    """
    made: dict[int, Tensor] = {}
    kept = []
    hooks: list[Kept] = []

    def copied(data: Tensor) -> Tensor:
        if dtype is not None and data.is_floating_point():
            return data.to(dtype, copy=True)
        return data.clone()

    try:
        for sub in parts:
            for held in (sub._parameters, sub._buffers):
                for name, t in list(held.items()):
                    if t is None or not _holds_numbers(t):
                        continue
                    if t.is_inference():
                        if id(t) not in made:
                            fresh = copied(t)
                            learned = isinstance(t, nn.Parameter)
                            made[id(t)] = nn.Parameter(fresh, t.requires_grad) if learned else fresh
                        held[name] = made[id(t)]  # type: ignore[assignment]
                    elif id(t) not in made:
                        made[id(t)] = t
                        kept.append((t, t.data, t.grad if t.is_leaf else None, t.requires_grad))
                        for notes in (
                            t._backward_hooks,
                            getattr(t, "_post_accumulate_grad_hooks", None),
                        ):
                            if notes:  # torch looks into this very dict
                                hooks.append((notes, notes.copy()))
                                notes.clear()
                        if t.is_leaf:
                            t.grad = None
                        t.data = copied(t.data)
        yield
    finally:
        for t, data, grad, needs in kept:
            if t.is_leaf:
                t.grad = None
            t.data = data
            if t.is_leaf:
                t.requires_grad_(needs)
                t.grad = grad
        for notes, copy in hooks:
            _put_back(notes, copy)


def refuse_lazy(module: nn.Module) -> None:
    """Raise UsageError where a lazy layer has no weights yet."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if is_lazy(tensor):
            raise UsageError(
                f"{name} has no numbers yet, because this lazy layer was never run; call module(x) once on one of your "
                "images first"
            )


def refuse_numberless(module: nn.Module) -> None:
    """Raise UsageError where weights hold no numbers: of lazy layers that were never run, or on the meta device."""
    refuse_lazy(module)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_meta:
            raise UsageError(
                f"{name} lies on the meta device and has no numbers; make the module on the CPU, or call "
                "module.to_empty(device='cpu') and load its weights"
            )


def _holds_numbers(t: Tensor) -> bool:
    return not is_lazy(t) and t.device.type != "meta"


def _equal(a: Tensor, b: Tensor) -> bool:
    """Equality of bits for numbers, so that a NaN equals itself."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.is_floating_point() or a.is_complex():
        return bool(((a == b) | ((a != a) & (b != b))).all())
    return torch.equal(a, b)
