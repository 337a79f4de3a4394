"""Stored weights: what a file holds, as sets of named tensors, whichever trainer wrote it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from striate.errors import UsageError
from striate.models.pickled import Shell, convert, load_pickled

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar", ".pkl", ".th", ".pickle")
# where training scripts put the tensors, the likeliest first
NESTED = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "params", "weights", "state",
)  # fmt: skip
DEPTH = 4  # dictionaries inside dictionaries
STEPS = re.compile(
    r"(?i)optim|sched|scaler|callback|loops|(^|_)amp$|(^|_)opt$"
)  # no weights in these
SHARD = re.compile(r"(\d+)-of-0*(\d+)")
FOREIGN = (
    (b"\x89HDF", "is an HDF5 file, as Keras and MATLAB write them"),
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file itself: run git lfs pull"),
    (b"<!DOCTYPE", "is a web page: the download asked for a login or a click"),
    (b"<html", "is a web page: the download asked for a login or a click"),
    (b"\x1f\x8b", "is packed by gzip: unpack it first"),
)


@dataclass(frozen=True)
class Stored:
    """The sets of tensors in `path`, each under the keys that lead to it, such as `state_dict` or `ema.module`."""

    path: Path
    sets: Mapping[str, dict[str, Tensor]]


def read_stored(path: str | Path) -> Stored:
    """Everything in `path` that may be weights; nothing that is loaded can run code.

    Raises UsageError where the file is missing, of another kind, damaged, or holds no named tensors, with what to do.
    """
    path = Path(path)
    _check_kind(path)
    if path.suffix == ".safetensors":
        try:
            return Stored(path, {"": load_file(path)})
        except (SafetensorError, OSError) as error:
            raise UsageError(
                f"{path} is no safetensors file that can be read ({error}); fetch or write it again"
            ) from error
    stored = load_pickled(path)
    sets = dict(_sets(stored, ""))
    if not sets:
        if whole := _whole(stored):
            raise UsageError(
                f"{path} holds a whole network, of class {whole[1]}, which only its own code can open; write its "
                f"weights alone where it was trained: {convert(path, whole[0] + '.state_dict()')}"
            )
        if not isinstance(stored, Mapping):
            raise UsageError(
                f"{path} holds a {type(stored).__name__}, not named tensors; save network.state_dict()"
            )
        if (at := _arrays(stored)) is not None:
            keys = f"torch.load({path.name!r}, weights_only=False){at}.items()"
            command = f"torch.save({{n: torch.as_tensor(a) for n, a in {keys}}}, {path.stem + '-weights.pt'!r})"
            raise UsageError(
                f"{path} holds NumPy arrays, not tensors; if you trust the file, write them as tensors: python -c "
                f'"import torch; {command}"'
            )
        raise UsageError(f"{path} holds no named tensors; save network.state_dict()")
    for where, tensors in sets.items():
        odd = next((n for n, t in tensors.items() if type(t) not in (Tensor, nn.Parameter)), None)
        if odd is not None:
            raise UsageError(
                f"{path} holds {odd} as a {type(tensors[odd]).__name__}{f' in {where}' if where else ''}, a part of a "
                "tensor or a form of its own; gather the tensors where they were trained and save them as plain ones"
            )
    return Stored(path, sets)


def _check_kind(path: Path) -> None:
    if path.is_dir() and ((path / ".metadata").is_file() or any(path.glob("*.distcp"))):
        raise UsageError(
            f"{path} is a checkpoint in shards; join them: python -m torch.distributed.checkpoint.format_utils "
            f"dcp_to_torch {path} weights.pt"
        )
    if not path.is_file():
        raise UsageError(f"there is no weights file {path}")
    try:
        with open(path, "rb") as file:
            start = file.read(64)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    for magic, what in FOREIGN:
        if start.lstrip().startswith(magic):
            raise UsageError(
                f"weights are read from .safetensors, .pth, .pt and .bin files, and {path.name} {what}"
            )
    if path.suffix not in SUFFIXES and not start.startswith((b"PK\x03\x04", b"\x80")):
        raise UsageError(
            f"weights are read from .safetensors, .pth, .pt and .bin files, got {path.name}"
        )
    if not start.startswith(b"PK\x03\x04"):
        return
    try:
        inside = zipfile.ZipFile(path).namelist()
    except (zipfile.BadZipFile, OSError):
        return  # the reader says that it is damaged
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in inside):
        remedy = f"torch.save(torch.jit.load({path.name!r}).state_dict(), '{path.stem}-weights.pt')"
        raise UsageError(
            f"{path} is a TorchScript archive, a program with its weights; write the weights alone: python -c "
            f'"import torch; {remedy}"'
        )
    if any(
        name.endswith(("archive_format", "serialized_exported_program.json")) for name in inside
    ):
        remedy = (
            f"torch.save(torch.export.load({path.name!r}).state_dict, '{path.stem}-weights.pt')"
        )
        raise UsageError(
            f"{path} is a program that torch.export wrote; write the weights alone: python -c "
            f'"import torch; {remedy}"'
        )
    if not any(name.endswith("data.pkl") for name in inside):
        raise UsageError(
            f"{path} is a zip archive of other files ({', '.join(inside[:3])}); unpack it and give the weights file"
        )


def _sets(stored: object, where: str, depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every dictionary of named tensors, from the outside in, the usual names first."""
    if not isinstance(stored, Mapping) or depth > DEPTH:
        return
    tensors = {k: v for k, v in stored.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if any(
        t.dim() for t in tensors.values()
    ):  # numbers alone, such as a best score, are no weights
        yield where, tensors
    inner = [k for k in stored if isinstance(k, str) and not STEPS.search(k)]
    for key in sorted(inner, key=lambda k: NESTED.index(k) if k in NESTED else len(NESTED)):
        yield from _sets(stored[key], f"{where}.{key}" if where else key, depth + 1)


def _whole(stored: object, at: str = "", depth: int = 0) -> tuple[str, str] | None:
    """Where a pickled network stands in `stored`, as Python writes it, and its class."""
    if isinstance(stored, Shell):
        state = getattr(stored, "state", None)
        return (at, stored.name) if isinstance(state, Mapping) and "_modules" in state else None
    if isinstance(stored, Mapping) and depth < DEPTH:
        for key, value in stored.items():
            if (found := _whole(value, f"{at}[{key!r}]", depth + 1)) is not None:
                return found
    return None


def _arrays(stored: object, at: str = "", depth: int = 0) -> str | None:
    """Where named NumPy arrays stand in `stored`, as Python writes it; None where there are none."""
    if not isinstance(stored, Mapping) or depth > DEPTH:
        return None
    if any(
        isinstance(v, Shell) and v.name.endswith("multiarray._reconstruct") for v in stored.values()
    ):
        return at
    inner = (_arrays(v, f"{at}[{k!r}]", depth + 1) for k, v in stored.items())
    return next((found for found in inner if found is not None), None)


def advice_of(path: Path) -> str:
    """What a file's name says about weights that miss something: a part of several."""
    part = SHARD.search(path.name)
    if part is None or part[2] == "1":
        return ""
    every = path.name.replace(part[0], f"*{part[0][len(part[1]) :]}")
    return (
        f"{path.name} is part {int(part[1])} of {part[2]}; join the parts: from safetensors.torch import load_file, "
        f"save_file; from pathlib import Path; save_file({{k: v for p in Path('.').glob({every!r}) "
        "for k, v in load_file(p).items()}, 'whole.safetensors')"
    )
