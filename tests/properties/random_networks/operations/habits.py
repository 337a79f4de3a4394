"""What people write around the operations: loops over images, contexts, hooks, weights from images, torchvision's parts."""

from random_networks.drawing import Draw


def loop_over_images(d: Draw) -> None:
    _, c, _, _ = d.map()
    name = d.new(f"nn.Conv2d({c}, {d.int(1, 3)}, 3, padding=1)")
    d.x(d.pick(
        "torch.stack([{0}(one[None])[0] for one in x])",
        "torch.cat([{0}(x[i : i + 1]) for i in range(x.shape[0])])",
        "torch.cat([{0}(one) for one in x.split(1)], 0)",
        "torch.stack([{0}(one.unsqueeze(0)).squeeze(0) for one in x.unbind(0)], dim=0)",
    ).format(name))  # fmt: skip


def loop_over_channels(d: Draw) -> None:
    _, c, _, _ = d.map()
    d.need(c <= 8)
    name = d.new("nn.Conv2d(1, 1, 3, padding=1)")
    d.x(f"torch.cat([{name}(x[:, i : i + 1]) for i in range(x.shape[1])], dim=1)")


def squeezed_of_all_ones(d: Draw) -> None:
    """squeeze() without a dimension, that loses the batch of one image too."""
    d.need(d.rank >= 3)
    d.x(
        d.pick(
            "x.squeeze()[None]",
            "x.squeeze().unsqueeze(0)",
            "x[0][None]",
            "x[:1]",
            "x.mean(-1).squeeze()[None]",
        )
    )


def dynamic_convolution(d: Draw) -> None:
    """Kernels that each image brings itself, its channels and the batch in one dimension."""
    _, c, h, w = d.map()
    d.need(h >= 3 and w >= 3)
    name = d.new(f"nn.Linear({c}, {c * 9})")
    d.run("n, c, h, w = x.shape", f"k = {name}(x.mean((2, 3))).view(n * c, 1, 3, 3).softmax(0)")
    d.x("F.conv2d(x.reshape(1, n * c, h, w), k, padding=1, groups=n * c).view(n, c, h, w)")


def modulated_convolution(d: Draw) -> None:
    """StyleGAN2: weights scaled by a style of each image, and demodulated."""
    _, c, _, _ = d.map()
    o = d.int(1, 3)
    weight, style = d.parameter(1, o, c, 3, 3), d.new(f"nn.Linear({c}, {c})")
    d.run("n, c, h, w = x.shape", f"s = {style}(x.amax((2, 3))).view(n, 1, c, 1, 1)", f"k = {weight} * (s + 1)",
          "k = k * torch.rsqrt(k.pow(2).sum((2, 3, 4), keepdim=True) + 0.1)",
          f"x = F.conv2d(x.reshape(1, n * c, h, w), k.reshape(n * {o}, c, 3, 3), padding=1, groups=n)")  # fmt: skip
    d.x(f"x.view(n, {o}, h, w)")


def correlation(d: Draw) -> None:
    """Each channel compared with shifted copies, as in optical flow."""
    d.map()
    d.run("p = F.pad(x, (1, 1, 1, 1))", "h, w = x.shape[-2:]")
    d.x(
        "torch.stack([(x * p[..., i : i + h, j : j + w]).mean(1) for i in range(3) for j in range(3)], 1)"
    )


def queries(d: Draw) -> None:
    """Learnt queries that look at all positions (DETR, Perceiver)."""
    _, c, h, w = d.map()
    d.need(c % 2 == 0 and h * w <= 120)
    name, table = d.new(f"nn.MultiheadAttention({c}, 2, batch_first=True)"), d.parameter(1, 3, c)
    d.run(
        "t = x.flatten(2).transpose(1, 2)",
        f"q = {table}.{d.pick('expand(x.shape[0], -1, -1)', 'repeat(x.shape[0], 1, 1)')}",
    )
    d.x(f"{name}(q, t, t)[0]")


def without_gradients(d: Draw) -> None:
    _, c, _, _ = d.map()
    name = d.new(f"nn.Conv2d({c}, {d.int(1, 3)}, 3, padding=1)")
    context = d.pick(
        "torch.no_grad()",
        "torch.enable_grad()",
        "torch.set_grad_enabled(False)",
        "torch.autocast('cpu', enabled=False)",
    )
    d.run(f"with {context}:", f"    x = {name}(x)")


