"""Steps: what a program does for one node and a batch of positions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from striate.geometry.box import Box
from striate.geometry.plan import Step as Task
from striate.inference.incremental.cache import run_whole
from striate.inference.incremental.fetch import Crops, Fetch, Placement
from striate.inference.incremental.form import Form
from striate.inference.incremental.joins import Join
from striate.inference.incremental.network import Network, Node

State = dict[int, Tensor]


@dataclass(frozen=True, slots=True)
class Whole:
    """Runs a node on whole maps; a fetch of None takes the value as it is."""

    network: Network
    node: Node
    fetches: tuple[Fetch | None, ...]
    copies: bool  # the tensor that is written into belongs to someone else

    def __call__(self, state: State, a: int, b: int) -> Tensor:
        tensors = [
            state[read.value] if fetch is None else fetch(state[read.value], a, b)
            for read, fetch in zip(self.node.reads, self.fetches, strict=True)
        ]
        if self.copies:
            tensors[1] = tensors[1].clone()
        kernel = self.node.kernel
        if kernel is not None:
            owned = self.fetches[0] is not None and self.fetches[0].fresh
            return kernel(tensors[0], True, tensors[1] if len(tensors) > 1 else None, owned)
        return run_whole(self.network, self.node, tensors, b - a)


@dataclass(frozen=True, slots=True)
class Convolve:
    """A convolution of crops that hold the padding already."""

    node: Node
    fetch: Fetch
    addend: Fetch | None
    copies: bool

    def __call__(self, state: State, a: int, b: int) -> Tensor:
        kernel = self.node.kernel
        assert kernel is not None
        x = self.fetch(state[self.fetch.value], a, b)
        if self.addend is None:
            return kernel(x, False, None, self.fetch.fresh)
        other = self.addend(state[self.addend.value], a, b)
        return kernel(x, False, other.clone() if self.copies else other, self.fetch.fresh)


@dataclass(frozen=True, slots=True)
class Pool:
    """A pooling of crops that hold the padding already."""

    fetch: Fetch
    pool: Callable[[Tensor], Tensor]

    def __call__(self, state: State, a: int, b: int) -> Tensor:
        return self.pool(self.fetch(state[self.fetch.value], a, b))


@dataclass(frozen=True, slots=True)
class Part:
    """What a join writes into channels `first` to `last` - 1 of its canvas; `whole` makes it a whole map before."""

    value: int
    first: int
    last: int
    form: Form
    have: tuple[int, ...]
    place: Placement
    whole: Fetch | None


@dataclass(frozen=True, slots=True)
class Joined:
    """A concatenation: writes its new parts into the canvas of its family, of which it is a view.

    fresh: the canvas starts here, from `clean` crops of the largest member or (`clean` None) with nothing in it.
    """

    join: Join
    form: Form
    parts: tuple[Part, ...]
    fresh: bool
    clean: Crops | None
    shape: tuple[int, ...]
    like: Tensor

    def __call__(self, state: State, a: int, b: int) -> Tensor:
        key = self.join.family.key
        if not self.fresh:
            canvas = state[key]
        elif self.clean is not None:
            canvas = self.clean(a, b)
        else:
            canvas = self.like.new_empty((b - a, *self.shape))
        for part in self.parts:
            tensor = state[part.value]
            if part.whole is not None:
                tensor = part.whole(tensor, a, b)
            boxes = part.form.canonical(tensor, b - a, part.have)
            part.place.paste(canvas[..., part.first : part.last], boxes, a, b)
        state[key] = canvas
        return self.form.restore(canvas[..., : self.join.channels])


@dataclass(frozen=True, slots=True)
class Bucket:
    """Positions from `start` on, up to the next bucket, that share one geometry: `box` and `needs` stand for all."""

    start: int
    box: Box
    needs: tuple[Box, ...]
    fetches: tuple[Fetch | None, ...]


@dataclass(frozen=True)
class Apply:
    """Runs a record's own rule on crops, once for each bucket of positions that share a geometry."""

    network: Network
    node: Node
    buckets: Sequence[Bucket]
    starts: Sequence[int]
    form: Form
    forms: Sequence[Form]  # of what is read

    def __call__(self, state: State, a: int, b: int) -> Tensor:
        i = bisect_right(self.starts, a) - 1
        parts, sizes = [], []
        while i < len(self.buckets) and self.starts[i] < b:
            last = self.starts[i + 1] if i + 1 < len(self.buckets) else b
            first, last = max(self.starts[i], a), min(last, b)
            parts.append(self._run(self.buckets[i], state, (a, b), first, last))
            sizes.append(last - first)
            i += 1
        if len(parts) == 1:
            return parts[0]
        return self.form.join(parts, sizes)

    def _run(self, bucket: Bucket, state: State, held: tuple[int, int], a: int, b: int) -> Tensor:
        values = self.network.geometry.values
        record = self.node.record
        given: dict[int, Tensor] = {}
        base, stop = held
        for read, fetch, form in zip(self.node.reads, bucket.fetches, self.forms, strict=True):
            tensor = form.images(state[read.value], stop - base, a - base, b - base)
            if fetch is not None:
                # a fetch counts positions from the start of its bucket
                tensor = fetch(tensor, a - bucket.start, b - bucket.start)
            given[read.place] = tensor
        tensors = tuple(self.network.given(self.node, given))
        task = Task(
            record, tensors, bucket.needs, tuple([values[i] for i in record.inputs]),
            values[self.node.output], bucket.box, b - a, self.network.device,
        )  # fmt: skip
        return record.plan.run(task)
