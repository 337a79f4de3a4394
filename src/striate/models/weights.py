"""Weights from a file into a network: tensors only, nothing that is loaded can run code."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from striate.errors import UsageError
from striate.models.finetuning import class_layers, start_head

NESTED = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "weights",
)  # where training scripts put the tensors
PREFIXES = ("module.", "_orig_mod.", "model.")  # what wrappers write before every name
# torchvision's oldest DenseNet files say norm.1 where the network says norm1.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")


@dataclass(frozen=True)
class Loaded:
    """What went from `path` into a network, by name, and what of the head stayed as it was."""

    path: Path
    loaded: tuple[str, ...]
    skipped: tuple[str, ...]


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors in `path` by name: .safetensors, or .pth, .pt and .bin with weights_only=True.

    Raises UsageError where the file is missing, of another kind, damaged, or holds more than
    tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"there is no weights file {path}")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise UsageError(
                f"{path} is no safetensors file that can be read ({error}); fetch or write it again"
            ) from error
    if path.suffix not in (".pth", ".pt", ".bin"):
        raise UsageError(
            f"weights are read from .safetensors, .pth, .pt and .bin files, got {path.name}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an unusual pickle is refused or harmless
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UsageError(
            f"{path} holds more than tensors, or is damaged, and is not opened because it could "
            "run code; save network.state_dict() with safetensors.torch.save_file"
        ) from error
    except (RuntimeError, EOFError, ValueError, OSError) as error:
        raise UsageError(f"{path} cannot be read as weights ({error}); write it again") from error
    return _tensors(stored, path)


def _tensors(stored: object, path: Path) -> dict[str, Tensor]:
    for key in NESTED:
        if isinstance(stored, Mapping) and isinstance(stored.get(key), Mapping):
            stored = stored[key]
    if not isinstance(stored, Mapping):
        raise UsageError(
            f"{path} holds a {type(stored).__name__}, not named tensors; save network.state_dict()"
        )
    tensors = {str(k): v for k, v in stored.items() if isinstance(v, Tensor)}
    if not tensors:
        raise UsageError(f"{path} holds no named tensors; save network.state_dict()")
    return tensors


def without_prefix(tensors: Mapping[str, Tensor], wanted: set[str]) -> dict[str, Tensor]:
    """The same tensors without what DataParallel and torch.compile write before every name."""
    found = dict(tensors)
    while True:
        prefix = next((p for p in PREFIXES if all(k.startswith(p) for k in found)), None)
        if prefix is None or found.keys() & wanted:
            return found
        found = {k[len(prefix) :]: v for k, v in found.items()}


def load_weights(module: nn.Module, path: str | Path, *, skip_head: bool = False) -> Loaded:
    """Copy the tensors of `path` into `module` and report what was loaded.

    skip_head: leave out a head (and auxiliary heads) where the file's is of another shape or
    missing, weights trained on other classes; it starts anew, small, by `start_head`.
    Raises UsageError where names or shapes differ, naming the first few; the network is then left
    as it was.
    """
    path = Path(path)
    wanted = module.state_dict()
    given = _translated(without_prefix(read_weights(path), set(wanted)), module, set(wanted))
    skipped = []
    if skip_head:
        for name in sorted(_head_names(module)):
            if name not in given or given[name].shape != wanted[name].shape:
                given.pop(name, None)
                skipped.append(name)
    missing = [n for n in wanted if n not in given and n not in skipped and not _is_counter(n)]
    unexpected = [n for n in given if n not in wanted]
    shapes = [
        f"{n} is {tuple(given[n].shape)} in the file and {tuple(wanted[n].shape)} in the network"
        for n in wanted
        if n in given and given[n].shape != wanted[n].shape
    ]
    problems = [
        *_first("missing: ", missing),
        *_first("unexpected: ", unexpected),
        *_first("", shapes),
    ]
    if problems:
        head_only = {n.partition(" ")[0] for n in shapes} <= _head_names(module)
        advice = (
            "the head was trained on other classes: use skip_head=True"
            if shapes and head_only and not missing and not unexpected
            else "build the network that the file was saved from"
        )
        raise UsageError(
            f"{path.name} does not fit the network: {'; '.join(problems)}. To do: {advice}"
        )
    module.load_state_dict(given, strict=False)
    start_head(module, skipped)
    return Loaded(path, tuple(n for n in wanted if n in given), tuple(skipped))


def load_torchvision(module: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Copy the weights of torchvision's network of the same name into ours.

    The names are the same; auxiliary classifiers are left out where ours has none, and the spelling
    of torchvision's oldest DenseNet files is understood. Raises UsageError where the networks
    differ.
    """
    given = _translated(dict(state_dict), module, set(module.state_dict()))
    try:
        module.load_state_dict(given)
    except RuntimeError as error:
        raise UsageError(f"these are weights of another network: {error}") from error


def _translated(given: dict[str, Tensor], module: nn.Module, wanted: set[str]) -> dict[str, Tensor]:
    given = {_OLD_DENSENET.sub(r"\1\2.", name): tensor for name, tensor in given.items()}
    if not any(name.startswith("aux") for name in wanted):
        given = {n: t for n, t in given.items() if not n.startswith(("aux1.", "aux2."))}
    return given


def _is_counter(name: str) -> bool:
    """Files from before 2018 have no batch counters, and no network needs them to predict."""
    return name.endswith("num_batches_tracked")


def _head_names(module: nn.Module) -> set[str]:
    inside = {id(p) for layer in class_layers(module) for p in layer.parameters()}
    return {n for n, p in module.named_parameters() if id(p) in inside}


def _first(label: str, found: list[str], most: int = 3) -> list[str]:
    if not found:
        return []
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return [f"{label}{', '.join(found[:most])}{more}"]
