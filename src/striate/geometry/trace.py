"""trace: from a module and the shape of its input to its Geometry."""

from __future__ import annotations

import gc
import sys
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy
from torch.utils._python_dispatch import _disable_current_modes

from striate.borrow import untouched
from striate.errors import UsageError
from striate.geometry.analysis import analyse
from striate.geometry.dress import Dress, in_autocast, one_kernel_each
from striate.geometry.geometry import Geometry
from striate.geometry.leaks import take_back
from striate.geometry.outputs import flatten, leaves_of
from striate.geometry.refusal import fits_badly, refusal, refuse_misfit
from striate.geometry.shapes import stand_in
from striate.geometry.tape import META, Tape, UnfollowedError
from striate.geometry.tape_records import Visit

Shape = Sequence[int]
Inputs = Shape | Tensor | Sequence[Any] | Mapping[str, Any]
# Kinds of attributes that are no tensors: all that most submodules have.
TENSORLESS = frozenset({bool, int, float, str, type(None), tuple, list, dict, set, OrderedDict})
AUTOCAST = ("cpu", "cuda")
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
    refuse_misfit(module, args, kwargs)
    parts: Parts = {}
    for path, sub in module.named_modules(remove_duplicate=False):
        parts.setdefault(id(sub), (sub, []))[1].append(path)
    names = _tensors(parts)
    device = _device(module)
    run = _Run(module, parts, names, args, kwargs, None)
    leaked = run.leaks()
    misled = run.tape.misled or run.may_be_misled
    if leaked or (misled and device.type != "meta"):  # now the caches get real numbers
        again = _Run(module, parts, _tensors(parts), args, kwargs, device)
        again.leaks()
        if again.error is None or run.error is None or not again.unsupported:
            run = again
    if run.error is not None:
        given = [tuple(t.shape) for t in [*args, *kwargs.values()]]
        raise refusal(module, run.error, run.where, given, run.tape.failed) from run.error
    leaves, tree = flatten(run.result)
    outputs: list[int | None] = [
        run.tape.read(run.tape.entry(leaf)) if isinstance(leaf, Tensor) else None for leaf in leaves
    ]
    rest = tuple([None if isinstance(leaf, Tensor) else leaf for leaf in leaves])
    return analyse(
        run.tape, module, len(args) + len(kwargs), outputs, rest, tree, run.chances, run.kept
    )


def _device(module: nn.Module) -> torch.device:
    held = chain(module.parameters(), module.buffers())
    return next((t.device for t in held), torch.device("cpu"))


class _Run:
    """One forward pass under a tape: on meta tensors, or on tensors dressed for a device.

    result: what the module returned, or error: what it raised, and where. chances: who drew random numbers that no
    operation of torch shows. kept: what it left changed in the module, by the names of attributes and buffers.
    """

    def __init__(
        self, module: nn.Module, parts: Parts, names: dict[int, tuple[str, str, Tensor]],
        args: list[Tensor], kwargs: dict[str, Tensor], device: torch.device | None,
    ) -> None:  # fmt: skip
        dress = None if device is None else Dress()
        self.tape = tape = Tape(names, dress)
        self.result: Any = None
        self.error: Exception | None = None
        if dress is not None:
            assert device is not None
            args = [dress.empty(t, device) for t in args]
            kwargs = {k: dress.empty(t, device) for k, t in kwargs.items()}
        for place, tensor in enumerate([*args, *kwargs.values()]):
            tape.source(tensor, "input", f"input {place}" if place else "input")
        paths = _Paths(module, parts, tape)
        modules = [sub for sub, _ in parts.values()]
        alike = nullcontext() if dress is None else one_kernel_each()
        with untouched(modules) as left, torch.no_grad(), paths.watch():
            _lazy_weights(parts, names, dress is None)
            if dress is None:
                _rnn_weights(parts, names)
            try:
                with warnings.catch_warnings(), _not_compiled(), alike, tape:
                    warnings.simplefilter("ignore")  # the module's own advice belongs to a real run
                    self.result = module(*args, **kwargs)
            except Exception as error:
                self.error = error
            if (
                torch.is_autocast_cache_enabled() and in_autocast()
            ):  # it would hand casts of weights without data on
                torch.clear_autocast_cache()
        self.kept = [n for n in left.changed if n != "_flat_weights"]
        self.where = paths.where()
        visits = [tape.visits[v] for v in dict.fromkeys(tape.chances)]
        self.chances = [f"{v.path} ({v.kind})" if v.path else v.kind for v in visits]
        self.chances += [f"{type(module).__name__} (with {name})" for name in left.drawn]

    @property
    def may_be_misled(self) -> bool:
        """Whether it failed, and not because shapes do not fit."""
        return self.error is not None and not (self.tape.failed and fits_badly(self.error))

    def leaks(self) -> bool:
        """Take tensors without data out of caches outside the module; whether there were any."""
        if self.error is not None:
            return False
        return take_back(self.tape, {id(t) for t in leaves_of(self.result)})

    @property
    def unsupported(self) -> bool:
        """Whether it failed for a reason of torch's fake tensors, not of the module."""
        return type(self.error).__module__.startswith("torch._subclasses")


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
    tensors: dict[int, tuple[str, str, Tensor]] = {}
    for sub, (path, *_) in parts.values():
        prefix = f"{path}." if path else ""
        state = sub.__dict__
        if not TENSORLESS.issuperset(map(type, state.values())):
            for name, tensor in state.items():
                if isinstance(tensor, Tensor):
                    tensors.setdefault(id(tensor), ("constant", prefix + name, tensor))
        for name, buffer in sub._buffers.items():
            if buffer is not None:
                tensors[id(buffer)] = ("buffer", prefix + name, buffer)
        for name, parameter in sub._parameters.items():
            if parameter is not None and tensors.get(id(parameter), ("",))[0] != "parameter":
                tensors[id(parameter)] = ("parameter", prefix + name, parameter)
    return tensors


