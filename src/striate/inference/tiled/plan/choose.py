"""Choose: the grid of each walk, by predicted cost within the memory that is allowed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, prod

from striate.errors import GeometryError, UsageError
from striate.geometry.box import volume
from striate.inference.tiled.plan.axis import AxisPlan, cut, follow, plan_axis
from striate.inference.tiled.plan.costs import AxisTable, Cost, axis_table, cost, ledger, peak
from striate.inference.tiled.plan.limits import show_bytes
from striate.inference.tiled.plan.network import Network
from striate.inference.tiled.plan.passes import Pass, arrange
from striate.inference.tiled.plan.plan import Plan, Strategy, Walk
from striate.ranges import shown

STRATEGIES = ("auto", "halo", "carry")
SLACK = 1.05  # a plan may cost this much more than the cheapest if it needs less memory
LATTICE = 64  # the largest stride that tiles are aligned to
WIDEST = 2**31 - 1  # pixels of a tile's side; one that is larger than the image takes all of it
CELLS = 200_000  # more than that and the bookkeeping outweighs everything
BANDS = 16  # that a walk of bands has where that takes no more than as much more arithmetic
FIXED = 16_000_000  # bytes that torch's kernels and threads take beside tensors


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller asks for: `tile` pixels of the image along each axis, `memory` bytes, `strategy` by name, or which
    axes are carried.

    bands: nothing is carried from one row of cells to the next, nor stored from pass to pass, and BANDS rows are wished for.
    reading: tensors of a crop's size that live while it is read and preprocessed.
    """

    tile: tuple[int, ...] | None = None
    memory: int | None = None
    strategy: str | tuple[bool, ...] = "auto"
    bands: bool = False
    reading: float = 1.0


def make_plan(network: Network, request: Request, *, result: int, fixed: int) -> Plan:
    """The plan for a network.

    result: bytes of the results that will be held in memory; fixed: bytes of everything else that does not depend on tiles.
    Raises GeometryError if the limit is too small, with the least that works.
    """
    fixed += result + FIXED
    limit = request.memory
    free = None if limit is None else limit - fixed
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    whole = sum(v.bytes for v in network.geometry.values)
    # What is stored between passes saves computing it again and takes memory from the tiles: which is worth more shows only
    # when the walks are planned, so each budget is tried.
    budgets = [0]
    if network.passes > 1 and not request.bands:
        most = physical // 4 if free is None else max(free, 0)
        budgets = [min(whole, int(most * share)) for share in (0.75, 0.5, 0.25, 0)]
    best: tuple[float, tuple[Walk, ...], int] | None = None
    least: int | None = None
    for budget in dict.fromkeys(budgets):
        walks, need = [], 0
        total = 0.0
        passes = arrange(network, budget)
        for work in passes:
            held = _held(network, work)
            walk, smallest = _walk(network, work, request, None if free is None else free - held)
            need = max(need, held + (smallest if walk is None else walk.bytes))
            if walk is not None:
                walks.append(walk)
                total += walk.cost.total
        if len(walks) == len(passes):
            if best is None or total < best[0]:
                best = (total, tuple(walks), need)
        else:
            least = need if least is None else min(least, need)
    if best is None:
        assert least is not None
        assert limit is not None
        raise GeometryError(_too_small(network, request, limit, least + fixed, result))
    _, best_walk, need = best
    return _described(network, best_walk, need + fixed, request)


def _too_small(network: Network, request: Request, limit: int, least: int, result: int) -> str:
    advice = f"allow {show_bytes(least * 1.01)} or more"
    if request.tile is not None:
        advice += ", or a smaller tile"
    if result > least // 4:
        advice += (
            f"; {show_bytes(result)} of it is the result, which `out=` writes to a file instead"
        )
    size = " x ".join(map(str, network.geometry.image))
    return f"{show_bytes(limit)} is too little memory for one tile of this network on {size} pixels: {advice}"


def _held(network: Network, work: Pass) -> int:
    """Bytes of the values that stay stored during a pass."""
    values = network.geometry.values
    kept = {v for v in work.sources if v != network.image} | set(work.stores)
    kept |= {
        network.reductions[i].value for i in work.gathers if network.reductions[i].way == "whole"
    }
    return sum(values[v].bytes for v in kept)


