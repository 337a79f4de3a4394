"""Layouts: what each dimension of a tensor holds.

A layout is a tuple of dimensions, each a tuple of *atoms*, outermost first; the size of a dimension is the product of
its atoms. An atom is

    a positive integer   that many entries which are not positions: channels, heads, features
    BATCH (-1)           the images of the batch
    axis_atom(k)         the positions along spatial axis k of the input

An NCHW value has the layout ((BATCH,), (C,), (axis 0,), (axis 1,)). The tokens of shape (N, H*W, C) have
((BATCH,), (axis 0, axis 1), (C,)), and the same with (N*H*W, C), as linear layers make it, ((BATCH, axis 0, axis 1), (C,)).
Each axis appears at most once. A value that lost an axis does not have its atom any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Dim = tuple[int, ...]
Layout = tuple[Dim, ...]

BATCH = -1


def axis_atom(k: int) -> int:
    """The atom of spatial axis k (0 for rows of an image, 1 for its columns)."""
    return -2 - k


def axis_of(atom: int) -> int:
    """The spatial axis of an atom that is one."""
    return -2 - atom


def plain(shape: Sequence[int]) -> Layout:
    """The layout of a tensor that holds no positions and no batch."""
    return tuple([(size,) for size in shape])


def image(shape: Sequence[int]) -> Layout:
    """The layout of an input (N, C, *spatial); a tensor of fewer than two dimensions is plain."""
    if len(shape) < 2:
        return plain(shape)
    return ((BATCH,), (shape[1],), *((axis_atom(k),) for k in range(len(shape) - 2)))


def atoms(layout: Layout) -> list[int]:
    """All atoms in order."""
    return [a for dim in layout for a in dim]


def axes(layout: Layout) -> set[int]:
    """The spatial axes that the layout has."""
    return {axis_of(a) for dim in layout for a in dim if a < BATCH}


def dim_of_axis(layout: Layout, k: int) -> int | None:
    """The dimension that is exactly axis k, or None where it is merged with others or gone."""
    try:
        return layout.index((axis_atom(k),))
    except ValueError:
        return None


def keep(layout: Layout, shape: Sequence[int], gone: set[int]) -> Layout:
    """The layout with dimensions that hold an axis of `gone` turned plain, whole."""
    dead = {axis_atom(k) for k in gone}
    return tuple(
        [
            (size,) if any(a in dead for a in dim) else dim
            for dim, size in zip(layout, shape, strict=True)
        ]
    )


def sizes(dim: Dim, extents: Sequence[int | None], batch: int) -> list[int]:
    """The size of each atom of a dimension."""
    sizes = []
    for atom in dim:
        if atom >= 0:  # 0: an empty slice
            sizes.append(atom)
        elif atom == BATCH:
            sizes.append(batch)
        else:
            extent = extents[axis_of(atom)]
            assert extent is not None, "an axis of the layout has no extent"
            sizes.append(extent)
    return sizes


@dataclass(frozen=True, slots=True)
class Reshaped:
    """A layout after a reshape; `split` and `merged` hold, for the axes that changed grain, the factor.

    An axis of n positions split into (n / r, r) keeps its atom in the outer part, on a grid r times coarser; the inner
    r are entries like channels. An axis of n positions merged with r entries after it is an axis of n * r positions.
    """

    layout: Layout
    extents: tuple[int | None, ...]
    split: dict[int, int]
    merged: dict[int, int]


def reshape(
    layout: Layout, extents: Sequence[int | None], batch: int, shape: Sequence[int]
) -> Reshaped | None:
    """The layout after a view or reshape to `shape`, or None if the batch or an axis would be cut unevenly."""
    if 0 in shape:
        return None
    queue: list[tuple[int, int]] = []  # (atom, size), next one last
    for dim in reversed(layout):
        queue += list(zip(reversed(dim), reversed(sizes(dim, extents, batch)), strict=True))
    queue = [(a, n) for a, n in queue if a != 1]
    split: dict[int, int] = {}
    result: list[Dim] = []
    for place, size in enumerate(shape):
        held: list[int] = []
        have = 1
        while queue:
            atom, n = queue[-1]
            if n == 1:  # a tracked atom of one position could stand anywhere: see `_belongs`
                if (
                    have == size
                    and held
                    and not _belongs(held, queue, shape[place + 1 : place + 2])
                ):
                    break
                held.append(atom)
                queue.pop()
                continue
            if have == size:
                break
            queue.pop()
            if size % (have * n) == 0:
                held.append(atom)
                have *= n
                continue
            part = size // have
            if size % have or n % part or atom == BATCH:
                return None
            held.append(part if atom > 0 else atom)
            if atom < BATCH:
                if axis_of(atom) in split:
                    return None
                split[axis_of(atom)] = n // part
            have = size
            queue.append((n // part, n // part))
        if have != size:
            return None
        result.append(tuple(held) if held else (1,))
    while queue:  # what is left has one position each
        atom, n = queue.pop()
        if n != 1 or not result:
            return None
        result[-1] = (*result[-1], atom) if result[-1] != (1,) else (atom,)
    grown = [None if n is None else n // split.get(k, 1) for k, n in enumerate(extents)]
    merged: dict[int, int] = {}
    dims = []
    for dim in result:
        kept: list[int] = []
        for atom in _joined(dim):
            k = axis_of(kept[-1]) if kept and kept[-1] < BATCH else -1
            if atom > 1 and k >= 0 and k not in split and (grown[k] or 0) > 1:
                merged[k] = atom
                continue
            kept.append(atom)
        dims.append(tuple(kept) or (1,))
    grown_extents = tuple([n if n is None else n * merged.get(k, 1) for k, n in enumerate(grown)])
    return Reshaped(tuple(dims), grown_extents, split, merged)


def _belongs(held: list[int], queue: list[tuple[int, int]], following: Sequence[int]) -> bool:
    """Whether the next atom, of one position, goes with the full dimension `held` rather than with the next one.

    It does if it stands between positions and entries, as the last axis of (N * H * W, C) with W = 1, unless the next
    dimension has one entry and is there to hold it. The images go with the heads where entries are split into heads, as
    attention does whose images come second: (T, N, C) as (T, N * heads, C / heads).
    """
    after = next((a for a, n in reversed(queue) if n != 1), 1)
    if (
        queue[-1][0] == BATCH
        and following
        and 1 < following[0] < after
        and not after % following[0]
    ):
        return False
    return held[-1] < 0 and after > 0 and tuple(following) != (1,)


def _joined(dim: Dim) -> Dim:
    """Neighbouring plain atoms made one, ones dropped."""
    joined: list[int] = []
    for atom in dim:
        if atom == 1:
            continue
        if atom > 0 and joined and joined[-1] > 0:
            joined[-1] *= atom
        else:
            joined.append(atom)
    return tuple(joined) or (1,)
