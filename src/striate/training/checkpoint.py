"""Checkpoints: everything that a training needs to resume to the same numbers, written so that a crash cannot spoil it."""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from striate.errors import RunError
from striate.writing import write_atomically


def save_checkpoint(folder: Path, state: dict[str, Any], *, run: str = "") -> None:
    """Write `state` (tensors, numbers, lists, dicts) to `folder/last.pt`, atomically.

    run: what tells its run from others.
    """
    buffer = io.BytesIO()
    torch.save({"state": state, "run": run, "digest": digest_of(state)}, buffer)
    write_atomically(folder / "last.pt", buffer.getvalue())


def load_checkpoint(folder: Path, *, run: str = "") -> dict[str, Any]:
    """The last checkpoint's state, read without running any code of the file.

    Raises RunError where there is none, it is damaged, its numbers are not those that were written, or it is of another run.
    """
    path = folder / "last.pt"
    if not path.is_file():
        raise RunError(f"no checkpoint at {path}; --resume continues only a run that was stopped")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the file is judged here, in one sentence
            held: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle, zip, runtime and EOF errors here
        raise RunError(
            f"cannot read the checkpoint {path}: it is damaged; train again without --resume"
        ) from error
    if isinstance(held, dict) and "digest" not in held:  # as it was written until 2026-11
        return held
    if not isinstance(held, dict) or set(held) != {"state", "run", "digest"}:
        raise RunError(
            f"cannot read the checkpoint {path}: it is no state of a training; train again without --resume"
        )
    try:
        right = held["digest"] == digest_of(held["state"])
    except RecursionError:
        right = False
    if not right:
        raise RunError(
            f"the checkpoint {path} is not the one that training wrote; train again without --resume"
        )
    if held["run"] != run:
        raise RunError(
            f"the checkpoint {path} belongs to another run than the run.toml that it lies by; put back the one of this run, "
            "or train again without --resume"
        )
    state: dict[str, Any] = held["state"]
    return state


def digest_of(value: Any) -> str:
    """A digest of nested dicts and lists of tensors, numbers and texts."""
    digest = hashlib.blake2b(digest_size=16)
    _add(digest, value)
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        if flat.numel():
            digest.update(memoryview(flat.view(torch.uint8).numpy()))  # type: ignore[arg-type]
    elif isinstance(value, dict):
        digest.update(f"dict{len(value)}".encode())
        for key, one in value.items():
            digest.update(repr(key).encode())
            _add(digest, one)
    elif isinstance(value, list | tuple):
        digest.update(f"list{len(value)}".encode())
        for one in value:
            _add(digest, one)
    else:
        digest.update(repr(value).encode())
