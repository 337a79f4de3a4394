"""Sizes that change: interpolation, sampling, shuffles between channels and positions, windows as columns."""

from random_networks.drawing import Draw


def interpolated(d: Draw) -> None:
    d.map()
    mode = d.pick("nearest", "nearest-exact", "bilinear", "bicubic", "area")
    align = f", align_corners={d.coin()}" if mode in ("bilinear", "bicubic") else ""
    if d.coin() and mode != "area":
        how = f"scale_factor={d.pick(2, 0.5, 1.5, (2, 1), (0.7, 1.3), 3)}"
        if d.coin(0.2):
            how += ", recompute_scale_factor=True"
    else:
        how = f"size={d.pick(d.int(1, 16), (d.int(1, 16), d.int(1, 16)))}"
    if d.coin(0.2) and mode in ("bilinear", "bicubic") and "True" not in align:
        align += ", antialias=True"
    d.x(f"F.interpolate(x, {how}, mode='{mode}'{align})")


def upsample_module(d: Draw) -> None:
    d.map()
    kinds = ["nn.Upsample(scale_factor=2)", "nn.Upsample(scale_factor=2, mode='bilinear', align_corners=True)",
             "nn.UpsamplingBilinear2d(scale_factor=2)", "nn.UpsamplingNearest2d(scale_factor=3)"]  # fmt: skip
    d.x(f"{d.new(d.pick(*kinds))}(x)")


def down_and_up(d: Draw) -> None:
    """A U-Net of one level."""
    _, c, _, _ = d.map()
    down = d.new(f"nn.Conv2d({c}, {c}, 3, stride=2, padding=1)")
    mode = d.pick(
        "mode='nearest'",
        "mode='bilinear', align_corners=False",
        "mode='bilinear', align_corners=True",
    )
    d.run(
        f"y = F.gelu({down}(x))",
        f"y = F.interpolate(y, size={d.pick('x.shape[2:]', 'x.size()[2:]', '(x.shape[2], x.shape[3])')}, {mode})",
    )
    d.x(d.pick("torch.cat([x, y], 1)", "x + y", "torch.cat((y, x), dim=-3)"))


def nearest_by_repeat(d: Draw) -> None:
    d.map()
    d.x(f"x.repeat_interleave({d.int(2, 3)}, {d.pick(2, 3, -1, -2)})")


def nearest_by_index(d: Draw) -> None:
    _, _, _, w = d.map()
    out = d.int(1, 2 * w)
    d.run(f"index = (torch.arange({out}) * {w} / {out}).floor().long()")
    d.x("x[..., index]" if d.coin() else "x.index_select(3, index)")


def pixel_shuffle(d: Draw) -> None:
    _, c, _, _ = d.map()
    conv = d.new(f"nn.Conv2d({c}, {4 * d.int(1, 2)}, 1)")
    d.x(
        f"F.pixel_shuffle({conv}(x), 2)"
        if d.coin()
        else f"{d.new('nn.PixelShuffle(2)')}({conv}(x))"
    )


def pixel_unshuffle(d: Draw) -> None:
    d.map()
    d.x("F.pixel_unshuffle(x[..., : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2], 2)")


def space_to_depth(d: Draw) -> None:
    d.map()
    d.run("n, c, h, w = x.shape", "x = x[:, :, : h // 2 * 2, : w // 2 * 2]")
    order = d.pick("0, 3, 5, 1, 2, 4", "0, 1, 3, 5, 2, 4", "0, 5, 3, 1, 2, 4")
    d.x(f"x.reshape(n, c, h // 2, 2, w // 2, 2).permute({order}).reshape(n, 4 * c, h // 2, w // 2)")


def focus(d: Draw) -> None:
    """YOLOv5's first layer."""
    d.map()
    d.run("x = x[..., : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2]")
    d.x(
        "torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)"
    )


def depth_to_space(d: Draw) -> None:
    _, c, _, _ = d.map()
    d.need(c % 4 == 0)
    d.run("n, c, h, w = x.shape")
    order = d.pick("0, 3, 4, 1, 5, 2", "0, 1, 4, 2, 5, 3")
    split = "n, 2, 2, c // 4, h, w" if order.startswith("0, 3") else "n, c // 4, 2, 2, h, w"
    d.x(f"x.view({split}).permute({order}).reshape(n, c // 4, 2 * h, 2 * w)")


def unfolded(d: Draw) -> None:
    """Windows as columns, mixed, and added up again."""
    _, c, _, _ = d.map()
    k, s, p, dilation = d.int(1, 3), d.int(1, 2), d.int(0, 1), d.int(1, 2)
    window = f"kernel_size={k}, stride={s}, padding={p}, dilation={dilation}"
    linear = d.new(f"nn.Linear({c * k * k}, {c * k * k})")
    d.run(f"y = {linear}(F.unfold(x, {window}).transpose(1, 2)).transpose(1, 2)")
    d.x(f"F.fold(y, x.shape[2:], {window})")