def lattice(network: Network, work: Pass, extents: Sequence[int]) -> tuple[int, ...]:
    """Along each axis, how many positions of a target lie on one position of the coarsest value before it."""
    values = network.geometry.values
    sizes = []
    for axis, n in enumerate(extents):
        ratios = [1]
        for node in work.nodes:
            e = values[node.output].extents[axis]
            if e and e > 1:
                ratios.append(round(n / e))
        sizes.append(max(r for r in ratios if r <= LATTICE))
    return tuple(sizes)


def _walk(
    network: Network, work: Pass, request: Request, free: int | None
) -> tuple[Walk | None, int]:
    """The walk of one pass, and the fewest bytes that any walk of it needs."""
    geometry = network.geometry
    values = geometry.values
    targets = work.targets(network)
    if not targets:
        empty = tuple(
            [plan_axis(geometry, (), work.sources, {}, k, False) for k in range(geometry.axes)]
        )
        return Walk(work, (), (), (), Cost(0, 0, 0), 0, 0, empty), 0
    # The largest target leads; where an axis ends within the pass it cannot be cut.
    leader = max(targets, key=lambda v: volume(values[v].full))
    extents = [n or 1 for n in values[leader].extents]
    touched = {n.output for n in work.nodes} | set(targets)
    whole = [any(values[v].extents[k] is None for v in touched) for k in range(geometry.axes)]
    grid = lattice(network, work, extents)
    book = ledger(network, work.nodes, work.sources, request.reading)
    cache: dict[tuple[int, int, bool], tuple[AxisPlan, AxisTable]] = {}

    def along(axis: int, step: int, carried: bool) -> tuple[AxisPlan, AxisTable]:
        key = (axis, step, carried)
        if key not in cache:
            lead = cut(extents[axis], step)
            cuts = {
                v: follow(lead, extents[axis], n)
                for v in targets
                if (n := values[v].extents[axis]) is not None
            }
            plan = plan_axis(geometry, work.nodes, work.sources, cuts, axis, carried)
            cache[key] = plan, axis_table(network, book, plan)
        return cache[key]

    def candidates() -> Iterable[tuple[tuple[int, ...], tuple[bool, ...]]]:
        steps = [
            [n]
            if ends
            else _steps(n, unit, None if request.tile is None else request.tile[k] * n / pixels)
            for k, (n, unit, ends, pixels) in enumerate(
                zip(extents, grid, whole, geometry.image, strict=True)
            )
        ]
        for sizes in product(*steps):
            cut_axes = [s < n for s, n in zip(sizes, extents, strict=True)]
            for carried in _modes(cut_axes, request.strategy):
                yield sizes, carried

    # Sorted by cost, so that peak memory is computed for few: from the cheapest on, until the cost is more than SLACK above
    # that of the first that fits.
    weighed = []
    for sizes, carried in candidates():
        axes = [along(k, s, c) for k, (s, c) in enumerate(zip(sizes, carried, strict=True))]
        if prod(plan.steps for plan, _ in axes) > CELLS and request.tile is None:
            continue
        spent, few = cost(book, [table for _, table in axes]), 1.0
        if request.bands:
            apart = prod(p.steps for p, _ in axes if not p.carried)
            if all(p.carried or p.steps == 1 for p, _ in axes) and any(p.carried for p, _ in axes):
                continue  # a row begins with what the one before left
            few = max(BANDS / apart, 1.0)
        weighed.append((spent, few * spent.total, sizes, carried, axes))
    weighed.sort(key=lambda w: w[1])
    best: Walk | None = None
    bound = float("inf")
    smallest: int | None = None
    for walk, total, sizes, carried, axes in weighed:
        if total > bound:
            break
        need = peak(book, [table for _, table in axes])
        size = need.total
        smallest = size if smallest is None else min(smallest, size)
        if free is not None and size > free:
            continue
        if best is None:
            bound = total * SLACK
        if best is None or size < best.bytes:
            best = Walk(
                work, targets, sizes, carried, walk, size, need.kept, tuple([p for p, _ in axes])
            )
    assert smallest is not None
    return best, smallest


def _steps(n: int, unit: int, asked: float | None) -> list[int]:
    """Sizes of a step along an axis of n positions: multiples of the lattice, and the whole."""
    if asked is not None:
        return [min(max(ceil(asked / unit), 1) * unit, n)]
    steps = []
    step = unit
    while step < n:
        steps.append(step)
        step *= 2
    return [*steps, n]


