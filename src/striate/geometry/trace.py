"""trace: from a module and the shape of its input to its Geometry."""

from __future__ import annotations

import gc
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.utils import _pytree as pytree

from striate.borrow import random_states, untouched
from striate.errors import GeometryError, UsageError
from striate.geometry.analysis import analyse
from striate.geometry.geometry import Geometry
from striate.geometry.shapes import stand_in
from striate.geometry.tape import META, DataDependentError, Tape, UnfollowedError
from striate.geometry.tape_records import Visit

Shape = Sequence[int]
Inputs = Shape | Tensor | Sequence[Any] | Mapping[str, Any]
Parts = dict[int, tuple[nn.Module, list[str]]]  # each submodule by its id, with its paths


def trace(module: nn.Module, inputs: Inputs) -> Geometry:
    """Run `module` once on tensors without data and write down its geometry.

    inputs: the shape (N, C, *spatial) of its input, or an example tensor (only its shape and kind are used), or a
    sequence of those for a module with several inputs, or a dict of those by name. Nothing of the module changes:
    not its parameters, buffers, mode, hooks or attributes, and no random number is drawn.

    Raises UsageError if `module` is none or `inputs` is no shape; GeometryError if the module refuses the shape, or
    what it does depends on the data.

    >>> geometry = trace(nn.Conv2d(3, 8, 5, stride=2), (1, 3, 33, 33))
    >>> next(iter(geometry)).receptive_field
    (Axis(size=5, stride=2, start=0), Axis(size=5, stride=2, start=0))
    """
    # In inference mode torch does not take operations apart, and convolutions would have many names.
    with torch.inference_mode(False), _no_collection():
        return _trace(module, inputs)


def _trace(module: nn.Module, inputs: Inputs) -> Geometry:
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"trace takes a torch.nn.Module, got {type(module).__name__}; wrap a function in a module's forward"
        )
    args, kwargs = _inputs(module, inputs)
    parts: Parts = {}
    for path, sub in module.named_modules(remove_duplicate=False):
        parts.setdefault(id(sub), (sub, []))[1].append(path)
    names = _tensors(parts)
    tape = Tape(names)
    for place, tensor in enumerate([*args, *kwargs.values()]):
        tape.source(tensor, "input", f"input {place}" if place else "input")
    paths = _Paths(module, parts, tape)
    modules = [sub for sub, _ in parts.values()]
    with untouched(modules), random_states(), torch.no_grad(), paths.watch():
        _rnn_weights(parts, names)
        try:
            with warnings.catch_warnings(), _not_compiled(), tape:
                warnings.simplefilter("ignore")  # the module's own advice belongs to a real run
                result = module(*args, **kwargs)
        except DataDependentError as stop:
            raise GeometryError(
                f"{paths.where()} decides by the data ({stop.args[0]}), which a trace without data cannot follow; "
                "trace the parts before and after it, or give that step a fixed size"
            ) from stop
        except UnfollowedError as stop:
            raise GeometryError(f"{paths.where()} {stop.args[0]}") from stop
        except Exception as error:
            raise _refused(error, paths.where(), [*args, *kwargs.values()], tape.failed) from error
    leaves, tree = pytree.tree_flatten(result)
    outputs: list[int | None] = [
        tape.read(tape.entry(leaf)) if isinstance(leaf, Tensor) else None for leaf in leaves
    ]
    rest = tuple([None if isinstance(leaf, Tensor) else leaf for leaf in leaves])
    return analyse(tape, module, len(args) + len(kwargs), outputs, rest, tree)


def _inputs(module: nn.Module, inputs: Inputs) -> tuple[list[Tensor], dict[str, Tensor]]:
    held = chain(module.parameters(), module.buffers())
    dtype = next((t.dtype for t in held if t.is_floating_point()), torch.float32)

    def one(item: Any) -> Tensor:
        if isinstance(item, Tensor):
            return torch.empty(item.shape, dtype=item.dtype, device=META)
        if (
            isinstance(item, Sequence)
            and not isinstance(item, str)
            and item
            and all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in item)
        ):
            return torch.empty(tuple(item), dtype=dtype, device=META)
        raise UsageError(
            f"an input is a shape of positive integers such as (1, 3, 224, 224), or a tensor; got {item!r}"
        )

    if isinstance(inputs, Mapping):
        return [], {k: one(v) for k, v in inputs.items()}
    several = (
        isinstance(inputs, (list, tuple))
        and not isinstance(inputs, torch.Size)
        and len(inputs) > 0
        and any(isinstance(i, (Tensor, list, tuple)) for i in inputs)
    )
    if several:
        assert isinstance(inputs, (list, tuple))
        return [one(i) for i in inputs], {}
    return [one(inputs)], {}


