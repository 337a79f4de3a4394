"""Checkpoints: everything that a training needs to go on to the same numbers, written so that a crash cannot spoil it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from striate.errors import RunError
from striate.writing import write_atomically


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, lists, dicts) to `folder/last.pt`, atomically."""
    import io

    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(folder / "last.pt", buffer.getvalue())


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """The last checkpoint's state, read without running any code of the file. Raises RunError."""
    path = folder / "last.pt"
    if not path.is_file():
        raise RunError(f"no checkpoint at {path}; --resume continues only a run that was stopped")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle, zip, runtime and EOF errors here
        raise RunError(
            f"cannot read the checkpoint {path}: it is damaged; train again without --resume"
        ) from error
    return state
