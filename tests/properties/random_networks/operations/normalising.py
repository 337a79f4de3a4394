"""Normalisations of every kind."""

from random_networks.drawing import Draw


def batch_norm(d: Draw) -> None:
    _, c, _, _ = d.map()
    name = d.new(f"nn.BatchNorm2d({c}, affine={d.coin(0.8)}, eps={d.pick(1e-5, 1e-3)})")
    d.after(f"nn.init.normal_({name}.running_mean)")
    d.after(f"nn.init.uniform_({name}.running_var, 0.5, 2)")
    d.x(f"{name}(x)")


def convolution_and_norm(d: Draw) -> None:
    _, c, _, _ = d.map()
    o = d.int(1, 5)
    name = d.new(
        f"nn.Sequential(nn.Conv2d({c}, {o}, 3, padding={d.int(0, 1)}, bias={d.coin()}), nn.BatchNorm2d({o}), nn.{d.pick('ReLU', 'Hardswish', 'SiLU')}())"
    )
    d.after(f"nn.init.normal_({name}[1].running_mean)")
    d.after(f"nn.init.uniform_({name}[1].running_var, 0.5, 2)")
    d.x(f"{name}(x)")


def batch_statistics(d: Draw) -> None:
    """A batch norm that keeps no statistics takes those of the batch, in evaluation too."""
    _, c, h, w = d.map()
    d.need(h * w > 1)
    d.x(f"{d.new(f'nn.BatchNorm2d({c}, track_running_stats=False)')}(x)")


def group_norm(d: Draw) -> None:
    _, c, h, w = d.map()
    groups = d.pick(*[g for g in range(1, c + 1) if c % g == 0])
    d.need(c // groups * h * w > 1)
    if d.coin():
        d.x(f"{d.new(f'nn.GroupNorm({groups}, {c}, affine={d.coin()})')}(x)")
    else:
        d.x(f"F.group_norm(x, {groups})")


def instance_norm(d: Draw) -> None:
    _, c, h, w = d.map()
    d.need(h * w > 1)
    kinds = [
        f"nn.InstanceNorm2d({c}, affine=True)",
        f"nn.InstanceNorm2d({c}, track_running_stats=True)",
        f"nn.InstanceNorm2d({c})",
    ]
    d.x(f"{d.new(d.pick(*kinds))}(x)" if d.coin(0.7) else "F.instance_norm(x)")


def layer_norm_of_channels(d: Draw) -> None:
    _, c, _, _ = d.map()
    d.need(c > 1)
    name = d.new(f"nn.LayerNorm({c})")
    d.x(
        f"{name}(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)"
        if d.coin()
        else f"{name}(x.movedim(1, -1)).movedim(-1, 1)"
    )


def layer_norm_of_maps(d: Draw) -> None:
    _, c, h, w = d.map()
    d.need(w > 1)
    sizes = d.pick([w], [h, w], [c, h, w])
    d.x(f"{d.new(f'nn.LayerNorm({sizes}, elementwise_affine={d.coin()})')}(x)")


def layer_norm_by_hand(d: Draw) -> None:
    _, c, _, _ = d.map()
    d.need(c > 1)
    weight = d.parameter(c)
    d.run("mean = x.mean(1, keepdim=True)", "var = (x - mean).pow(2).mean(1, keepdim=True)")
    d.x(f"(x - mean) / torch.sqrt(var + 1e-3) * {weight}[:, None, None]")


def root_mean_square(d: Draw) -> None:
    _, c, _, _ = d.map()
    d.x(f"{d.new(f'nn.RMSNorm({c}, eps=0.01)')}(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)")


def response_norm(d: Draw) -> None:
    d.map()
    d.x(f"{d.new(f'nn.LocalResponseNorm({d.int(1, 4)}, k={d.pick(1.0, 2.0)})')}(x)")


def normalised(d: Draw) -> None:
    d.map()
    d.x(f"F.normalize(x, p={d.pick(2.0, 1.0)}, dim={d.pick(1, 1, -1, 2, (2, 3))}, eps=0.01)")


def global_response(d: Draw) -> None:
    """Global response normalisation (Woo et al. 2023)."""
    _, c, _, _ = d.map()
    gamma = d.new(f"nn.Parameter(torch.rand(1, {c}, 1, 1))", "p")
    d.run("g = x.norm(p=2, dim=(2, 3), keepdim=True)", "g = g / (g.mean(1, keepdim=True) + 0.01)")
    d.x(f"x + {gamma} * (x * g)")


def standardised_by_hand(d: Draw) -> None:
    _, c, h, w = d.map()
    dims = d.pick((1, 2, 3), (2, 3), (3,), (2,))
    d.need({1: c, 2: h, 3: w}[dims[-1]] > 1)
    d.x(
        f"(x - x.mean({dims}, keepdim=True)) / (x.std({dims}, keepdim=True, unbiased={d.coin()}) + 0.5)"
    )


def with_var_mean(d: Draw) -> None:
    _, c, h, w = d.map()
    dims = d.pick((2, 3), (1,), (-1,))
    d.run(f"var, mean = torch.var_mean(x, dim={dims}, keepdim=True, unbiased=False)")
    d.x("(x - mean) * torch.rsqrt(var + 0.1)")


def weight_norm(d: Draw) -> None:
    _, c, _, _ = d.map()
    kind = d.pick("weight_norm", "spectral_norm")
    d.x(
        f"{d.new(f'nn.utils.parametrizations.{kind}(nn.Conv2d({c}, {d.int(2, 4)}, 3, padding=1))')}(x)"
    )


def scale_of_layers(d: Draw) -> None:
    _, c, _, _ = d.map()
    gamma = d.new(f"nn.Parameter(torch.full(({c}, 1, 1), 0.1))", "p")
    conv = d.new(f"nn.Conv2d({c}, {c}, 3, padding=1, groups={c})")
    d.x(f"x + {gamma} * {conv}(x)")


NORMALISING = {
    f.__name__: f
    for f in (
        batch_norm, convolution_and_norm, batch_statistics, group_norm, instance_norm, layer_norm_of_channels,
        layer_norm_of_maps, layer_norm_by_hand, root_mean_square, response_norm, normalised, global_response,
        standardised_by_hand, with_var_mean, weight_norm, scale_of_layers,
    )
}  # fmt: skip
