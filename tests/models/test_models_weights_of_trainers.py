"""Weights as other trainers save them: each form by hand, the values as they were, and a sentence for what is left out."""

from __future__ import annotations

import argparse
import pathlib
import re
import subprocess
import sys
import warnings
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from striate import models, train
from striate.errors import UsageError, WeightsWarning
from striate.models import load_weights

SPEC = "conv4-bn-relu-gap-fc"
State = dict[str, Tensor]


def network(classes: int = 3, channels: int = 1) -> nn.Module:
    return models.build(SPEC, in_channels=channels, num_classes=classes, size=8)


def state(seed: int = 1, classes: int = 3, channels: int = 1) -> State:
    torch.manual_seed(seed)
    return {n: torch.rand_like(t) if t.dim() else t for n, t in network(classes, channels).state_dict().items()}  # fmt: skip


def holds(module: nn.Module, tensors: State) -> bool:
    own = module.state_dict()
    return all(torch.equal(own[n], t.to(own[n].dtype)) for n, t in tensors.items() if t.dim())


def saved(path: Path, what: Any, **how: Any) -> Path:
    torch.save(what, path, **how)
    return path


def named(prefix: str, tensors: State) -> State:
    return {f"{prefix}{n}": t for n, t in tensors.items()}


@dataclass
class Settings:
    """A trainer's own class, pickled beside the weights."""

    rate: float


def lightning(s: State) -> dict[str, Any]:
    return {
        "state_dict": {**named("model.", s), "criterion.weight": torch.ones(3)},
        "hyper_parameters": {"rate": 0.1, "out": pathlib.PurePosixPath("runs/1"), "more": defaultdict(list, a=[1])},
        "callbacks": {"Checkpoint": {"best_model_score": torch.tensor(0.9), "path": pathlib.PurePosixPath("a")}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(4, 1, 3, 3)}}}],
        "pytorch-lightning_version": "2.5.0",
    }  # fmt: skip


