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
    found = []
    for atom in dim:
        if atom > 0:
            found.append(atom)
        elif atom == BATCH:
            found.append(batch)
        else:
            extent = extents[axis_of(atom)]
            assert extent is not None, "an axis of the layout has no extent"
            found.append(extent)
    return found


def reshape(
    layout: Layout, extents: Sequence[int | None], batch: int, shape: Sequence[int]
) -> Layout | None:
    """The layout after a view or reshape to `shape`, or None if an axis or the batch would be cut in two."""
    queue: list[tuple[int, int]] = []  # (atom, size), next one last
    for dim in reversed(layout):
        queue += list(zip(reversed(dim), reversed(sizes(dim, extents, batch)), strict=True))
    queue = [(a, n) for a, n in queue if a != 1]
    result: list[Dim] = []
    for size in shape:
        held: list[int] = []
        have = 1
        while queue:
            atom, n = queue[-1]
            if n == 1:  # a tracked atom of one position belongs where it can first be held
                if have == size and held:
                    break
                held.append(atom)
                queue.pop()
                if size == 1:
                    break
                continue
            if have == size:
                break
            if size % (have * n) == 0:
                held.append(atom)
                have *= n
                queue.pop()
                continue
            if size % have or atom < 0:
                return None
            part = size // have
            if n % part:
                return None
            held.append(part)
            have = size
            queue[-1] = (n // part, n // part)
        if have != size:
            return None
        result.append(tuple(held) if held else (1,))
    while queue:  # what is left has one position each
        atom, n = queue.pop()
        if n != 1 or not result:
            return None
        result[-1] = (*result[-1], atom) if result[-1] != (1,) else (atom,)
    return tuple(_joined(dim) for dim in result)


def _joined(dim: Dim) -> Dim:
    """Neighbouring plain atoms made one, ones dropped."""
    found: list[int] = []
    for atom in dim:
        if atom == 1:
            continue
        if atom > 0 and found and found[-1] > 0:
            found[-1] *= atom
        else:
            found.append(atom)
    return tuple(found) or (1,)
