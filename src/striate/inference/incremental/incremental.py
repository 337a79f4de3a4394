"""Incremental: the clean image's activations, and scores of images that differ from it inside a box."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.answer import answer_of
from striate.borrow import borrowed, refuse_numberless
from striate.errors import GeometryError, UsageError
from striate.geometry import Geometry, refuse_chance, trace
from striate.inference.apart import images_of, refuse_batch_statistics
from striate.inference.incremental.cache import Cache, run_whole
from striate.inference.incremental.check import Check
from striate.inference.incremental.classes import classes, unite
from striate.inference.incremental.content import Boxes, Content, as_content, refuse_misfit
from striate.inference.incremental.lines import Line, everything, hull, push
from striate.inference.incremental.mixing import first_mixing
from striate.inference.incremental.network import Network, lower
from striate.inference.incremental.precision import precise
from striate.inference.incremental.program import Program, build
from striate.inference.incremental.scoring import Scoring, rebuilt
from striate.inference.incremental.steps import State
from striate.inference.incremental.target import Target, bare, batched
from striate.inference.kinds import in_its_own_words, refuse_no_numbers, refuse_other_meaning, takes
from striate.inference.repeating import refuse_memory
from striate.inference.tiled.plan.limits import parse_bytes
from striate.memory import keep_large_buffers
from striate.ranges import check_ranges

Progress = Callable[[int, int], None]

# Bytes of one batch: smaller ones leave the matrices of small boxes too thin for two threads.
PATCHES = 64 << 20
HEAD = 64 << 20
# What a program costs besides its arithmetic, as multiply-adds: preparing a kernel for a new size, and moving a number.
PREPARE, MOVE = 1.2e8, 40.0


@dataclass(frozen=True)
class Costs:
    """Multiply-adds for a set of boxes.

    plain: one forward pass an image. exact: only what each box can change, clipped at the borders (the bound of any
    such method). planned: what is computed here.
    """

    plain: float
    exact: float
    planned: float

    @property
    def bound(self) -> float:
        """How many times less arithmetic than the plain loop at best."""
        return self.plain / self.exact if self.exact else float("inf")

    @property
    def ratio(self) -> float:
        """How many times less arithmetic than the plain loop here."""
        return self.plain / self.planned if self.planned else float("inf")


class Incremental:
    """Scores of images that differ from one clean image inside a box, without running the network on whole images.

    The clean image's activations are computed once and kept (`bytes`). For a changed box only what it can change is
    computed again, layer by layer, on crops with the clean surroundings; once the box covers most of a layer's map,
    that layer and all behind it run on whole maps. Scores equal those of `module` on each changed image to rounding.

    module: any network that `striate.trace` can follow, in evaluation mode; it is not changed.
    image: (C, *axes) or (1, C, *axes).
    dtype: compute in another kind of number (torch.bfloat16); the module's own if None.
    check: hold a few of the scores against the module itself, which then runs on those changed images (at most five, and
        again after every 256 boxes).

    Raises UsageError for what is no module, an image of the wrong shape or with values that are not finite, and a
    module in training mode; GeometryError if the module refuses the image, or a layer's output is not finite; ExactnessError
    if scores are not those of the module.

    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).eval()
    >>> session = Incremental(network, torch.ones(1, 8, 8))
    >>> session.scores([((0, 3), (0, 3)), ((2, 5), (4, 8))], 0.0, target=1).shape
    torch.Size([2])
    """

    def __init__(
        self,
        module: nn.Module,
        image: Tensor,
        *,
        dtype: torch.dtype | None = None,
        check: bool = True,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise UsageError(
                f"incremental inference takes a torch.nn.Module, got {type(module).__name__}"
            )
        keep_large_buffers()
        refuse_numberless(module)
        self.image = _checked(module, image, dtype)
        with in_its_own_words(module, lambda: self.image):
            try:
                network = lowered(module, self.image, dtype)
            except GeometryError as error:
                if image.dim() == 3 and takes(module, self.image[0]):
                    raise UsageError(
                        "the network reads signals (1, C, L), and what is hidden are patches of pictures (C, H, W); let a "
                        "module call network(x[:, :, 0]), and give the signal as x[:, :, None], with patches of one row"
                    ) from error
                raise
            with torch.inference_mode():
                self.cache = Cache(network, self.image, _precise(network, module, self.image))
                mixing = first_mixing(network, self.cache.values)
                self.output: Any = rebuilt(network, self.cache.outputs)
        # Whether the head runs for one image at a time; it then begins where images would be mixed.
        self.alone = mixing is not None
        self.network = (
            network if mixing is None else replace(network, head=min(network.head, mixing))
        )
        self.geometry: Geometry = self.network.geometry
        self._check = (
            Check(module, self.image, self.geometry, dtype, self.output, _in_double)
            if check
            else None
        )

    @property
    def bytes(self) -> int:
        """Memory that the clean activations hold."""
        return self.cache.bytes

    def score(self, target: Target) -> float:
        """The clean image's score."""
        with torch.inference_mode():
            return float(self._scoring(target)(self.cache.outputs, 1)[0])

    def scores(
        self, boxes: Any, contents: Content | Sequence[Content], target: Target, *, batch: int | None = None,
        memory: int | None = None, progress: Progress | None = None,
    ) -> Tensor:  # fmt: skip
        """The score of each changed image, (N,) float32 (float64 for a network in double precision).

        boxes: (N, axes, 2), for an image N pairs of half-open intervals ((row, row), (column, column)), in pixels.
        contents: one for all boxes or a list of one a box; each a number, one number a channel, or pixels of the box's
            size or of the image's (then those inside the box are taken).
        target: see `score_of`. batch: boxes at a time; as many as take 64 MiB if not given.
        memory: bytes that one batch may take. progress: called with (boxes done, boxes).
        """
        check_ranges(batch=batch)
        memory = parse_bytes(memory)
        regions = self._regions(boxes)
        given = self._contents(contents, regions)
        dtype = torch.float64 if self.image.dtype == torch.float64 else torch.float32
        scores = torch.zeros(len(regions), dtype=dtype)
        if not len(regions):
            return scores
        with torch.inference_mode():
            score = self._scoring(target)
            done = np.zeros(len(regions), bool)
            for order, states in self._batches(regions, given, batch, memory):
                values = self._finish(states, len(order), score).to("cpu", dtype)
                scores[torch.from_numpy(order)] = values
                done[order] = True
                if progress is not None:
                    progress(int(done.sum()), len(regions))
        if self._check is not None:
            self._check(regions, given, target, self.score(target), scores)
        return scores

    def outputs(self, boxes: Any, contents: Content | Sequence[Content]) -> Tensor:
        """The prediction for each changed image, (N, ...), such as all logits; arguments as in `scores`.

        Nothing is held against the module here; `scores` does that. Raises UsageError where what the network returns is
        not known to be one tensor.
        """
        clean = answer_of(self.output)
        clean = batched(clean) if bare(clean) else clean
        regions = self._regions(boxes)
        given = self._contents(contents, regions)
        whole = clean.new_zeros((len(regions), *clean.shape[1:]))
        if not len(regions):
            return whole

        def read(values: State, count: int) -> Tensor:
            answer = answer_of(rebuilt(self.network, values))
            return answer.reshape(count, *clean.shape[1:])

        with torch.inference_mode():
            for order, states in self._batches(regions, given, None, None):
                whole[torch.from_numpy(order)] = self._finish(states, len(order), read)
        return whole

    def _scoring(self, target: Target) -> Scoring:
        return Scoring(self.network, self.cache.outputs, target, alone=self.alone)

    def costs(self, boxes: Any) -> Costs:
        """The arithmetic that these boxes take."""
        regions = self._regions(boxes)
        lines, places = self._lines(regions)
        geometry = self.geometry
        each = self.network.nodes
        plain = float(sum(n.macs for n in each) * len(regions))
        exact = 0.0
        for node in each:
            share = np.ones(len(regions))
            for k, n in enumerate(geometry.values[node.output].extents):
                if n is not None:
                    share = share * lines[k][node.output].sizes[places[:, k]] / max(n, 1)
            exact += node.macs * float(share.sum())
        planned = float(sum(n.macs for n in each[self.network.head :]) * len(regions))
        for program in self._programs(lines, places):
            planned += program.macs * len(program.order)
        return Costs(plain, exact, planned)

    def _regions(self, boxes: Any) -> np.ndarray:
        extents = self.image.shape[2:]
        regions = np.asarray(boxes, dtype=np.int64)
        if regions.size == 0:
            return regions.reshape(0, len(extents), 2)
        if regions.ndim == 2 and regions.shape == (len(extents), 2):
            regions = regions[None]
        if regions.ndim != 3 or regions.shape[1:] != (len(extents), 2):
            raise UsageError(
                f"boxes are {len(extents)} (start, stop) pairs each, shape (N, {len(extents)}, 2); "
                f"got the shape {regions.shape}"
            )
        bad = (regions[:, :, 0] < 0) | (regions[:, :, 0] >= regions[:, :, 1])
        bad |= regions[:, :, 1] > np.asarray(extents)
        if bad.any():
            i = int(np.flatnonzero(bad.any(1))[0])
            size = "x".join(map(str, extents))
            raise UsageError(
                f"box {i}, {regions[i].tolist()}, does not lie within the image of {size} pixels"
            )
        return regions

    def _contents(self, contents: Content | Sequence[Content], regions: np.ndarray) -> list[Tensor]:
        several = (
            isinstance(contents, (list, tuple))
            and len(contents) == len(regions)
            and (len(contents) != self.image.shape[1] or not all(np.isscalar(c) for c in contents))
        )
        given = list(contents) if several and isinstance(contents, (list, tuple)) else [contents]
        as_given = [as_content(c, self.image) for c in given]  # type: ignore[arg-type]
        refuse_misfit(as_given, regions, self.image)
        return as_given

    def _lines(self, regions: np.ndarray) -> tuple[list[dict[int, Line]], np.ndarray]:
        """For each axis, what each distinct interval changes in each value; and the interval of each region."""
        geometry, network = self.geometry, self.network
        intervals, places = [], []
        for k in range(regions.shape[1]):
            unique, index = np.unique(regions[:, k], axis=0, return_inverse=True)
            places.append(index.reshape(-1))
            lines: dict[int, Line] = {network.image: Line(unique[:, 0], unique[:, 1])}
            for node in network.nodes:
                n = geometry.values[node.output].extents[k]
                if n is None:
                    continue
                out: Line | None = None
                for read in node.reads:
                    relation = read.link.relations[k]
                    if relation is None or read.value not in lines:
                        got = everything(n, len(unique))
                    else:
                        got = push(relation, lines[read.value])
                    out = hull(out, got)
                assert out is not None
                lines[node.output] = out
            intervals.append(lines)
        return intervals, np.stack(places, 1)

    def _programs(self, lines: list[dict[int, Line]], places: np.ndarray) -> Iterator[Program]:
        """Groups of positions that share all sizes, and the program of each."""
        network, values = self.network, self.geometry.values
        layers = [
            n for n in network.nodes[: network.head]
            if all(e is not None for e in values[n.output].extents)
        ]  # fmt: skip
        tables = [
            np.stack(
                [one[n.output].sizes for n in layers] or [np.ones(len(next(iter(one.values()))))], 1
            )
            for one in lines
        ]
        work = []
        for n in layers:
            value = values[n.output]
            positions = 1
            for e in value.extents:
                assert e is not None
                positions *= e
            positions = max(positions, 1)  # a split may leave a part of none
            entries = value.bytes / value.dtype.itemsize / positions
            work.append(n.macs / positions + MOVE * entries)
        kernels = sum(n.kernel is not None for n in layers)
        labels = unite(tables, np.array(work or [1.0]), len(places), PREPARE * max(kernels, 1))
        groups = [
            classes(one, {v: values[v].extents[k] or 1 for v in one}, label)
            for k, (one, label) in enumerate(zip(lines, labels, strict=True))
        ]
        mine = np.stack([label[places[:, k]] for k, label in enumerate(labels)], 1)
        kinds, which = np.unique(mine, axis=0, return_inverse=True)
        which = which.reshape(-1)
        for i, kind in enumerate(kinds.tolist()):
            group = [groups[k][c] for k, c in enumerate(kind)]
            order = self._sorted(np.flatnonzero(which == i), places, group)
            yield build(network, self.cache, group, places[order], order)

    def _sorted(self, order: np.ndarray, places: np.ndarray, group: Sequence[Any]) -> np.ndarray:
        """Positions that lie alike relative to their boxes stand side by side, so that they are pasted in one go."""
        keys = []
        for k, one in enumerate(group):
            rows = []
            for node in self.network.nodes:
                for read in node.reads:
                    relation = read.link.relations[k]
                    if read.value in one.starts and node.output in one.starts:
                        stride = getattr(relation, "stride", 1)
                        rows.append(one.starts[read.value] - one.starts[node.output] * stride)
            table = np.stack(rows, 1)[places[order, k]] if rows else np.zeros((len(order), 1))
            _, rank = np.unique(table, axis=0, return_inverse=True)
            keys.append(rank.reshape(-1))
        return order[np.lexsort(tuple(reversed(keys)))]

    def _batches(
        self, regions: np.ndarray, contents: list[Tensor], batch: int | None, memory: int | None
    ) -> Iterator[tuple[np.ndarray, State]]:
        """What the head reads, for many boxes at a time, in any order."""
        lines, places = self._lines(regions)
        network = self.network
        exits: dict[int, list[Tensor]] = {}
        orders: list[np.ndarray] = []
        held = 0
        for program in self._programs(lines, places):
            many = self._batch(program, batch, memory)
            count = len(program.order)
            mine = [contents[i] for i in program.order] if len(contents) > 1 else contents
            boxes = Boxes(
                self.cache.map(network.image, 0.0)
                if not any(map(any, self.cache.margins(network.image, 0.0)))
                else self.image[0].movedim(0, -1).contiguous(),
                program.patches[network.image], regions[program.order], mine,
            )  # fmt: skip
            for a in range(0, count, many):
                # The last batch starts earlier, so that it has the size of the others.
                a = max(min(a, count - many), 0)
                b = min(a + many, count)
                state = program.run(boxes(a, b), network.image, a, b)
                size = b - a
                for v, tensor in state.items():
                    exits.setdefault(v, []).append(tensor)
                orders.append(program.order[a:b])
                held += size
                full = (
                    sum(t[-1].numel() * t[-1].element_size() // size for t in exits.values()) * held
                )
                if full >= HEAD:
                    yield self._joined(orders, exits)
                    exits, orders, held = {}, [], 0
        if orders:
            yield self._joined(orders, exits)

    def _joined(
        self, orders: list[np.ndarray], exits: dict[int, list[Tensor]]
    ) -> tuple[np.ndarray, State]:
        counts = [len(o) for o in orders]
        state = {v: self.cache.form(v).join(ts, counts) for v, ts in exits.items()}
        return np.concatenate(orders), state

    def _batch(self, program: Program, batch: int | None, memory: int | None) -> int:
        """Boxes at a time, all batches of a group being of one size."""
        count = len(program.order)
        if batch is None:
            limit = min(PATCHES, memory) if memory is not None else PATCHES
            batch = max(limit // max(program.bytes, 1), 1)
        if memory is not None and program.bytes > memory:
            raise UsageError(
                f"one box needs {program.bytes / 2**20:.1f} MiB besides the cache, more than memory={memory}; "
                f"give at least {program.bytes}"
            )
        turns = -(-count // batch)
        return -(-count // turns)

    def _finish(self, state: State, count: int, score: Callable[[State, int], Tensor]) -> Tensor:
        """Run the head and read the score."""
        if not self.alone:
            return self._head(state, count, score)
        where = {v: images_of(self.geometry.values[v]) for v in state}
        outputs = []
        for i in range(count):
            piece = {v: where[v].take(tensor, count, i) for v, tensor in state.items()}
            outputs.append(self._head(piece, 1, score))
        return torch.cat(outputs)

    def _head(self, state: State, count: int, score: Callable[[State, int], Tensor]) -> Tensor:
        network = self.network
        for node in network.nodes[network.head :]:
            tensors = [state[r.value] for r in node.reads]
            if node.kernel is not None and len(tensors) > 1:
                tensors[1] = tensors[1].clone()
            state[node.output] = run_whole(network, node, tensors, count)
        return score({v: state[v] for v in network.outputs}, count)


def _in_double(
    module: nn.Module, image: Tensor, boxes: np.ndarray, contents: Sequence[Tensor], target: Target
) -> list[float]:
    """Scores of the clean image and of some changed ones by a module that is in double precision."""
    session = Incremental(module, image.double(), check=False)
    kinds = {v.dtype for v in session.geometry.values if v.varies and v.dtype.is_floating_point}
    if kinds != {torch.float64}:
        raise UsageError("the network computes in other kinds of numbers inside")
    given = [c.double() for c in contents]
    scores = session.scores(boxes, given if len(given) > 1 else given[0], target)
    return [session.score(target), *scores.tolist()]


def lowered(module: nn.Module, image: Tensor, dtype: torch.dtype | None) -> Network:
    """The network as steps, for images of the size of `image` (1, C, *axes). Raises where it is nothing to be replayed."""
    # A trace in inference mode would see operations before they are taken apart.
    with torch.inference_mode(False), torch.no_grad():
        example = torch.empty(image.shape, dtype=image.dtype, device="meta")
        if dtype is None or dtype == _dtype(module, image):
            geometry = trace(module, example)
        else:
            with borrowed(module, train=None, dtype=dtype):
                geometry = trace(module, example)
    refuse_chance(geometry, module)
    refuse_memory(geometry, module, image.to(_dtype(module, image)))
    refuse_batch_statistics(geometry, module)
    with torch.inference_mode():
        return lower(geometry, module, dtype)


def _precise(
    network: Network, module: nn.Module, image: Tensor
) -> tuple[Network, torch.dtype] | None:
    """The network in front of its head in more digits, where it can run so."""
    if network.head == 0:
        return None
    last = network.geometry.values[network.nodes[network.head - 1].output].producer
    assert last is not None
    until = last + 1
    live = [r for r in network.geometry.records[:until] if r.live]
    wider = precise(network.geometry, live, image)
    return None if wider is None else (lower(network.geometry, module, wider, until), wider)


def _dtype(module: nn.Module, image: Tensor) -> torch.dtype:
    """The kind of number that the module computes in: its parameters', or without any the image's own."""
    own = image.dtype if image.is_floating_point() else torch.float32
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), own)


def _checked(module: nn.Module, image: Tensor, dtype: torch.dtype | None) -> Tensor:
    """The image as (1, C, *axes), of the kind of number that is computed in."""
    if not isinstance(image, Tensor):
        raise UsageError(f"the image is a tensor (C, H, W), got {type(image).__name__}")
    if image.dim() == 3:
        image = image[None]
    if image.dim() not in (4, 5) or image.shape[0] != 1 or 0 in image.shape:
        raise UsageError(
            f"one image at a time, (C, H, W) or (1, C, H, W), got {tuple(image.shape)}; call once an image"
        )
    refuse_no_numbers(image)
    device = next((p.device for p in module.parameters()), image.device)
    image = image.detach().to(device)
    refuse_other_meaning(module, image, _dtype(module, image))
    image = image.to(dtype or _dtype(module, image))
    if not bool(torch.isfinite(image).all()):
        raise UsageError(
            "the image holds values that are not finite; look for a division by zero in its preprocessing"
        )
    return image
