"""Transformers in the trace: costs against a count by hand, what a token sees, and why no image is cut into tiles."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision

import striate
from striate.errors import GeometryError

E, HIDDEN = 24, 40  # width, and that of the perceptrons


def by_hand(tokens: int, layers: int) -> int:
    """Multiply-adds: Q, K and V; Q by K and shares by V; the projection; two layers of the perceptron."""
    attention = tokens * E * 3 * E + 2 * tokens * tokens * E + tokens * E * E
    return layers * (attention + 2 * tokens * E * HIDDEN)


NETWORKS = {
    "ours": lambda: striate.build("vit", num_classes=5, size=32, patch_size=8, depth=2, heads=3, width=E, mlp_width=HIDDEN),
    "torchvision": lambda: torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=3, hidden_dim=E, mlp_dim=HIDDEN, num_classes=5
    ),
    "timm": lambda: timm.models.VisionTransformer(
        img_size=32, patch_size=8, depth=2, num_heads=3, embed_dim=E, mlp_ratio=HIDDEN / E, num_classes=5
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_costs_are_those_of_a_count_by_hand(name: str) -> None:
    network = NETWORKS[name]().eval()
    geometry = striate.trace(network, (1, 3, 32, 32))
    # 16 patches of 192 numbers, 17 tokens with the class token, a head on that
    assert geometry.total_macs == 16 * 192 * E + by_hand(17, 2) + E * 5
    assert geometry.total_params == sum(p.numel() for p in network.parameters())


def test_a_token_of_cct_sees_a_window_until_it_attends() -> None:
    options = {"depth": 1, "heads": 3, "width": E, "mlp_width": HIDDEN}
    network = striate.build("cct", in_channels=1, num_classes=5, size=28, **options).eval()
    geometry = striate.trace(network, (1, 1, 28, 28))
    fields = {layer.name: layer.receptive_field for layer in geometry}
    # 3 + (3 - 1) + (3 - 1) * 2 + (3 - 1) * 2: two convolutions of 3, two poolings of 3 and stride 2
    assert [(a.size, a.stride, a.start) for a in fields["tokenizer.5"]] == [(13, 4, -6)] * 2
    before = fields["encoder.layers.encoder_layer_0.ln_1"]
    assert [(a.size, a.stride) for a in before] == [(13, 4)] * 2
    assert fields["encoder.layers.encoder_layer_0.self_attention.out_proj"] == (None, None)
    # the same by gradients: what moves the first token before attention
    x = torch.rand(1, 1, 28, 28, requires_grad=True)
    network.tokenizer(x).flatten(2)[0, :, 24].square().sum().backward()
    rows = x.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert int(rows.min()) >= 3 * 4 - 6 and int(rows.max()) <= 3 * 4 - 6 + 12


@pytest.mark.parametrize("name", [*NETWORKS, "cct"])
def test_no_image_is_cut_into_tiles_before_attention(name: str) -> None:
    make = NETWORKS.get(name, lambda: striate.build("cct", num_classes=5, size=32, depth=1))
    torch.manual_seed(0)
    with pytest.raises(
        GeometryError, match=r"(softmax|bmm).* mixes all positions of its input.*on the whole image"
    ):
        striate.tiled(make().eval(), torch.zeros(1, 3, 32, 32), tile=16)


def test_a_mixer_is_equal_in_tiles() -> None:
    """Its perceptrons across tokens read all of them, as a fully connected layer reads a whole map."""
    torch.manual_seed(0)
    network = striate.build("patch-mlp", num_classes=5, size=32, depth=1).eval()
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(striate.tiled(network, x, tile=16), network(x))
