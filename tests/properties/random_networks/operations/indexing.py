"""Parts of a value: slices, places, lists of places, masks, and values put side by side."""

from random_networks.drawing import Draw


def sliced(d: Draw) -> None:
    dim = d.dim()
    d.x(f"x[{d.at(dim, _slice(d, d.shape[dim]))}]")


def sliced_twice(d: Draw) -> None:
    a, b = d.dim(), d.dim()
    d.need(a != b)
    index = [":"] * d.rank
    index[a], index[b] = _slice(d, d.shape[a]), _slice(d, d.shape[b])
    d.x(f"x[{', '.join(index)}]")


def strided(d: Draw) -> None:
    dim = d.dim(2)
    d.x(f"x[{d.at(dim, f'{d.int(0, 1)}::{d.int(2, 3)}')}]")


def narrowed(d: Draw) -> None:
    dim = d.dim()
    start = d.int(0, d.shape[dim] - 1)
    d.x(f"x.narrow({d.side(dim)}, {start}, {d.int(1, d.shape[dim] - start)})")


def one_place(d: Draw) -> None:
    """One row, column or channel."""
    d.need(d.rank >= 3)
    dim = d.dim()
    place = _place(d, d.shape[dim])
    d.x(d.pick(f"x[{d.at(dim, place)}]", f"x.select({d.side(dim)}, {place})"))


def relative_to_one_place(d: Draw) -> None:
    dim = d.dim()
    place = d.int(0, d.shape[dim] - 1)
    kept = f"x[{d.at(dim, f'{place}:{place + 1}')}]"
    other = f"x.select({dim}, {place}).unsqueeze({dim})"
    d.x(
        d.pick("x - {0}", "x * {0}.tanh()", "torch.cat([x, {0}], {1})", "x + {0}").format(
            d.pick(kept, other), dim
        )
    )


def places(d: Draw) -> None:
    dim = d.dim()
    index = [d.int(0, d.shape[dim] - 1) for _ in range(d.int(1, 5))]
    d.x(
        d.pick(
            f"x[{d.at(dim, str(index))}]",
            f"x.index_select({d.side(dim)}, torch.tensor({index}))",
            f"x[{d.at(dim, f'torch.tensor({index})')}]",
        )
    )


def places_of_two(d: Draw) -> None:
    """Pairs of places along the last two dimensions."""
    d.need(d.rank >= 4)
    h, w = d.shape[-2:]
    count = d.int(1, 4)
    rows, columns = ([d.int(0, n - 1) for _ in range(count)] for n in (h, w))
    d.x(
        d.pick(
            f"x[..., {rows}, {columns}]",
            f"x[:, :, torch.tensor({rows})[:, None], torch.tensor({columns})]",
        )
    )


def permuted_places(d: Draw) -> None:
    dim = d.dim()
    index = d.new(f"torch.randperm({d.shape[dim]})", "b")
    d.run(f"index = {index}.long()")
    d.x(f"x[{d.at(dim, 'index')}]" if d.coin() else f"x.index_select({dim}, index)")


def gathered(d: Draw) -> None:
    """Each position takes the largest entry's neighbour."""
    dim = d.dim()
    kind = d.pick("argmax", "argmin")
    side = d.side(dim)
    d.run(f"index = (x * 3).{kind}({side}, keepdim=True)")
    d.x(
        d.pick(
            f"x.gather({side}, index)",
            f"torch.take_along_dim(x, index, dim={side})",
            f"x - x.gather({side}, index)",
        )
    )


def gathered_everywhere(d: Draw) -> None:
    """Places of their own for each entry, from a table."""
    dim = d.dim()
    shape = tuple(1 if k == 0 else n for k, n in enumerate(d.shape))
    index = d.new(f"torch.randint(0, {d.shape[dim]}, {shape})", "b")
    rest = ", ".join(["-1"] * (d.rank - 1))
    d.x(f"x.gather({d.side(dim)}, {index}.long().expand(x.shape[0], {rest}))")


