"""Attention maps and rollout, against attention computed by hand from the same weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

import striate
from striate import models
from striate.attribution import attention_of, attribute, explain, rollout
from striate.attribution.attention import token_map
from striate.errors import UsageError

X = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))


def shaken(module: nn.Module) -> nn.Module:
    """Larger weights, so that attention is far from even."""
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=g))
    return module.eval()


def torchvisions() -> nn.Module:
    return torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=3, hidden_dim=24, mlp_dim=40, num_classes=5
    )  # fmt: skip


def timms(fused: bool) -> nn.Module:
    network = timm.models.VisionTransformer(
        img_size=32, patch_size=8, depth=2, num_heads=3, embed_dim=24, num_classes=5
    )
    for block in network.blocks:
        block.attn.fused_attn = fused
    return network


def ours() -> nn.Module:
    return models.build("vit", num_classes=5, size=32, patch_size=8, depth=2, heads=3, width=24)


# network -> (its attention layers, the weights and biases of Q, K and V in one of them)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], str, tuple[str, str]]] = {
    "ours": (ours, "self_attention", ("in_proj_weight", "in_proj_bias")),
    "torchvision": (torchvisions, "self_attention", ("in_proj_weight", "in_proj_bias")),
    "timm fused": (lambda: timms(True), "attn", ("qkv.weight", "qkv.bias")),
    "timm unfused": (lambda: timms(False), "attn", ("qkv.weight", "qkv.bias")),
}


def by_hand(network: nn.Module, x: Tensor, suffix: str, names: tuple[str, str]) -> list[np.ndarray]:
    """softmax(Q K^T / sqrt(8)) of each layer by loops over heads and tokens, from what comes into it."""
    entered: list[tuple[nn.Module, Tensor]] = []
    hooks = [
        m.register_forward_pre_hook(lambda m, args: entered.append((m, args[0].detach())))
        for n, m in network.named_modules() if n.endswith(suffix)
    ]  # fmt: skip
    with torch.no_grad():
        network(x[None])
    for hook in hooks:
        hook.remove()
    maps = []
    for module, tokens in entered:
        state = module.state_dict()
        z = (tokens[0] @ state[names[0]].T + state[names[1]]).double().numpy()
        layer = np.zeros((3, len(z), len(z)))
        for h in range(3):
            for t, row in enumerate(z):
                scores = np.array([row[8 * h : 8 * h + 8] @ other[24 + 8 * h : 32 + 8 * h] for other in z])  # fmt: skip
                weights = np.exp(scores / np.sqrt(8))
                layer[h, t] = weights / weights.sum()
        maps.append(layer)
    return maps


@pytest.mark.parametrize("name", NETWORKS)
def test_attention_is_read_as_it_is_computed_by_hand(name: str) -> None:
    make, suffix, names = NETWORKS[name]
    torch.manual_seed(0)
    network = shaken(make())
    before = network(X[None])
    expected, read = by_hand(network, X, suffix, names), attention_of(network, X)
    assert len(read) == 2
    for a, b in zip(read, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b, atol=1e-5)
        assert b.std() > 0.01, "even attention would prove nothing"
    assert torch.equal(network(X[None]), before)

    last = expected[-1].mean(0)[0, 1:].reshape(4, 4)
    product = np.eye(17)
    for layer in expected:
        product = (0.5 * layer.mean(0) + 0.5 * np.eye(17)) @ product
    np.testing.assert_allclose(rollout(read).numpy(), product, atol=1e-5)
    np.testing.assert_allclose(product.sum(1), 1)
    for method, want in (("attention", last), ("attention-rollout", product[0, 1:].reshape(4, 4))):
        values = attribute(network, X, 1, method).values.numpy()
        at_middles = torch.from_numpy(want)[None, None]  # each value over the middle of its patch
        pixels = F.interpolate(at_middles, scale_factor=8, mode="bilinear")[0, 0]
        np.testing.assert_allclose(values, pixels.numpy(), atol=1e-5)


class Spotlight(nn.Module):
    """A class token that attends to bright patches: attention by hand, tokens first or images first."""

    def __init__(self, product: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 8, 8)
        nn.init.constant_(self.conv.weight, 1 / 192)
        self.head = nn.Linear(4, 3)
        self.drop = nn.Dropout(0.1)
        self.product = product

    def forward(self, x: Tensor) -> Tensor:
        t = self.conv(x).flatten(2).transpose(1, 2)
        t = torch.cat([torch.zeros_like(t[:, :1]), t], 1)
        k = 5 * t
        if self.product == "matmul":
            a = (torch.ones_like(t) @ k.transpose(1, 2)).softmax(-1)
            y = self.drop(a) @ t
        elif self.product == "einsum":
            a = torch.softmax(torch.einsum("ntc,nsc->nts", torch.ones_like(t), k), dim=2)
            y = torch.einsum("nts,nsc->ntc", a, t)
        else:
            a = F.softmax(torch.bmm(torch.ones_like(t), k.transpose(1, 2)), -1)
            y = torch.bmm(a, t)
        return self.head(y[:, 0])


@pytest.mark.parametrize("product", ["matmul", "einsum", "bmm"])
def test_attention_of_a_module_of_ones_own_lies_on_the_bright_patch(product: str) -> None:
    image = torch.zeros(3, 32, 32)
    image[:, 8:16, 24:] = 1
    torch.manual_seed(0)
    values = attribute(Spotlight(product), image, 0, "attention").values
    row, column = divmod(int(values.argmax()), 32)
    assert row in range(8, 16) and column in range(24, 32)
    assert float(values[11, 28]) > 0.9


class TokensFirst(nn.Module):
    """nn.MultiheadAttention as it is by default: (T, N, E), weights averaged over heads and returned."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 8, 8)
        self.attention = nn.MultiheadAttention(8, 2)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        t = self.conv(x).flatten(2).permute(2, 0, 1)
        y, self.weights = self.attention(t, t, t)
        return self.head(y.mean(0))


