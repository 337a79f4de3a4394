"""Transformers and mixers over patches: the weights of torchvision and timm, patches by hand, sizes, options."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

import striate
from striate import models
from striate.errors import UsageError
from striate.nn import PatchEmbedding, SelfAttention

SMALL = {"patch_size": 8, "depth": 2, "heads": 3, "width": 24, "mlp_width": 40}


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def shaken(module: nn.Module) -> nn.Module:
    """Every parameter another one, so that no zero or one hides an error."""
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=g))
    return module.eval()


def equal(a: nn.Module, b: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        expected, answer = a.eval()(x), b.eval()(x)
    assert expected.std() > 1e-2, "an answer of zeros would prove nothing"
    torch.testing.assert_close(answer, expected, rtol=1e-5, atol=1e-5)


def torchvisions() -> nn.Module:
    return shaken(
        torchvision.models.VisionTransformer(
            image_size=32, patch_size=8, num_layers=2, num_heads=3, hidden_dim=24, mlp_dim=40, num_classes=5
        )
    )  # fmt: skip


def timms() -> nn.Module:
    return shaken(
        timm.models.VisionTransformer(
            img_size=32, patch_size=8, depth=2, num_heads=3, embed_dim=24, mlp_ratio=40 / 24, num_classes=5
        )
    )  # fmt: skip


def ours(**options: object) -> nn.Module:
    return models.build("vit", num_classes=5, size=32, **{**SMALL, **options}).eval()


def test_torchvisions_weights_give_equal_answers() -> None:
    peer, network = torchvisions(), ours()
    models.load_torchvision(network, peer.state_dict())
    equal(peer, network, images(2, 3, 32, 32))


@pytest.mark.parametrize("make", [torchvisions, timms], ids=["torchvision", "timm"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.net."])
def test_files_of_torchvision_and_timm_load(make: object, prefix: str, tmp_path: Path) -> None:
    peer, network = make(), ours()  # type: ignore[operator]
    file = tmp_path / "vit.safetensors"
    save_file({prefix + n: t.contiguous() for n, t in peer.state_dict().items()}, file)
    models.load_weights(network, file)
    equal(peer, network, images(2, 3, 32, 32))


def test_the_spelling_of_torchvisions_first_files_loads() -> None:
    peer, network = torchvisions(), ours()
    old = {
        n.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"): t
        for n, t in peer.state_dict().items()
    }
    models.load_torchvision(network, old)
    equal(peer, network, images(2, 3, 32, 32))


def test_at_224_pixels_it_is_vit_b_16() -> None:
    with torch.device("meta"):
        peer, network = torchvision.models.vit_b_16(), models.build("vit", num_classes=1000)
    shapes = {n: p.shape for n, p in network.named_parameters()}
    assert shapes == {n: p.shape for n, p in peer.named_parameters()}
    assert sum(p.numel() for p in network.parameters()) == 86_567_656  # the paper's 86 M, table 1


def test_timms_mixer_loads_into_patch_mlp() -> None:
    peer = shaken(
        timm.models.MlpMixer(
            img_size=32, patch_size=8, num_blocks=2, embed_dim=24, mlp_ratio=(0.5, 2.0), num_classes=5
        )
    )  # fmt: skip
    network = models.build(
        "patch-mlp", num_classes=5, size=32, patch_size=8, depth=2, width=24, token_mlp=12, mlp_width=48
    )  # fmt: skip
    network.load_state_dict(peer.state_dict())
    equal(peer, network, images(2, 3, 32, 32))


def test_patches_are_an_unfolding_and_a_matrix_product() -> None:
    torch.manual_seed(0)
    layer, x = PatchEmbedding(3, 10, 4), images(2, 3, 12, 8)
    rows = F.unfold(x, 4, stride=4).transpose(1, 2)  # (N, T, C * P * P)
    expected = rows @ layer.weight.flatten(1).T + layer.bias
    torch.testing.assert_close(layer(x).flatten(2).transpose(1, 2), expected)


def test_an_image_that_patches_do_not_divide_is_padded_evenly_with_zeros() -> None:
    torch.manual_seed(0)
    layer, x = PatchEmbedding(1, 6, 8), images(1, 1, 28, 13)
    padded = torch.zeros(1, 1, 32, 16)
    padded[:, :, 2:30, 1:14] = x
    assert layer(x).shape == (1, 6, 4, 2)
    torch.testing.assert_close(layer(x), layer(padded))
    # the trace shows the padding, and what a patch at the border sees of the image
    geometry = striate.trace(layer, (1, 1, 28, 13))
    axes = geometry.layers[-1].receptive_field
    assert [(a.size, a.stride, a.start) for a in axes] == [(8, 8, -2), (8, 8, -1)]


def test_attention_is_that_of_torch() -> None:
    torch.manual_seed(0)
    layer, x = SelfAttention(12, 3), images(2, 5, 12)
    peer = nn.MultiheadAttention(12, 3, batch_first=True)
    peer.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x), peer(x, x, x)[0])


@pytest.mark.parametrize("pool", ["class", "mean"])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "none"])
def test_without_positions_the_order_of_patches_does_not_matter(positions: str, pool: str) -> None:
    network = shaken(ours(positions=positions, pool=pool))
    x = images(1, 3, 32, 32)
    shuffled = F.unfold(x, 8, stride=8)[:, :, torch.randperm(16, generator=torch.Generator().manual_seed(2))]  # fmt: skip
    shuffled = F.fold(shuffled, 32, 8, stride=8)
    with torch.no_grad():
        change = float((network(x) - network(shuffled)).abs().max())
    assert (change < 1e-5) == (positions == "none")


@pytest.mark.parametrize("name", ["vit", "cct"])
def test_positions_are_resized_to_images_of_other_sizes(name: str) -> None:
    torch.manual_seed(0)
    network = models.build(name, in_channels=1, num_classes=3, size=28).eval()
    assert network(images(1, 1, 40, 28)).shape == (1, 3)


def test_a_mixer_says_which_size_it_takes() -> None:
    network = models.build("patch-mlp", in_channels=1, num_classes=3, size=28)
    with pytest.raises(UsageError, match=r"7 x 7 patches.*40 x 28 .*has 10 x 7; resize it to 28 x 28"):  # fmt: skip
        network(images(1, 1, 40, 28))


@pytest.mark.parametrize("name", ["vit", "cct", "patch-mlp"])
def test_every_parameter_learns(name: str) -> None:
    torch.manual_seed(1)
    network = models.build(name, num_classes=4, size=16)
    F.cross_entropy(network(images(4, 3, 16, 16)), torch.tensor([0, 1, 2, 3])).backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heads": 5}, r"heads must divide the width of 24, got 5; use one of 1, 2, 3"),
        ({"patch_size": 0}, r"patch_size must be .* from 1 to 65,536, got 0"),
        ({"depth": 1.5}, r"depth must be a whole number"),
        ({"positions": "rotary"}, r"positions must be one of learned, sinusoidal, none, got 'rotary'"),
        ({"pool": "max"}, r"pool must be one of class, mean"),
        ({"width": 30, "positions": "sinusoidal"}, r"4 divides, got 30; use 32"),
        ({"dropout": 1.0}, r"dropout must be"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)  # fmt: skip
def test_options_that_make_no_network(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ours(**options)


def test_a_tokeniser_of_even_kernels_is_refused() -> None:
    with pytest.raises(UsageError, match=r"kernel of a tokeniser is odd, got 4; use 5"):
        models.build("cct", num_classes=3, size=28, kernel=4)


SIZES = [(48, 48), (32, 48), (24, 40)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_weights_of_another_image_size_are_resized_as_timm_does(
    size: tuple[int, int], tmp_path: Path
) -> None:
    """Positions by timm's own `resample_abs_pos_embed`, and the answers of its network at that size."""
    peer = timms()
    file = tmp_path / "vit.safetensors"
    save_file({n: t.contiguous() for n, t in peer.state_dict().items()}, file)
    network = models.build("vit", num_classes=5, size=size, **SMALL).eval()
    loaded = models.load_weights(network, file)
    grid = [size[0] // 8, size[1] // 8]
    expected = timm.layers.resample_abs_pos_embed(peer.pos_embed, grid, num_prefix_tokens=1)
    torch.testing.assert_close(network.encoder.pos_embedding, expected, rtol=1e-5, atol=1e-5)
    assert any(f"resized to {grid[0]} x {grid[1]}" in note for note in loaded.notes)
    other = timm.models.VisionTransformer(
        img_size=size, patch_size=8, depth=2, num_heads=3, embed_dim=24, mlp_ratio=40 / 24, num_classes=5
    )  # fmt: skip
    other.load_state_dict({**peer.state_dict(), "pos_embed": expected})
    equal(other, network, images(2, 3, *size))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_an_image_of_another_size_is_read_as_timm_reads_it(size: tuple[int, int]) -> None:
    peer = shaken(
        timm.models.VisionTransformer(
            img_size=32, patch_size=8, depth=2, num_heads=3, embed_dim=24, mlp_ratio=40 / 24, num_classes=5,
            dynamic_img_size=True,
        )
    )  # fmt: skip
    network = ours()
    models.load_torchvision(network, peer.state_dict())
    equal(peer, network, images(2, 3, *size))


def test_positions_without_one_for_the_class_token_are_taken(tmp_path: Path) -> None:
    peer = shaken(
        timm.models.VisionTransformer(
            img_size=32, patch_size=8, depth=2, num_heads=3, embed_dim=24, mlp_ratio=40 / 24, num_classes=5,
            no_embed_class=True,
        )
    )  # fmt: skip
    file = tmp_path / "vit.safetensors"
    save_file({n: t.contiguous() for n, t in peer.state_dict().items()}, file)
    network = ours()
    assert any("class token" in note for note in models.load_weights(network, file).notes)
    equal(peer, network, images(2, 3, 32, 32))


def test_timms_network_takes_its_own_weights_at_another_size(tmp_path: Path) -> None:
    peer = timms()
    file = tmp_path / "vit.safetensors"
    save_file({n: t.contiguous() for n, t in peer.state_dict().items()}, file)
    network = timm.models.VisionTransformer(
        img_size=48, patch_size=8, depth=2, num_heads=3, embed_dim=24, mlp_ratio=40 / 24, num_classes=5
    )  # fmt: skip
    models.load_weights(network, file)
    expected = timm.layers.resample_abs_pos_embed(peer.pos_embed, [6, 6], num_prefix_tokens=1)
    torch.testing.assert_close(network.pos_embed, expected, rtol=1e-5, atol=1e-5)


def test_positions_of_another_width_and_of_no_square_are_refused(tmp_path: Path) -> None:
    network, before = ours(), ours().state_dict()
    for shape in ((1, 12, 24), (1, 26, 32)):
        file = tmp_path / "odd.safetensors"
        save_file({**before, "encoder.pos_embedding": torch.zeros(shape)}, file)
        with pytest.raises(UsageError, match="pos_embedding"):
            models.load_weights(network, file)