def flipped(d: Draw) -> None:
    dims = sorted({d.dim(), d.dim()})
    d.x(d.pick(f"x.flip({dims})", f"torch.flip(x, {dims})", f"x + x.flip({d.side(dims[0])})"))


def rolled(d: Draw) -> None:
    dim = d.dim()
    d.x(
        f"x.roll({d.int(-3, 3)}, {d.side(dim)})"
        if d.coin(0.7)
        else f"torch.roll(x, ({d.int(-2, 2)}, {d.int(0, 3)}), ({dim}, {d.dim()}))"
    )


def triangle(d: Draw) -> None:
    d.need(d.rank >= 3)
    d.x(f"x.{d.pick('tril', 'triu')}({d.int(-2, 2)})")


def diagonal(d: Draw) -> None:
    d.need(d.rank >= 4)
    d.x(
        d.pick(
            "x.diagonal(dim1=-2, dim2=-1)",
            "x + torch.diag_embed(x.diagonal(0, -2, -1))[..., : x.shape[-2], : x.shape[-1]].mean((-2, -1), keepdim=True)",
        )
    )


def stacked(d: Draw) -> None:
    side = d.int(1, d.rank)
    parts = d.pick("[x, x * 2]", "[x, x.flip(-1)]", "(x.relu(), -x, x)")
    d.x(
        f"torch.stack({parts}, {side})"
        + d.pick(
            "", f".amax({side})", f".mean({side})", f".flatten({max(side - 1, 1)}, {max(side, 2)})"
        )
    )


def side_by_side(d: Draw) -> None:
    dim = d.dim()
    parts = d.pick(
        "[x, x]",
        "[x, x.tanh(), x[{0}]]",
        "[x[{1}], x]",
        "[x.flip({2}), x]",
        "[x, torch.zeros_like(x)]",
        "[torch.ones_like(x[{1}]), x]",
    )
    d.x(f"torch.cat({parts.format(d.at(dim, ':1'), d.at(dim, '-1:'), dim)}, {d.side(dim)})")


def split(d: Draw) -> None:
    dim = d.dim(2)
    n = d.shape[dim]
    first = d.int(1, n - 1)
    order = d.pick("torch.cat([b, a], {0})", "torch.cat([a * 2, b.tanh()], {0})", "a", "b")
    d.run(
        f"a, b = {d.pick(f'x.split([{first}, {n - first}], {d.side(dim)})', f'torch.split(x, ({first}, {n - first}), dim={dim})', f'torch.tensor_split(x, [{first}], dim={dim})')}"
    )
    d.x(order.format(dim))


def chunked(d: Draw) -> None:
    dim = d.dim(2)
    parts = d.int(2, 3)
    d.run(
        f"parts = {d.pick('x.chunk({0}, {1})', 'x.tensor_split({0}, {1})', 'torch.split(x, {0}, {1})').format(parts, d.side(dim))}"
    )
    d.x(
        d.pick(
            f"torch.cat(parts[::-1], {dim})",
            "parts[0]",
            "parts[-1]",
            f"torch.cat([p * (i + 1) for i, p in enumerate(parts)], {dim})",
            f"torch.cat([p - p.mean({dim}, keepdim=True) for p in parts], {dim})",
        )
    )


def unbound(d: Draw) -> None:
    dim = d.dim()
    d.need(d.shape[dim] <= 24 and d.rank >= 3)
    d.run(f"parts = {d.pick('x.unbind({0})', 'torch.unbind(x, dim={0})').format(d.side(dim))}")
    d.x(
        d.pick(
            f"torch.stack(parts[::-1], {dim})",
            f"torch.stack([p * (1 + i / 10) for i, p in enumerate(parts)], {dim})",
            "sum(parts)",
            "parts[-1]",
            f"torch.stack([parts[0], parts[-1]], {dim})",
        )
    )


