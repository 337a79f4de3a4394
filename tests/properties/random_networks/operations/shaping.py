"""Dimensions moved, merged, split, added, dropped and repeated: through batch, channels and space."""

import math

from random_networks.drawing import Draw


def permuted(d: Draw) -> None:
    order = list(range(1, d.rank))
    d.rng.shuffle(order)
    order = [0, *order]
    if d.coin(0.05):
        d.rng.shuffle(order)
    d.x(f"x.permute({', '.join(map(str, order))})")


def swapped(d: Draw) -> None:
    a, b = d.dim(), d.dim()
    d.need(a != b)
    d.x(f"x.{d.pick('transpose', 'swapaxes', 'swapdims')}({d.side(a)}, {d.side(b)})")


def moved(d: Draw) -> None:
    d.need(d.rank >= 3)
    d.x(f"x.{d.pick('movedim', 'moveaxis')}({d.side(d.dim())}, {d.side(d.dim())})")


def merged(d: Draw) -> None:
    d.need(d.rank >= 3)
    start = d.int(0 if d.coin(0.4) else 1, d.rank - 2)
    stop = d.int(start + 1, min(start + 2, d.rank - 1))
    if d.coin():
        d.x(f"x.flatten({d.side(start)}, {d.side(stop)})")
    else:
        before, after = (
            [d.size(k) for k in range(start)],
            [d.size(k) for k in range(stop + 1, d.rank)],
        )
        d.x(f"x.reshape({', '.join([*before, '-1', *after])})")


def split_dim(d: Draw) -> None:
    dim = d.dim(2, batch=0.1)
    n = d.shape[dim]
    parts = [k for k in range(1, n + 1) if n % k == 0]
    a = d.pick(*parts)
    d.x(f"x.unflatten({d.side(dim)}, {d.pick((a, n // a), (-1, n // a), (a, -1))})")


def reshaped(d: Draw) -> None:
    """Any shape of the same number of entries, the batch kept."""
    rest = math.prod(d.shape[1:])
    sizes = []
    for _ in range(d.int(1, 3)):
        a = d.pick(*[k for k in range(1, min(rest, 20) + 1) if rest % k == 0])
        sizes.append(a)
        rest //= a
    sizes.append(rest)
    d.rng.shuffle(sizes)
    text = [str(s) for s in sizes]
    if d.coin():
        text[d.int(0, len(text) - 1)] = "-1"
    d.x(f"x.{d.pick('reshape', 'reshape', 'contiguous().view')}({', '.join([d.size(0), *text])})")


