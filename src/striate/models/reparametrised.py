"""Reparametrised weights: one weight stored as several tensors, by weight norm, spectral norm or pruning, computed again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from striate.errors import UsageError

# a pair of tensors of weight norm, as torch.nn.utils wrote it until 2.0 and since
_NORMED = (("{}_g", "{}_v"), ("{}.original0", "{}.original1"))
_PARAMETRISED = re.compile(r"(?:^|\.)parametrizations\.([^.]+)$")
_ADAPTER = re.compile(r"(^|\.)lora_(A|B|embedding_A|embedding_B)(\.|$)")
# what quantisation-aware training keeps beside float weights
_OBSERVED = re.compile(r"(^|\.)(weight_fake_quant|activation_post_process)(\.|_|$)")


def plain(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """`tensors` with each reparametrised weight under its own name, as the network that was saved computes with it.

    Weight norm is g v / |v| (Salimans and Kingma 2016), spectral norm W / (u W v) (Miyato et al. 2018), a pruned weight
    the product with its mask. A network that is reparametrised itself gets the parts. Raises UsageError for adapters
    (LoRA), whose scale no file of weights holds.
    """
    own = {name.rpartition(".")[2] for name in expected}
    if own & {"weight_g", "weight_orig", "original", "original0"}:
        return _respelled(tensors, own)
    adapter = next((n for n in tensors if _ADAPTER.search(n)), None)
    if adapter is not None and not any(_ADAPTER.search(n) for n in expected):
        raise UsageError(
            f"{path} holds low-rank adapters ({adapter}), whose scale it does not hold; merge them where they were "
            "trained: network = network.merge_and_unload(); torch.save(network.state_dict(), 'weights.pt')"
        )
    result = dict(tensors)
    for name in tensors:
        for first, second in _NORMED:
            start = first.format("")
            if not name.endswith(start):
                continue
            stem = name.removesuffix(start)
            if (v := tensors.get(second.format(stem))) is not None and v.dim() > 1:
                _replace(result, stem, (name, second.format(stem)), _normed(tensors[name], v))
        if name.endswith("_orig"):
            _replace_original(result, tensors, name, name.removesuffix("_orig"))
        elif name.endswith(".original"):
            _replace_original(result, tensors, name, name.removesuffix(".original"))
    return result


def _respelled(tensors: Mapping[str, Tensor], own: set[str]) -> dict[str, Tensor]:
    """Weight norm's pairs as the network's own torch spells them, of files that the other spelling wrote."""
    pairs = [
        (re.compile(rf"(?:^|(?<=\.))weight_{part}$"), f"parametrizations.weight.original{i}")
        if "original0" in own
        else (re.compile(rf"(?:^|(?<=\.))parametrizations\.weight\.original{i}$"), f"weight_{part}")
        for i, part in enumerate("gv")
    ]
    result = {}
    for name, tensor in tensors.items():
        for old, new in pairs:
            name = old.sub(new, name)
        result[name] = tensor
    return result


def left_by_quantisation(name: str) -> bool:
    """Whether a tensor is an observer of quantisation-aware training, beside the float weights."""
    return _OBSERVED.search(name) is not None


def _replace_original(
    result: dict[str, Tensor], tensors: Mapping[str, Tensor], name: str, stem: str
) -> None:
    """Weights of pruning (a mask) and of spectral norm (two vectors) under `stem`."""
    weight = tensors[name]
    mask = tensors.get(f"{stem}_mask")
    if mask is not None and mask.shape == weight.shape:
        _replace(result, stem, (name, f"{stem}_mask"), weight * mask.to(weight.dtype))
        return
    for u, v in ((f"{stem}_u", f"{stem}_v"), (f"{stem}.0._u", f"{stem}.0._v")):
        if u in tensors and v in tensors and weight.dim() > 1:
            _replace(result, stem, (name, u, v), weight / _largest(weight, tensors[u], tensors[v]))
            return


def _replace(result: dict[str, Tensor], stem: str, parts: tuple[str, ...], weight: Tensor) -> None:
    for part in parts:
        result.pop(part, None)
    result[_PARAMETRISED.sub(lambda m: f"{'.' if m[0][0] == '.' else ''}{m[1]}", stem)] = weight


def _normed(g: Tensor, v: Tensor) -> Tensor:
    """g v / |v|; the norm is over the dimensions along which `g` has one number."""
    along = [d for d in range(v.dim()) if g.dim() != v.dim() or g.shape[d] == 1]
    return v * (g / torch.linalg.vector_norm(v, dim=along, keepdim=True))


def _largest(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """u W v, the weight as a matrix along the dimension that fits: the first, and of transposed convolutions the second."""
    values = []
    for dim in (0, 1):
        matrix = weight.movedim(dim, 0).flatten(1)
        if matrix.shape == (len(u), len(v)):
            values.append(torch.dot(u, matrix @ v))
    if not values:
        raise UsageError("spectral norm: the stored vectors do not fit the weight; save it again")
    return max(values)
