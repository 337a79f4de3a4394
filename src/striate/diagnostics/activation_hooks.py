"""Listening: the outputs of every nonlinearity of a module, be it a module, a function or in place, as they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from striate.borrow import forward

# ATen operation -> the least and greatest value that it can give, None for no end on that side.
ENDS: dict[str, tuple[float | None, float | None]] = {
    "relu": (0.0, None),
    "threshold": (None, None),
    "hardtanh": (None, None),  # its ends are its arguments, as are those of the next two
    "clamp": (None, None),
    "clamp_min": (None, None),
    "sigmoid": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "leaky_relu": (None, None),
    "_prelu_kernel": (None, None),
    "elu": (None, None),
    "gelu": (None, None),
    "silu": (None, None),
    "mish": (None, None),
    "softplus": (None, None),
    "hardswish": (None, None),
}
GIVEN = {"hardtanh": (-1.0, 1.0), "clamp": (None, None), "clamp_min": (None, None)}
# After one of these, units lie along this dimension: a convolution's channels, a matrix product's columns.
UNITS = {"convolution": 1, "conv2d": 1, "conv1d": 1, "addmm": -1, "mm": -1, "bmm": -1, "linear": -1}


@dataclass(frozen=True, eq=False)
class Sound:
    """One nonlinearity's output: its name and operation, its ends, and values (N, units, positions)."""

    name: str
    kind: str
    low: float | None
    high: float | None
    values: Tensor

    @property
    def rectifies(self) -> bool:
        """Whether a unit can be off: 0 below some input."""
        return self.low == 0 and self.kind not in ("sigmoid", "hardsigmoid")


class _Mode(TorchDispatchMode):
    def __init__(self, hear: Callable[[str, tuple[float | None, float | None], Tensor], None]):
        super().__init__()
        self.hear = hear
        self.axis = 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        kind = func.overloadpacket.__name__
        self.axis = UNITS.get(kind, self.axis)
        kind = kind if kind in ENDS else kind.removesuffix("_")
        if (
            kind in ENDS
            and isinstance(output, Tensor)
            and output.is_floating_point()
            and output.dim() > 1
        ):
            ends = _ends(kind, args, kwargs or {})
            # A clamp is a nonlinearity where it cuts at 0 or at both sides, and a guard against 1 / 0 elsewhere.
            if kind not in GIVEN or ends[0] == 0 or None not in ends:
                self.hear(kind, ends, _units_second(output.detach(), self.axis))
        return output


def _ends(kind: str, args: Any, kwargs: Any) -> tuple[float | None, float | None]:
    if kind == "threshold":  # nn.Threshold(t, v): v where the input is not above t
        return (0.0, None) if args[1:3] == (0, 0) else (None, None)
    if kind not in GIVEN:
        return ENDS[kind]
    low, high = GIVEN[kind]
    low = args[1] if len(args) > 1 else kwargs.get("min_val", kwargs.get("min", low))
    high = args[2] if len(args) > 2 else kwargs.get("max_val", kwargs.get("max", high))
    numbers = [v if isinstance(v, (int, float)) else None for v in (low, high)]
    return tuple(None if v is None else float(v) for v in numbers)  # type: ignore[return-value]


def _units_second(values: Tensor, axis: int) -> Tensor:
    """(N, ..., units) or (N, units, ...) as (N, units, positions)."""
    if values.dim() == 3 and axis == 1:  # a sequence of vectors (N, L, C)
        axis = -1
    return values.movedim(axis, 1).flatten(2) if values.dim() > 2 else values[:, :, None]


@contextmanager
def listening(module: nn.Module, hear: Callable[[Sound], None]) -> Iterator[None]:
    """Call `hear` for each nonlinearity of each forward pass in the `with`; the module is given back as it was.

    A name is that of the module where it does nothing else, else its path and the operation; a second use in a pass
    ends in `#2`, as in `striate.trace`. What `hear` keeps of the values it must copy: a later operation may overwrite them.
    """
    path: list[str] = []
    seen: dict[str, int] = {}
    leaves = {n for n, m in module.named_modules() if not list(m.children())}
    handles = []

    def tell(kind: str, ends: tuple[float | None, float | None], values: Tensor) -> None:
        where = path[-1] if path else ""
        kind = kind.removeprefix("_").removesuffix("_kernel")
        name = where if where in leaves and where else f"{where}.{kind}".lstrip(".")
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            name = f"{name}#{seen[name]}"
        hear(Sound(name, kind, *ends, values))

    for name, part in module.named_modules():

        def enter(part: nn.Module, given: Any, name: str = name) -> None:
            if part is module:
                seen.clear()
                path.clear()
            path.append(name)

        def leave(part: nn.Module, given: Any, out: Any) -> None:
            if path:
                path.pop()

        handles += [part.register_forward_pre_hook(enter), part.register_forward_hook(leave)]
    try:
        with _Mode(tell):
            yield
    finally:
        for handle in handles:
            handle.remove()


def responses(
    module: nn.Module, images: Tensor, hear: Callable[[Sound], None], *, batch: int = 128
) -> None:
    """Run images (N, ...) through the module in evaluation form, `batch` at a time; each part's mode is given back."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            for part in images.split(batch):
                with listening(module, hear):
                    forward(module, part)
    finally:
        for part, mode in modes:
            part.training = mode
