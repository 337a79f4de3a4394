"""Convolutions and paddings of every kind."""

from random_networks.drawing import Draw

MODES = ("zeros", "zeros", "reflect", "replicate", "circular")


def convolution(d: Draw) -> None:
    _, c, _, _ = d.map()
    out = d.int(1, 6)
    text = f"{c}, {out}, {_pair(d, 1, 4)}, stride={_pair(d, 1, 3)}, padding={_pair(d, 0, 2)}"
    text += f", dilation={_pair(d, 1, 2)}, padding_mode='{d.pick(*MODES)}', bias={d.coin()}"
    d.x(f"{d.new(f'nn.Conv2d({text})')}(x)")


def same_convolution(d: Draw) -> None:
    _, c, _, _ = d.map()
    text = f"{c}, {d.int(1, 6)}, {_pair(d, 1, 5)}, padding='same', dilation={_pair(d, 1, 2)}"
    d.x(f"{d.new(f'nn.Conv2d({text}, padding_mode={d.pick(*MODES)!r})')}(x)")


def grouped(d: Draw) -> None:
    _, c, _, _ = d.map()
    groups = d.pick(*[g for g in range(1, c + 1) if c % g == 0])
    text = (
        f"{c}, {groups * d.int(1, 2)}, {_pair(d, 1, 4)}, padding={_pair(d, 0, 1)}, groups={groups}"
    )
    d.x(f"{d.new(f'nn.Conv2d({text}, stride={_pair(d, 1, 2)})')}(x)")


def depthwise_separable(d: Draw) -> None:
    _, c, _, _ = d.map()
    one = f"nn.Conv2d({c}, {c}, 3, padding=1, groups={c}, bias=False)"
    d.x(
        f"{d.new(f'nn.Sequential({one}, nn.BatchNorm2d({c}), nn.ReLU6(), nn.Conv2d({c}, {d.int(1, 6)}, 1))')}(x)"
    )


def functional(d: Draw) -> None:
    _, c, _, _ = d.map()
    kh, kw, out = d.int(1, 4), d.int(1, 4), d.int(1, 5)
    weight = d.parameter(out, c, kh, kw)
    padding = d.pick("0", "1", "(1, 0)", "'same'", "'valid'")
    d.x(
        f"F.conv2d(x, {weight} / {c * kh * kw}, None, {1 if 'same' in padding else _pair(d, 1, 2)}, {padding})"
    )


def unfused(d: Draw) -> None:
    """A fixed kernel applied to each channel: blurs and edges."""
    _, c, _, _ = d.map()
    kernel = d.new("torch.tensor([[1., 2., 1.], [0., 0., 0.], [-1., -2., -1.]])", "b")
    d.run(f"kernel = {kernel}.expand({c}, 1, 3, 3)")
    d.x(
        f"F.conv2d({d.pick('x', 'F.pad(x, (1, 1, 1, 1), mode=' + repr('reflect') + ')')}, kernel, groups={c})"
    )


def standardised(d: Draw) -> None:
    """Weights standardised in the forward pass (Qiao et al. 2019)."""
    _, c, _, _ = d.map()
    name = d.new(f"nn.Conv2d({c}, {d.int(1, 4)}, {d.int(1, 3)}, padding=1)")
    d.run(
        f"w = {name}.weight",
        "w = (w - w.mean((1, 2, 3), keepdim=True)) / (w.std((1, 2, 3), keepdim=True) + 0.1)",
    )
    d.need(c > 1)
    d.x(f"F.conv2d(x, w, {name}.bias, padding={d.int(0, 2)})")


def transposed(d: Draw) -> None:
    _, c, _, _ = d.map()
    k, s = d.int(1, 4), d.int(1, 3)
    dilation = d.int(1, 2)
    text = f"{c}, {d.int(1, 5)}, {k}, stride={s}, padding={d.int(0, k - 1)}, dilation={dilation}"
    d.x(
        f"{d.new(f'nn.ConvTranspose2d({text}, output_padding={d.int(0, max(s, dilation) - 1)})')}(x)"
    )