def running_state(d: Draw) -> None:
    """A loop over a dimension that carries a state."""
    dim = d.dim()
    d.need(d.shape[dim] <= 24 and d.rank >= 3)
    d.run(
        "state, found = 0, []",
        f"for part in x.unbind({d.side(dim)}):",
        f"    state = {d.pick('0.5 * state + part', '(state + part).tanh()', 'part - 0.3 * state')}",
        "    found.append(state)",
    )
    d.x(f"torch.stack(found, {dim})")


def masked_rows(d: Draw) -> None:
    """A mask of booleans along one dimension."""
    dim = d.dim()
    mask = [d.coin() for _ in range(d.shape[dim])]
    d.need(any(mask))
    d.x(f"x[{d.at(dim, f'torch.tensor({mask})')}]")


def filled(d: Draw) -> None:
    mask = d.constant(f"torch.rand({tuple(1 if d.coin(0.3) else n for n in d.shape[1:])}) > 0.5")
    d.x(
        d.pick(
            "x.masked_fill({0} > 0.5, -1.0)",
            "torch.where({0} > 0.5, x, x.mean(1, keepdim=True))" if d.rank > 1 else "x * {0}",
            "x * {0}",
            "torch.where({0} > 0.5, x, 0)",
        ).format(mask)
    )


def chosen_by_data(d: Draw) -> None:
    """Entries picked by their values: how many is not known beforehand."""
    d.need(d.coin(0.2))
    d.x(
        d.pick(
            "x * (x[x > 0].mean() + 1)",
            "x - x.masked_select(x > 0).sum() / 100",
            "x + len(x.nonzero()) / 1000",
        )
    )


def decided_by_data(d: Draw) -> None:
    d.need(d.coin(0.2))
    d.run("if x.mean() > 0:", "    x = x * 2", "else:", "    x = x - 1")


def joined_with_saved(d: Draw) -> None:
    """A skip connection: with an earlier value, cut, repeated or resized to fit."""
    d.need(d.saved and d.rank == 4)
    fitting = [k for k, s in d.saved.items() if len(s) == 4]
    d.need(fitting)
    s = d.pick(*fitting)
    if d.coin():
        d.run(f"y = F.interpolate({s}, size=x.shape[-2:], mode='{d.pick('nearest', 'bilinear')}')")
        d.x("torch.cat([x, y], 1)")
    elif d.coin():
        d.run(
            f"h, w = min(x.shape[2], {s}.shape[2]), min(x.shape[3], {s}.shape[3])",
            f"y = {s}[..., :h, :w]",
        )
        d.x(
            "torch.cat([x[..., :h, :w], y], 1)"
            if d.coin()
            else "x[..., :h, :w] + y.mean(1, keepdim=True)"
        )
    else:
        d.x(f"x + {s}.mean((2, 3), keepdim=True).sum(1, keepdim=True)")


def added_to_saved(d: Draw) -> None:
    fitting = [k for k, s in d.saved.items() if s == d.shape]
    d.need(fitting)
    s = d.pick(*fitting)
    d.x(
        d.pick(
            f"x + {s}",
            f"torch.max(x, {s})",
            f"x * {s}.sigmoid()",
            f"torch.cat([{s}, x], 1)" if d.rank > 1 else f"x - {s}",
        )
    )


def _slice(d: Draw, n: int) -> str:
    start = d.int(0, n - 1)
    stop = d.int(start + 1, n)
    kinds = [
        f"{start}:{stop}",
        f"{start}:",
        f":{stop}",
        f"{start - n}:",
        f":{stop - n}" if stop < n else ":",
        f"{start}:{stop}:2",
    ]
    return d.pick(*kinds)


def _place(d: Draw, n: int) -> str:
    place = d.int(0, n - 1)
    return str(place - n if d.coin(0.3) else place)


INDEXING = {
    f.__name__: f
    for f in (
        sliced, sliced_twice, strided, narrowed, one_place, relative_to_one_place, places, places_of_two,
        permuted_places, gathered, gathered_everywhere, flipped, rolled, triangle, diagonal, stacked, side_by_side,
        split, chunked, unbound, running_state, masked_rows, filled, chosen_by_data, decided_by_data,
        joined_with_saved, added_to_saved,
    )
}  # fmt: skip
