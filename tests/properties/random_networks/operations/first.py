"""First steps that write into the image itself, as people write them to save memory."""

from random_networks.drawing import Draw


def activation(d: Draw) -> None:
    kind = d.pick("SELU(inplace=True)", "ReLU(inplace=True)", "Hardswish(inplace=True)", "LeakyReLU(0.3, True)",
                  "ELU(inplace=True)", "SiLU(inplace=True)")  # fmt: skip
    d.x(f"{d.new(f'nn.{kind}')}(x)")


def normalised(d: Draw) -> None:
    d.run(f"x.sub_({d.float()}).div_({abs(d.float()) + 0.5:.2f})")


def constants(d: Draw) -> None:
    c = d.shape[1]
    shape = (c, *[1] * (d.rank - 2))
    name = d.parameter(*shape)
    d.run(d.pick(f"x.mul_({name})", f"x.add_({name}, alpha=0.5)", f"x -= {name}"))


def clamped(d: Draw) -> None:
    d.run(
        d.pick(
            "x.clamp_(-0.5, 0.7)",
            "x.clamp_min_(0)",
            "torch.relu_(x)",
            "x.tanh_()",
            "x.sigmoid_()",
            "x.abs_()",
        )
    )


def part(d: Draw) -> None:
    d.need(d.shape[-1] > 1)
    d.run(
        d.pick(
            "x[..., 1:] *= 2",
            "x[:, 0] = 0.5",
            "x[..., ::2].add_(1)",
            "x[:, :1].relu_()",
            "x[x < 0] = 0.1",
        )
    )


def statistics(d: Draw) -> None:
    d.run(
        d.pick(
            "x -= x.mean(dim=-1, keepdim=True)",
            "x.sub_(x.amin((1, 2), keepdim=True))",
            "x.copy_(x.flip(-1))",
        )
    )


def kept_and_written(d: Draw) -> None:
    """A skip connection that holds the image, which is then written into: both are the written one."""
    d.run("y = x", "x.mul_(0.5).add_(0.2)")
    d.x("y + x")


FIRST = {
    f"first_{f.__name__}": f
    for f in (activation, normalised, constants, clamped, part, statistics, kept_and_written)
}  # fmt: skip
