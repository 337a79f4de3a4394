"""Operations on images of one axis (N, C, L) and of three (N, C, D, H, W): signals and volumes."""

from random_networks.drawing import Draw

MODES = ("zeros", "zeros", "reflect", "replicate", "circular")


def _axes(d: Draw) -> tuple[int, int]:
    """How many axes and channels; Unfit for maps of two axes."""
    d.need(d.rank in (3, 5))
    return d.rank - 2, d.shape[1]


def _each(d: Draw, low: int, high: int) -> str:
    """A number for all axes, or one an axis."""
    n = d.rank - 2
    return (
        str(d.int(low, high))
        if n == 1 or d.coin()
        else str(tuple(d.int(low, high) for _ in range(n)))
    )


def convolution(d: Draw) -> None:
    n, c = _axes(d)
    groups = d.pick(1, 1, c)
    mode = d.pick(*MODES) if n == 1 else d.pick("zeros", "zeros", "replicate", "circular")
    text = f"{c}, {groups * d.int(1, 3)}, {_each(d, 1, 4)}, stride={_each(d, 1, 2)}, padding={_each(d, 0, 2)}"
    text += f", dilation={_each(d, 1, 2)}, padding_mode='{mode}', groups={groups}, bias={d.coin()}"
    d.x(f"{d.new(f'nn.Conv{n}d({text})')}(x)")


def same_convolution(d: Draw) -> None:
    n, c = _axes(d)
    text = f"{c}, {d.int(1, 4)}, {_each(d, 1, 4)}, padding='same', dilation={_each(d, 1, 2)}"
    d.x(f"{d.new(f'nn.Conv{n}d({text})')}(x)")


def causal(d: Draw) -> None:
    """A dilated convolution that sees the past alone, as WaveNet's."""
    n, c = _axes(d)
    d.need(n == 1)
    k, dilation = d.int(2, 3), d.int(1, 3)
    name = d.new(f"nn.Conv1d({c}, {c}, {k}, dilation={dilation})")
    d.x(f"x + torch.tanh({name}(F.pad(x, ({(k - 1) * dilation}, 0))))")


def transposed(d: Draw) -> None:
    n, c = _axes(d)
    k, s = d.int(1, 3), d.int(1, 2)
    text = f"{c}, {d.int(1, 3)}, {k}, stride={s}, padding={d.int(0, k - 1)}, output_padding={d.int(0, s - 1)}"
    d.x(f"{d.new(f'nn.ConvTranspose{n}d({text})')}(x)")


def pool(d: Draw) -> None:
    n, _ = _axes(d)
    k, s, ceil = d.int(1, 3), d.int(1, 3), d.coin()
    if d.coin():
        d.x(
            f"F.max_pool{n}d(x, {k}, {s}, {d.int(0, k // 2)}, dilation={d.int(1, 2)}, ceil_mode={ceil})"
        )
    else:
        d.x(
            f"F.avg_pool{n}d(x, {k}, {s}, {d.int(0, k // 2)}, ceil_mode={ceil}, count_include_pad={d.coin()})"
        )


def adaptive(d: Draw) -> None:
    n, _ = _axes(d)
    d.x(f"F.adaptive_{d.pick('avg', 'max')}_pool{n}d(x, {_each(d, 1, 5)})")


def norm(d: Draw) -> None:
    n, c = _axes(d)
    kinds = [
        f"nn.BatchNorm{n}d({c})",
        f"nn.GroupNorm(1, {c})",
        f"nn.InstanceNorm{n}d({c}, affine=True)",
    ]
    name = d.new(d.pick(kinds[0], *kinds))
    if "BatchNorm" in d.made[-1]:
        d.after(f"nn.init.normal_({name}.running_mean)")
    d.x(f"{name}(x)")


def resize(d: Draw) -> None:
    n, _ = _axes(d)
    mode = d.pick("nearest", "nearest-exact", "linear" if n == 1 else "trilinear")
    corners = f", align_corners={d.coin()}" if "linear" in mode else ""
    how = d.pick(
        f"size={_each(d, 2, 9)}", f"scale_factor={d.pick(2, 1.5, 0.5)}", "size=x.shape[2:]"
    )
    d.x(f"F.interpolate(x, {how}, mode='{mode}'{corners})")


def pad(d: Draw) -> None:
    n, _ = _axes(d)
    sides = tuple(d.int(0, 2) for _ in range(2 * n))
    d.x(f"F.pad(x, {sides}, mode='{d.pick('constant', 'replicate', 'reflect', 'circular')}')")


def residual(d: Draw) -> None:
    n, c = _axes(d)
    name = d.new(f"nn.Conv{n}d({c}, {c}, 3, padding=1)")
    d.x(d.pick(f"x + {name}(x)", f"F.relu(x + {name}(F.relu(x)))", f"torch.cat([x, {name}(x)], 1)"))


def gate(d: Draw) -> None:
    n, c = _axes(d)
    name = d.new(f"nn.Conv{n}d({c}, {c}, 1)")
    d.x(f"x * torch.sigmoid({name}(F.adaptive_avg_pool{n}d(x, 1)))")


def crop_and_join(d: Draw) -> None:
    """A skip connection of a U-Net: down, up to the size, joined."""
    n, c = _axes(d)
    name = d.new(f"nn.Conv{n}d({c}, {c}, 3, padding=1)")
    d.run(f"y = {name}(F.max_pool{n}d(x, 2))")
    d.x("torch.cat([x, F.interpolate(y, size=x.shape[2:], mode='nearest')], 1)")


def one_axis(d: Draw) -> None:
    """A reduction or a slice along one of the axes that keeps it."""
    _axes(d)
    dim = d.int(2, d.rank - 1)
    d.x(
        d.pick(
            f"x.cumsum({dim}) / 4",
            f"x - x.mean({dim}, keepdim=True)",
            f"x.flip({dim})",
            f"x.narrow({dim}, 1, x.shape[{dim}] - 2)",
        )
    )


AXES = {
    f"axes_{f.__name__}": f
    for f in (
        convolution, same_convolution, causal, transposed, pool, adaptive, norm, resize, pad, residual, gate,
        crop_and_join, one_axis,
    )
}  # fmt: skip


def pooled(d: Draw) -> None:
    _, c = _axes(d)
    d.run(
        f"return {d.new(f'nn.Linear({c}, {d.int(2, 4)})')}(x.flatten(2).{d.pick('mean(-1)', 'amax(-1)')})"
    )


def mapped(d: Draw) -> None:
    n, c = _axes(d)
    d.run(f"return {d.new(f'nn.Conv{n}d({c}, {d.int(1, 3)}, 1)')}(x)")


AXES_ENDINGS = {f"axes_{f.__name__}": f for f in (pooled, mapped)}