def transposed_to(d: Draw) -> None:
    _, c, h, w = d.map()
    name = d.new(f"nn.ConvTranspose2d({c}, {d.int(1, 4)}, 3, stride=2, padding=1)")
    d.x(f"{name}(x, output_size=[{2 * h - d.int(0, 1)}, {2 * w - d.int(0, 1)}])")


def lazy(d: Draw) -> None:
    d.map()
    d.x(f"{d.new(f'nn.LazyConv2d({d.int(1, 5)}, {d.int(1, 3)}, padding={d.int(0, 1)})')}(x)")


def along_one_axis(d: Draw) -> None:
    """A convolution of one axis over rows or columns, the other folded into the batch."""
    _, c, _, _ = d.map()
    conv = d.new(f"nn.Conv1d({c}, {d.int(1, 4)}, {d.int(1, 3)}, padding={d.int(0, 1)})")
    d.run("n, c, h, w = x.shape")
    if d.coin():
        d.x(f"{conv}(x.permute(0, 2, 1, 3).reshape(n * h, c, w))")
        d.x("x.view(n, h, x.shape[1], -1).permute(0, 2, 1, 3)")
    else:
        d.x(f"{conv}(x.permute(0, 3, 1, 2).flatten(0, 1))")
        d.x("x.unflatten(0, (n, w)).permute(0, 2, 3, 1)")


def over_tokens(d: Draw) -> None:
    """A convolution of one axis over all positions in a row."""
    _, c, _, _ = d.map()
    conv = d.new(f"nn.Conv1d({c}, {c}, 3, padding=1)")
    d.run("h, w = x.shape[-2:]")
    d.x(f"{conv}(x.flatten(2)).{d.pick('view(x.shape[0], -1, h, w)', 'unflatten(2, (h, w))')}")


def over_channels(d: Draw) -> None:
    """Efficient channel attention: a convolution over the channels of pooled maps (Wang et al. 2020)."""
    d.map()
    conv = d.new("nn.Conv1d(1, 1, 3, padding=1, bias=False)")
    d.run(
        "y = F.adaptive_avg_pool2d(x, 1)",
        f"y = {conv}(y.squeeze(-1).transpose(-1, -2)).transpose(-1, -2).unsqueeze(-1)",
    )
    d.x("x * y.sigmoid()" if d.coin() else "x * y.sigmoid().expand_as(x)")


def in_three_axes(d: Draw) -> None:
    """Channels as a third axis."""
    d.map()
    conv = d.new(f"nn.Conv3d(1, {d.int(1, 2)}, {d.pick(1, (1, 3, 3), 3)}, padding={d.int(0, 1)})")
    d.x(f"{conv}(x.unsqueeze(1)).flatten(1, 2)")


def padded(d: Draw) -> None:
    d.map()
    sides = ", ".join(str(d.int(-1, 3)) for _ in range(4))
    mode = d.pick("constant", "reflect", "replicate", "circular")
    value = f", value={d.float()}" if mode == "constant" and d.coin() else ""
    d.x(f"F.pad(x, ({sides}), mode='{mode}'{value})")


def pad_module(d: Draw) -> None:
    d.map()
    sides = tuple(d.int(0, 2) for _ in range(4))
    kind = d.pick(
        "ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d", "CircularPad2d", "ConstantPad2d"
    )
    value = f", {d.float()}" if kind == "ConstantPad2d" else ""
    d.x(f"{d.new(f'nn.{kind}({sides}{value})')}(x)")


def padded_channels(d: Draw) -> None:
    d.map()
    d.x(f"F.pad(x, (0, 0, {d.int(0, 1)}, {d.int(0, 1)}, {d.int(0, 2)}, {d.int(0, 2)}))")


