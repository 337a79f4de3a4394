"""Journal: what of an interrupted run is finished, in a small file that is replaced as a whole."""

from __future__ import annotations

import contextlib
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import WriteError
from striate.writing import write_atomically

EVERY = 5.0  # seconds between two saves


@dataclass
class State:
    """How far a run is.

    image, level: number of the image and of the walk that is under way; cells: how many of its cells are finished.
    parts: what was gathered in this walk so far, by reduction; known, moments: what finished walks found out, by value, of
    any shape.
    """

    image: int = 0
    level: int = 0
    cells: int = 0
    parts: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    known: dict[int, Tensor] = field(default_factory=dict)
    moments: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)


class Journal:
    """A file that holds a `State` and the digest of what it belongs to."""

    def __init__(self, path: Path, digest: str) -> None:
        self.path, self.digest = path, digest
        self.saved = time.monotonic()

    def load(self, device: torch.device) -> State | None:
        """The state that an interrupted run of the same work left, None if there is none or it belongs to other work."""
        try:
            raw = json.loads(self.path.read_text(encoding="utf-8"))
            if raw["digest"] != self.digest:
                return None
            return State(
                raw["image"],
                raw["level"],
                raw["cells"],
                {
                    int(k): {n: _tensor(t, device) for n, t in v.items()}
                    for k, v in raw["parts"].items()
                },
                {int(k): _tensor(t, device) for k, t in raw["known"].items()},
                {
                    int(k): (_tensor(m, device), _tensor(v, device))
                    for k, (m, v) in raw["moments"].items()
                },
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def due(self) -> bool:
        """Whether the last save is old enough for another."""
        return time.monotonic() - self.saved >= EVERY

    def save(self, state: State) -> None:
        """Replace the file: at every moment it holds one whole state. On a full disk the last one stays."""
        raw = {
            "digest": self.digest,
            "image": state.image,
            "level": state.level,
            "cells": state.cells,
            "parts": {k: {n: _text(t) for n, t in v.items()} for k, v in state.parts.items()},
            "known": {k: _text(t) for k, t in state.known.items()},
            "moments": {k: [_text(m), _text(v)] for k, (m, v) in state.moments.items()},
        }
        with contextlib.suppress(WriteError):
            write_atomically(self.path, json.dumps(raw).encode(), durable=False)
        self.saved = time.monotonic()

    def remove(self) -> None:
        """The work is done."""
        self.path.unlink(missing_ok=True)


def _text(tensor: Tensor) -> dict[str, Any]:
    tensor = tensor.detach().cpu().contiguous()
    data = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "data": b64encode(data).decode(),
    }


def _tensor(raw: Mapping[str, Any], device: torch.device) -> Tensor:
    data = bytearray(b64decode(raw["data"]))
    tensor = torch.frombuffer(data, dtype=torch.uint8).view(getattr(torch, raw["dtype"]))
    return tensor.reshape(raw["shape"]).to(device)


def digest_of(module: nn.Module, *facts: object) -> str:
    """A digest of a module's parameters and buffers, and of what else decides a result."""
    digest = blake2b(digest_size=16)
    for name, tensor in sorted(module.state_dict().items()):
        if isinstance(tensor, Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            if flat.numel():
                digest.update(memoryview(flat.view(torch.uint8).numpy()))  # type: ignore[arg-type]
    for fact in facts:
        digest.update(repr(fact).encode())
    return digest.hexdigest()