def checkpointed(d: Draw) -> None:
    _, c, _, _ = d.map()
    name = d.new(f"nn.Sequential(nn.Conv2d({c}, {c}, 3, padding=1), nn.ReLU())")
    d.x(f"torch.utils.checkpoint.checkpoint({name}, x, use_reentrant=False)")


def hooked(d: Draw) -> None:
    _, c, _, _ = d.map()
    name = d.new(f"nn.Conv2d({c}, {c}, 3, padding=1)")
    d.after(
        d.pick(
            f"{name}.register_forward_hook(lambda m, a, y: y.relu())",
            f"{name}.register_forward_pre_hook(lambda m, a: (a[0] * 2,))",
        )
    )
    d.x(f"{name}(x)")


def kept_activation(d: Draw) -> None:
    d.run(f"self.kept = x{d.pick('', '.detach()')}")
    d.x("F.relu(x)")


def graph_module(d: Draw) -> None:
    _, c, _, _ = d.map()
    d.x(
        f"{d.new(f'torch.fx.symbolic_trace(nn.Sequential(nn.Conv2d({c}, {c}, 3, padding=1), nn.ReLU()))')}(x)"
    )


def mapped(d: Draw) -> None:
    """torch.vmap over images or channels."""
    d.need(d.rank >= 3 and d.coin(0.5))
    inner = d.pick("x.relu()", "x - x.mean()", "x.cumsum(-1)", "x.flip(0)")
    d.x(f"torch.vmap(lambda x: {inner}, in_dims={d.pick(0, 1)}, out_dims={d.pick(0, 0)})(x)")


def called_functionally(d: Draw) -> None:
    _, c, _, _ = d.map()
    name = d.new(f"nn.Conv2d({c}, {c}, 3, padding=1)")
    d.run(f"weights = {{k: v * 0.5 for k, v in {name}.named_parameters()}}")
    d.x(f"torch.func.functional_call({name}, weights, (x,))")


def own_function(d: Draw) -> None:
    """A function with a gradient of its own."""
    d.run("class Step(torch.autograd.Function):", "    @staticmethod", "    def forward(ctx, x):", f"        return {d.pick('x.sign()', 'x.clamp(-1, 1)', '(x > 0).to(x.dtype)')}",
          "    @staticmethod", "    def backward(ctx, g):", "        return g", "x = x + Step.apply(x)")  # fmt: skip


def drawn_by_chance(d: Draw) -> None:
    d.need(d.coin(0.15))
    d.x(
        d.pick(
            "x + torch.randn_like(x) * 0.1",
            "F.dropout(x, 0.5)",
            "x * torch.rand(x.shape[1:], dtype=x.dtype)",
            "F.dropout2d(x, 0.3, True)",
            "x[..., torch.randperm(x.shape[-1])]",
        )
    )


def linear_algebra(d: Draw) -> None:
    d.need(d.rank >= 3 and d.shape[-1] <= 12 and d.shape[-2] <= 12)
    eye = f"torch.eye({d.shape[-2]}, dtype=x.dtype)"
    d.x(
        d.pick(
            f"torch.linalg.solve(x @ x.mT + {eye}, x)",
            f"torch.linalg.inv(x @ x.mT / 4 + {eye}) @ x",
            f"torch.linalg.cholesky(x @ x.mT / 4 + {eye})",
            "torch.linalg.svdvals(x)",
            f"torch.linalg.det(x @ x.mT / 9 + {eye})[..., None]",
        )
    )


def joined_otherwise(d: Draw) -> None:
    d.need(d.rank >= 3)
    d.x(
        d.pick(
            "torch.hstack([x, x.tanh()])",
            "torch.dstack([x, x])",
            "torch.concat((x, -x), -1)",
            "torch.cat(torch.broadcast_tensors(x, x.mean(1, keepdim=True)), 1)",
            "torch.stack(x.tensor_split(1, 1), 1).squeeze(1)",
        )
    )


def in_buckets(d: Draw) -> None:
    borders = d.new("torch.tensor([-1.0, 0.0, 0.5])", "b")
    d.x(
        d.pick(
            f"torch.bucketize(x, {borders}).to(x.dtype)",
            f"x + torch.searchsorted({borders}, x.contiguous()) / 4",
        )
    )


def old_weight_norm(d: Draw) -> None:
    _, c, _, _ = d.map()
    d.x(f"{d.new(f'nn.utils.weight_norm(nn.Conv2d({c}, {d.int(1, 3)}, 3, padding=1))')}(x)")