def to_a_multiple(d: Draw) -> None:
    """Padded to a multiple and cut back, as U-Nets for any size do."""
    _, c, _, _ = d.map()
    conv = d.new(f"nn.Conv2d({c}, {c}, 2, stride=2)")
    up = d.new(f"nn.ConvTranspose2d({c}, {c}, 2, stride=2)")
    d.run("h, w = x.shape[-2:]", "x = F.pad(x, (0, -w % 2, 0, -h % 2))")
    d.x(f"{up}({conv}(x).relu())[..., :h, :w]")


def shared_module(d: Draw) -> None:
    """One module called more than once."""
    _, c, _, _ = d.map()
    conv = d.new(f"nn.Conv2d({c}, {c}, 3, padding=1, padding_mode='{d.pick(*MODES)}')")
    d.run(f"for _ in range({d.int(2, 3)}):", f"    x = x + {conv}(x).tanh()")


def pyramid(d: Draw) -> None:
    """Parallel dilated branches, as in DeepLab."""
    _, c, _, _ = d.map()
    rates = sorted({d.int(1, 4) for _ in range(3)})
    parts = ", ".join(f"nn.Conv2d({c}, {d.int(1, 3)}, 3, padding={r}, dilation={r})" for r in rates)
    name = d.new(f"nn.ModuleList([{parts}])")
    d.x(f"torch.cat([branch(x) for branch in {name}], {d.pick(1, -3)})")


def branches(d: Draw) -> None:
    _, c, _, _ = d.map()
    o = d.int(1, 4)
    parts = f"'a': nn.Conv2d({c}, {o}, (1, 3), padding=(0, 1)), 'b': nn.Conv2d({c}, {o}, (3, 1), padding=(1, 0))"
    name = d.new(f"nn.ModuleDict({{{parts}}})")
    join = d.pick(
        "{0}['a'](x) + {0}['b'](x)",
        "torch.maximum({0}['a'](x), {0}['b'](x))",
        "{0}['a'](x) * {0}['b'](x).sigmoid()",
    )
    d.x(join.format(name))


def block(d: Draw) -> None:
    """A residual block."""
    _, c, _, _ = d.map()
    s, o = d.int(1, 2), d.int(1, 5)
    norm = d.pick(
        "nn.BatchNorm2d({0})", "nn.GroupNorm(1, {0})", "nn.InstanceNorm2d({0})", "nn.Identity()"
    )
    act = d.pick(
        "nn.ReLU(inplace=True)",
        "nn.SiLU(inplace=True)",
        "nn.GELU()",
        "nn.LeakyReLU(0.1, inplace=True)",
    )
    first = f"nn.Conv2d({c}, {o}, 3, {s}, 1, bias=False), {norm.format(o)}, {act}"
    body = d.new(
        f"nn.Sequential({first}, nn.Sequential(nn.Conv2d({o}, {o}, 3, 1, 1, bias=False), {norm.format(o)}))"
    )
    short = d.new(f"nn.Sequential(nn.Conv2d({c}, {o}, 1, {s}), {norm.format(o)})")
    d.x(f"F.relu({body}(x) + {short}(x), inplace={d.coin()})")


def channels_last(d: Draw) -> None:
    d.map()
    d.x(
        d.pick(
            "x.contiguous(memory_format=torch.channels_last)",
            "x.to(memory_format=torch.channels_last)",
        )
    )


def _pair(d: Draw, low: int, high: int) -> str:
    return str(d.int(low, high)) if d.coin(0.6) else f"({d.int(low, high)}, {d.int(low, high)})"


CONVOLVING = {
    f.__name__: f
    for f in (
        convolution, same_convolution, grouped, depthwise_separable, functional, unfused, standardised, transposed,
        transposed_to, lazy, along_one_axis, over_tokens, over_channels, in_three_axes, padded, pad_module,
        padded_channels, to_a_multiple, shared_module, pyramid, branches, block, channels_last,
    )
}  # fmt: skip
