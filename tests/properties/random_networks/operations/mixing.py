"""Products, attention, recurrence and Fourier transforms: what mixes many positions."""

from random_networks.drawing import Draw


def linear(d: Draw) -> None:
    d.x(f"{d.new(f'nn.Linear({d.shape[-1]}, {d.int(1, 6)}, bias={d.coin()})')}(x)")


def linear_of_channels(d: Draw) -> None:
    _, c, _, _ = d.map()
    name = d.new(
        f"nn.Sequential(nn.Linear({c}, {2 * c}), nn.GELU(), nn.Linear({2 * c}, {d.int(1, 5)}))"
    )
    d.x(f"{name}(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)")


def linear_of_an_axis(d: Draw) -> None:
    dim = d.dim()
    d.need(d.shape[dim] <= 40)
    name = d.new(f"nn.Linear({d.shape[dim]}, {d.int(1, 8)})")
    d.x(
        f"{name}(x.transpose({dim}, -1)).transpose({dim}, -1)"
        if d.coin()
        else f"{name}(x.movedim({dim}, -1)).movedim(-1, {dim})"
    )


def mixer(d: Draw) -> None:
    """MLP-Mixer: over the positions, then over the channels."""
    _, c, h, w = d.map()
    d.need(h * w <= 200)
    a, b = d.new(f"nn.Linear({h * w}, {h * w})"), d.new(f"nn.Linear({c}, {c})")
    d.run(
        "t = x.flatten(2)",
        f"t = t + {a}(t)",
        f"t = t.transpose(1, 2) + {b}(t.transpose(1, 2)).relu()",
    )
    d.x("t.transpose(1, 2).reshape(x.shape)")


def summed_by_einsum(d: Draw) -> None:
    d.need(d.rank == 4)
    _, c, h, w = d.shape
    o = d.int(1, 4)
    text, shape = d.pick(
        ("nchw,oc->nohw", (o, c)),
        ("nchw,ow->ncho", (o, w)),
        ("nchw,oh->ncow", (o, h)),
        ("nchw,hw->nchw", (h, w)),
        ("nchw,chw->nc", (c, h, w)),
        ("nchw,cw->nch", (c, w)),
    )
    d.x(f"torch.einsum('{text}', x, {d.parameter(*shape)} / {max(shape[-1], 1)})")


def product_with_itself(d: Draw) -> None:
    """Gram matrices and products of a value with its transpose."""
    d.need(d.rank >= 3)
    kinds = ["x @ x.transpose(-1, -2)", "torch.matmul(x.mT, x)", "(x @ x.mT).softmax(-1) @ x"]
    if d.rank == 4:
        kinds += [
            "torch.einsum('nchw,ndhw->ncd', x, x)",
            "torch.einsum('nchw,nchv->nwv', x, x)",
            "torch.einsum('nchw,nkhw->nckw', x, x[:, :2])",
        ]
    if d.rank == 3:
        kinds += ["torch.bmm(x, x.mT)", "torch.baddbmm(x, torch.bmm(x, x.mT), x, beta=0.5)"]
    d.x(d.pick(*kinds) + " / 4")


def matrix_product(d: Draw) -> None:
    k = d.int(1, 5)
    if d.coin():
        d.x(f"x @ {d.parameter(d.shape[-1], k)} / {d.shape[-1]}")
    else:
        d.need(d.rank >= 3)
        d.x(f"{d.parameter(k, d.shape[-2])} @ x / {d.shape[-2]}")


def similarity(d: Draw) -> None:
    _, c, _, _ = d.map()
    d.x(
        d.pick(
            "F.cosine_similarity(x, x.flip(3), dim=1).unsqueeze(1)",
            f"F.cosine_similarity(x, {d.parameter(c, 1, 1)}, dim=1)[:, None] + x",
            "F.cosine_similarity(x, x.mean((2, 3), keepdim=True), dim=1)[:, None] * x",
        )
    )


def prototypes(d: Draw) -> None:
    """Squared distance of each position to learnt vectors."""
    _, c, _, _ = d.map()
    table = d.parameter(d.int(1, 4), c)
    d.x(
        d.pick(
            f"((x[:, None] - {table}[None, :, :, None, None]) ** 2).sum(2)",
            f"torch.cdist(x.flatten(2).mT, {table}[None]).mT.unflatten(2, x.shape[2:])",
            f"(x ** 2).sum(1, keepdim=True) - 2 * F.conv2d(x, {table}[..., None, None])",
        )
    )


