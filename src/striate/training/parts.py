"""Parts: tensors of which each process holds a part (torch's DTensor), and plain ones alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn


def is_cut(tensor: Any) -> bool:
    """Whether a tensor is held in parts by several processes."""
    return hasattr(tensor, "full_tensor")


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that lies here, sharing its memory; a plain tensor itself."""
    return tensor.to_local() if is_cut(tensor) else tensor  # type: ignore[attr-defined, no-any-return]


def whole(tensor: Tensor) -> Tensor:
    """A tensor put together from its parts, for which all processes ask together; a plain tensor itself."""
    return tensor.full_tensor() if is_cut(tensor) else tensor  # type: ignore[attr-defined, no-any-return]


def cut(full: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, the same in every process, as parts where `like` is; nothing travels."""
    if not is_cut(like) or is_cut(full):
        return full
    from torch.distributed.tensor import distribute_tensor

    full = full.to(device=like.device, dtype=full.dtype)
    return distribute_tensor(full, like.device_mesh, like.placements, src_data_rank=None)  # type: ignore[attr-defined]


def gathered(value: Any, *, keep: bool) -> Any:
    """Nested dicts and lists with each tensor that is cut put together, on the CPU; all processes ask for it together.

    keep: whether this process wants it; else there is None in place of each.
    """
    if isinstance(value, Mapping):
        return {name: gathered(one, keep=keep) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [gathered(one, keep=keep) for one in value]
    if isinstance(value, Tensor) and hasattr(value, "full_tensor"):
        full = whole(value)
        return full.cpu() if keep else None
    return value


def cut_state(state: Mapping[str, Any], like: Mapping[str, Any]) -> dict[str, Any]:
    """Whole tensors by name as parts, where those of that name in `like` are."""
    return {name: cut(one, like[name]) if isinstance(one, Tensor) and name in like else one
            for name, one in state.items()}  # fmt: skip


def cut_memory(state: Mapping[str, Any], parameters: Iterable[nn.Parameter]) -> dict[str, Any]:
    """An optimizer's state with what it remembers of each parameter as its parts are."""
    numbered = dict(enumerate(parameters))
    memory = {
        i: {n: cut(v, numbered[i]) if isinstance(v, Tensor) and v.shape == numbered[i].shape else v for n, v in one.items()}
        for i, one in state["state"].items()
    }  # fmt: skip
    return {**state, "state": memory}