class _Paths:
    """Follows which submodule runs, by torch's hooks for all modules, in this thread and for these modules only."""

    def __init__(self, module: nn.Module, parts: Parts, tape: Tape) -> None:
        self.tape = tape
        self.module = module
        self.names = {number: paths for number, (_, paths) in parts.items()}
        self.counts: dict[str, int] = {}
        self.running: list[int] = []
        self.norms: dict[type, str] = {}
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
        kind = type(module)
        norm = self.norms.get(kind)
        if norm is None:
            norm = self.norms[kind] = _norm(kind)
        if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():
            with _disable_current_modes():  # its first weights are no operations of the network
                module.initialize_parameters(*args)
        if isinstance(module, (nn.LSTM, nn.RNN)) and any(map(torch.is_autocast_enabled, AUTOCAST)):
            raise UnfollowedError(
                f"runs {path or kind.__name__} ({kind.__name__}) inside autocast, where torch gives other kinds of numbers "
                "on real data than without, which no trace sees; run it in its own kind: with torch.autocast(x.device.type, "
                "enabled=False) around it, and x.float()"
            )
        tape = self.tape
        number = self.counts.get(path, 0) + 1
        self.counts[path] = number
        if not self.running and module is self.module:
            tape.visits[0].kind, tape.visits[0].norm = kind.__name__, norm
        else:
            parent = tape.stack[-1]
            tape.visits[parent].children += 1
            tape.visits.append(Visit(path, kind.__name__, parent, number, norm))
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


def _norm(kind: type) -> str:
    """Which of torch's two norms by batch_norm a class of modules is."""
    if issubclass(kind, nn.modules.instancenorm._InstanceNorm):
        return "instance"
    return "batch" if issubclass(kind, nn.modules.batchnorm._BatchNorm) else ""


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


def _lazy_weights(parts: Parts, names: dict[int, tuple[str, str, Tensor]], meta: bool) -> None:
    """Lazy layers that were never run get shapes from the trace, on weights of its own; `untouched` puts theirs back."""
    kinds = {type(tensor) for _, _, tensor in names.values()}
    if not any(issubclass(k, (UninitializedParameter, UninitializedBuffer)) for k in kinds):
        return
    for sub, _ in parts.values():
        for held in (sub._parameters, sub._buffers):
            for name, tensor in held.items():
                if tensor is not None and is_lazy(tensor):
                    device = META if meta else tensor.device
                    fresh = type(tensor)(device=device, dtype=tensor.dtype)  # type: ignore[call-arg]
                    source, path, _ = names.pop(id(tensor))
                    names[id(fresh)] = (source, path, fresh)
                    held[name] = fresh  # type: ignore[assignment]


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
