"""Running: one band of the image, its maps first, then what every patch computes for itself."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from striate.errors import GeometryError
from striate.geometry import Box, Crop, Record, apply
from striate.geometry.rules.convolution import Convolve
from striate.inference.dense import maps
from striate.inference.dense.maps import Pair
from striate.inference.dense.sharing import Sharing

# Of finite values they make finite ones, so that whoever made the others has been named.
KEEP_FINITE = frozenset(
    {"relu", "sigmoid", "tanh", "max_pool2d_with_indices", "view"}
)  # fmt: skip
Span = tuple[int, int]
Piece = tuple[Box, Tensor]


class Running:
    """The maps of one band, and the patches that are cut from them.

    band: (1, C, rows, columns) of the image. first: patches above those that are asked for, which only lend their rows.
    count: rows and columns of patches. finite: refuse values that are not.
    """

    def __init__(
        self, sharing: Sharing, constants: dict[int, Tensor], band: Tensor, first: int, count: Pair, finite: bool
    ) -> None:  # fmt: skip
        self.sharing, self.constants, self.finite = sharing, constants, finite
        self.first, self.count = first, count
        self.geometry = sharing.geometry
        image = self.geometry.inputs[0]
        self.made: dict[int, Tensor] = {image: band}
        self.sizes: dict[int, Pair] = {image: (band.shape[-2], band.shape[-1])}

    def run(self, out: Tensor, chunk: int) -> None:
        """Fill `out` (classes, rows, columns of patches), `chunk` patches at once where each has work of its own."""
        self._maps()
        rows, columns = self.count
        wide = min(columns, chunk)
        high = max(1, min(rows, chunk // wide))
        for top in range(0, rows, high):
            for left in range(0, columns, wide):
                spans = (top, min(top + high, rows)), (left, min(left + wide, columns))
                scores = self._patches(spans)
                size = [b - a for a, b in spans]
                out[:, slice(*spans[0]), slice(*spans[1])] = scores.t().reshape(-1, *size)

    def _maps(self) -> None:
        """What is shared, once for the band."""
        sharing = self.sharing
        left = Counter(i for s in sharing.shared for i in set(s.inputs))
        kept = {i for r in sharing.single for i in r.inputs} | set(self.geometry.outputs)
        for s in sharing.shared:
            if s.map is not None and sharing.ringed(s.record.output):
                kept |= {*s.inputs, s.record.output}
        for s in sharing.shared:
            inputs = s.inputs
            tensors = [self.constants[i] if i in self.constants else self.made[i] for i in inputs]
            sizes = [self.sizes.get(i) for i in inputs]
            if self._last_reader(s.record, left, kept):
                result = tensors[0].relu_()
            else:
                result = s.make(tensors, sizes)
            if s.ends:
                result = self._by_patch(result, s.record)
            elif s.slides:
                self.sizes[s.record.output] = (result.shape[-2], result.shape[-1])
            else:
                known = [n for n in sizes if n is not None]
                self.sizes[s.record.output] = (min(n[0] for n in known), min(n[1] for n in known))
            self._check(s.record, result)
            self.made[s.record.output] = result
            for i in set(inputs):
                left[i] -= 1
                if not left[i] and i not in kept:
                    self.made.pop(i, None)

    def _last_reader(self, record: Record, left: Counter[int], kept: set[int | None]) -> bool:
        """Whether a ReLU may change what it reads: memory of its own that nobody reads after it."""
        i = record.inputs[0]
        made_by = self.geometry.values[i].producer
        fresh = made_by is not None and isinstance(self.geometry.records[made_by].plan, Convolve)
        return record.op == "relu" and fresh and left[i] == 1 and i not in kept

    def _by_patch(self, result: Tensor, record: Record) -> Tensor:
        """(1, C, rows, columns) -> (rows, columns, ...) of the patches that are asked for."""
        rows, columns = self.count
        part = result[0, :, self.first : self.first + rows, :columns].permute(1, 2, 0)
        return part.reshape(rows, columns, *self.geometry.values[record.output].shape[1:])

    def _check(self, record: Record, tensor: Tensor) -> None:
        if not self.finite or record.op in KEEP_FINITE or not tensor.is_floating_point():
            return
        # A sum is far cheaper than a look at every value; if it is not finite, one of them may be, or it ran over.
        if not bool(torch.isfinite(tensor.sum())) and not bool(torch.isfinite(tensor).all()):
            raise GeometryError(
                f"{record.name} ({record.op}) makes values that are not finite; look for NaN or infinity in the image "
                "and the weights, or pass finite=False to let them through"
            )

    def _patches(self, spans: tuple[Span, Span]) -> Tensor:
        """Scores (patches, classes) of some rows and columns of patches."""
        values, sharing = self.geometry.values, self.sharing
        batch = (spans[0][1] - spans[0][0]) * (spans[1][1] - spans[1][0])
        own: dict[int, Tensor] = {}
        rings: dict[int, list[Piece]] = {}

        def fetch(i: int, box: Box) -> Crop:
            if i in self.constants:
                return Crop(self.constants[i], values[i].full)
            if i in own:
                return Crop(own[i], values[i].full)
            if i in sharing.maps:
                return Crop(self._assembled(i, box, spans, rings.get(i, [])), box)
            entries = self.made[i][slice(*spans[0]), slice(*spans[1])]
            own[i] = entries.reshape(batch, *entries.shape[2:])
            return Crop(own[i], values[i].full)

        ringed = [s.record for s in sharing.shared if s.map and sharing.ringed(s.record.output)]
        for record in sorted([*ringed, *sharing.single], key=lambda r: r.index):
            full = values[record.output].full
            if record.output not in sharing.maps:
                crops = [fetch(i, values[i].full) for i in record.inputs]
                own[record.output] = apply(self.geometry, record, crops, full, batch=batch)
                self._check(record, own[record.output])
                continue
            pieces = []
            for strip in around(full, sharing.maps[record.output].inner):
                needs = [link.pull(strip) for link in record.links]
                crops = [fetch(i, need) for i, need in zip(record.inputs, needs, strict=True)]
                pieces.append((strip, apply(self.geometry, record, crops, strip, batch=batch)))
            rings[record.output] = pieces
        leaf = self.geometry.outputs[0]
        assert leaf is not None
        return fetch(leaf, values[leaf].full).tensor.reshape(batch, -1)

    def _assembled(self, i: int, box: Box, spans: tuple[Span, Span], ring: list[Piece]) -> Tensor:
        """A box of a shared value for each patch: the inner part from its map, the border from the patches' own."""
        value, lattice = self.geometry.values[i], self.sharing.maps[i]
        if any(s is None or s[0] >= s[1] for s in box):  # padding alone: no rows, or no columns
            batch = (spans[0][1] - spans[0][0]) * (spans[1][1] - spans[1][0])
            return self.made[i].new_empty(batch, value.shape[1], *_size(box))
        place = tuple(t // g for t, g in zip(self.sharing.stride, lattice.lattice, strict=True))
        jump = tuple(s // g for s, g in zip(lattice.jump, lattice.lattice, strict=True))
        rows = (spans[0][0] + self.first, spans[0][1] + self.first)

        def inside(part: Box) -> Tensor:
            return maps.gather(
                self.made[i], value.layout, self.sizes[i], (place[0], place[1]), (jump[0], jump[1]),
                part, rows, spans[1],
            )  # fmt: skip

        common = meet(box, lattice.inner)
        if common == box or not ring:
            return inside(box)
        batch = (spans[0][1] - spans[0][0]) * (spans[1][1] - spans[1][0])
        whole = self.made[i].new_empty(batch, value.shape[1], *_size(box))
        if common is not None:
            _part(whole, box, common).copy_(inside(common))
        for strip, tensor in ring:
            shared = meet(box, strip)
            if shared is not None:
                _part(whole, box, shared).copy_(_part(tensor, strip, shared))
        return whole


def meet(a: Box, b: Box) -> Box | None:
    """What two boxes have in common, None if nothing."""
    sides = []
    for x, y in zip(a, b, strict=True):
        assert x is not None
        assert y is not None
        side = (max(x[0], y[0]), min(x[1], y[1]))
        if side[0] >= side[1]:
            return None
        sides.append(side)
    return tuple(sides)


def around(full: Box, inner: Box) -> list[Box]:
    """What lies outside the inner box: above, below, left and right of it."""
    (rows, columns), (high, wide) = full, inner
    assert rows and columns and high and wide
    strips = [
        ((rows[0], high[0]), columns),
        ((high[1], rows[1]), columns),
        (high, (columns[0], wide[0])),
        (high, (wide[1], columns[1])),
    ]
    return [s for s in strips if all(a < b for a, b in s)]


def _size(box: Box) -> list[int]:
    return [0 if s is None else max(s[1] - s[0], 0) for s in box]


def _part(tensor: Tensor, have: Box, want: Box) -> Tensor:
    """`want` of an (N, C, rows, columns) tensor that holds `have`."""
    for k in range(2):
        h, w = have[k], want[k]
        assert h is not None
        assert w is not None
        tensor = tensor.narrow(2 + k, w[0] - h[0], w[1] - w[0])
    return tensor
