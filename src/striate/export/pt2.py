"""PT2: a network's program as torch.export saves it, with the same proof beside it."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import torch

from striate.errors import DataError, RunError
from striate.export.convert import Program, quiet
from striate.export.engines import first_line
from striate.export.envelope import ABOUT, DIGEST, PROOF, checked

# What zipfile raises on broken archives.
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
)
EXTRA = "/extra/"  # where an archive holds what torch does not read


class TorchProgram:
    """A saved program, run by torch. See Session."""

    engine = "torch.export"

    def __init__(self, data: bytes, names: Sequence[str]) -> None:
        with quiet():
            try:
                program = torch.export.load(BytesIO(data))
                self.module = program.module()
            except Exception as error:  # its errors have no common class
                raise RunError(
                    f"torch {torch.__version__} cannot load the program: {first_line(error)}; export it again"
                ) from error
        self.names = list(names)
        kinds = {v.dtype for v in program.state_dict.values() if v.is_floating_point()}
        short = {torch.bfloat16: "bf16", torch.float16: "f16"}
        self.precision = next((name for kind, name in short.items() if kind in kinds), "f32")

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """See Session."""
        with torch.no_grad():
            values = self.module(torch.from_numpy(np.array(images, order="C")))
        found = dict(zip(self.names, values, strict=True))
        return {name: found[name].numpy() for name in names}


def saved(program: Program, texts: Mapping[str, str]) -> bytes:
    """The program's archive, with texts by name in it."""
    file = BytesIO()
    with quiet():
        torch.export.save(program.program, file, extra_files=dict(texts))
    return file.getvalue()


def digest(data: bytes, texts: Mapping[str, str]) -> str:
    """SHA-256 of what the archive holds, and of the texts but the digest itself. Raises DataError for another file."""
    made = hashlib.sha256()
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            for name in sorted(archive.namelist()):
                if EXTRA not in name:
                    made.update(f"\0{name}\0".encode() + archive.read(name))
    except BROKEN as error:
        raise _no_file(error) from error
    for name in (ABOUT, PROOF):
        made.update(f"\0{name}\0{texts.get(name, '')}".encode())
    return made.hexdigest()


def sealed(data: bytes, texts: Mapping[str, str]) -> bytes:
    """An archive with its digest beside the texts; torch writes no two that are the same, so it is put in afterwards."""
    file = BytesIO(data)
    with zipfile.ZipFile(file, "a") as archive:
        root = archive.namelist()[0].split("/")[0]
        archive.writestr(f"{root}{EXTRA}{DIGEST}", digest(data, texts))
    return file.getvalue()


def texts_of(data: bytes) -> dict[str, str]:
    """The texts in an archive; none where it has none. Raises DataError."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            names = {n.rsplit("/", 1)[1]: n for n in archive.namelist() if EXTRA in n}
            return {
                name: archive.read(names[name]).decode(errors="replace")
                for name in (ABOUT, PROOF, DIGEST)
                if name in names
            }
    except BROKEN as error:
        raise _no_file(error) from error


def about_of(data: bytes, texts: Mapping[str, str]) -> dict[str, Any]:
    """What Striate noted, see `Envelope.about`."""
    return checked(texts, digest(data, texts))


def _no_file(error: Exception) -> DataError:
    return DataError(f"it is no .pt2 file, or was damaged ({error}); export the network again")