FORMS: dict[str, Any] = {
    "timm's args": lambda s: {"state_dict": s, "args": argparse.Namespace(lr=0.1), "epoch": 3, "metric": 0.9},
    "fastai's save": lambda s: {"model": s, "opt": {"state": [{"avg": torch.zeros(4, 1, 3, 3)}]}},
    "mmcv's meta": lambda s: {"meta": {"time": "now", "lr": np.float64(0.1)}, "state_dict": named("backbone.", s)},
    "stochastic averages": lambda s: {"n_averaged": torch.tensor(5), **named("module.", s)},
    "distributed and compiled": lambda s: named("module._orig_mod.", s),
    "compiled and distributed": lambda s: named("_orig_mod.module.", s),
    "compiled inside": lambda s: {n.replace(".", "._orig_mod.", 1): t for n, t in s.items()},
    "FSDP's wrapper": lambda s: named("_fsdp_wrapped_module._checkpoint_wrapped_module.", s),
    "network": lambda s: {"network": s},
    "params": lambda s: {"params": named("net.", s)},
    "nested twice": lambda s: {"state": {"model": {"state_dict": named("encoder.", s)}}},
    "DeepSpeed's": lambda s: {"module": s, "ds_version": "0.14"},
    "a class of one's own": lambda s: {"model": s, "settings": Settings(0.1)},
    "profiled": lambda s: {**s, "total_ops": torch.zeros(1), "0.total_params": torch.zeros(1)},
    "ordered": lambda s: OrderedDict(s),
    "parameters": lambda s: {n: nn.Parameter(t) if t.is_floating_point() else t for n, t in s.items()},
    "no counters": lambda s: {n: t for n, t in s.items() if "num_batches" not in n},
    "double precision": lambda s: {n: t.double() if t.is_floating_point() else t for n, t in s.items()},
    "channels last": lambda s: {n: t.to(memory_format=torch.channels_last) if t.dim() == 4 else t for n, t in s.items()},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("old", [False, True], ids=["zip", "old"])
def test_what_trainers_put_around_the_weights_is_taken_off(form: str, old: bool, tmp_path: Path) -> None:  # fmt: skip
    own, module = state(), network()
    path = saved(tmp_path / "w.pth.tar", FORMS[form](own), _use_new_zipfile_serialization=not old)
    assert load_weights(module, path).notes == ()
    assert holds(module, own)


def test_lightnings_checkpoint_says_what_it_leaves_out(tmp_path: Path) -> None:
    own, module = state(), network()
    report = load_weights(module, saved(tmp_path / "last.ckpt", lightning(own)))
    assert holds(module, own)
    assert report.notes == ("left out, no weights of the network: criterion.weight",)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_the_networks_own(dtype: torch.dtype, tmp_path: Path) -> None:
    own = {n: t.to(dtype) if t.is_floating_point() else t for n, t in state().items()}
    module = network()
    load_weights(module, saved(tmp_path / "w.pt", own))
    assert module[0].weight.dtype == torch.float32
    assert holds(module, own)


AVERAGES = [
    ("state_dict_ema", lambda raw, ema: {"state_dict": raw, "state_dict_ema": ema}),
    ("model_ema", lambda raw, ema: {"model_ema": ema, "model": raw}),
    ("params_ema", lambda raw, ema: {"params": raw, "params_ema": ema}),
    ("ema.module", lambda raw, ema: {"model": raw, "ema": {"module": ema, "updates": 5}}),
    ("state_dict.ema_model", lambda raw, ema: {"state_dict": {**named("model.", raw), **named("ema_model.", ema)}}),
    ("teacher", lambda raw, ema: {"student": raw, "teacher": named("module.backbone.", ema)}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "form"), AVERAGES, ids=[name for name, _ in AVERAGES])
def test_averages_are_taken_before_raw_weights_and_said(name: str, form: Any, tmp_path: Path) -> None:  # fmt: skip
    raw, ema, module = state(1), state(2), network()
    report = load_weights(module, saved(tmp_path / "w.pth", form(raw, ema)))
    assert holds(module, ema)
    (note,) = report.notes
    assert note.startswith(f"`{name}") and "is taken, and `" in note and "left out" in note


def test_averages_without_the_statistics_of_batch_norm_are_not_taken(tmp_path: Path) -> None:
    raw, module = state(1), network()
    ema = {n: t for n, t in state(2).items() if "running" not in n and "num_batches" not in n}
    report = load_weights(module, saved(tmp_path / "w.pth", {"state_dict": raw, "state_dict_ema": ema}))  # fmt: skip
    assert holds(module, raw)
    assert report.notes == ("`state_dict` is taken, and `state_dict_ema` left out",)


def test_two_networks_that_fit_as_well_are_refused(tmp_path: Path) -> None:
    both = {**named("encoder_q.", state(1)), **named("encoder_k.", state(2))}
    with pytest.raises(UsageError, match=r"networks that fit as well: `encoder_q` and `encoder_k`"):  # fmt: skip
        load_weights(network(), saved(tmp_path / "w.pth", both))


def test_a_head_of_other_classes_and_channels_is_said_by_build(tmp_path: Path) -> None:
    own = state(classes=5, channels=3)
    path = saved(tmp_path / "w.pth", {"state_dict": named("model.", own)})
    with pytest.warns(WeightsWarning) as caught:
        module = models.build(SPEC, in_channels=1, num_classes=3, size=8, weights=path)
    assert [str(w.message) for w in caught] == [
        "w.pth was trained on other classes: fc1.bias, fc1.weight start anew (5 classes in the file, 3 here)",
        "w.pth: the filters of conv1.weight are summed over the 3 channels of the file for 1 here",
    ]
    names = dict(module.named_parameters())
    assert torch.equal(names["conv1.weight"], own["conv1.weight"].sum(1, keepdim=True))


def test_grey_filters_see_the_same_in_colour(tmp_path: Path) -> None:
    own = state(channels=1)
    with pytest.warns(WeightsWarning, match=r"repeated and scaled from the 1 channels of the file to 3"):  # fmt: skip
        colour = models.build(SPEC, num_classes=3, size=8, weights=saved(tmp_path / "w.pth", own))
    grey = network()
    load_weights(grey, tmp_path / "w.pth")
    x = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(colour.eval()(x.expand(2, 3, 8, 8)), grey.eval()(x))


def test_a_backbone_without_a_head_says_that_the_head_is_new(tmp_path: Path) -> None:
    body = {n: t for n, t in named("backbone.", state()).items() if "fc1" not in n}
    path = saved(tmp_path / "w.pth", {**body, "projector.weight": torch.zeros(2, 2)})
    with pytest.warns(WeightsWarning) as caught:
        models.build(SPEC, in_channels=1, num_classes=3, size=8, weights=path)
    assert [str(w.message) for w in caught] == [
        "left out beside `backbone.`: projector.weight",
        "w.pth has no such head: fc1.bias, fc1.weight start anew",
    ]


class Own(nn.Module):
    """A network of somebody's own, pickled whole."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)


@pytest.mark.parametrize(
    ("form", "part"),
    [(lambda m: m, ".state_dict()"), (lambda m: {"epoch": 1, "model": m}, "['model'].state_dict()")],
)  # fmt: skip
@pytest.mark.parametrize("make", [Own, network])
def test_a_whole_network_is_refused_and_the_remedy_works(
    make: Any, form: Any, part: str, tmp_path: Path
) -> None:
    whole = make()
    path = saved(tmp_path / "whole.pt", form(whole))
    with pytest.raises(UsageError, match=r"holds a whole network, of class .*(Own|Sequential)") as refused:  # fmt: skip
        load_weights(whole, path)
    command = re.search(r'python -c "(.*)"$', str(refused.value))
    assert command is not None and part in command[1]
    if (
        make is network and part[0] == "["
    ):  # in a process of its own, which has no class of this file
        subprocess.run([sys.executable, "-c", command[1]], cwd=tmp_path, check=True)
        again = make()
        load_weights(again, tmp_path / "whole-weights.pt")
        assert holds(again, whole.state_dict())


def test_a_torchscript_archive_is_refused_and_the_remedy_works(tmp_path: Path) -> None:
    module, path = network(), tmp_path / "script.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is on its way out
        torch.jit.trace(module.eval(), torch.zeros(1, 1, 8, 8)).save(str(path))
    with pytest.raises(UsageError, match=r"is a TorchScript archive") as refused:
        load_weights(network(), path)
    command = re.search(r'python -c "(.*)"$', str(refused.value))
    assert command is not None
    subprocess.run([sys.executable, "-W", "ignore", "-c", command[1]], cwd=tmp_path, check=True)
    again = network()
    load_weights(again, tmp_path / "script-weights.pt")
    assert holds(again, module.state_dict())


def test_a_folder_of_shards_is_refused_and_the_remedy_works(tmp_path: Path) -> None:
    import torch.distributed.checkpoint as shards
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    own, module = state(), network()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is one process alone
        shards.save({"model": own}, checkpoint_id=str(tmp_path / "dcp"), no_dist=True)
        with pytest.raises(UsageError, match=r"in shards; join them: python -m torch.distributed.checkpoint.format_utils dcp_to_torch"):  # fmt: skip  # noqa: E501
            load_weights(module, tmp_path / "dcp")
        dcp_to_torch_save(tmp_path / "dcp", tmp_path / "w.pt")  # what that command calls
    load_weights(module, tmp_path / "w.pt")
    assert holds(module, own)


REFUSED: list[tuple[str, Any, str]] = [
    ("flat.pt", lambda s: {"_fsdp_wrapped_module._flat_param": torch.zeros(99)}, r"flattened shards of FSDP"),
    ("int8.pt", lambda s: {**s, "fc1.weight": s["fc1.weight"].to(torch.int8)}, r"fc1.weight as int8, quantised"),
    ("q.pt", lambda s: {**s, "fc1.weight": torch.quantize_per_tensor(s["fc1.weight"], 0.1, 0, torch.qint8)}, "quantised"),
    ("nan.pt", lambda s: {**s, "conv1.bias": torch.full((4,), torch.nan)}, r"conv1.bias that are not finite"),
    ("meta.pt", lambda s: {n: t.to("meta") for n, t in s.items()}, r"without values"),
    ("turned.pt", lambda s: {**s, "fc1.weight": s["fc1.weight"].T.contiguous()}, r"(4, 3).*channels last"),
    ("model-00001-of-00002.pt", lambda s: {"conv1.weight": s["conv1.weight"]}, r"part 1 of 2; join"),
    ("opt.pt", lambda s: {"optimizer": {"state": s}}, r"holds no named tensors"),
    ("net.pt", lambda s: {**{n.replace("conv1", "stem.conv"): t for n, t in s.items()}, "pool.p": torch.zeros(1)},
     r"missing: conv1.weight, conv1.bias.*Near: conv1.weight is perhaps stem.conv.weight"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "form", "message"), REFUSED, ids=[name for name, _, _ in REFUSED])
@pytest.mark.filterwarnings("ignore:.*[Qq]uantiz")
def test_what_cannot_be_right_is_refused(name: str, form: Any, message: str, tmp_path: Path) -> None:  # fmt: skip
    module, path = network(), saved(tmp_path / name, form(state()))
    before = {n: t.clone() for n, t in module.state_dict().items()}
    with pytest.raises(UsageError, match=message):
        load_weights(module, path)
    assert holds(module, before)


def test_files_of_other_kinds_are_named(tmp_path: Path) -> None:
    for name, content, message in (
        (
            "w.pth",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1",
            r"pointer of Git LFS",
        ),
        ("w.pt", b"<!DOCTYPE html><html>", r"is a web page"),
        ("w.h5", b"\x89HDF\r\n\x1a\n", r"HDF5 file, as Keras"),
        ("w.pth.gz", b"\x1f\x8b\x08", r"packed by gzip"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=message):
            load_weights(network(), tmp_path / name)


def test_parts_of_a_file_are_joined_as_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    own = state()
    monkeypatch.chdir(tmp_path)
    for i, part in enumerate((list(own)[:3], list(own)[3:]), 1):
        save_file({n: own[n] for n in part}, f"model-0000{i}-of-00002.safetensors")
    with pytest.raises(UsageError, match=r"is part 2 of 2; join the parts: ") as refused:
        load_weights(network(), Path("model-00002-of-00002.safetensors"))
    exec(str(refused.value).partition("join the parts: ")[2], {})
    module = network()
    load_weights(module, "whole.safetensors")
    assert holds(module, own)


class Called:
    """Pickled, it asks for a call of this file's own function."""

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return ran, ()


def ran() -> None:
    raise AssertionError("code of the file ran")


def test_a_call_of_any_function_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"more than tensors, or is damaged.*could run code"):
        load_weights(network(), saved(tmp_path / "w.pth", {**state(), "trap": Called()}))