def test_multi_head_attention_with_tokens_first_and_without_class_token() -> None:
    torch.manual_seed(0)
    network = shaken(TokensFirst())
    (read,) = attention_of(network, X)
    network(X[None])
    torch.testing.assert_close(read.mean(0), network.weights[0])
    found = attribute(network, X, 0, "attention")
    assert found.remark.startswith("mean over tokens, 4 × 4 patches")


def test_cct_has_maps_of_its_convolutional_tokens() -> None:
    torch.manual_seed(0)
    network = models.build("cct", in_channels=1, num_classes=3, size=28).eval()
    found = attribute(network, X[:1, :28, :28], 0, "attention-rollout")
    assert found.values.shape == (28, 28)
    assert "7 × 7 patches" in found.remark


def windows() -> nn.Module:
    return timm.models.SwinTransformer(
        img_size=32, patch_size=4, window_size=4, depths=(1, 1), num_heads=(2, 2), embed_dim=8, num_classes=3
    ).eval()  # fmt: skip


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: models.build("compact", num_classes=3, size=32).eval(), r"no attention.*use grad-cam"),
        (lambda: models.build("patch-mlp", num_classes=3, size=32).eval(), r"no attention"),
        (windows, r"within windows .* 4 for one image"),
    ],
    ids=["convolutions", "mixer", "windows"],
)  # fmt: skip
def test_networks_without_attention_among_all_tokens_are_refused(
    make: Callable[[], nn.Module], words: str
) -> None:
    for method in ("attention", "rollout"):
        with pytest.raises(UsageError, match=words):
            attribute(make(), X, 0, method)


def test_all_methods_of_a_network_are_those_that_it_can_have() -> None:
    torch.manual_seed(0)
    settings = {"trust": False}
    plain = explain(models.build("compact", num_classes=3, size=32).eval(), X, 0, **settings)
    assert not {"attention", "attention-rollout"} & {*plain.maps, *plain.refused}
    seen = explain(shaken(ours()), X, 0, **settings)
    assert {"attention", "attention-rollout", "occlusion", "integrated-gradients"} <= set(seen.maps)


def test_attention_has_trust_scores() -> None:
    torch.manual_seed(0)
    network = models.build("vit", num_classes=3, size=32, patch_size=8, depth=1, heads=1, width=8)
    e = explain(shaken(network), X, 0, methods=["attention", "rollout"], orders=2)
    for method in ("attention", "attention-rollout"):
        assert -1 <= e.curves[method].faithfulness <= 1
        assert set(e.shuffled_similarity[method]) == {"upper half", "all"}


def timm_vit(**options: object) -> nn.Module:
    return timm.models.VisionTransformer(
        img_size=32, patch_size=8, depth=2, num_heads=3, embed_dim=24, num_classes=5, **options
    )


# network, tokens before its patches, tokens that its head reads, what it is called
READ = {
    "class token": (timm_vit, 1, [0], "class token"),
    "mean over patches, class token unread": (lambda: timm_vit(global_pool="avg"), 1, range(1, 17), "mean over patches"),
    "registers, mean over patches": (
        lambda: timm_vit(global_pool="avg", class_token=False, reg_tokens=4), 4, range(4, 20), "mean over patches"
    ),
    "registers behind a class token": (lambda: timm_vit(reg_tokens=4), 5, [0], "class token"),
    "distilled": (
        lambda: timm.models.deit.VisionTransformerDistilled(
            img_size=32, patch_size=8, depth=2, num_heads=3, embed_dim=24, num_classes=5
        ), 2, [0, 1], "mean over 2 tokens before the patches"
    ),
    "ours, mean": (
        lambda: models.build("vit", num_classes=5, size=32, patch_size=8, depth=2, heads=3, width=24, pool="mean"),
        0, range(16), "mean over tokens",
    ),
    "torchvision": (torchvisions, 1, [0], "class token"),
    "torch's encoder": (lambda: Encoder(), 0, range(16), "mean over tokens"),
}  # fmt: skip


class Encoder(nn.Module):
    """`nn.TransformerEncoder`, whose fast path computes attention out of sight."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 24, 8, 8)
        layer = nn.TransformerEncoderLayer(24, 3, 40, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


@pytest.mark.parametrize("name", READ)
def test_the_map_is_of_the_tokens_that_the_head_reads(name: str) -> None:
    make, before, read, called = READ[name]
    network = shaken(make())
    maps = attention_of(network, X)
    rows = maps[-1].double().mean(0)[list(read)]
    expected = rows.mean(0)[before:].reshape(4, 4)
    found = token_map(network, X[None], striate.trace(network, (1, 3, 32, 32)), rolled=False)
    assert found.reader == called
    # around the middle of a patch its own value counts for almost all
    middles = found.pixels.reshape(4, 8, 4, 8)[:, 3:5, :, 3:5].mean((1, 3))
    assert torch.corrcoef(torch.stack([middles.flatten().double(), expected.flatten()]))[0, 1] > 0.99  # fmt: skip