def _tensors(parts: Parts) -> dict[int, tuple[str, str, Tensor]]:
    """The tensors that a module holds, by id: what they are and their qualified name."""
    found: dict[int, tuple[str, str, Tensor]] = {}
    for sub, (path, *_) in parts.values():
        prefix = f"{path}." if path else ""
        for name, tensor in sub.__dict__.items():
            if isinstance(tensor, Tensor):
                found.setdefault(id(tensor), ("constant", prefix + name, tensor))
        for name, buffer in sub._buffers.items():
            if buffer is not None:
                found[id(buffer)] = ("buffer", prefix + name, buffer)
        for name, parameter in sub._parameters.items():
            if parameter is not None and found.get(id(parameter), ("",))[0] != "parameter":
                found[id(parameter)] = ("parameter", prefix + name, parameter)
    return found


class _Paths:
    """Follows which submodule runs, by torch's hooks for all modules, in this thread and for these modules only."""

    def __init__(self, module: nn.Module, parts: Parts, tape: Tape) -> None:
        self.tape = tape
        self.module = module
        self.names = {number: paths for number, (_, paths) in parts.items()}
        self.counts: dict[str, int] = {}
        self.running: list[int] = []
        self.thread = threading.get_ident()

    def _path(self, module: nn.Module) -> str | None:
        known = self.names.get(id(module))
        if known is None:
            return None
        if len(known) == 1:
            return known[0]
        here = self.tape.visits[self.tape.stack[-1]].path
        for path in known:
            if path.rpartition(".")[0] == here:
                return path
        return known[0]

    def enter(self, module: nn.Module, args: Any) -> None:
        if threading.get_ident() != self.thread:
            return
        path = self._path(module)
        if path is None:
            return
        tape = self.tape
        number = self.counts.get(path, 0) + 1
        self.counts[path] = number
        if not self.running and module is self.module:
            tape.visits[0].kind = type(module).__name__
        else:
            parent = tape.stack[-1]
            tape.visits[parent].children += 1
            norm = "batch" if isinstance(module, nn.modules.batchnorm._BatchNorm) else ""
            if isinstance(module, nn.modules.instancenorm._InstanceNorm):
                norm = "instance"
            tape.visits.append(Visit(path, type(module).__name__, parent, number, norm))
            tape.stack.append(len(tape.visits) - 1)
        self.running.append(id(module))

    def leave(self, module: nn.Module, args: Any, result: Any) -> None:
        if threading.get_ident() != self.thread or id(module) not in self.running:
            return
        while self.running:  # a module whose forward raised and was caught has not left by itself
            last = self.running.pop()
            if self.running:
                self.tape.stack.pop()
            if last == id(module):
                return

    @contextmanager
    def watch(self) -> Iterator[None]:
        before = torch_module.register_module_forward_pre_hook(self.enter)
        after = torch_module.register_module_forward_hook(self.leave)
        try:
            yield
        finally:
            before.remove()
            after.remove()

    def where(self) -> str:
        visit = self.tape.visits[self.tape.stack[-1]]
        kind = visit.kind or type(self.module).__name__
        return f"{visit.path} ({kind})" if visit.path else kind


def _refused(error: Exception, where: str, args: list[Tensor], call: str) -> GeometryError:
    text = " ".join(str(error).split()) or type(error).__name__
    if "meta" in text.lower() and isinstance(error, (RuntimeError, NotImplementedError, TypeError)):
        reason = text.split(". ")[0][:160]
        return GeometryError(
            f"{where} needs the data itself, which a trace without data does not have ({reason}); "
            "trace the parts before and after it, or replace that step"
        )
    shape = " and ".join("x".join(map(str, a.shape)) for a in args)
    hint = "give the input shape that the network was made for"
    if len(args) == 1 and args[0].dim() == 3:
        first = ", ".join(map(str, args[0].shape))
        hint += f", with the number of images first: (1, {first})"
    return GeometryError(f"{where} refuses an input of {shape}: {call}{text}; {hint}")


@contextmanager
def _not_compiled() -> Iterator[None]:
    """Modules of `torch.compile` run operation by operation; where torch's compiler is not loaded there are none."""
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without the cyclic garbage collector: the many small objects of a tape set it off, and it costs more than they do."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _rnn_weights(parts: Parts, names: dict[int, tuple[str, str, Tensor]]) -> None:
    """Recurrent layers compare the devices of weights and input themselves: give them weights on meta.

    Only the list that the forward pass reads is replaced; `untouched` puts it back.
    """
    for sub, _ in parts.values():
        if isinstance(sub, nn.RNNBase):
            stand_ins = []
            for weight in sub._flat_weights:
                assert isinstance(weight, Tensor)
                meta = stand_in(weight)
                source, name, _ = names[id(weight)]
                names[id(meta)] = (source, name, meta)
                stand_ins.append(meta)
            sub.__dict__["_flat_weights"] = stand_ins
