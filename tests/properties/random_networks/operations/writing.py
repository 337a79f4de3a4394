"""Values written in place, whole or through views."""

from random_networks.drawing import Draw


def in_place(d: Draw) -> None:
    d.run(
        "x = x.clone()",
        f"x{d.pick('.relu_()', '.mul_(0.5)', '.add_(1)', '.clamp_(-1, 1)', '.sigmoid_()', '.neg_()', '.sub_(0.1).div_(2)', '.abs_()', '.tanh_().add_(x)', '.masked_fill_(x > 1, 0.5)')}",
    )


def augmented(d: Draw) -> None:
    d.run(
        "x = x + 0",
        d.pick(
            "x += 1",
            "x *= 0.5",
            "x -= x.mean()" if d.coin(0.2) else "x -= 0.2",
            "x /= 2",
            "x **= 2",
        ),
    )


def part_written(d: Draw) -> None:
    dim = d.dim()
    n = d.shape[dim]
    start = d.int(0, n - 1)
    stop = d.int(start + 1, n)
    at = d.at(dim, d.pick(f"{start}:{stop}", f"{start}", f"{start - n}", f"{start}::2"))
    value = d.pick(
        f"= {d.float()}",
        "*= 0.5",
        "+= 1",
        f"= x[{at}].tanh()",
        f"= x[{at}] * 2",
        f"-= x[{at}].abs()",
    )
    d.run(f"x = {d.pick('x.clone()', 'x * 1', 'x + 0')}", f"x[{at}] {value}")


def neighbour_written(d: Draw) -> None:
    """A part that takes its neighbour, as temporal shifts do."""
    dim = d.dim(2)
    after, before = d.at(dim, "1:"), d.at(dim, ":-1")
    kind = d.pick(
        f"y[{after}] = x[{before}]",
        f"y[{before}] = x[{after}] * 0.5",
        f"y[{after}] += x[{before}]",
        f"y[{before}].add_(x[{after}])",
    )
    d.run("y = x.clone()" if d.coin() else "y = torch.zeros_like(x)", kind)
    d.x("y")


def through_a_view(d: Draw) -> None:
    d.need(d.rank >= 3)
    kinds = [
        "x.flatten(1)[:, 1:] *= 0.5", "x.transpose(1, 2)[:, 0] += 1", "x.view(x.shape[0], -1)[:, :2] = 0.3",
        "x.permute(0, *range(x.dim() - 1, 0, -1))[:, :1].mul_(2)", "x.select(1, 0).zero_()",
        "x.narrow(2, 0, 1).fill_(0.7)", "x.unsqueeze(1)[..., -1] = 0", "x[:, 0][..., :1] -= 1", "x.mT[..., 0] += 0.5",
        "x.unbind(1)[-1].add_(2)", "x.chunk(2, 1)[0].mul_(3)", "x[..., ::2].copy_(x[..., ::2].flip(-1))",
        "x.diagonal(0, -2, -1).fill_(0)",
    ]  # fmt: skip
    d.run("x = x.clone(memory_format=torch.contiguous_format)", d.pick(*kinds))


def border(d: Draw) -> None:
    """A canvas with the value in its middle."""
    _, c, _, _ = d.map()
    a, b, e, f = (d.int(0, 2) for _ in range(4))
    made = d.pick("x.new_zeros", "x.new_ones", "torch.zeros")
    more = ", dtype=x.dtype" if made == "torch.zeros" else ""
    d.run(
        "n, c, h, w = x.shape",
        f"y = {made}((n, c, h + {a + b}, w + {e + f}){more})",
        f"y[:, :, {a} : {a} + h, {e} : {e} + w] = x",
    )
    d.x("y")


