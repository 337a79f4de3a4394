"""Weights whose network is not stored as it computes: in parts, beside a second copy, with a head of its own place."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from striate import models
from striate.errors import UsageError, WeightsWarning
from striate.models import load_weights

SPEC = "conv4-bn-relu-gap-fc"
State = dict[str, Tensor]


def network(classes: int = 3) -> nn.Module:
    return models.build(SPEC, in_channels=3, num_classes=classes, size=8)


def state(seed: int = 1, classes: int = 3) -> State:
    torch.manual_seed(seed)
    return {n: torch.rand_like(t) if t.dim() else t for n, t in network(classes).state_dict().items()}  # fmt: skip


def saved(path: Path, what: Any) -> Path:
    torch.save(what, path)
    return path


def answers(module: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return module.eval()(images)


def pruned(layer: nn.Module) -> None:
    prune.l1_unstructured(layer, "weight", amount=0.5)


REPARAMETRISED: dict[str, Callable[[nn.Module], Any]] = {
    "weight norm": parametrizations.weight_norm,
    "weight norm of one number": lambda layer: parametrizations.weight_norm(layer, dim=None),
    "weight norm before 2.0": weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "spectral norm before 2.0": spectral_norm,
    "pruned": pruned,
}


@pytest.mark.parametrize("kind", REPARAMETRISED)
@pytest.mark.parametrize("layer", ["conv1", "fc1"])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")
def test_a_weight_in_parts_is_what_its_network_computes_with(
    kind: str, layer: str, tmp_path: Path
) -> None:
    torch.manual_seed(3)
    other, images = network(), torch.rand(2, 3, 8, 8)
    REPARAMETRISED[kind](other.get_submodule(layer))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.3 * torch.rand_like(parameter))
    other.train()(images)  # spectral norm iterates, batch norm measures
    mine = network()
    load_weights(mine, saved(tmp_path / "w.pt", {"state_dict": other.state_dict()}))
    torch.testing.assert_close(answers(mine, images), answers(other, images))


def test_spectral_norm_of_a_transposed_convolution_is_along_its_second_dimension(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    other, mine = (nn.Sequential(nn.ConvTranspose2d(4, 4, 2)) for _ in range(2))
    parametrizations.spectral_norm(other[0])
    images = torch.rand(1, 4, 5, 5)
    other.train()(images)
    load_weights(mine, saved(tmp_path / "w.pt", other.state_dict()))
    torch.testing.assert_close(answers(mine, images), answers(other, images))


def test_a_network_that_is_reparametrised_itself_gets_the_parts(tmp_path: Path) -> None:
    mine, other = network(), network()
    for module in (mine, other):
        parametrizations.weight_norm(module.get_submodule("conv1"))
    load_weights(mine, saved(tmp_path / "w.pt", other.state_dict()))
    assert all(torch.equal(t, other.state_dict()[n]) for n, t in mine.state_dict().items())


def test_adapters_are_refused_because_their_scale_is_not_in_the_file(tmp_path: Path) -> None:
    own = {f"base_model.model.{n}": t for n, t in state().items()}
    own["base_model.model.fc1.base_layer.weight"] = own.pop("base_model.model.fc1.weight")
    own["base_model.model.fc1.lora_A.default.weight"] = torch.zeros(2, 4)
    with pytest.raises(UsageError, match=r"low-rank adapters .*merge_and_unload\(\)"):
        load_weights(network(), saved(tmp_path / "w.pt", own))


def test_folded_batch_norms_are_named(tmp_path: Path) -> None:
    own = {n: t for n, t in state().items() if not n.startswith("bn1")}
    module = models.build("resnet18", num_classes=3, size=32)
    given = {n: t for n, t in module.state_dict().items() if "bn" not in n and "downsample.1" not in n}  # fmt: skip
    given["conv1.bias"] = torch.zeros(64)
    with pytest.raises(UsageError, match=r"batch norms were folded into the convolutions.*before that"):  # fmt: skip
        load_weights(module, saved(tmp_path / "w.pt", given))
    with pytest.raises(UsageError, match=r"build the network that the file was saved from"):
        load_weights(network(), saved(tmp_path / "v.pt", own))


HEADS = {
    "mmpretrain's": ("head.fc1.", "head.fc1.weight is taken as fc1.weight"),
    "of another name": ("classifier.", "classifier.weight is taken as fc1.weight"),
}


@pytest.mark.parametrize("form", HEADS)
def test_a_head_beside_the_backbone_is_taken(form: str, tmp_path: Path) -> None:
    own, (start, note) = state(), HEADS[form]
    stored = {n.replace("fc1.", start) if "fc1" in n else f"backbone.{n}": t for n, t in own.items()}  # fmt: skip
    stored["neck.weight"] = torch.ones(2)
    path = saved(tmp_path / "w.pth", {"state_dict": stored})
    with pytest.warns(WeightsWarning) as caught:
        mine = models.build(SPEC, num_classes=3, size=8, weights=path)
    assert all(torch.equal(t, own[n]) for n, t in mine.state_dict().items())
    said = [str(w.message) for w in caught]
    assert note in said[0] and said[1:] == ["left out beside `backbone.`: neck.weight"]


def test_a_head_of_other_classes_beside_the_backbone_is_no_missing_head(tmp_path: Path) -> None:
    own = state(classes=5)
    stored = {f"head.{n}" if "fc1" in n else f"backbone.{n}": t for n, t in own.items()}
    with pytest.warns(WeightsWarning) as caught:
        models.build(SPEC, num_classes=3, size=8, weights=saved(tmp_path / "w.pth", stored))
    assert "5 classes in the file, 3 here" in str(caught[-1].message)


def test_two_heads_beside_the_backbone_decide_nothing(tmp_path: Path) -> None:
    own = state()
    stored = {f"backbone.{n}": t for n, t in own.items() if "fc1" not in n}
    stored |= {f"{head}.{n}": own[f"fc1.{n}"] for head in ("one", "two") for n in ("weight", "bias")}  # fmt: skip
    with pytest.warns(WeightsWarning) as caught:
        models.build(SPEC, num_classes=3, size=8, weights=saved(tmp_path / "w.pth", stored))
    assert "has no such head" in str(caught[-1].message)


def test_a_head_without_a_bias_has_the_bias_0(tmp_path: Path) -> None:
    own = {n: t for n, t in state().items() if n != "fc1.bias"}
    with pytest.warns(WeightsWarning, match=r"w.pth has no fc1.bias: it is 0"):
        mine = models.build(SPEC, num_classes=3, size=8, weights=saved(tmp_path / "w.pth", own))
    assert torch.equal(mine.get_submodule("fc1").weight, own["fc1.weight"])
    assert not mine.get_submodule("fc1").bias.any()


def test_counters_that_were_averaged_are_no_quantised_weights(tmp_path: Path) -> None:
    own = {n: t.float() for n, t in state().items()}
    mine = network()
    load_weights(mine, saved(tmp_path / "w.pth", {"ema": own}))
    assert torch.equal(mine.get_submodule("bn1").running_mean, own["bn1.running_mean"])


LEFT_OUT: dict[str, Callable[[State], State]] = {
    "observers": lambda s: {
        "conv1.weight_fake_quant.scale": torch.ones(1),
        "fc1.activation_post_process.zero_point": torch.ones(1),
    },
    "mmcv's averages": lambda s: {f"ema_{n.replace('.', '_')}": t + 1 for n, t in s.items()},
}


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_what_stands_beside_the_weights_is_left_out_and_said(kind: str, tmp_path: Path) -> None:
    own, mine = state(), network()
    report = load_weights(mine, saved(tmp_path / "w.pth", {"state_dict": own | LEFT_OUT[kind](own)}))  # fmt: skip
    assert all(torch.equal(t, own[n]) for n, t in mine.state_dict().items())
    (note,) = report.notes
    assert note.startswith(f"left out, no weights of the network: {next(iter(LEFT_OUT[kind](own)))}")  # fmt: skip


def test_parts_of_the_taken_network_are_no_networks_beside_it(tmp_path: Path) -> None:
    module = models.build("resnet18", num_classes=3, size=32)
    own = module.state_dict()
    stored = {f"ema_model.{n}": t for n, t in own.items()}
    stored |= {f"online_model.{n}": t + 1 for n, t in own.items()}
    report = load_weights(module, saved(tmp_path / "w.pth", stored))
    assert report.notes == ("`ema_model`, the average over steps, is taken, and `online_model` left out",)  # fmt: skip


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_one_of_two_networks_is_saved_as_told(suffix: str, tmp_path: Path) -> None:
    sets = {"encoder_k": state(1), "encoder_q": state(2)}
    both = {f"module.{k}.{n}": t for k, own in sets.items() for n, t in own.items()}
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        saved(path, {"state_dict": both})
    else:
        from safetensors.torch import save_file

        save_file(both, path)
    with pytest.raises(
        UsageError, match=r"fit as well: `.*encoder_k` and `.*encoder_q`; .*torch"
    ) as refused:
        load_weights(network(), path)
    run(str(refused.value), tmp_path)
    mine = network()
    load_weights(mine, tmp_path / "w-one.pt")
    own = sets["encoder_k"]  # the first
    assert all(torch.equal(t, own[n]) for n, t in mine.state_dict().items())


def test_arrays_are_written_as_tensors_as_told(tmp_path: Path) -> None:
    own, mine = state(), network()
    path = saved(tmp_path / "w.pkl", {"model": {n: t.numpy() for n, t in own.items()}})
    with pytest.raises(UsageError, match=r"holds NumPy arrays, not tensors") as refused:
        load_weights(mine, path)
    run(str(refused.value), tmp_path)
    load_weights(mine, tmp_path / "w-weights.pt")
    assert all(torch.equal(t, own[n]) for n, t in mine.state_dict().items())


def run(message: str, folder: Path) -> None:
    """Run the command that a message ends with, here: torch takes seconds to import in a process of its own."""
    command = re.search(r'python -c "(.*)"$', message)
    assert command is not None
    with contextlib.chdir(folder):
        exec(command[1], {})