def codebook(d: Draw) -> None:
    """Each position's nearest entry of a table (VQ-VAE)."""
    _, c, _, _ = d.map()
    table = d.new(f"nn.Embedding({d.int(2, 6)}, {c})")
    d.run(
        "t = x.permute(0, 2, 3, 1)",
        f"index = ((t[..., None, :] - {table}.weight) ** 2).sum(-1).argmin(-1)",
    )
    d.x(
        d.pick(
            f"{table}(index).permute(0, 3, 1, 2)",
            f"x + ({table}(index).permute(0, 3, 1, 2) - x).detach()",
            f"F.embedding(index, {table}.weight).movedim(-1, 1) + x",
        )
    )


def bilinear(d: Draw) -> None:
    _, c, _, _ = d.map()
    name = d.new(f"nn.Bilinear({c}, {c}, {d.int(1, 3)})")
    d.run("t = x.permute(0, 2, 3, 1).contiguous()")
    d.x(f"{name}(t, t.tanh()).permute(0, 3, 1, 2)")


def attention(d: Draw) -> None:
    _, c, h, w = d.map()
    d.need(c % 2 == 0 and h * w <= 150)
    first = d.coin()
    name = d.new(f"nn.MultiheadAttention({c}, {d.pick(1, 2)}, batch_first={first})")
    weights = d.pick("", ", need_weights=False")
    d.run(
        f"t = x.flatten(2).permute({'0, 2, 1' if first else '2, 0, 1'})",
        f"t = {name}(t, t, t{weights})[0]",
    )
    d.x(
        f"x + t.permute({'0, 2, 1' if first else '1, 2, 0'}).view(x.shape)"
        if d.coin()
        else f"t.permute({'0, 2, 1' if first else '1, 2, 0'}).reshape(x.shape)"
    )


def attention_by_hand(d: Draw) -> None:
    """Self-attention over positions (Wang et al. 2018), or over channels, rows or columns."""
    _, c, h, w = d.map()
    d.need(h * w <= 200)
    q, k = d.new(f"nn.Conv2d({c}, 2, 1)"), d.new(f"nn.Conv2d({c}, 2, 1)")
    if d.coin():
        d.run(f"a = torch.softmax({q}(x).flatten(2).mT @ {k}(x).flatten(2), -1)")
        d.x("x + 0.5 * (x.flatten(2) @ a.mT).view_as(x)")
    elif d.coin():
        d.run("t = x.flatten(2)", "a = F.softmax(t @ t.transpose(1, 2) / 5, dim=-1)")
        d.x("x + (a @ t).view(x.shape)")
    else:
        d.run(f"a = ({q}(x) @ {k}(x).mT).softmax(-1).mean(1, keepdim=True)")
        d.x("a @ x + x")


def scaled_product(d: Draw) -> None:
    _, c, h, w = d.map()
    d.need(h * w <= 150)
    name = d.new(f"nn.Linear({c}, 12)")
    heads = d.int(1, 2)
    d.run(
        "n, c, h, w = x.shape",
        f"q, k, v = {name}(x.flatten(2).mT).view(n, h * w, 3, {heads}, {4 // heads}).permute(2, 0, 3, 1, 4)",
    )
    causal = ", is_causal=True" if d.coin(0.2) else ""
    d.run(f"y = F.scaled_dot_product_attention(q, k, v{causal})")
    d.x("y.transpose(1, 2).reshape(n, h, w, 4).permute(0, 3, 1, 2)")


def window_attention(d: Draw) -> None:
    _, c, _, _ = d.map()
    name = d.new(f"nn.Linear({c}, {3 * c})")
    table = d.parameter(4, 4)
    d.run("n, c, h, w = x.shape", "p = F.pad(x, (0, -w % 2, 0, -h % 2))", "a, b = p.shape[2] // 2, p.shape[3] // 2",
          "t = p.view(n, c, a, 2, b, 2).permute(0, 2, 4, 3, 5, 1).reshape(n * a * b, 4, c)",
          f"q, k, v = {name}(t).chunk(3, -1)",
          f"t = {d.pick(f'torch.softmax(q @ k.mT / 2 + {table}, -1) @ v', f'F.scaled_dot_product_attention(q, k, v, attn_mask={table})')}",
          "t = t.view(n, a, b, 2, 2, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, 2 * a, 2 * b)")  # fmt: skip
    d.x("x + t[..., :h, :w]")


