"""What stands on a tape: values, the calls that make them, runs of submodules, and the tensors that hold values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from striate.geometry.schema import Facts


@dataclass(slots=True)
class Slot:
    """A value on the tape: what it is, and the call (None for a source) that makes it."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    call: int | None
    which: int = 0
    source: str = ""  # "input", "parameter", "buffer", "constant" for values without a call
    name: str = ""
    data: Any = None


@dataclass(slots=True)
class Call:
    """One operation on values: `args` and `kwargs` hold `Ref(position)` into `inputs` where tensors stood."""

    known: Facts
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: list[int]
    invocation: int
    draws: bool  # random numbers
    state: bool = (
        False  # writes to a parameter or a buffer: bookkeeping of the module, not of the result
    )

    @property
    def target(self) -> OpOverload:
        """The operation."""
        return self.known.target


@dataclass(slots=True)
class Visit:
    """One run of one submodule."""

    path: str
    kind: str
    parent: int | None
    number: int  # 1 for the first run of this path, 2 for the second
    norm: str = ""  # "instance" or "batch" for torch's modules of that name
    children: int = 0


@dataclass(slots=True, eq=False)
class Entry:
    """What the tape knows of one tensor object."""

    value: int
    clock: int
    tensor: Tensor  # keeps the object alive, so that its id stays its own
    meta: Tensor | None  # the stand-in of a real tensor in calls, None while it stays real
    real: bool = False  # made by this pass on a real device
    foreign: bool = False  # existed before this pass
    parent: Entry | None = None
    via: tuple[OpOverload, tuple[Any, ...], dict[str, Any], int] | None = None
    root: Entry = field(init=False)
    version: int = 0  # of a root: how often anything in its storage was written

    def __post_init__(self) -> None:
        self.root = self if self.parent is None else self.parent.root