def slots(d: Draw) -> None:
    """A canvas of more channels filled part by part."""
    _, c, _, _ = d.map()
    d.run(
        "n, c, h, w = x.shape",
        "y = torch.empty(n, 2 * c, h, w, dtype=x.dtype)",
        "y[:, :c] = x",
        f"y[:, c:] = {d.pick('x.flip(3)', 'x * 2', 'x.roll(1, 2)', 'x.mean((2, 3), keepdim=True)')}",
    )
    d.x("y")


def interleaved(d: Draw) -> None:
    d.map()
    d.run(
        "n, c, h, w = x.shape",
        "y = x.new_empty(n, c, 2 * h, w)",
        "y[:, :, ::2] = x",
        f"y[:, :, 1::2] = {d.pick('x.tanh()', '-x', 'x.roll(1, 3)')}",
    )
    d.x("y")


def by_mask(d: Draw) -> None:
    d.run(
        "x = x.clone()",
        d.pick("x[x < 0] = 0", "x[x.abs() > 1] = 0.5", "x[x > 0] *= 2", "x[x.isnan()] = 0"),
    )


def by_places(d: Draw) -> None:
    dim = d.dim()
    index = sorted({d.int(0, d.shape[dim] - 1) for _ in range(d.int(1, 3))})
    kinds = [
        f"x[{d.at(dim, str(index))}] = 0.5",
        f"x.index_fill_({dim}, torch.tensor({index}), 1.0)",
        f"x.index_add_({dim}, torch.tensor({index}), x.index_select({dim}, torch.tensor({index})).tanh())",
        f"x[{d.at(dim, str(index))}] *= 2",
    ]
    d.run("x = x.clone()", d.pick(*kinds))


def scattered(d: Draw) -> None:
    dim = d.dim()
    d.run(f"index = x.argmax({d.side(dim)}, keepdim=True)")
    d.x(
        d.pick(
            f"x.scatter({dim}, index, 0.5)",
            f"torch.zeros_like(x).scatter_({dim}, index, 1.0)",
            f"x.scatter_add({dim}, index, torch.ones_like(x))",
        )
    )


def functional_writes(d: Draw) -> None:
    dim = d.dim()
    n = d.shape[dim]
    place = d.int(0, n - 1)
    d.x(
        d.pick(
            f"torch.select_scatter(x, x.select({dim}, {place}).tanh(), {dim}, {place})",
            f"torch.slice_scatter(x, x.narrow({dim}, {place}, 1) * 2, {dim}, {place}, {place + 1})",
            f"torch.index_fill(x, {dim}, torch.tensor([{place}]), 0.2)",
        )
    )


def accumulated(d: Draw) -> None:
    """Overlapping parts added into a canvas, and how often, as sliding windows do."""
    d.map()
    d.run(
        "y, count = torch.zeros_like(x), torch.zeros_like(x)",
        "h = x.shape[2]",
        "for top in range(0, max(h - 3, 1), 2):",
        "    y[:, :, top : top + 4] += x[:, :, top : top + 4].tanh()",
        "    count[:, :, top : top + 4] += 1",
    )
    d.x("y / count.clamp(min=1)")


def kept_buffer(d: Draw) -> None:
    """A table made once and kept on the module."""
    d.map()
    d.run(
        "if not hasattr(self, '_kept'):",
        "    self._kept = {}",
        "key = tuple(x.shape[-2:])",
        "if key not in self._kept:",
        "    self._kept[key] = torch.linspace(0, 1, key[0] * key[1], dtype=x.dtype).view(key)",
    )
    d.x("x + self._kept[key]")


def out_argument(d: Draw) -> None:
    d.run(
        "y = torch.empty_like(x)",
        d.pick("torch.add(x, 1, out=y)", "torch.mul(x, x, out=y)", "torch.clamp(x, -1, 1, out=y)"),
    )
    d.x("y")


WRITING = {
    f.__name__: f
    for f in (
        in_place, augmented, part_written, neighbour_written, through_a_view, border, slots, interleaved, by_mask,
        by_places, scattered, functional_writes, accumulated, kept_buffer, out_argument,
    )
}  # fmt: skip