def _modes(cut_axes: Sequence[bool], strategy: str | tuple[bool, ...]) -> list[tuple[bool, ...]]:
    """Which axes may be carried: those that are cut, all or none or some of them."""
    if not isinstance(strategy, str):
        return [tuple([c and s for c, s in zip(cut_axes, strategy, strict=True)])]
    choices = {"halo": (False,), "carry": (True,), "auto": (False, True)}[strategy]
    return list(product(*[choices if c else (False,) for c in cut_axes]))


def _described(network: Network, walks: tuple[Walk, ...], need: int, request: Request) -> Plan:
    geometry = network.geometry
    final = walks[-1]
    for walk in walks:
        if walk.work.outputs:
            final = walk
    modes = {a.carried for a in final.axes if a.steps > 1}
    strategy: Strategy
    if not modes:
        strategy = "whole"
    elif len(modes) > 1:
        strategy = "mixed"
    else:
        strategy = "carry" if modes.pop() else "halo"
    whole = sum(
        round(network.macs(n) * volume(geometry.values[n.output].full)) for n in network.nodes
    )
    heads = sum(h.record.macs or 0 for h in network.heads)
    return Plan(
        image=geometry.input_shape[1:],
        strategy=strategy,
        tile=_pixels(network, final),
        lattice=lattice(network, final.work, final.step) if final.step else (),
        halo=halo(network, final),
        walks=walks,
        macs=sum(w.cost.macs for w in walks) + heads,
        whole_macs=whole + heads,
        bytes=need,
        limit=request.memory,
    )


def _pixels(network: Network, walk: Walk) -> tuple[int, ...]:
    """The pixels of the image that lie under a cell."""
    values = network.geometry.values
    if not walk.targets:
        return network.geometry.image
    leader = max(walk.targets, key=lambda v: volume(values[v].full))
    return tuple([
        pixels if n is None else min(round(step * pixels / n), pixels)
        for step, n, pixels in zip(walk.step, values[leader].extents, network.geometry.image, strict=True)
    ])  # fmt: skip


def halo(network: Network, walk: Walk) -> tuple[tuple[int, int], ...]:
    """Pixels that a position of the leading target sees before and after its own, away from the border."""
    if not walk.targets:
        return ()
    geometry = network.geometry
    values = geometry.values
    leader = max(walk.targets, key=lambda v: volume(values[v].full))
    halos = []
    for axis, n in enumerate(values[leader].extents):
        pixels = geometry.image[axis]
        if n is None:
            halos.append((pixels, pixels))
            continue
        middle = n // 2
        plan = plan_axis(
            geometry, network.nodes, frozenset({network.image}), {leader: (middle, middle + 1)}, axis, False
        )  # fmt: skip
        seen = plan.needed[network.image]
        if seen is None or seen.lengths[0] == 0:
            halos.append((0, 0))
            continue
        own = (middle * pixels // n, -(-(middle + 1) * pixels // n))
        start, stop = seen.at(0)
        halos.append((max(own[0] - start, 0), max(stop - own[1], 0)))
    return tuple(halos)


def check_request(
    tile: int | Sequence[int] | None, memory: int | None, strategy: str | Sequence[bool], axes: int
) -> Request:
    """Arguments as a request. Raises UsageError if they are none."""
    if not isinstance(axes, int) or isinstance(axes, bool) or axes < 1:
        raise UsageError(f"axes is how many axes of positions an image has, 2 or 3; got {axes!r}")
    given_axes = not isinstance(strategy, str) and len(strategy) == axes
    if not given_axes and strategy not in STRATEGIES:
        raise UsageError(f"strategy is one of {', '.join(STRATEGIES)}; got {strategy!r}")
    sizes: tuple[int, ...] | None = None
    if tile is not None:
        given = (tile,) * axes if isinstance(tile, int) and not isinstance(tile, bool) else tile
        sizes = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else ()
        if len(sizes) != axes or any(
            not isinstance(s, int) or isinstance(s, bool) or not 1 <= s <= WIDEST for s in sizes
        ):
            hint = "; for a volume give axes=3" if axes == 2 and len(sizes) == 3 else ""
            raise UsageError(
                f"tile is a whole number of pixels from 1 to {WIDEST:,}, or one an axis ({axes}); got {shown(tile)}{hint}"
            )
    return Request(sizes, memory, strategy if isinstance(strategy, str) else tuple(strategy))