def convolution_by_unfold(d: Draw) -> None:
    _, c, _, _ = d.map()
    o, k = d.int(1, 3), d.int(1, 3)
    weight = d.parameter(o, c * k * k)
    d.run("n, c, h, w = x.shape", f"y = {weight} @ F.unfold(x, {k}, padding={k // 2})")
    d.x(f"y.view(n, {o}, h + {2 * (k // 2) - k + 1}, w + {2 * (k // 2) - k + 1})")


def sliding(d: Draw) -> None:
    _, _, h, w = d.map()
    dim = d.pick(2, 3)
    size = d.int(1, min((h, w)[dim - 2], 4))
    d.x(
        f"x.unfold({dim}, {size}, {d.int(1, 3)}).{d.pick('mean(-1)', 'amax(-1)', 'sum(-1)', 'std(-1, unbiased=False)')}"
    )


def patches(d: Draw) -> None:
    """Patches by two unfolds, each with a number of its own."""
    d.map()
    d.run("y = x.unfold(2, 2, 2).unfold(3, 2, 2)")
    d.x("y.mean((-2, -1))" if d.coin() else "y.permute(0, 1, 4, 5, 2, 3).flatten(1, 3)")


def sampled(d: Draw) -> None:
    """A grid of places turned and shifted."""
    d.map()
    theta = d.constant(
        f"torch.tensor([[[0.8, {d.float(-0.4, 0.4)}, 0.1], [{d.float(-0.4, 0.4)}, 0.9, -0.1]]])"
    )
    align = d.coin()
    d.run(f"grid = F.affine_grid({theta}.expand(x.shape[0], 2, 3), x.shape, align_corners={align})")
    d.x(
        f"F.grid_sample(x, grid, mode='{d.pick('bilinear', 'nearest')}', padding_mode='{d.pick('zeros', 'border', 'reflection')}', align_corners={align})"
    )


def transformed(d: Draw) -> None:
    """A spatial transformer (Jaderberg et al. 2015)."""
    _, c, _, _ = d.map()
    name = d.new(f"nn.Linear({c}, 6)")
    d.after(f"nn.init.constant_({name}.weight, 0.01)")
    d.run(
        f"theta = {name}(x.mean((2, 3))).view(-1, 2, 3) + torch.eye(2, 3, dtype=x.dtype, device=x.device)"
    )
    d.x(
        "F.grid_sample(x, F.affine_grid(theta, x.size(), align_corners=False), align_corners=False)"
    )


def flow(d: Draw) -> None:
    """Every position reads where a predicted offset points."""
    _, c, h, w = d.map()
    conv = d.new(f"nn.Conv2d({c}, 2, 3, padding=1)")
    d.run(
        f"offset = {conv}(x).tanh().permute(0, 2, 3, 1) * 0.2",
        f"ys, xs = torch.meshgrid(torch.linspace(-1, 1, {h}), torch.linspace(-1, 1, {w}), indexing='ij')",
        "grid = torch.stack([xs, ys], -1).to(x) + offset",
    )
    d.x("F.grid_sample(x, grid, align_corners=True)")


def cropped(d: Draw) -> None:
    _, _, h, w = d.map()
    top, left = d.int(0, h - 1), d.int(0, w - 1)
    d.x(f"x[:, :, {top}:{d.int(top + 1, h)}, {left}:{d.int(left + 1, w)}]")


def centre_cropped(d: Draw) -> None:
    _, _, h, w = d.map()
    a, b = d.int(1, h), d.int(1, w)
    d.run(f"top, left = (x.shape[2] - {a}) // 2, (x.shape[3] - {b}) // 2")
    d.x(f"x[..., top : top + {a}, left : left + {b}]")


def turned(d: Draw) -> None:
    d.map()
    d.x(
        d.pick(
            "x.rot90(1, (2, 3))",
            "torch.rot90(x, 2, [2, 3])",
            "x.transpose(2, 3)",
            "x.mT",
            "x.rot90(-1, (-2, -1))",
        )
    )


def shifted_channels(d: Draw) -> None:
    """Parts of the channels moved by a pixel."""
    _, c, _, _ = d.map()
    d.need(c >= 2)
    d.run("a, b = x.chunk(2, 1)")
    d.x(f"torch.cat([a.roll(1, {d.pick(2, 3)}), b.roll({d.pick(-1, 2)}, 3)], 1)")


RESIZING = {
    f.__name__: f
    for f in (
        interpolated, upsample_module, down_and_up, nearest_by_repeat, nearest_by_index, pixel_shuffle,
        pixel_unshuffle, space_to_depth, focus, depth_to_space, unfolded, convolution_by_unfold, sliding, patches,
        sampled, transformed, flow, cropped, centre_cropped, turned, shifted_channels,
    )
}  # fmt: skip
