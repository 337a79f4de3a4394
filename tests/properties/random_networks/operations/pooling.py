"""Poolings of every kind."""

from random_networks.drawing import Draw


def max_pool(d: Draw) -> None:
    d.map()
    k, s, p, dilation, ceil = _window(d)
    if d.coin():
        d.x(f"{d.new(f'nn.MaxPool2d({k}, {s}, {p}, dilation={dilation}, ceil_mode={ceil})')}(x)")
    else:
        d.x(f"F.max_pool2d(x, {k}, {s}, {p}, {dilation}, {ceil})")


def oblong_max_pool(d: Draw) -> None:
    d.map()
    d.x(
        f"F.max_pool2d(x, ({d.int(1, 3)}, {d.int(1, 4)}), stride=({d.int(1, 3)}, {d.int(1, 2)}), ceil_mode={d.coin()})"
    )


def average_pool(d: Draw) -> None:
    d.map()
    k, s, p, _, ceil = _window(d)
    divisor = d.pick("", "", f", divisor_override={d.int(1, 5)}")
    text = f"{k}, {s}, {p}, ceil_mode={ceil}, count_include_pad={d.coin()}{divisor}"
    d.x(f"{d.new(f'nn.AvgPool2d({text})')}(x)" if d.coin() else f"F.avg_pool2d(x, {text})")


def adaptive(d: Draw) -> None:
    d.map()
    size = d.pick(str(d.int(1, 9)), f"({d.int(1, 9)}, {d.int(1, 9)})", f"(None, {d.int(1, 5)})")
    kind = d.pick("Avg", "Max")
    d.x(f"{d.new(f'nn.Adaptive{kind}Pool2d({size})')}(x)")


def power_pool(d: Draw) -> None:
    d.map()
    d.x(
        f"F.lp_pool2d({d.pick('x', 'x.abs() + 0.1')}, {d.pick(2.0, 2, 4)}, {d.int(1, 3)}, stride={d.pick(None, 1, 2)}, ceil_mode={d.coin()})"
    )


def unpooled(d: Draw) -> None:
    d.map()
    k = d.int(2, 3)
    d.run(f"y, where = F.max_pool2d(x, {k}, return_indices=True)", "y = y.tanh() + 1")
    d.x(f"F.max_unpool2d(y, where, {k}, output_size=x.shape[-2:])")


def unpooled_modules(d: Draw) -> None:
    d.map()
    down, up = d.new("nn.MaxPool2d(2, 2, return_indices=True)"), d.new("nn.MaxUnpool2d(2, 2)")
    d.run(f"y, where = {down}(x)")
    d.x(f"{up}(y * 0.5, where, output_size=x.size())")


def indices_of_maxima(d: Draw) -> None:
    _, _, _, w = d.map()
    d.run(f"y, where = F.max_pool2d(x, 2, stride={d.int(1, 2)}, return_indices=True)")
    d.x(d.pick(f"y + where.to(y.dtype) / {w * 10}", "y * (where % 2).to(y.dtype)"))


def pool_of_one_axis(d: Draw) -> None:
    d.map()
    kind = d.pick("max_pool1d", "avg_pool1d")
    d.run("n, c, h, w = x.shape")
    d.x(f"F.{kind}(x.flatten(0, 1), {d.int(1, 3)}, stride={d.int(1, 2)}).unflatten(0, (n, c))")


def pool_of_all_positions(d: Draw) -> None:
    d.map()
    d.x(
        f"F.{d.pick('max', 'avg')}_pool2d(x, kernel_size={d.pick('x.shape[2:]', 'x.size()[-2:]', '(x.shape[2], 1)')})"
    )


def pool_of_channels(d: Draw) -> None:
    _, c, _, _ = d.map()
    k = d.int(1, min(c, 3))
    d.x(f"F.{d.pick('max', 'avg')}_pool3d(x.unsqueeze(1), ({k}, 1, 1)).squeeze(1)")


def blur_pool(d: Draw) -> None:
    """Maximum of stride 1, then a blur of stride 2 (Zhang 2019)."""
    _, c, _, _ = d.map()
    kernel = d.new(
        "torch.tensor([1., 2., 1.])[:, None] * torch.tensor([1., 2., 1.])[None] / 16", "b"
    )
    d.x("F.max_pool2d(x, 2, stride=1)")
    d.x(
        f"F.conv2d(F.pad(x, (1, 1, 1, 1), mode='reflect'), {kernel}.expand({c}, 1, 3, 3), stride=2, groups={c})"
    )


def fractional(d: Draw) -> None:
    """Windows drawn by chance: two runs differ."""
    d.map()
    d.need(d.coin(0.2))
    d.x(f"F.fractional_max_pool2d(x, 2, output_ratio={d.pick((0.6, 0.6), (0.8, 0.7))})")


def stem(d: Draw) -> None:
    _, c, _, _ = d.map()
    d.x(
        f"{d.new(f'nn.Sequential(nn.Conv2d({c}, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, 2, 1))')}(x)"
    )


def spatial_pyramid(d: Draw) -> None:
    """Poolings of several sizes side by side, brought back to the map's size."""
    d.map()
    d.run(f"parts = [F.adaptive_avg_pool2d(x, n) for n in (1, {d.int(2, 4)})]")
    d.x(
        "torch.cat([x, *[F.interpolate(p, size=x.shape[-2:], mode='bilinear', align_corners=False) for p in parts]], 1)"
    )


def _window(d: Draw) -> tuple[int, int, int, int, bool]:
    k = d.int(1, 4)
    return k, d.int(1, 3), d.int(0, k // 2), d.int(1, 2), d.coin(0.4)


POOLING = {
    f.__name__: f
    for f in (
        max_pool, oblong_max_pool, average_pool, adaptive, power_pool, unpooled, unpooled_modules, indices_of_maxima,
        pool_of_one_axis, pool_of_all_positions, pool_of_channels, blur_pool, fractional, stem, spatial_pyramid,
    )
}  # fmt: skip
