"""Where torchvision has the same network: equal parameter counts, and its weights give equal
answers in ours.
"""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from striate import models
from striate.errors import UsageError

# name -> the smallest side that torchvision's network takes
SIDES = {
    "alexnet": 63,
    **{f"vgg{n}{bn}": 32 for n in (11, 13, 16, 19) for bn in ("", "-bn")},
    "googlenet-torchvision": 32,
    **{f"resnet{n}": 32 for n in (18, 34, 50, 101, 152)},
    **{f"densenet{n}": 32 for n in (121, 169, 201)},
}
OPTIONS = {"googlenet-torchvision": {"init_weights": False, "aux_logits": False}}


def theirs(name: str, **options: object) -> nn.Module:
    """torchvision's network on the meta device: shapes without storage."""
    make = getattr(torchvision.models, name.removesuffix("-torchvision").replace("-", "_"))
    with torch.device("meta"):
        return make(**{**OPTIONS.get(name, {}), **options}).eval()


def ours(name: str, **options: object) -> nn.Module:
    with torch.device("meta"):
        return models.build(name, num_classes=1000, **options).eval()


@functools.cache
def noise() -> Tensor:
    """Enough random numbers for the largest layer that there is, drawn once."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1 << 20, generator=generator).repeat(110)


def random_state(module: nn.Module) -> dict[str, Tensor]:
    """Weights of He's size and batch norm statistics as after training, different in every
    layer.
    """
    state, start = {}, 0
    for name, tensor in module.state_dict().items():
        start = (start + 7919) % (1 << 20)
        values = noise()[start : start + tensor.numel()].view(tensor.shape)
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(1)
        elif name.endswith("running_var"):
            state[name] = values.abs() + 0.5
        elif tensor.ndim > 1:
            state[name] = values * (2 / tensor[0].numel()) ** 0.5
        else:
            state[name] = values * 0.2 + ("weight" in name)
    return state


def test_the_table_of_sides_names_every_network_that_both_have() -> None:
    both = {n for n in models.names() if hasattr(torchvision.models, n.replace("-", "_"))}
    assert both - {"googlenet"} == set(SIDES) - {"googlenet-torchvision"}


@pytest.mark.parametrize("name", SIDES)
def test_parameter_counts_are_equal(name: str) -> None:
    count = sum(p.numel() for p in ours(name).parameters())
    assert count == sum(p.numel() for p in theirs(name).parameters())


@pytest.mark.parametrize("name", SIDES)
def test_their_weights_give_equal_answers_in_ours(name: str) -> None:
    peer, network = theirs(name), ours(name, small_stem=False)
    state = random_state(peer)
    peer.load_state_dict(state, assign=True)
    network.load_state_dict(state, assign=True)  # strict: every name, every shape
    x = noise()[: 3 * SIDES[name] ** 2].view(1, 3, SIDES[name], SIDES[name])
    with torch.no_grad():
        expected, answer = peer(x), network(x)
    assert expected.std() > 1e-6, "an answer of zeros would prove nothing"
    torch.testing.assert_close(answer, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_an_image_below_the_side_fits_neither() -> None:
    x = torch.empty(1, 3, 62, 62, device="meta")
    for network in (theirs("alexnet"), ours("alexnet")):
        with pytest.raises(RuntimeError, match=r"[Oo]utput size"):
            network(x)


def test_googlenet_with_auxiliary_classifiers_speaks_three_times_in_training() -> None:
    options = {"num_classes": 5, "init_weights": False, "aux_logits": True, "transform_input": True}
    peer = torchvision.models.googlenet(**options, dropout=0.0, dropout_aux=0.0)
    network = models.build(
        "googlenet-torchvision",
        num_classes=5,
        aux=True,
        transform_input=True,
        dropout=0.0,
        dropout_aux=0.0,
    )
    models.load_torchvision(network, random_state(peer))
    peer.load_state_dict(random_state(peer))
    x = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(network.eval()(x), peer.eval()(x), rtol=1e-4, atol=1e-4)
    expected, answer = peer.train()(x), network.train()(x)
    assert answer._fields == ("logits", "aux2", "aux1")
    for got, wanted in zip(answer, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4)


def test_load_torchvision_leaves_out_heads_that_ours_does_not_have() -> None:
    peer = torchvision.models.googlenet(num_classes=5, init_weights=False, aux_logits=True)
    network = models.build("googlenet-torchvision", num_classes=5)
    models.load_torchvision(network, peer.state_dict())
    assert torch.equal(network.state_dict()["fc.weight"], peer.fc.weight)


def test_load_torchvision_reads_the_spelling_of_old_densenet_files() -> None:
    # the files that torchvision still serves say denselayer1.norm.1 for denselayer1.norm1
    peer = torchvision.models.densenet121(num_classes=5)
    old = {
        n.replace("norm1.", "norm.1.").replace("conv2.", "conv.2.") if "denselayer" in n else n: t
        for n, t in peer.state_dict().items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    network = models.build("densenet121", num_classes=5)
    models.load_torchvision(network, old)
    last = "features.denseblock4.denselayer16.conv2.weight"
    assert torch.equal(network.state_dict()[last], peer.state_dict()[last])


def test_load_torchvision_refuses_another_network() -> None:
    with pytest.raises(UsageError, match=r"weights of another network"):
        models.load_torchvision(
            models.build("resnet18", num_classes=10),
            torchvision.models.resnet34(num_classes=10).state_dict(),
        )


def test_weights_of_torchvisions_googlenet_do_not_fit_the_papers(tmp_path: Path) -> None:
    """Its third branch has 3 x 3 kernels, and the sentence says which name has them."""
    peer = torchvision.models.googlenet(num_classes=5, init_weights=False, aux_logits=False)
    torch.save(peer.state_dict(), tmp_path / "googlenet.pth")
    with pytest.raises(UsageError, match="build googlenet-torchvision"):
        models.build("googlenet", num_classes=5, weights=tmp_path / "googlenet.pth")
    models.build("googlenet-torchvision", num_classes=5, weights=tmp_path / "googlenet.pth")
