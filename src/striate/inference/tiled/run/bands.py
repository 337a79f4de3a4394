"""Bands: the parts of a walk that can be done apart, by anybody, each in a file of its own.

A file appears whole or not at all, says of which job it is, and holds a digest of each tensor. What is gathered over bands
is joined in their order by a tree, so that the result is the same whoever did which of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from striate.errors import RunError, WriteError
from striate.geometry import Box
from striate.inference.tiled.plan.plan import Walk
from striate.writing import held, writing

MAGIC = b"striate-band-1\n"
MOST = 1024  # bands of a walk; more than that and files outweigh the work
LOOK = 0.2  # seconds between two looks for what others are doing
PATIENCE = 10.0  # times what a band took here that another process is waited for, before its band is done here as well
LEAST = 30.0  # seconds that it is waited for at any rate


def band_cells(walk: Walk) -> int:
    """How many cells of a walk are one band: whole rows of what is carried."""
    rows = -(-walk.cells // walk.restart)
    return walk.restart * -(-rows // MOST)


def band_count(walk: Walk) -> int:
    """How many bands a walk has."""
    return -(-walk.cells // band_cells(walk)) if walk.targets else 0


@dataclass(frozen=True)
class Bands:
    """The folder of one job's bands, and which of them are somebody's.

    digest: of the job. number, of: the shard's, from 1; number 0 does none, and only reads. progress: gets (bands done, all
    that are this one's).
    """

    folder: Path
    digest: str
    number: int
    of: int
    progress: Callable[[int, int], None] = lambda done, of: None

    def path(self, level: int, band: int) -> Path:
        """Where a band lies."""
        return self.folder / f"pass-{level:03}" / f"band-{band:06}"

    def mine(self, walk: Walk) -> list[int]:
        """The bands of a walk that are this shard's."""
        return list(range(self.number - 1, band_count(walk), self.of)) if self.number else []

    def whole(self, level: int, band: int) -> bool:
        """Whether a band is there, is this job's, and nothing of its end is missing."""
        path = self.path(level, band)
        try:
            return path.is_file() and _index(path)["job"] == _job_of(path, self.digest)
        except RunError:
            return False

    def missing(self, walk: Walk) -> list[int]:
        """The bands of a walk that nobody has done."""
        level = walk.work.level
        return [b for b in range(band_count(walk)) if not self.whole(level, b)]

    def share(self, walk: Walk, wanted: Sequence[int], make: Callable[[int, Path], None]) -> None:
        """Have all `wanted` bands done: by `make`, or by another process that is at one. make: writes the file of a band.

        What another does is left to it until it ends or dies; where that takes much longer than a band took here, or its
        file system has no locks, a band is done twice, to the same bytes.
        """
        level, longest, since = walk.work.level, 0.0, time.monotonic()
        left = list(wanted)
        while left:
            left = [b for b in left if not self.whole(level, b)]
            made = False
            for band in list(left):
                path = self.path(level, band)
                path.parent.mkdir(parents=True, exist_ok=True)
                late = time.monotonic() - since > max(PATIENCE * longest, LEAST)
                with contextlib.ExitStack() as stack:
                    try:
                        stack.enter_context(held(path))
                    except WriteError as error:
                        if error.errno is not None:
                            raise
                        if not late:
                            continue
                    if not self.whole(level, band):
                        began = time.monotonic()
                        make(band, path)
                        longest = max(longest, time.monotonic() - began)
                made, since = True, time.monotonic()
                left.remove(band)
                self.progress(len(wanted) - len(left), len(wanted))
            if left and not made:
                time.sleep(LOOK)


class BandWriter:
    """Writes a band: tensors one after the other, then what they are. job: the digest of the job."""

    def __init__(self, stream: BinaryIO, job: str) -> None:
        self.stream, self.job = stream, job  # with its own name, see _job_of
        self.entries: list[dict[str, Any]] = []
        self.at = stream.write(MAGIC)

    def add(self, kind: str, value: int, box: Box | None, tensor: Tensor, name: str = "") -> None:
        """A tensor: of what kind, of which value, of which of its positions."""
        tensor = tensor.detach().cpu().contiguous()
        data = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
        self.entries.append({
            "kind": kind, "value": value, "name": name, "box": box, "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": list(tensor.shape), "at": self.at, "bytes": len(data),
            "digest": hashlib.blake2b(data, digest_size=16).hexdigest(),
        })  # fmt: skip
        self.at += self.stream.write(data)

    def end(self, **more: Any) -> None:
        """Write what is in it. more: what else is kept of the band."""
        text = json.dumps({"job": self.job, "entries": self.entries, **more}).encode()
        self.stream.write(text)
        digest = hashlib.blake2b(text, digest_size=16).digest()
        self.stream.write(digest + len(text).to_bytes(8, "big") + MAGIC)


@contextlib.contextmanager
def writing_band(path: Path, job: str) -> Iterator[BandWriter]:
    """A band's file, which appears at the end. Raises WriteError."""
    with writing(path) as stream:
        yield BandWriter(stream, _job_of(path, job))


def _job_of(path: Path, job: str) -> str:
    """What a band says that it belongs to: under the name of another one it is not taken for it."""
    return f"{job} {path.parent.name} {path.name}"


def _index(path: Path) -> dict[str, Any]:
    """What a band says is in it. Raises RunError for a file that is damaged or cut off."""
    tail = 16 + 8 + len(MAGIC)
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - tail, 0))
            end = file.read(tail)
            length = int.from_bytes(end[16:24], "big")
            if len(end) == tail and end[24:] == MAGIC and length <= size - tail:
                file.seek(size - tail - length)
                text = file.read(length)
                if hashlib.blake2b(text, digest_size=16).digest() == end[:16]:
                    found: dict[str, Any] = json.loads(text)
                    return found
    except (OSError, ValueError):
        pass
    raise _damaged(path)


def _damaged(path: Path) -> RunError:
    return RunError(
        f"{path} is damaged or cut off; delete it and run `striate tile` with its --shard again"
    )


def read_band(
    path: Path, job: str
) -> tuple[dict[str, Any], Iterator[tuple[Mapping[str, Any], Tensor]]]:
    """What a band says of itself, and its tensors, pieces (1, C, rows, columns) and sums, one by one, each with what it is.

    Raises RunError for another job's, damage and absence.
    """
    index = _index(path)
    if index["job"] != _job_of(path, job):
        raise RunError(
            f"{path} belongs to another run, image, tile size or version; delete it, or give another folder with --parts"
        )

    def tensors() -> Iterator[tuple[Mapping[str, Any], Tensor]]:
        with open(path, "rb") as file:
            for entry in index["entries"]:
                file.seek(entry["at"])
                data = bytearray(file.read(entry["bytes"]))
                if hashlib.blake2b(data, digest_size=16).hexdigest() != entry["digest"]:
                    raise _damaged(path)
                flat = (
                    torch.frombuffer(data, dtype=torch.uint8)
                    if data
                    else torch.empty(0, dtype=torch.uint8)
                )
                yield entry, flat.view(getattr(torch, entry["dtype"])).reshape(entry["shape"])

    return index, tensors()


def box_of(entry: Mapping[str, Any]) -> Box:
    """The positions of a tensor that was read."""
    return tuple(None if side is None else (side[0], side[1]) for side in entry["box"])
