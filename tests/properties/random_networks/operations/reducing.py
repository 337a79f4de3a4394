"""Reductions, scans and orders along any dimension."""

from random_networks.drawing import Draw

KINDS = (
    "mean",
    "sum",
    "amax",
    "amin",
    "std",
    "var",
    "logsumexp",
    "norm",
    "prod",
    "median",
    "max",
    "nansum",
    "min",
)


def _reduced(d: Draw, kind: str, dims: str, keep: bool, several: bool) -> str:
    if kind in ("std", "var"):
        return f"x.{kind}({dims}, unbiased=False, keepdim={keep})"
    if kind == "norm":
        return (
            f"x.norm({d.pick(2, 1)}, {dims}, keepdim={keep})"
            if d.coin()
            else f"torch.linalg.vector_norm(x, dim={dims}, keepdim={keep})"
        )
    if kind in ("median", "max", "min"):
        d.need(not several)
        return f"x.{kind}({dims}, keepdim={keep})" + d.pick("[0]", ".values")
    if kind == "prod":
        d.need(not several)
        return f"x.tanh().prod({dims}, keepdim={keep})"
    return f"x.{kind}({dims}, keepdim={keep})"


def reduced(d: Draw) -> None:
    d.need(d.rank >= 3)
    d.x(_reduced(d, d.pick(*KINDS), str(d.side(d.dim())), False, False))


def reduced_and_kept(d: Draw) -> None:
    d.x(_reduced(d, d.pick(*KINDS), str(d.side(d.dim())), True, False))


def reduced_over_several(d: Draw) -> None:
    d.need(d.rank >= 3)
    dims = sorted({d.dim(), d.dim()})
    d.x(_reduced(d, d.pick(*KINDS), str(tuple(d.side(k) for k in dims)), d.coin(0.7), True))


def compared_with_its_reduction(d: Draw) -> None:
    kind = d.pick(*KINDS)
    d.run(f"y = {_reduced(d, kind, str(d.side(d.dim())), True, False)}")
    d.x(
        d.pick(
            "x - y",
            "x + y",
            "x * y.sigmoid()",
            "torch.cat([x, y.expand_as(x)], 1)",
            "x / (y.abs() + 1)",
            "torch.where(x > y, x, y)",
        )
    )


def over_the_batch(d: Draw) -> None:
    d.need(d.coin(0.15))
    d.x(
        d.pick(
            "x - x.mean(0, keepdim=True)",
            "x / (x.std(0, unbiased=False, keepdim=True) + 1)",
            "x + x.amax(0)",
            "x.softmax(0)",
            "x - x.mean()",
            "x / (x.abs().max() + 1)",
        )
    )


def over_the_image(d: Draw) -> None:
    """One statistic of everything of an image."""
    d.need(d.rank >= 2)
    ones = ", 1" * (d.rank - 1)
    d.x(
        d.pick(
            "x - x.flatten(1).mean(1)",
            "x / (x.flatten(1).amax(-1) + 3)",
            "x * x.reshape(x.shape[0], -1).std(1, unbiased=False)",
            "x + x.flatten(1).median(1).values",
        )
        + f".view(-1{ones})"
    )


def cumulative(d: Draw) -> None:
    side = d.side(d.dim())
    d.x(
        d.pick(
            f"x.cumsum({side}) / 3",
            f"torch.cumprod(x.tanh(), {side})",
            f"x.cummax({side}).values",
            f"x.logcumsumexp({side})",
            f"x.cummin({side})[0]",
            f"x.flip({side}).cumsum({side}).flip({side})",
        )
    )


def differences(d: Draw) -> None:
    dim = d.dim(2)
    d.x(
        f"torch.diff(x, dim={d.side(dim)})"
        if d.coin()
        else f"x[{d.at(dim, '1:')}] - x[{d.at(dim, ':-1')}]"
    )


def gradient_magnitude(d: Draw) -> None:
    """Total variation: differences along both axes, each of its own size."""
    d.map()
    d.run(
        "dy = (x[..., 1:, :] - x[..., :-1, :])[..., :, 1:]",
        "dx = (x[..., :, 1:] - x[..., :, :-1])[..., 1:, :]",
    )
    d.x("torch.sqrt(dx ** 2 + dy ** 2 + 0.01)")


def ordered(d: Draw) -> None:
    side = d.side(d.dim())
    d.x(
        d.pick(
            f"x.sort({side}).values",
            f"torch.sort(x, dim={side}, descending=True)[0]",
            f"x.sort({side}, stable=True)[0]",
            f"x.msort() if {side} == 0 else x.sort({side})[0]",
        )
    )


def largest(d: Draw) -> None:
    dim = d.dim()
    k = d.int(1, min(d.shape[dim], 3))
    d.x(f"x.topk({k}, dim={d.side(dim)}{d.pick('', ', largest=False')}){d.pick('[0]', '.values')}")


def kth(d: Draw) -> None:
    dim = d.dim()
    d.x(
        f"x.kthvalue({d.int(1, d.shape[dim])}, {d.side(dim)}, keepdim=True){d.pick('[0]', '.values')}"
        if d.coin()
        else f"torch.quantile(x, {d.pick(0.25, 0.5, 0.9)}, dim={d.side(dim)}, keepdim=True)"
    )


def position_of_maximum(d: Draw) -> None:
    dim = d.dim()
    scale = max(d.shape[dim], 1)
    d.x(
        f"x.{d.pick('argmax', 'argmin')}({d.side(dim)}, keepdim=True).to(x.dtype) / {scale}"
        + d.pick("", " + x")
    )


def soft_argmax(d: Draw) -> None:
    """Expected coordinates of heat maps (DSNT)."""
    d.map()
    d.run("n, c, h, w = x.shape", "p = x.flatten(2).softmax(-1).view(n, c, h, w)")
    d.run(
        "px = (p.sum(2) * torch.linspace(-1, 1, w, dtype=x.dtype)).sum(-1)",
        "py = (p.sum(3) * torch.linspace(-1, 1, h, dtype=x.dtype)).sum(-1)",
    )
    d.x(d.pick("x + (px + py)[..., None, None]", "torch.stack([px, py], -1)"))


def one_hot(d: Draw) -> None:
    _, c, _, _ = d.map()
    d.x(f"F.one_hot(x.argmax(1), {c + d.int(0, 1)}).permute(0, 3, 1, 2).to(x.dtype)")


def one_minus_largest(d: Draw) -> None:
    """Keeps what is largest among the channels."""
    d.need(d.rank >= 2)
    d.x("x * (x == x.amax(1, keepdim=True))")


REDUCING = {
    f.__name__: f
    for f in (
        reduced, reduced_and_kept, reduced_over_several, compared_with_its_reduction, over_the_batch, over_the_image,
        cumulative, differences, gradient_magnitude, ordered, largest, kth, position_of_maximum, soft_argmax, one_hot,
        one_minus_largest,
    )
}  # fmt: skip
