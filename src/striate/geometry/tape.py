"""The tape: one forward pass on meta tensors, written down ATen call by ATen call in single-assignment form.

Parameters and inputs are replaced by stand-ins without data (on meta, or dressed: see `Dress`) where a call takes them,
so no weight is copied, moved or changed and no arithmetic runs. A tensor that the forward pass makes itself on a real
device out of numbers alone (an index table, a drop rate) stays real: it is small, and models branch on it.

In-place calls and views are resolved to values: every tensor is an `Entry` that knows its value, and a view also
knows the tensor it looks at. Writing through a view makes a new value for each tensor up to the base (by the scatter
that inverts the view); other views of that base are read again from it when they are next used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from striate.geometry.constant import Constant
from striate.geometry.dress import Dress, in_autocast, is_blank
from striate.geometry.overlap import overlap_shifted
from striate.geometry.record import Ref
from striate.geometry.schema import DATA_DEPENDENT, FACTORIES, Facts, draws, facts
from striate.geometry.shapes import META, stand_in
from striate.geometry.tape_records import Call, Entry, Slot, Visit

LITERAL = 4096  # the most numbers of a constant under a name that a value keeps
PLAIN = frozenset({int, float, bool, type(None)})  # most arguments, told at once
REFS = tuple(map(Ref, range(64)))  # most calls take fewer tensors


class DataDependentError(Exception):
    """A call needs data that a meta tensor does not hold; `args[0]` is the operation."""


CAST = torch.ops.aten._to_copy.default
# Operations whose result has the widest kind of number of what goes in; in place they keep their own.
PROMOTING = frozenset(
    {"add", "sub", "mul", "div", "pow", "addcmul", "addcdiv", "atan2", "fmod", "remainder", "hypot"}
)


class UnfollowedError(Exception):
    """A call that no value can stand for; `args[0]` says what it does and what to do instead."""


class Tape(TorchDispatchMode):
    """Records the calls made under it.

    names: the id of a module's tensor -> (source, qualified name, tensor). dress: makes stand-ins that have a device; they
    are on meta if not given. misled: whether something happened that stand-ins on meta do not follow.
    """

    def __init__(
        self, names: dict[int, tuple[str, str, Tensor]], dress: Dress | None = None
    ) -> None:
        super().__init__()
        self.names = names
        self.dress = dress
        self.misled = False
        self.chanced: set[int] = set()  # values that depend on random numbers
        self.chances: list[int] = []  # visits that decided by such a value
        self.slots: list[Slot] = []
        self.calls: list[Call] = []
        self.visits: list[Visit] = [Visit("", "", None, 1)]
        self.stack: list[int] = [0]
        self.entries: dict[int, Entry] = {}
        self.inputs: list[Entry] = []
        self.named: dict[str, int] = {}
        self.failed = ""  # the call that raised, in words

    # Values

    def source(self, tensor: Tensor, source: str, name: str, data: Any = None) -> Entry:
        """Take in a tensor that no call made; two tensors of one name share one value."""
        value = self.named.get(name)
        if value is None:
            value = len(self.slots)
            self.slots.append(Slot(tuple(tensor.shape), tensor.dtype, None, 0, source, name, data))
            self.named[name] = value
        entry = Entry(value, 0, tensor, tensor if is_blank(tensor) else None, foreign=True)
        self.entries[id(tensor)] = entry
        if source == "input":
            self.inputs.append(entry)
        return entry

    def entry(self, tensor: Tensor) -> Entry:
        """What is known of a tensor; one that was never seen is a parameter, a buffer or a constant."""
        known = self.entries.get(id(tensor))
        if known is not None:
            return known
        source, name, _ = self.names.get(id(tensor), ("constant", "", tensor))
        if not name:
            return self.fresh(tensor)
        small = source == "constant" and not is_blank(tensor) and tensor.numel() <= LITERAL
        return self.source(tensor, source, name, Constant.of(tensor) if small else None)

    def fresh(self, tensor: Tensor) -> Entry:
        """Take in numbers that the forward pass wrote down itself, by `torch.tensor([...])` or NumPy, or had in a cache."""
        blank = is_blank(tensor)
        if blank:
            for other in self.entries.values():  # the same memory under another class
                if other.tensor.shape == tensor.shape and _same_memory(other.tensor, tensor):
                    self.entries[id(tensor)] = entry = Entry(
                        self.read(other), other.root.version, tensor, other.meta, parent=other,
                        via=(torch.ops.aten.alias.default, (REFS[0],), {}, 0),
                    )  # fmt: skip
                    return entry
            self.misled = True  # left in a cache by an earlier trace
        data = None if blank else Constant.of(tensor)
        entry = self.source(tensor, "constant", f"constant {len(self.slots)}", data)
        if not blank:
            entry.real, entry.foreign = True, False
        return entry

    def stand_in(self, tensor: Tensor) -> Tensor:
        """A tensor without data in the place of a real one."""
        return stand_in(tensor) if self.dress is None else self.dress.stand_in(tensor)

    def known(self, value: int, computed: dict[int, Tensor | None] | None = None) -> Tensor | None:
        """The numbers of a value that depends on no input and no chance, None for others.

        computed: those of other values as far as computed; without it, what is read twice at each of n steps takes 2^n.
        """
        computed = {} if computed is None else computed
        if value not in computed:
            computed[value] = self._known(value, computed)
        return computed[value]

    def _known(self, value: int, known: dict[int, Tensor | None]) -> Tensor | None:
        slot = self.slots[value]
        if value in self.chanced or slot.source == "input":
            return None
        if slot.call is None:
            tensor = next((e.tensor for e in self.entries.values() if e.value == value), None)
            return None if tensor is None or is_blank(tensor) else tensor
        call = self.calls[slot.call]
        inputs = [self.known(i, known) for i in call.inputs]
        if any(t is None for t in inputs):
            return None
        device = next((t.device for t in inputs if t is not None), torch.device("cpu"))
        kwargs = {k: _filled(v, inputs) for k, v in call.kwargs.items()}
        if kwargs.get("device") is not None:
            kwargs["device"] = device
        out = call.target(*_filled(call.args, inputs), **kwargs)
        return out[slot.which] if isinstance(out, (tuple, list)) else out

    def read(self, entry: Entry) -> int:
        """The value of a tensor now; a view of something written since is taken again."""
        if entry.clock != entry.root.version and entry.parent is not None:
            assert entry.via is not None
            target, args, kwargs, which = entry.via
            parent = self.read(entry.parent)
            old = self.slots[entry.value]
            call = self.emit(target, args, kwargs, (parent,))
            entry.value = self.add(call, old.shape, old.dtype, which)
            entry.clock = entry.root.version
        return entry.value

    def write(self, entry: Entry, value: int) -> None:
        """Give a tensor a new value, and with it every tensor that it is a view of."""
        chain = [entry]
        while chain[-1].parent is not None:
            chain.append(chain[-1].parent)
        for link in reversed(chain[1:]):
            self.read(link)
        root = chain[-1]
        root.version += 1
        entry.value, entry.clock = value, root.version
        for child, parent in pairwise(chain):
            parent.value = self.scatter(parent, child)
            parent.clock = root.version

    def scatter(self, parent: Entry, child: Entry) -> int:
        """The value of `parent` after its view `child` was written: the view's inverse."""
        assert child.via is not None
        target, args, _, which = child.via
        slot, part = self.slots[parent.value], self.slots[child.value]
        name, rest = facts(target).name, args[1:]
        aten = torch.ops.aten
        sources: tuple[int, ...] = (child.value,)
        new_args: tuple[Any, ...]
        if name == "slice":
            new, new_args = aten.slice_scatter.default, (Ref(0), Ref(1), *rest)
            sources = (parent.value, child.value)
        elif name == "select":
            new, new_args = aten.select_scatter.default, (Ref(0), Ref(1), *rest)
            sources = (parent.value, child.value)
        elif name in ("split", "split_with_sizes", "unbind", "chunk"):
            dim = _split_dim(name, rest)
            sources = (parent.value, child.value)
            if name == "unbind":
                new, new_args = aten.select_scatter.default, (Ref(0), Ref(1), dim, which)
            else:
                start = _split_start(rest[0], which)
                stop = start + part.shape[dim]
                new, new_args = aten.slice_scatter.default, (Ref(0), Ref(1), dim, start, stop)
        elif name == "permute":
            order = [d % len(slot.shape) for d in rest[0]]
            inverse = [order.index(d) for d in range(len(order))]
            new, new_args = aten.permute.default, (Ref(0), tuple(inverse))
        elif name in ("transpose", "t"):
            new, new_args = target, (Ref(0), *rest)
        elif name in ("diagonal", "as_strided"):
            new = getattr(aten, f"{name}_scatter").default
            new_args = (Ref(0), Ref(1), *rest)
            sources = (parent.value, child.value)
        elif slot.dtype == part.dtype and _numel(slot.shape) == _numel(part.shape):
            new, new_args = aten.view.default, (Ref(0), slot.shape)
        else:
            raise UnfollowedError(f"writes through {name}; write to the tensor itself instead")
        call = self.emit(new, new_args, {}, sources)
        return self.add(call, slot.shape, slot.dtype, 0)

    def emit(
        self,
        target: OpOverload,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        inputs: tuple[int, ...],
    ) -> int:
        return self._emit(facts(target), args, kwargs, inputs)

    def _emit(
        self,
        known: Facts,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        inputs: tuple[int, ...],
    ) -> int:
        chance = known.seeded and draws(known.target, args, kwargs)
        self.calls.append(Call(known, args, kwargs, inputs, [], self.stack[-1], chance))
        return len(self.calls) - 1

    def add(self, call: int, shape: tuple[int, ...], dtype: torch.dtype, which: int) -> int:
        value = len(self.slots)
        self.slots.append(Slot(shape, dtype, call, which))
        made = self.calls[call]
        if made.draws or (self.chanced and not self.chanced.isdisjoint(made.inputs)):
            self.chanced.add(value)
        made.outputs.append(value)
        return value

    # Calls

    def _dispatch(
        self,
        func: OpOverload,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if self.dress is not None and func.namespace == "prim":  # the device of a dressed tensor
            return func(*args, **kwargs)
        known = facts(func)
        if known.composite and torch.is_inference_mode_enabled():
            with self:
                return func.decompose(*args, **kwargs)
        if known.name == "_convolution":  # in what torch.jit.trace wrote
            func, args = torch.ops.aten.convolution.default, args[:9]
            known = facts(func)
        if self.dress is None and in_autocast():
            self.misled = True
        if known.name.startswith("lift") and id(args[0]) not in self.entries:
            self.fresh(args[0])
        taken: list[Entry] = []
        template = self._template(args, taken)
        named: dict[str, Any] = {}
        if kwargs:
            named = dict(zip(kwargs, self._template(kwargs.values(), taken), strict=True))
        stays_real = bool(taken) and taken[0].real and all(e.real for e in taken)

        if known.name in DATA_DEPENDENT:
            values = [self.read(e) for e in taken]
            if not self.chanced.isdisjoint(values):
                self.chances.append(self.stack[-1])
            if not stays_real:  # a model may read its own parameters: their values are known
                numbers = [self.known(i) for i in values]
                if any(n is None for n in numbers):
                    raise DataDependentError(known.name)
                named = {k: _filled(v, numbers) for k, v in named.items()}
                return func(*_filled(template, numbers), **named)
        if known.name == "as_strided" and known.writes and _only_strides(args):
            return args[0]
        if known.name == "as_strided" and not _in_order(args[0]):
            raise UnfollowedError(
                "takes as_strided of a tensor whose memory is laid out otherwise; call contiguous() before it"
            )

        inputs = tuple([e.value if e.parent is None else self.read(e) for e in taken])
        out: Any = None
        if known.shape is not None and self.dress is None and not stays_real:
            out = known.shape(args, kwargs)  # reads shapes and kinds of numbers alone
        if out is None:
            out = self._called(known, args, kwargs, taken, stays_real, inputs, template)
        if known.writes:
            return self._written(known, args, kwargs, template, named, inputs, out)
        factory, full = FACTORIES.get(known.name), known.name == "new_full"
        if factory is not None and isinstance(out, Tensor):  # only the kind of number is borrowed
            known, inputs, taken = facts(factory), (), []
            template = (tuple(out.shape), *template[2:3]) if full else (tuple(out.shape),)
            named = {"dtype": out.dtype, "device": META}
        elif known.name == "empty_like":
            known, named = facts(torch.ops.aten.zeros_like.default), {"dtype": out.dtype}
        call = self._emit(known, template, named, inputs)
        parent = taken[0] if known.view and taken else None
        if isinstance(out, Tensor):
            self._made(call, out, 0, parent, template, named)
        elif isinstance(out, (tuple, list)):
            for which, item in enumerate(out):
                if isinstance(item, Tensor):
                    self._made(call, item, which, parent, template, named)
        return out

    def _called(
        self,
        known: Facts,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        taken: list[Entry],
        stays_real: bool,
        inputs: tuple[int, ...],
        template: tuple[Any, ...],
    ) -> Any:
        """What torch makes of a call on stand-ins, or on the numbers that were made here."""
        func = known.target
        run_args, run_kwargs = list(args), kwargs
        if taken and not stays_real:
            run_args = self._run(args)
            run_kwargs = dict(zip(kwargs, self._run(kwargs.values()), strict=True))
            if run_kwargs.get("device") is not None and self.dress is None:
                run_kwargs = {**run_kwargs, "device": META}
        try:
            if self.dress is not None and not taken:
                return self.dress.made(func, run_args, run_kwargs)
            return func(*run_args, **run_kwargs)
        except Exception:
            self.failed = self._told(known.name, func, inputs, template)
            raise

    def _told(
        self, name: str, func: OpOverload, inputs: tuple[int, ...], args: tuple[Any, ...]
    ) -> str:
        shapes = [self.slots[i].shape for i in inputs]
        sizes = ", ".join("x".join(map(str, s)) or "a number" for s in shapes)
        if name == "convolution" and len(shapes) > 1 and len(shapes[0]) == len(shapes[1]):
            want = shapes[1][0] if args[6] else shapes[1][1] * args[8]
            if shapes[0][1] != want:
                return f"it takes {want} channels, got {shapes[0][1]}: "
        return f"{name} of {sizes}: "

    def _template(self, values: Iterable[Any], taken: list[Entry]) -> tuple[Any, ...]:
        """Arguments with a `Ref` for each tensor, whose entry goes to `taken`."""
        tensors: list[Any] = []
        for value in values:
            if type(value) in PLAIN:
                tensors.append(value)
            elif isinstance(value, Tensor):
                at = len(taken)
                tensors.append(REFS[at] if at < len(REFS) else Ref(at))
                taken.append(self.entries.get(id(value)) or self.entry(value))
            elif isinstance(value, (list, tuple)):
                tensors.append(self._template(value, taken))
            else:
                tensors.append(value)
        return tuple(tensors)

    def _run(self, values: Iterable[Any]) -> list[Any]:
        """Arguments with its meta tensor for each tensor."""
        results: list[Any] = []
        for value in values:
            if type(value) in PLAIN:
                results.append(value)
            elif isinstance(value, Tensor):
                entry = self.entries[id(value)]
                if entry.meta is None:
                    entry.meta = self.stand_in(value)
                results.append(entry.meta)
            elif isinstance(value, (list, tuple)):
                results.append(self._run(value))
            else:
                results.append(value)
        return results

    def _made(
        self,
        call: int,
        tensor: Tensor,
        which: int,
        parent: Entry | None,
        template: tuple[Any, ...],
        named: dict[str, Any],
    ) -> None:
        value = self.add(call, tuple(tensor.shape), tensor.dtype, which)
        real = not is_blank(tensor)
        if parent is None:
            entry = Entry(value, 0, tensor, None if real else tensor, real=real)
        else:
            target = self.calls[call].target
            via = (target, template, named, which)
            clock = parent.root.version
            entry = Entry(
                value, clock, tensor, None if real else tensor, real=real, parent=parent, via=via
            )
        self.entries[id(tensor)] = entry

    def _written(
        self,
        known: Facts,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        template: tuple[Any, ...],
        named: dict[str, Any],
        inputs: tuple[int, ...],
        out: Any,
    ) -> Any:
        self._refuse_overlap(known, args, kwargs)
        if known.functional is not known.target:
            template = _with_defaults(known.functional, known.target, template, named)
        call = self.emit(known.functional, template, named, inputs)
        first = None
        for which, place in enumerate(known.writes):
            tensor = kwargs.get(place) if isinstance(place, str) else args[place]
            for item in tensor if isinstance(tensor, (list, tuple)) else (tensor,):
                if item is None:
                    continue
                entry = self.entries[id(item)]
                old = self.slots[entry.value]
                kind = self._promoted(known, inputs, old.dtype)
                value = self.add(call, tuple(item.shape), kind, which)
                if (
                    kind != old.dtype
                ):  # the functional twin keeps the wider kind, what is written into does not
                    cast = self.emit(CAST, (REFS[0],), {"dtype": old.dtype}, (value,))
                    value = self.add(cast, tuple(item.shape), old.dtype, 0)
                mine = entry.foreign and old.source in ("parameter", "buffer")
                if mine or (old.call is not None and self.calls[old.call].state):
                    self.calls[call].state = True
                self.write(entry, value)
                first = item if first is None else first
        if known.returns_written:
            if isinstance(out, (tuple, list)):
                written = [kwargs.get(p) if isinstance(p, str) else args[p] for p in known.writes]
                return type(out)(written) if len(out) == len(written) else out
            return first
        if isinstance(out, Tensor):
            self._made(call, out, len(known.writes), None, template, named)
        elif isinstance(out, (tuple, list)):
            for which, item in enumerate(out):
                if isinstance(item, Tensor):
                    self._made(call, item, which + len(known.writes), None, template, named)
        return out

    def _refuse_overlap(self, known: Facts, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise UnfollowedError where a call reads numbers that it writes at other positions at the same time."""
        if known.name.rstrip("_") not in (PROMOTING | {"copy"}):
            return
        written = args[0]
        root = self.entries[id(written)].root
        for other in (*args[1:], *kwargs.values()):
            if not isinstance(other, Tensor) or self.entries[id(other)].root is not root:
                continue
            if overlap_shifted(written, other):
                raise UnfollowedError(
                    "writes into a part of a tensor while it reads an overlapping part, which torch leaves undefined and "
                    "mostly refuses; clone() what is read first (padding by less than 0 in circular mode does it inside: "
                    "crop first, then pad)"
                )

    def _promoted(self, known: Facts, inputs: tuple[int, ...], own: torch.dtype) -> torch.dtype:
        """The kind of number that an operation in place would have out of place; `own`: of what it writes into."""
        kind = own
        if known.functional is not known.target and known.name.rstrip("_") in PROMOTING:
            for i in inputs:
                slot = self.slots[i]
                if (
                    slot.shape and slot.dtype != kind
                ):  # a number of no dimension takes the others' kind
                    kind = torch.promote_types(kind, slot.dtype)
        return kind


# Set here, not in the class, where torch (2.13 and later) would wrap it in `torch._dynamo.disable`: to import that costs a
# second, and a call of it 5 µs.
Tape.__torch_dispatch__ = Tape._dispatch  # type: ignore[assignment]


def _with_defaults(
    twin: OpOverload, func: OpOverload, template: tuple[Any, ...], named: dict[str, Any]
) -> tuple[Any, ...]:
    """Arguments for the twin: what the call left to its default may have none there (the rate of bernoulli_)."""
    pairs = list(zip(twin._schema.arguments, func._schema.arguments, strict=False))
    for theirs, ours in pairs[len(template) :]:
        if ours.kwarg_only or ours.name in named or theirs.has_default_value():
            break
        template = (*template, ours.default_value)
    return template


def _only_strides(args: tuple[Any, ...]) -> bool:
    """Whether as_strided_ changes nothing but the strides of dimensions of one entry."""
    x, size, stride = args[:3]
    return tuple(size) == tuple(x.shape) and all(
        n == 1 or a == b for n, a, b in zip(size, stride, x.stride(), strict=True)
    )


def _in_order(x: Tensor) -> bool:
    """Whether the entries lie in memory one after the other, as those of a value do when it is computed again."""
    return bool(x.is_contiguous() and x.storage_offset() == 0)


def _same_memory(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors without data are one, seen as different classes."""
    if a.dtype != b.dtype or a.stride() != b.stride() or a.storage_offset() != b.storage_offset():
        return False
    return a.untyped_storage()._cdata == b.untyped_storage()._cdata


def _filled(value: Any, tensors: Sequence[Tensor | None]) -> Any:
    """Arguments with tensors where their `Ref`s stood."""
    if isinstance(value, tuple):
        return [_filled(v, tensors) for v in value]
    return tensors[value.position] if isinstance(value, Ref) else value


def _numel(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _split_dim(name: str, rest: tuple[Any, ...]) -> int:
    place = 0 if name == "unbind" else 1
    return rest[place] if len(rest) > place else 0


def _split_start(sizes: int | Sequence[int], which: int) -> int:
    return which * sizes if isinstance(sizes, int) else sum(sizes[:which])
