"""Activations, gates, arithmetic with constants and coordinates."""

from random_networks.drawing import Draw

ACTIVATIONS = (
    "ReLU()", "ReLU(inplace=True)", "ReLU6()", "LeakyReLU(0.2)", "ELU()", "SELU(inplace=True)", "CELU()", "GELU()",
    "GELU(approximate='tanh')", "SiLU()", "Mish()", "Hardswish()", "Hardsigmoid()", "Hardtanh()", "Softplus()",
    "Softplus(beta=2)", "Softsign()", "Tanhshrink()", "Hardshrink(0.3)", "Softshrink(0.2)", "Threshold(0.1, -0.5)",
    "LogSigmoid()", "Sigmoid()", "Tanh()", "PReLU()", "RReLU()", "Dropout(0.5)", "Dropout2d(0.2)", "AlphaDropout()",
    "Identity()",
)  # fmt: skip
FUNCTIONS = (
    "F.relu(x)", "x.relu()", "torch.relu(x)", "F.relu_(x.clone())", "x.clamp(min=0)", "x.clamp_min(0)",
    "torch.clamp(x, -0.5, 1.5)", "x.clip(max=1)", "F.hardtanh(x, -1, 2)", "x * x.sigmoid()", "F.softplus(x)",
    "x.tanh()", "torch.sin(x)", "x.abs()", "x.square()", "x ** 2", "x.abs().sqrt()", "(x.abs() + 1).log()",
    "x.exp().log1p()", "torch.erf(x)", "x.sign() * x.abs().add(1).log()", "F.elu(x)", "F.leaky_relu(x, 0.1)",
    "torch.where(x > 0, x, 0.1 * x)", "torch.where(x > 0, x, torch.zeros_like(x))", "x.masked_fill(x < 0, 0.0)",
    "x * (x > 0)", "x.mul(2).sub(1)", "1 - x", "2 / (x.abs() + 1)", "x.reciprocal().clamp(-3, 3)", "x / (1 + x.abs())",
    "torch.atan2(x, x + 2)", "x.fmod(1.0)", "x.frac()", "torch.maximum(x, -x)", "torch.minimum(x, x * 0.5)",
    "torch.lerp(x, x.relu(), 0.3)", "torch.addcmul(x, x, x, value=0.1)", "x.nan_to_num()", "F.dropout(x, 0.5, False)",
    "F.dropout(x, training=self.training)", "x.double()", "x.clone()", "x.contiguous()", "x.to(x.dtype)", "+x", "-x",
    "x.cos().acos()", "torch.special.expit(x)", "torch.logit(x.sigmoid())", "x.softmax(1) if x.dim() > 4 else x",
)  # fmt: skip


def activation(d: Draw) -> None:
    kind = d.pick(*ACTIVATIONS)
    d.x(f"{d.new(f'nn.{kind}')}(x)")


def function(d: Draw) -> None:
    d.x(d.pick(*FUNCTIONS))


def several_functions(d: Draw) -> None:
    for _ in range(d.int(2, 3)):
        d.x(d.pick(*FUNCTIONS))


def prelu_of_channels(d: Draw) -> None:
    d.need(d.rank >= 2)
    d.x(f"{d.new(f'nn.PReLU({d.shape[1]})')}(x)")


def softmax(d: Draw) -> None:
    kind = d.pick("softmax", "log_softmax", "softmin", "softmax")
    if d.coin(0.3) and d.rank == 4 and kind == "softmax":
        d.x(f"{d.new('nn.Softmax2d()')}(x)")
    elif kind != "softmin" and d.coin():
        d.x(f"x.{kind}({d.side(d.dim())})")
    else:
        d.x(f"F.{kind}(x, dim={d.side(d.dim())})")


def softmax_of_positions(d: Draw) -> None:
    d.map()
    d.x("x.flatten(2).softmax(-1).view(x.shape) * 10")


def glu(d: Draw) -> None:
    dim = d.dim(2)
    d.need(d.shape[dim] % 2 == 0)
    d.x(f"F.glu(x, {d.side(dim)})" if d.coin() else f"{d.new(f'nn.GLU({d.side(dim)})')}(x)")


def gated(d: Draw) -> None:
    dim = d.dim(2)
    d.need(d.shape[dim] % 2 == 0)
    d.run(f"a, b = x.chunk(2, {d.side(dim)})")
    d.x(d.pick("a * b.sigmoid()", "a * b", "torch.max(a, b)", "F.gelu(a) * b", "a.relu() + b"))


def maxout(d: Draw) -> None:
    d.need(d.rank >= 3)
    n, c = d.shape[:2]
    d.need(c % 2 == 0)
    rest = d.sizes(*range(2, d.rank))
    d.x(
        f"x.view({d.size(0)}, {c // 2}, 2, {rest}).{d.pick('amax(2)', 'max(2).values', 'max(dim=2)[0]')}"
    )


def channel_constants(d: Draw) -> None:
    d.need(d.rank >= 3)
    c = d.shape[1]
    mean = d.constant(f"torch.rand({c})")
    ones = ", 1" * (d.rank - 2)
    d.x(f"(x - {mean}.view(1, -1{ones})) / (1 + {mean}.abs().view({c}{ones}))")


def broadcast_constant(d: Draw) -> None:
    """A constant with some dimensions of the value and ones elsewhere."""
    shape = [n if d.coin() else 1 for n in d.shape[1:]]
    if d.coin(0.3):
        shape = shape[d.int(0, len(shape) - 1) :] if shape else shape
    else:
        shape = [1, *shape]
    name = d.constant(f"torch.randn({tuple(shape)})")
    d.x(
        d.pick(
            "x + {0}",
            "x * {0}",
            "x - {0}",
            "torch.where({0} > 0, x, -x)",
            "{0} * 0.5 + x",
            "torch.mul({0}, x)",
            "x.add({0}, alpha=0.5)",
        ).format(name)
    )