def axial_attention(d: Draw) -> None:
    """Attention along rows or columns, the other axis in the batch."""
    _, c, _, _ = d.map()
    name = d.new(f"nn.Linear({c}, {3 * c})")
    rows = d.coin()
    d.run(
        "n, c, h, w = x.shape",
        f"t = x.permute({'0, 2, 3, 1' if rows else '0, 3, 2, 1'}){d.pick('', '.flatten(0, 1)')}",
        f"q, k, v = {name}(t).chunk(3, -1)",
        "t = (q @ k.transpose(-2, -1)).softmax(-1) @ v",
    )
    d.x(
        f"t.view(n, {'h, w' if rows else 'w, h'}, c).permute({'0, 3, 1, 2' if rows else '0, 3, 2, 1'}) + x"
    )


def transformer_layer(d: Draw) -> None:
    _, c, h, w = d.map()
    d.need(c % 2 == 0 and h * w <= 100)
    first = d.coin(0.7)
    name = d.new(
        f"nn.TransformerEncoderLayer({c}, 2, {2 * c}, batch_first={first}, norm_first={d.coin()}, activation='{d.pick('relu', 'gelu')}')"
    )
    if first:
        d.x(f"{name}(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)")
    else:
        d.x(f"{name}(x.flatten(2).permute(2, 0, 1)).permute(1, 2, 0).reshape(x.shape)")


def recurrent(d: Draw) -> None:
    """An LSTM, GRU or RNN along rows or columns, the other axis in the batch."""
    _, c, h, w = d.map()
    d.need(max(h, w) <= 16)
    kind = d.pick("LSTM", "GRU", "RNN")
    o = d.int(1, 3)
    both = d.coin(0.3)
    name = d.new(f"nn.{kind}({c}, {o}, batch_first=True, bidirectional={both})")
    d.run("n, c, h, w = x.shape")
    if d.coin():
        d.run("t = x.permute(0, 2, 3, 1).reshape(n * h, w, c)", f"t, _ = {name}(t)")
        d.x("t.view(n, h, w, -1).permute(0, 3, 1, 2)")
    elif d.coin():
        d.run("t = x.permute(0, 3, 2, 1).flatten(0, 1)", f"t = {name}(t)[0]")
        d.x("t.unflatten(0, (n, w)).permute(0, 3, 2, 1)")
    else:
        d.need(h * w <= 30)
        d.run(f"t, state = {name}(x.flatten(2).transpose(1, 2))")
        d.x("t.mT.reshape(n, -1, h, w)" if d.coin() else "t.transpose(1, 2).unflatten(2, (h, w))")


def sequence_first(d: Draw) -> None:
    """A recurrent layer as made: (L, N, C), as in readers of text lines (CRNN)."""
    _, c, _, _ = d.map()
    name = d.new(f"nn.{d.pick('LSTM', 'GRU')}({c}, 2)")
    d.run("t = x.mean(2).permute(2, 0, 1)", f"t, _ = {name}(t)")
    d.x("t.permute(1, 2, 0)")


def fourier(d: Draw) -> None:
    d.map()
    kinds = [
        "torch.fft.fft2(x).real", "torch.fft.fft2(x).abs() / 5", "torch.fft.irfft2(torch.fft.rfft2(x) * 0.5, s=x.shape[-2:])",
        "torch.fft.ifft2(torch.fft.fft2(x)).real", "torch.fft.fft(x, dim=1).real", "torch.fft.rfft(x).imag",
        "torch.fft.fftshift(x, dim=(-2, -1))", "torch.view_as_real(torch.fft.rfft2(x)).flatten(-2)",
    ]  # fmt: skip
    d.x(d.pick(*kinds))


def spectral_filter(d: Draw) -> None:
    """Global filters in the frequencies (Rao et al. 2021)."""
    _, c, h, w = d.map()
    weight = d.parameter(c, h, w // 2 + 1)
    d.x(
        f"torch.fft.irfft2(torch.fft.rfft2(x, norm='ortho') * {weight}, s=x.shape[-2:], norm='ortho')"
    )


def bag(d: Draw) -> None:
    """Attention over positions as instances (Ilse et al. 2018)."""
    _, c, _, _ = d.map()
    name = d.new(f"nn.Linear({c}, 1)")
    d.run("t = x.flatten(2).mT", f"a = {name}(t).softmax(1)")
    d.x("x + (a * t).sum(1)[..., None, None]" if d.coin() else "(a.mT @ t).squeeze(1)")


MIXING = {
    f.__name__: f
    for f in (
        linear, linear_of_channels, linear_of_an_axis, mixer, summed_by_einsum, product_with_itself, matrix_product,
        similarity, prototypes, codebook, bilinear, attention, attention_by_hand, scaled_product, window_attention,
        axial_attention, transformer_layer, recurrent, sequence_first, fourier, spectral_filter, bag,
    )
}  # fmt: skip
