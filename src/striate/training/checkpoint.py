"""Checkpoints: everything that a training needs to go on to the same numbers, written so that a crash cannot spoil it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from striate.errors import RunError, TrainingError


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file `path` by `data` in one step: a crash or a full disk leaves the old file as it was.

    Raises TrainingError when the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise TrainingError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another folder with --out "
            "(what was saved before is as it was)"
        ) from error


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
