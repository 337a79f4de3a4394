"""What patches see behind a class token: their own pixels up to the first attention, measured by gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

import striate
from striate.geometry import Axis

E, HIDDEN = 24, 40
TIMM = {"img_size": 32, "patch_size": 8, "depth": 2, "num_heads": 3, "embed_dim": E, "num_classes": 5}  # fmt: skip


def timm_vit(**options: object) -> nn.Module:
    return timm.models.VisionTransformer(**TIMM, **options)


# name: the network, the tokens before its patches
NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "ours": (
        lambda: striate.build("vit", num_classes=5, size=32, patch_size=8, depth=2, heads=3, width=E, mlp_width=HIDDEN), 1
    ),
    "torchvision": (
        lambda: torchvision.models.VisionTransformer(
            image_size=32, patch_size=8, num_layers=2, num_heads=3, hidden_dim=E, mlp_dim=HIDDEN, num_classes=5
        ), 1
    ),
    "timm": (timm_vit, 1),
    "two registers": (lambda: timm_vit(reg_tokens=2, dynamic_img_size=True), 3),
    "normed queries": (lambda: timm_vit(qk_norm=True, no_embed_class=True), 1),
    "distilled": (lambda: timm.models.deit.VisionTransformerDistilled(**TIMM), 2),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_patches_see_themselves_until_they_attend(name: str) -> None:
    network = NETWORKS[name][0]().eval()
    layers = list(striate.trace(network, (1, 3, 32, 32)))
    first = next(i for i, x in enumerate(layers) if "bmm" in x.op or "softmax" in x.op)
    assert first > 4
    for layer in layers[:first]:
        assert layer.receptive_field == layer.local_field == (Axis(8, 8, 0), Axis(8, 8, 0)), (
            layer.name
        )
    for layer in layers[first:]:
        assert layer.receptive_field == (None, None), layer.name
    added = next(x for x in layers[first:] if x.op == "add")
    assert added.local_field == (Axis(8, 8, 0), Axis(8, 8, 0))  # by itself; the rest by attention


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_by_gradients(name: str) -> None:
    """The input of the first attention's queries: the gradient of each token's own value."""
    torch.manual_seed(0)
    make, before = NETWORKS[name]
    network = make().double().eval()
    norm = next(m for n, m in network.named_modules() if n.endswith(("ln_1", "norm1")))
    kept: list[Tensor] = []
    norm.register_forward_hook(lambda module, args, out: kept.append(out))
    x = torch.rand(1, 3, 32, 32, dtype=torch.double, requires_grad=True)
    network(x)
    tokens = kept[0][0]
    assert len(tokens) == before + 16
    for t, token in enumerate(tokens):
        if t < before:
            if token.requires_grad:
                (gradient,) = torch.autograd.grad(token[3], x, retain_graph=True)
                assert not gradient.any()
            continue
        (gradient,) = torch.autograd.grad(token[3], x, retain_graph=True)
        rows, columns = (gradient[0].abs().sum((0, d)).nonzero().flatten() for d in (2, 1))
        row, column = divmod(t - before, 4)
        assert (int(rows[0]), int(rows[-1])) == (8 * row, 8 * row + 7)
        assert (int(columns[0]), int(columns[-1])) == (8 * column, 8 * column + 7)


class Cut(nn.Module):
    """Registers put between the class token and the patches, as DINOv2 does, and then a mean over all tokens."""

    def __init__(self, mixed: bool) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, E, 8, 8)
        self.token = nn.Parameter(torch.rand(1, 1, E))
        self.registers = nn.Parameter(torch.rand(1, 4, E))
        self.mixed = mixed

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1)
        if self.mixed:  # a row of patches is lost, so that no place of the rest is known
            tokens = tokens[:, 3:]
        else:
            tokens = torch.cat([self.registers.expand(len(x), -1, -1), tokens[:, 1:]], 1)
        return torch.tanh(tokens).mean(1)


def test_tokens_that_are_cut_and_joined_again_are_followed() -> None:
    fields = {x.op: x.receptive_field for x in striate.trace(Cut(False), (1, 3, 32, 32))}
    assert fields["tanh"] == (Axis(8, 8, 0), Axis(8, 8, 0))
    assert fields["mean"] == (None, None)


def test_where_the_place_of_patches_is_lost_everything_stands() -> None:
    fields = {x.op: x.receptive_field for x in striate.trace(Cut(True), (1, 3, 32, 32))}
    assert fields["tanh"] == (None, None)