def back_to_a_map(d: Draw) -> None:
    """Whatever it is, as (N, C, H, W) again."""
    rest = math.prod(d.shape[1:])
    c = d.pick(*[k for k in (1, 2, 3, 4, 6, 8) if rest % k == 0])
    rest //= c
    h = d.pick(*[k for k in range(1, min(rest, 24) + 1) if rest % k == 0])
    d.need(rest // h <= 60)
    d.x(f"x.reshape({d.size(0)}, {c}, {h}, {d.pick('-1', rest // h)})")


def through_the_batch(d: Draw) -> None:
    """Positions or channels into the batch, something done, and out again."""
    d.need(d.rank >= 3)
    inner = d.pick(
        "x - x.mean(1, keepdim=True)",
        "x.cumsum(-1)",
        "F.relu(x)",
        "x.softmax(-1)",
        "x.flip(1)",
        "x - x[:, :1]",
        "x * x.amax(-1, keepdim=True)",
    )
    d.run(f"n, k = x.shape[0], x.shape[{1}]")
    d.run(
        "x = x.flatten(0, 1)" if d.coin() else "x = x.reshape(n * k, *x.shape[2:])", f"x = {inner}"
    )
    d.x(
        d.pick(
            "x.unflatten(0, (n, k))", "x.view(n, k, *x.shape[1:])", "x.reshape(-1, k, *x.shape[1:])"
        )
    )


def positions_in_the_batch(d: Draw) -> None:
    """Each position becomes an image of its own, as in networks in networks."""
    _, c, _, _ = d.map()
    linear = d.new(f"nn.Sequential(nn.Linear({c}, {c}), nn.ReLU())")
    d.run("n, c, h, w = x.shape")
    d.x(f"{linear}(x.permute(0, 2, 3, 1).reshape(-1, c))")
    d.x(
        "x.view(n, h, w, c).permute(0, 3, 1, 2)"
        if d.coin()
        else "x.reshape(n, h * w, -1).transpose(1, 2).unflatten(2, (h, w))"
    )


def widened(d: Draw) -> None:
    d.need(d.rank <= 5)
    place = d.int(1, d.rank)
    d.x(
        d.pick(
            f"x.unsqueeze({place})",
            f"x[{', '.join([':'] * place + ['None'])}]",
            f"torch.unsqueeze(x, {place})",
        )
    )


def squeezed(d: Draw) -> None:
    ones = [k for k in range(1, d.rank) if d.shape[k] == 1]
    d.need(ones and d.rank >= 3)
    dim = d.pick(*ones)
    d.x(d.pick(f"x.squeeze({d.side(dim)})", f"x[{', '.join([':'] * dim + ['0'])}]"))


def expanded(d: Draw) -> None:
    ones = [k for k in range(1, d.rank) if d.shape[k] == 1]
    d.need(ones)
    dim = d.pick(*ones)
    sizes = ["-1"] * d.rank
    sizes[dim] = str(d.int(2, 4))
    d.x(f"x.expand({', '.join(sizes)})")


def repeated(d: Draw) -> None:
    times = ["1"] * d.rank
    times[d.dim()] = "2"
    d.x(
        d.pick(
            f"x.repeat({', '.join(times)})",
            f"x.tile(({', '.join(times)}))",
            f"torch.tile(x, ({', '.join(times)}))",
        )
    )


def interleaved_repeat(d: Draw) -> None:
    d.x(
        f"x.repeat_interleave(2, {d.side(d.dim())})"
        if d.coin()
        else f"torch.repeat_interleave(x, 3, dim={d.dim()})"
    )


def channel_shuffle(d: Draw) -> None:
    _, c, _, _ = d.map()
    groups = [g for g in range(2, c + 1) if c % g == 0]
    d.need(groups)
    g = d.pick(*groups)
    d.run("n, c, h, w = x.shape")
    d.x(
        d.pick(
            f"x.view(n, {g}, c // {g}, h, w).transpose(1, 2).reshape(n, c, h, w)",
            f"{d.new(f'nn.ChannelShuffle({g})')}(x)",
            f"x.reshape(n, {g}, -1, h, w).swapaxes(1, 2).flatten(1, 2)",
        )
    )


def grid_of_windows(d: Draw) -> None:
    """Cut into windows, something done in each, and put together (as in Swin)."""
    d.map()
    inner = d.pick(
        "y - y.mean(1, keepdim=True)",
        "y.softmax(1)",
        "y.flip(1)",
        "y.cumsum(1) / 4",
        "y[:, :1] + y",
    )
    d.run("n, c, h, w = x.shape", "x = F.pad(x, (0, -w % 2, 0, -h % 2))", "a, b = x.shape[2] // 2, x.shape[3] // 2",
          "y = x.view(n, c, a, 2, b, 2).permute(0, 2, 4, 3, 5, 1).reshape(-1, 4, c)", f"y = {inner}",
          "x = y.view(n, a, b, 2, 2, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, 2 * a, 2 * b)")  # fmt: skip
    d.x("x[:, :, :h, :w]")


def dilated_grid(d: Draw) -> None:
    """Every second position together: grid attention of MaxViT."""
    d.map()
    d.run(
        "n, c, h, w = x.shape",
        "x = x[..., : h // 2 * 2, : w // 2 * 2]",
        "y = x.reshape(n, c, 2, h // 2, 2, w // 2)",
        f"y = y {d.pick('-', '+')} y.{d.pick('mean((2, 4), keepdim=True)', 'amax((3, 5), keepdim=True)', 'mean(3, keepdim=True)')}",
    )
    d.x("y.reshape(n, c, h // 2 * 2, w // 2 * 2)")


def diagonal_view(d: Draw) -> None:
    _, c, _, _ = d.map()
    d.need(d.coin(0.4))
    d.run("x = x.contiguous()", "n, c, h, w = x.shape")
    d.x(
        d.pick(
            "x.as_strided((n, c, h, w // 2), (c * h * w, h * w, w, 2)) if w > 1 else x",
            "x.as_strided((n, c, h, w), x.stride())",
        )
    )


def tokens(d: Draw) -> None:
    d.map()
    d.x(
        d.pick(
            "x.flatten(2).transpose(1, 2)",
            "x.flatten(-2).permute(2, 0, 1).transpose(0, 1)",
            "x.view(x.shape[0], x.shape[1], -1).mT",
        )
    )


def tokens_with_a_class(d: Draw) -> None:
    """A learnt token in front, attention-free mixing, then all but it as a map again."""
    _, c, h, w = d.map()
    first = d.parameter(1, 1, c)
    d.run(
        "h, w = x.shape[-2:]",
        "t = x.flatten(2).transpose(1, 2)",
        f"t = torch.cat([{first}.expand(t.shape[0], -1, -1), t], 1)",
    )
    d.run(f"t = t + {d.pick('t[:, :1]', 't.mean(1, keepdim=True)', 't.roll(1, 1)')}")
    d.x("t[:, 1:].transpose(1, 2).reshape(x.shape[0], -1, h, w)")


SHAPING = {
    f.__name__: f
    for f in (
        permuted, swapped, moved, merged, split_dim, reshaped, back_to_a_map, through_the_batch,
        positions_in_the_batch, widened, squeezed, expanded, repeated, interleaved_repeat, channel_shuffle,
        grid_of_windows, dilated_grid, diagonal_view, tokens, tokens_with_a_class,
    )
}  # fmt: skip