def position_table(d: Draw) -> None:
    """A learnt embedding of positions, of its own size or resized."""
    _, c, h, w = d.map()
    if d.coin():
        d.x(f"x + {d.parameter(1, c, h, w)} * 0.1")
    else:
        table = d.parameter(1, c, d.int(2, 7), d.int(2, 7))
        d.x(f"x + F.interpolate({table}, size=x.shape[-2:], mode='bilinear')")


def coordinates(d: Draw) -> None:
    d.map()
    kinds = [
        ("ys, xs = torch.meshgrid(torch.arange(h), torch.arange(w), indexing='ij')", "xs / w, ys / h"),
        ("xs = torch.linspace(-1, 1, w).view(1, w).expand(h, w)\nys = torch.linspace(-1, 1, h).view(h, 1).expand(h, w)", "xs, ys"),
        ("ys, xs = (torch.from_numpy(a) for a in np.mgrid[0:h, 0:w] / 10)", "xs, ys"),
        ("xs = torch.arange(w, dtype=x.dtype, device=x.device).repeat(h, 1)\nys = torch.arange(h, dtype=x.dtype)[:, None].repeat(1, w)", "xs.cos(), ys.sin()"),
        ("xs = torch.ones(h, w).cumsum(1)\nys = torch.ones(h, w).cumsum(0)", "xs / 5, ys / 5"),
    ]  # fmt: skip
    made, names = d.pick(*kinds)
    d.run("n, c, h, w = x.shape", *made.split("\n"), f"grid = torch.stack([{names}]).to(x)")
    d.x(
        d.pick(
            "torch.cat([x, grid.expand(n, -1, -1, -1)], 1)",
            "x + grid[:1]",
            "torch.cat([grid[None].repeat(n, 1, 1, 1), x], 1)",
            "x * grid.sum(0).sin()",
        )
    )


def radius(d: Draw) -> None:
    """Distance from the centre, as a weight."""
    d.map()
    d.run(
        "h, w = x.shape[-2:]",
        "r = ((torch.arange(h)[:, None] - h // 2) ** 2 + (torch.arange(w) - w // 2) ** 2).to(x.dtype)",
    )
    d.x(
        d.pick(
            "x * torch.exp(-r / 20)",
            "x.masked_fill(r > 16, 0)",
            "torch.where(r < 9, x, x * 0.5)",
            "x + r.sqrt() / 10",
        )
    )


def squeeze_and_excitation(d: Draw) -> None:
    _, c, _, _ = d.map()
    pooled = d.pick(
        "x.mean((2, 3), keepdim=True)",
        "F.adaptive_avg_pool2d(x, 1)",
        "x.amax((-1, -2), keepdim=True)",
        "x.mean(3, keepdim=True)",
    )
    conv = d.new(
        f"nn.Sequential(nn.Conv2d({c}, 2, 1), nn.ReLU(), nn.Conv2d(2, {c}, 1), nn.{d.pick('Sigmoid', 'Hardsigmoid')}())"
    )
    d.x(f"x * {conv}({pooled})")


def linear_gate(d: Draw) -> None:
    _, c, _, _ = d.map()
    name = d.new(f"nn.Linear({c}, {c})")
    d.run(f"g = {name}(x.mean([2, 3])).sigmoid()")
    d.x(
        d.pick(
            "x * g[:, :, None, None]",
            "x * g.view(x.shape[0], -1, 1, 1)",
            "x * g.unsqueeze(-1).unsqueeze(-1).expand_as(x)",
            "x + g[..., None, None]",
        )
    )


def spatial_gate(d: Draw) -> None:
    """CBAM's spatial attention."""
    d.map()
    conv = d.new("nn.Conv2d(2, 1, 3, padding=1, bias=False)")
    d.x(f"x * {conv}(torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], 1)).sigmoid()")


def other_kind(d: Draw) -> None:
    """Through another kind of number and back."""
    d.x(
        d.pick(
            "(x > 0).to(x.dtype)",
            "x.round()",
            "x.long().to(x.dtype)",
            "x.float().double()",
            "(x * 4).int().double() / 4",
            "torch.floor(x * 2) / 2",
            "(x.abs() < 1).double() * x",
            "x.bool().to(torch.float64) + x",
            "(x > x.mean()).type_as(x)",
            "torch.heaviside(x, torch.zeros((), dtype=x.dtype))",
        )
    )


def control_flow(d: Draw) -> None:
    dim = d.dim()
    n = d.shape[dim]
    cut = d.at(dim, f":{max(1, n - 1)}")
    d.run(f"if x.shape[{dim}] > {d.int(0, n)}:", f"    x = x[{cut}]", "else:", "    x = x * 2")


def residual(d: Draw) -> None:
    """A value kept for later."""
    d.run(f"s{d.number} = x{d.pick('', '', '.clone()', ' * 0.5')}")
    d.x(d.pick("x.tanh()", "F.relu(x)", "x + 0.1"))


POINTWISE = {
    f.__name__: f
    for f in (
        activation, function, several_functions, prelu_of_channels, softmax, softmax_of_positions, glu, gated, maxout,
        channel_constants, broadcast_constant, position_table, coordinates, radius, squeeze_and_excitation,
        linear_gate, spatial_gate, other_kind, control_flow, residual,
    )
}  # fmt: skip
