"""Checking: what a tiled run gave, compared with the untouched module. No plan and no rule takes part in what is compared.

Three ways, the surest that is cheap enough: the whole image; crops of it that the module itself shows to decide the
compared positions; a smaller image that is cut and walked in the same way. Where none can be done nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from math import prod
from operator import or_

import torch
from torch import Tensor, nn

from striate.borrow import borrowed, forward
from striate.errors import StriateError
from striate.geometry import Box, leaves_of, trace
from striate.geometry.layout import dim_of_axis
from striate.geometry.plan import cut
from striate.inference.rounding import SPREAD, otherwise
from striate.inference.tiled.plan.costs import HEAP, MOVE
from striate.inference.tiled.plan.network import Network
from striate.inference.tiled.plan.plan import Plan, Walk
from striate.inference.tiled.run.store import axis_dims, narrow, overlap, room, spread
from striate.inference.tiled.verify.comparing import (
    MOST,
    ROUNDING,
    TOLERANCE,
    Difference,
    difference,
    tolerance,
)
from striate.inference.tiled.verify.crops import (
    Region,
    Sample,
    choose_samples,
    held_at_once,
    maps,
    units,
)
from striate.inference.tiled.verify.smaller import Smaller, choose_smaller, pixels_of
from striate.inference.witness import DOUBLE, DRAWS, doubled

Leaves = list[Tensor | None]
Tile = Callable[[Tensor, Smaller], Leaves]

QUICK = 2e10  # multiply-adds, by the plan's reckoning, that a check may take at any rate: a fraction of a second
CALL = 500_000  # multiply-adds that pass while torch starts an operation
EPS = 0.012  # of what counts as equal is one rounding, in float32
SHARE = 0.1  # of a run's work that a check may take
# Pixels of a smaller image that are tried first: a share of the image's, a twentieth of the work of a run with its tiles,
# which overlap widely; no fewer than show what a network does between its borders.
LITTLE, FEWEST = 0.02, 128 * 128


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a check found. reference: what was compared with, or why nothing was; samples: how many crops."""

    reference: str
    difference: Difference | None = None
    tolerance: float = 0.0
    samples: int = 0

    @property
    def exact(self) -> bool | None:
        """Whether the results are equal up to rounding; None if nothing was compared."""
        return None if self.difference is None else self.difference.within(self.tolerance)


class Probe:
    """Keeps what a run hands out of some values inside some boxes."""

    def __init__(
        self, network: Network, targets: Sequence[tuple[int, Box]], device: torch.device
    ) -> None:
        self.values = network.geometry.values
        self.boxes = list(targets)
        self.computed = [room(self.values[v], box, device, False) for v, box in targets]
        self.missing = [
            prod(b - a for a, b in (s for s in box if s is not None)) for _, box in targets
        ]

    @property
    def targets(self) -> set[int]:
        """The values that are looked at."""
        return {v for v, _ in self.boxes}

    def sink(self, v: int, box: Box, tensor: Tensor) -> None:
        """Take in a piece of a value."""
        value = self.values[v]
        dims = axis_dims(value)
        for i, (target, mine) in enumerate(self.boxes):
            part = overlap(mine, box) if target == v else None
            if part is not None:
                source = narrow(spread(tensor, value, box), dims, box, part)
                narrow(spread(self.computed[i], value, mine), dims, mine, part).copy_(source)
                self.missing[i] -= prod(s[1] - s[0] for s in part if s is not None)

    def parts(self, v: int, box: Box, tensor: Tensor) -> Iterator[tuple[Box, Tensor]]:
        """What of a piece lies inside the boxes, each with its box, in the value's own dimensions."""
        value = self.values[v]
        layout, seen = value.layout, set()
        for target, mine in self.boxes:
            part = overlap(mine, box) if target == v else None
            if part is not None and part not in seen:
                seen.add(part)
                yield part, cut(tensor, layout, box, part, 1)

    def __getitem__(self, key: tuple[int, Box]) -> Tensor | None:
        """What a box holds, None where the run did not hand out all of it (it was taken up in the middle)."""
        i = self.boxes.index(key)
        return self.computed[i] if self.missing[i] <= 0 else None