def of_torchvision(d: Draw) -> None:
    _, c, _, _ = d.map()
    o = d.int(1, 4)
    parts = [f"tv.ops.FrozenBatchNorm2d({c})", f"tv.ops.Conv2dNormActivation({c}, {o}, 3, stride=2)", f"tv.ops.SqueezeExcitation({c}, 2)",
             "tv.ops.StochasticDepth(0.5, 'row')", f"tv.models.resnet.BasicBlock({c}, {c})", f"tv.models.mobilenetv2.InvertedResidual({c}, {o}, 1, 2)",
             f"tv.models.googlenet.BasicConv2d({c}, {o}, kernel_size=3)", f"tv.models.shufflenetv2.InvertedResidual({c}, {2 * o}, 2)",
             f"tv.models.densenet._DenseLayer({c}, 2, 1, 0.0)", f"tv.models.segmentation.deeplabv3.ASPPPooling({c}, {o})"]  # fmt: skip
    d.x(f"{d.new(d.pick(*parts))}(x)")


def deformed(d: Draw) -> None:
    _, c, _, _ = d.map()
    offset, weight = d.new(f"nn.Conv2d({c}, 18, 3, padding=1)"), d.parameter(d.int(1, 3), c, 3, 3)
    d.x(f"tv.ops.deform_conv2d(x, {offset}(x).tanh(), {weight} / 9, padding=1)")


def regions(d: Draw) -> None:
    _, _, h, w = d.map()
    d.run(
        f"boxes = [torch.tensor([[0.0, 0.0, {w / 2}, {h / 2}], [1.0, 1.0, {w}, {h}]], dtype=x.dtype)] * x.shape[0]"
    )
    d.x(f"tv.ops.roi_{d.pick('align', 'pool')}(x, boxes, output_size=(2, 2))")


def preprocessed(d: Draw) -> None:
    """torchvision's transforms inside the network."""
    _, c, h, w = d.map()
    kinds = [f"tv.transforms.functional.normalize(x, [0.4] * {c}, [0.2] * {c})", f"tv.transforms.functional.resize(x, [{d.int(2, 12)}, {d.int(2, 12)}])",
             f"tv.transforms.functional.center_crop(x, [{d.int(1, h)}, {d.int(1, w)}])", "tv.transforms.functional.hflip(x)", "tv.transforms.functional.pad(x, [1, 2], padding_mode='reflect')"]  # fmt: skip
    if h > 3 and w > 3:
        kinds.append("tv.transforms.functional.gaussian_blur(x, 3)")
    d.x(d.pick(*kinds))


def module_forms(d: Draw) -> None:
    _, c, h, w = d.map()
    kinds = [f"nn.Sequential(nn.Flatten(2), nn.Unflatten(2, ({h}, {w})))", f"nn.Sequential(nn.Unfold(3, padding=1), nn.Fold(({h}, {w}), 3, padding=1))", "nn.PixelUnshuffle(1)",
             f"nn.Sequential(nn.Flatten(1, 2), nn.Linear({w}, {w}), nn.Unflatten(1, ({c}, {h})))", "nn.LPPool2d(2, 2)", "nn.LazyBatchNorm2d()", f"nn.ConvTranspose2d({c}, {c}, 2, 2, groups={c})"]  # fmt: skip
    d.x(f"{d.new(d.pick(*kinds))}(x)")


def parameter_list(d: Draw) -> None:
    _, c, _, _ = d.map()
    name = d.new(f"nn.ParameterList([nn.Parameter(torch.rand({c}, 1, 1)) for _ in range(2)])")
    d.x(f"x * {name}[0] + {name}[1]")


def functional_transposed(d: Draw) -> None:
    _, c, _, _ = d.map()
    weight = d.parameter(c, 1, 2, 2)
    d.x(f"F.conv_transpose2d(x, {weight}, stride={d.int(1, 2)}, groups={c})")


HABITS = {
    f.__name__: f
    for f in (
        loop_over_images, loop_over_channels, squeezed_of_all_ones, dynamic_convolution, modulated_convolution,
        correlation, queries, without_gradients, checkpointed, hooked, kept_activation, graph_module, mapped,
        called_functionally, own_function, drawn_by_chance, linear_algebra, joined_otherwise, in_buckets,
        old_weight_norm, of_torchvision, deformed, regions, preprocessed, module_forms, parameter_list,
        functional_transposed,
    )
}  # fmt: skip
