"""Weights from a file into a network, whichever trainer saved them: all of it, or a sentence about what is not."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from striate.errors import UsageError
from striate.models.finetuning import class_layers, start_head
from striate.models.licences import licence_of
from striate.models.matching import match, translated
from striate.models.positions import fit_positions
from striate.models.stored import advice_of, read_stored

NEAREST = 3000  # names among which a near one is looked for
CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Loaded:
    """What went from `path` into a network, by name, what of the head starts anew, and sentences about all else."""

    path: Path
    loaded: tuple[str, ...]
    skipped: tuple[str, ...]
    notes: tuple[str, ...] = ()


def load_weights(module: nn.Module, path: str | Path, *, skip_head: bool = False) -> Loaded:
    """Copy the tensors of `path` into `module` and report what was loaded.

    Names are taken as trainers write them: inside `state_dict`, `model`, `ema` and the like, behind `module.`,
    `_orig_mod.`, `backbone.` and other prefixes. Of several sets that fit, averaged weights are taken, then a teacher's.
    skip_head: leave out a head (and auxiliary heads) where the file's is of another shape or missing, weights trained on
    other classes; it starts anew, small, by `start_head`. A first convolution of 3 channels is summed for 1, and one of
    other numbers repeated and scaled, as `lite0` does. Positions of a transformer for another image size are resized.
    Raises UsageError where names or shapes differ, naming the first few and what comes near them; the network is then
    left as it was.
    """
    path = Path(path)
    expected = module.state_dict()
    match_made = match(read_stored(path), expected)
    given = translated(dict(match_made.tensors), set(expected))
    notes = list(match_made.notes)
    if (licence := licence_of(path.name, given)) is not None:
        notes.append(licence)
    skipped: list[str] = []
    if skip_head:
        classes = ""
        notes += _fill_biases(module, given, expected, path)
        for name in sorted(_head_names(module)):
            if name not in given or given[name].shape != expected[name].shape:
                if name in given and not classes:
                    classes = (
                        f" ({len(given[name])} classes in the file, {len(expected[name])} here)"
                    )
                given.pop(name, None)
                skipped.append(name)
        if skipped:
            why = "was trained on other classes" if classes else "has no such head"
            notes.append(f"{path.name} {why}: {', '.join(skipped)} start anew{classes}")
        notes += _fit_channels(module, given, path)
    notes += fit_positions(module, given, path.name)
    _check_fit(module, given, expected, skipped, path)
    _check_values(given, expected, path)
    module.load_state_dict(given, strict=False)
    start_head(module, skipped)
    return Loaded(path, tuple(n for n in expected if n in given), tuple(skipped), tuple(notes))


def _fill_biases(
    module: nn.Module, given: dict[str, Tensor], expected: Mapping[str, Tensor], path: Path
) -> list[str]:
    """A bias of 0 for a head whose weight the file holds without one: what a layer without a bias computes."""
    notes = []
    for name in sorted(_head_names(module)):
        weight = f"{name.removesuffix('bias')}weight"
        if not name.endswith("bias") or name in given or weight not in given:
            continue
        if given[weight].shape == expected[weight].shape:
            given[name] = torch.zeros(expected[name].shape)
            notes.append(f"{path.name} has no {name}: it is 0")
    return notes


def _check_fit(
    module: nn.Module,
    given: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    skipped: list[str],
    path: Path,
) -> None:
    missing = [n for n in expected if n not in given and n not in skipped and not _is_counter(n)]
    unexpected = [n for n in given if n not in expected]
    shapes = [n for n in expected if n in given and given[n].shape != expected[n].shape]
    details = [
        f"{n} is {tuple(given[n].shape)} in the file and {tuple(expected[n].shape)} in the network"
        for n in shapes
    ]
    problems = [
        *_first("missing: ", missing[:3], len(missing)),
        *_first("unexpected: ", unexpected[:3], len(unexpected)),
        *_first("", details[:3], len(details)),
    ]  # fmt: skip
    if not problems:
        return
    turned = [n for n in shapes if sorted(given[n].shape) == sorted(expected[n].shape)]
    if turned and len(turned) == len(shapes):
        advice = (
            "these weights are stored channels last, as TensorFlow, Keras and Flax do: permute convolutions by "
            "(3, 2, 0, 1) and transpose linear layers before they are saved"
        )
    elif shapes and all(".branch3.1.conv." in n for n in shapes):
        advice = (
            "they have 3 x 3 where the paper's GoogLeNet has 5 x 5: build googlenet-torchvision"
        )
    elif missing and unexpected and not shapes and _is_folded(missing, unexpected, expected):
        advice = "its batch norms were folded into the convolutions, as for deployment: take the weights from before that"
    elif shapes and set(shapes) <= _head_names(module) and not missing and not unexpected:
        name = min(shapes, key=lambda n: given[n].dim())
        advice = (
            f"the head has {len(given[name])} outputs in the file and {len(expected[name])} in the network: build it with "
            f"{len(given[name])}, or train it for other classes (`striate train DATA --weights {path.name}`)"
        )
    else:
        advice = advice_of(path) or _maker(unexpected)
    nearest = [(n, _near(n, expected[n], given, unexpected)) for n in missing[:3]]
    near = ", ".join(f"{n} is perhaps {close}" for n, close in nearest if close)
    raise UsageError(
        f"{path.name} does not fit the network: {'; '.join(problems)}{'. Near: ' if near else ''}{near}. To do: {advice}"
    )


def _maker(names: list[str]) -> str:
    """What makes the network that a file was saved from, as far as its names tell."""
    build = "build the network that the file was saved from"
    firsts = {name.partition(".")[0] for name in names}
    if firsts == {"0", "1"}:
        return (
            f"{build}: nn.Sequential(body, head), as fastai makes it; write a function that returns it, such as "
            "fastai.vision.learner.create_vision_model(torchvision.models.resnet18, CLASSES, pretrained=False)"
        )
    if firsts and all(first.isdecimal() for first in firsts):
        return f"{build}, an nn.Sequential: write a function that returns the same layers in the same order"
    if any(".encoder." in name or ".embedder." in name for name in names):
        return (
            f"{build}, perhaps one of transformers; write a function that returns it, such as transformers."
            "AutoModelForImageClassification.from_config(transformers.AutoConfig.from_pretrained(FOLDER))"
        )
    return f"{build}: write a function that makes it with the code of its training"


def _is_folded(missing: list[str], unexpected: list[str], expected: Mapping[str, Tensor]) -> bool:
    """Whether all norms are missing, and what is left over are biases of convolutions."""
    norms = {n.removesuffix("running_var") for n in expected if n.endswith(".running_var")}
    return all(n.rpartition(".")[0] + "." in norms for n in missing) and all(
        n.endswith(".bias") and f"{n.removesuffix('bias')}weight" in expected for n in unexpected
    )


def _check_values(given: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    """Raises UsageError for values that no network can compute with: quantised, without memory, not finite."""
    for name, tensor in given.items():
        if name not in expected:
            continue
        if tensor.is_meta:
            raise UsageError(
                f"{path.name} holds {name} without values (on the meta device); save it from a device"
            )
        if _is_counter(
            name
        ):  # averaged with the weights by some trainers, so that it is no whole number
            continue
        if tensor.is_quantized or expected[name].is_floating_point() != tensor.is_floating_point():
            raise UsageError(
                f"{path.name} holds {name} as {str(tensor.dtype).removeprefix('torch.')}, quantised weights, and the "
                "network computes in float; save the weights before they are quantised"
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor.to_dense().float()).all()):
            raise UsageError(
                f"{path.name} holds values in {name} that are not finite: its training diverged, or 16 bits overflowed; "
                "take an earlier checkpoint"
            )


def _fit_channels(module: nn.Module, given: dict[str, Tensor], path: Path) -> list[str]:
    """Bring the filters of the first convolution to the network's channels; a sentence where they were changed."""
    first = next(((n, m) for n, m in module.named_modules() if isinstance(m, CONVS)), None)
    if first is None or f"{first[0]}.weight".lstrip(".") not in given:
        return []
    name, layer = f"{first[0]}.weight".lstrip("."), first[1]
    filters, weight = given[name], layer.weight
    assert isinstance(weight, Tensor) and isinstance(layer, CONVS)
    have, want = filters.shape[1], weight.shape[1]
    alike = filters.dim() == weight.dim() and filters.shape[0] == weight.shape[0]
    if have == want or not alike or filters.shape[2:] != weight.shape[2:] or layer.groups > 1:
        return []
    if not filters.is_floating_point() or filters.is_quantized:
        return []
    if want == 1:
        given[name] = filters.sum(1, keepdim=True)
        how = f"summed over the {have} channels of the file for 1 here"
    else:
        repeats = [1, -(-want // have)] + [1] * (filters.dim() - 2)
        given[name] = filters.repeat(repeats)[:, :want] * (have / want)
        how = f"repeated and scaled from the {have} channels of the file to {want} here"
    return [f"{path.name}: the filters of {name} are {how}"]


def load_torchvision(module: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Copy the weights of torchvision's network of the same name, tensors of any shape by name, into ours.

    The names are the same; auxiliary classifiers are left out where ours has none, and the spelling
    of torchvision's oldest DenseNet files is understood. Raises UsageError where the networks
    differ.
    """
    given = translated(dict(state_dict), set(module.state_dict()))
    try:
        module.load_state_dict(given)
    except RuntimeError as error:
        raise UsageError(f"these are weights of another network: {error}") from error


def _near(name: str, tensor: Tensor, given: Mapping[str, Tensor], unexpected: list[str]) -> str:
    """What a missing tensor may be called in the file: a similar name, of its shape before others."""
    alike = [n for n in unexpected if given[n].shape == tensor.shape][:NEAREST]
    for names in (alike, unexpected[:NEAREST]):
        if close := difflib.get_close_matches(name, names, n=1, cutoff=0.5):
            return close[0]
    return ""


def _is_counter(name: str) -> bool:
    """Files from before 2018 have no batch counters, and no network needs them to predict."""
    return name.endswith("num_batches_tracked")


def _head_names(module: nn.Module) -> set[str]:
    inside = {id(p) for layer in class_layers(module) for p in layer.parameters()}
    return {n for n, p in module.named_parameters() if id(p) in inside}


def _first(label: str, names: list[str], count: int) -> list[str]:
    if not names:
        return []
    more = f" and {count - len(names)} more" if count > len(names) else ""
    return [f"{label}{', '.join(names)}{more}"]