class Check:
    """The check of one run.

    read: a region (1, C, *size) of the first image as the module reads it. room: bytes that the check may take. tile:
    tiles a smaller image in the same way and gives its leaves. kept: the results stay in memory as the network gives
    them. allowed: how far the results may be off at any rate, of the largest value.
    """

    def __init__(
        self, network: Network, module: nn.Module, plan: Plan, final: Walk, read: Callable[[Region], Tensor],
        room: int, device: torch.device, tile: Tile, kept: bool, allowed: float = 0.0,
    ) -> None:  # fmt: skip
        self.network, self.module, self.final, self.tile = network, module, final, tile
        self.read = read
        geometry = self.geometry = network.geometry
        self.tolerance = max(tolerance({v.dtype for v in geometry.values if v.varies}), allowed)
        self.full: Region = tuple([(0, n) for n in geometry.image])
        count = prod(geometry.image)
        moved = 2 * sum(v.bytes for v in geometry.values if v.varies)
        work = plan.whole_macs + MOVE * moved + CALL * len(geometry.records)
        held = held_at_once(geometry) + 2 * sum(geometry.values[i].bytes for i in network.outputs)
        self.room = room / HEAP
        self.whole = work <= QUICK and held <= self.room
        share = max(SHARE, QUICK / work) * count
        self.pixels = int(min(share, count * self.room / max(held, 1)))
        self.samples: list[Sample] = []
        self.flat = True  # whether all crops that were compared are of one colour
        targets: list[tuple[int, Box]] = []
        if self.whole and not kept:
            targets = [(v, geometry.values[v].full) for v in network.outputs]
        elif not self.whole and maps(network):
            self.samples = choose_samples(network, final.step, self.pixels // 3)
            targets = [item for s in self.samples for item in s.boxes.items()]
        self.probe = Probe(network, list(dict.fromkeys(targets)), device)

    def conclude(self, leaves: Leaves) -> Evidence:
        """Compare; `leaves` are the results of the first image as far as they are in memory, before `finish`."""
        if self.whole:
            difference = self._whole(leaves)
            if difference is not None:
                return difference
        if self.samples:
            difference = self._crops()
            if difference is not None and (difference.exact is False or not self.flat):
                return difference
            if difference is not None:  # crops of one colour show little
                more = self._smaller()
                return more if more.exact is not None else difference
        return self._smaller()

    def _run(self, x: Tensor) -> Leaves | None:
        """The module's own results, None where it refuses this image."""
        try:
            with borrowed(self.module, train=None), torch.no_grad():
                result = forward(self.module, x, writes=self.network.geometry.writes_input)
        except Exception:  # a network made for one size says so in any way
            return None
        return [t if isinstance(t, Tensor) else None for t in leaves_of(result)]

    def _judged(
        self,
        reference: str,
        difference: Difference,
        again: Callable[[float], Difference],
        sharp: Callable[[], Difference | None],
        moved: Callable[[], Difference | None],
        samples: int = 0,
    ) -> Evidence:
        """The evidence of a difference; a large one is weighed against what rounding does.

        again: how far the results move if each number of the image is off by a rounding. sharp: the difference in double
        precision. moved: how far the module's own results move where its operations round otherwise.
        """
        if difference.within(self.tolerance):
            return Evidence(reference, difference, self.tolerance, samples)
        rounding = again(self.tolerance * EPS)
        if (
            rounding.relative > MOST
        ):  # numbers that cancel, or a step: the module itself does not say
            return Evidence(
                f"one rounding of the image changes the module's own result by {rounding.relative:.0%} of its largest "
                "value, so its numbers are noise"
            )
        allowed = max(min(ROUNDING * rounding.relative, MOST), self.tolerance)
        judged = Evidence(reference, difference, allowed, samples)
        if judged.exact:
            return judged
        exact = sharp()  # what rounds inside the network is not seen in the image
        if exact is None or not exact.within(DOUBLE):
            noise = moved()
            if (
                noise is not None
                and difference.relative <= SPREAD * noise.relative
                and difference.flips <= SPREAD * noise.flips
            ):
                return Evidence(
                    "the network amplifies rounding: its own result moves by "
                    f"{max(noise.relative, noise.flips):.1%} of its largest value where its operations round otherwise, so "
                    "its numbers are noise"
                )
            return judged
        if difference.within(MOST):
            return Evidence(
                f"{reference}, and the same in double precision", difference, MOST, samples
            )
        return Evidence(
            "in double precision the tiles are the same, but in its own kind of number rounding moves the result by "
            f"{max(difference.relative, difference.flips):.0%}, so its numbers are noise"
        )

    def _whole(self, leaves: Leaves) -> Evidence | None:
        got = list(leaves)
        for place, v in enumerate(self.geometry.outputs):
            if v is not None and v in self.probe.targets and got[place] is None:
                got[place] = self.probe[v, self.geometry.values[v].full]
            if v is not None and got[place] is None:
                return None  # a run that was taken up in the middle
        x = self.read(self.full)
        want = self._run(x)
        if want is None:
            return None
        return self._judged(
            "the plain module on the whole image",
            all_of(got, want),
            partial(self._rounded, x, want),
            partial(self._sharp, x),
            partial(self._otherwise, x, want),
        )

    def _sharp(self, x: Tensor) -> Difference | None:
        """How far tiles lie from the module where both compute in double precision; None where they cannot."""
        if self.tolerance <= DOUBLE or not x.is_floating_point():
            return None
        sides = zip(x.shape[2:], self.final.axes, strict=True)
        tile = tuple([max(-(-n // min(a.steps, n)), 1) for n, a in sides])
        x = x.double()
        try:
            with doubled(self.module):
                kinds = {v.dtype for v in trace(self.module, x).values if v.varies}
                if any(k.is_floating_point and k != torch.float64 for k in kinds):
                    return None
                want = self._run(x)
                got = self.tile(x, Smaller(tuple([(0, n) for n in x.shape[2:]]), tile))
        except (StriateError, RuntimeError):
            return None
        return None if want is None else all_of(got, want)

    def _rounded(self, x: Tensor, want: Leaves, eps: float) -> Difference:
        """How far the results move if each number of the image is off by one rounding."""
        moved = self._run(nudged(x, eps))
        return Difference() if moved is None else all_of(moved, want)

    def _otherwise(self, x: Tensor, want: Leaves) -> Difference | None:
        """How far the module's own results move where its operations round otherwise; None where it does not run so."""
        differences = [Difference()]
        for _ in range(DRAWS):
            moved = otherwise(lambda: self._run(x))
            if moved is None:
                return None
            differences.append(all_of(moved, want))
        return reduce(or_, differences)

    def _crops(self) -> Evidence | None:
        """Compare with crops; None where the module shows that none of them decides its positions."""
        total, count, worst = Difference(), 0, None
        for sample in self.samples:
            x = self.read(sample.crop)
            want = self._run(x)
            if want is None or not self._decides(sample, x, want):
                continue
            off = Difference()
            for v, whole in self._results(want):
                part = self.probe[v, sample.boxes[v]]
                inside = self._part(whole, v, sample.inside(v, sample.crop))
                if part is None or inside is None:
                    break
                off |= difference(part, inside, whole)
            else:
                count += 1
                self.flat = self.flat and bool(
                    (x == x.flatten(2)[:, :, :1].unflatten(2, (1,) * len(sample.crop))).all()
                )
                if worst is None or off.relative >= total.relative:
                    worst = (x, want)
                total |= off
        if worst is None:
            return None
        reference = f"the plain module on {count} crop{'s' if count > 1 else ''}"
        judged = self._judged(
            reference, total, partial(self._rounded, *worst), partial(self._sharp, worst[0]),
            partial(self._otherwise, *worst), count,
        )  # fmt: skip
        return judged if judged.exact else self._doubted(judged)

    def _doubted(self, judged: Evidence) -> Evidence:
        """A difference from crops: the whole image decides if there is room for it."""
        geometry = self.geometry
        if held_at_once(geometry) > self.room:
            return judged
        want = self._run(self.read(self.full))
        if want is None:
            return judged
        total = Difference()
        for v, whole in self._results(want):
            for sample in self.samples:
                got, box = self.probe[v, sample.boxes[v]], sample.boxes[v]
                inside = self._part(whole, v, box)
                if got is not None and inside is not None:
                    total |= difference(got, inside, whole)
        reference = "the plain module on the whole image, at sampled places"
        return Evidence(reference, total, judged.tolerance, judged.samples)

    def _results(self, leaves: Leaves) -> list[tuple[int, Tensor]]:
        """The maps among some leaves, by their value."""
        return [
            (v, leaf)
            for v, leaf in zip(self.geometry.outputs, leaves, strict=True)
            if v is not None and leaf is not None and self.geometry.values[v].varies
        ]

    def _part(self, whole: Tensor, v: int, box: Box | None) -> Tensor | None:
        """A box of a map, None where the map does not hold it."""
        if box is None:
            return None
        for k, side in enumerate(box):
            dim = dim_of_axis(self.geometry.values[v].layout, k)
            if side is None or dim is None or side[0] < 0 or side[1] > whole.shape[dim]:
                return None
            whole = whole.narrow(dim, side[0], side[1] - side[0])
        return whole

    def _decides(self, sample: Sample, x: Tensor, want: Leaves) -> bool:
        """Whether the module gives the same for a wider crop with other pixels around: nothing outside enters."""
        if sample.crop == self.full:
            return True
        wide = changed(self.read(sample.wide))
        first = wide.dim() - len(sample.crop)
        inner = wide
        for k, (mine, outer) in enumerate(zip(sample.crop, sample.wide, strict=True)):
            inner = inner.narrow(first + k, mine[0] - outer[0], mine[1] - mine[0])
        inner.copy_(x)
        other = self._run(wide)
        if other is None or len(other) != len(want):
            return False
        wider = dict(self._results(other))
        for v, whole in self._results(want):
            a = self._part(whole, v, sample.inside(v, sample.crop))
            b = self._part(wider[v], v, sample.inside(v, sample.wide)) if v in wider else None
            # In half precision a size that enters a little is as small as rounding: only equal bits are evidence.
            least = min(self.tolerance, TOLERANCE)
            if a is None or b is None or not difference(b, a, whole).within(least):
                return False
        return True

    def _smaller(self) -> Evidence:
        """Compare a smaller image, run in the same way, with the plain module on it."""
        lattice = units(self.network)
        most = self.pixels // 3
        for pixels in (min(most, max(int(LITTLE * prod(self.geometry.image)), FEWEST)), most):
            small = choose_smaller(
                self.network, self.module, self.final, lattice, pixels, self.room
            )
            if small is not None:
                break
        else:
            return Evidence(
                "no crop decides its results, and there is no smaller image for it that is cheap enough"
            )
        x = pixels_of(self.read, small.region)
        want = self._run(x)
        if want is None:
            return Evidence("the network takes no smaller image")
        size = " x ".join(map(str, small.size))
        reference = (
            f"the plain module on a smaller image of {size} pixels that was cut in the same way"
        )
        return self._judged(
            reference,
            all_of(self.tile(x, small), want),
            partial(self._rounded, x, want),
            partial(self._sharp, x),
            partial(self._otherwise, x, want),
        )


def all_of(got: Leaves, want: Leaves) -> Difference:
    """The largest difference of all leaves."""
    total = Difference()
    for a, b in zip(got, want, strict=True):
        if a is not None and b is not None:
            total |= difference(a, b, b)
    return total


def nudged(x: Tensor, eps: float) -> Tensor:
    """The image (1, C, *axes) with each number larger or smaller by `eps` of itself; integers as they are."""
    if not x.is_floating_point():
        return x
    signs = torch.randint(0, 2, x.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return x * (1 + eps * signs.to(x.device, x.dtype))


def changed(x: Tensor) -> Tensor:
    """Other pixels of the same shape and kind: noise over three times the range of x, (1, C, *axes)."""
    generator = torch.Generator().manual_seed(0)
    if not x.is_floating_point():
        least, most = int(x.min()), int(x.max())
        return torch.randint(least, most + 1, x.shape, generator=generator).to(x.device, x.dtype)
    known = x.nan_to_num(posinf=0, neginf=0)
    low, span = float(known.min()), float(known.max() - known.min()) or 1.0
    noise = torch.rand(x.shape, generator=generator).to(x.device, x.dtype)
    return (noise * 3 - 1) * span + low