def test_a_training_says_once_what_a_weights_file_left_out(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for i in range(24):
        folder = tmp_path / "data" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (8, 8), dtype=np.uint8)).save(folder / f"{i}.png")
    own = models.build(SPEC, in_channels=1, num_classes=4, size=8).state_dict()
    path = saved(tmp_path / "w.pth", {"model": own, "model_ema": own | {"fc1.bias": torch.ones(4)}})
    with pytest.warns(WeightsWarning) as caught:
        run = train(
            tmp_path / "data", model=SPEC, weights=str(path), epochs=1, out=tmp_path / "run"
        )
    said = [str(w.message) for w in caught if w.category is WeightsWarning]
    assert len(said) == len(set(said)) == 2
    assert "`model_ema`, the average over steps, is taken, and `model` left out" in said[0]
    assert "start anew (4 classes in the file, 2 here)" in said[1]
    assert "start anew (4 classes" in (run.path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("behind", ["", "model."])
def test_weights_of_a_loss_are_no_weights_of_the_network(behind: str, tmp_path: Path) -> None:
    # Lightning-AI/pytorch-lightning#2617: a LightningModule keeps its loss, and its buffers, beside the network.
    s = state()
    tensors = {**named(behind, s), "criterion.pos_weight": torch.ones(3)}
    path = saved(tmp_path / "w.pth", {"state_dict": tensors})
    module = network()
    report = load_weights(module, path)
    assert holds(module, s)
    assert any("criterion.pos_weight" in note for note in report.notes)


@pytest.mark.parametrize("old_file", [True, False])
def test_weight_norm_is_read_in_both_spellings(old_file: bool, tmp_path: Path) -> None:
    # pytorch/pytorch#102999: torch 2.0 renamed weight_g and weight_v; networks are built with either.
    def spelled(old: bool) -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            wrap = nn.utils.weight_norm if old else nn.utils.parametrizations.weight_norm
            return nn.Sequential(wrap(nn.Conv2d(1, 4, 3)), nn.Flatten(), nn.Linear(16, 3))

    torch.manual_seed(3)
    made, other = spelled(old_file).eval(), spelled(not old_file).eval()
    load_weights(other, saved(tmp_path / "w.pth", made.state_dict()))
    x = torch.rand(2, 1, 4, 4)
    torch.testing.assert_close(other(x), made(x))
