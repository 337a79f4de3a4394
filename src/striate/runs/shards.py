"""Shards: predictions of many images in parts, on as many machines as there are, put together to what one would have given.

The images are cut into blocks of 64 in their order, and shard K of N takes every N-th block: so each block goes through the
network as it would without shards, and no bit differs. A block is written in one step when it is done, and a shard that is
begun again goes on after the blocks that are there.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from striate.data.files import Found, Paths, find_files
from striate.documents import to_json
from striate.errors import RunError, UsageError
from striate.paths import given_folder
from striate.reading import read_file
from striate.runs.predicting import on_engine, opened
from striate.runs.record import versions
from striate.runs.run import Run
from striate.tasks.forward import AT_ONCE
from striate.tasks.prediction import Prediction
from striate.tasks.trained import Trained
from striate.training.checkpoint import digest_of
from striate.wording import counted
from striate.writing import held, write_atomically

BLOCK = AT_ONCE  # images; a multiple of what goes through the network at a time
LARGEST = 1 << 30  # bytes of a block that are read
HEAD = "shard.json"
SAME = {
    "files": "the list of images", "weights": "the network", "count": "the number of images", "of": "the number of shards",
    "top": "--top", "out": "--out", "engine": "--engine", "version": "the version of striate",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Part `number`, from 1, of `of`."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From `K/N`. Raises UsageError."""
        found = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise UsageError(
                f"--shard is K/N with K from 1 to N, such as 2/8 for the second of eight, got {text!r}"
            )
        return cls(number=int(found[1]), of=int(found[2]))

    def blocks(self, count: int) -> list[int]:
        """The numbers of its blocks of `count` images, in order."""
        return list(range(self.number - 1, -(-count // BLOCK), self.of))

    def folder(self, parts: Path) -> Path:
        """Where its blocks lie."""
        return parts / f"shard-{self.number}-of-{self.of}"


@dataclass(frozen=True, kw_only=True)
class Kept(Prediction):
    """A prediction as a block holds it: it gives what the one gave that was written."""

    told: Mapping[str, Any]

    def rows(self, top: int = 1) -> list[dict[str, Any]]:
        """See Prediction."""
        return list(self.told["rows"])

    def document(self) -> dict[str, Any]:
        """See Prediction."""
        return dict(self.told["document"])

    def cells(self, top: int = 1) -> list[tuple[str, ...]]:
        """See Prediction."""
        return [tuple(line) for line in self.told["cells"]]

    def headings(self, top: int = 1) -> tuple[str, ...]:  # type: ignore[override]
        """See Prediction."""
        return tuple(self.told["headings"])


@dataclass(frozen=True, kw_only=True)
class Merged:
    """All predictions of a folder of shards, in order, read block by block; and what else `predict` says.

    remarks: see `Found`. out: the folder of what was written for each image, if anything was.
    """

    count: int
    top: int
    out: str | None
    remarks: tuple[str, ...]
    blocks: tuple[Path, ...]

    def __iter__(self) -> Iterator[Prediction]:
        for path in self.blocks:
            for told in _block(path)["predictions"]:
                yield Kept(path=told["path"], error=told["error"], told=told)


def predict_shard(
    run: Run | Trained | str | Path, images: Paths | Found, parts: str | Path, *, shard: str, top: int = 5,
    out: str | Path | None = None, force: bool = False, device: str = "auto", engine: str = "torch",
    say: Callable[[str], None] = lambda text: None, progress: Callable[[int, int], None] = lambda done, of: None,
) -> Path:  # fmt: skip
    """Predict the images of one shard, and write them into the folder `parts`; returns the shard's own folder in it.

    shard: "K/N", the K-th of N, from 1. engine: "auto" is torch here, since machines differ in what is fastest. Every shard
    gets the same images, run and options; see `predict` for the others. progress: gets (images done, images of the shard).
    Raises UsageError for a shard that is none, and where the folder holds shards of other images, another run or other
    options; WriteError while another process does the same shard.
    """
    part = Shard.parse(shard)
    engine = "torch" if engine == "auto" else engine
    folder = given_folder(parts, "--parts")
    trained, found = opened(run), find_files(images)
    written = None if out is None else given_folder(out, "-o")
    with begun(trained, found, part, folder, top=top, out=written, engine=engine) as (left, again):
        own, mine = part.folder(folder), part.blocks(len(found.files))
        done = sum(images_of(found, b) for b in mine if b not in left)
        total = sum(images_of(found, b) for b in mine)
        progress(done, total)
        if left:
            trained = on_engine(trained, engine, device, say)
            for _ in make_blocks(
                trained, found, own, left, top=top, device=device, out=written, force=force or again
            ):
                done += 1
                progress(done, total)
    return own


@contextmanager
def begun(
    trained: Trained, found: Found, part: Shard, parts: Path, *, top: int, out: Path | None, engine: str
) -> Iterator[tuple[list[int], bool]]:  # fmt: skip
    """Within it a shard is this process's: the numbers of its blocks that are left, and whether it was begun before.

    Raises UsageError where the folder holds shards of other images, another run or other options.
    """
    head = {
        "files": _digest(found.files), "weights": weights_of(trained), "count": len(found.files), "of": part.of, "top": top,
        "out": None if out is None else str(out), "engine": engine, "version": versions()["striate"],
    }  # fmt: skip
    own = part.folder(parts)
    for other in _heads(parts):
        _refuse_other(other, head)
    own.mkdir(parents=True, exist_ok=True)
    with held(own):
        again = (own / HEAD).is_file()
        remarks = found.remarks if part.number == 1 else []
        write_atomically(own / HEAD, to_json({**head, "remarks": remarks}).encode())
        blocks = part.blocks(len(found.files))
        yield [b for b in blocks if not _is_whole(_path(own, b), _files(found, b))], again


def make_blocks(
    trained: Trained, found: Found, own: Path, blocks: Sequence[int], *, top: int, device: str, out: Path | None, force: bool
) -> Iterator[str]:  # fmt: skip
    """Predict the images of some blocks, and write each block when it is done; gives the name of each image.

    force: write over what an attempt before wrote of a block that it did not end.
    """
    chosen = replace(found, only=tuple(i for b in blocks for i in _indices(found, b)))
    made = trained.task.predict(trained, chosen, top=top, device=device, out=out, force=force)
    for block in blocks:
        told = []
        for name in _files(found, block):
            prediction = next(made)
            assert prediction.path == name, "predictions come in the order of their images"
            told.append(_told(prediction, top))
            yield name
        _write(_path(own, block), told)
    next(made, None)  # what is done after the last


def images_of(found: Found, block: int) -> int:
    """How many images a block has."""
    return len(_indices(found, block))


def merged(folder: Path) -> Merged:
    """The predictions in a folder of shards as one; see `striate.api.merge`."""
    heads = list(_heads(folder))
    if not heads:
        raise RunError(
            f"no shards in {folder}; make them with `striate predict ... --shard K/N --parts {folder}`"
        )
    head = heads[0]
    for other in heads:
        _refuse_other(other, head)
    blocks: dict[int, Path] = {}
    missing = []
    for number in range(1, head["of"] + 1):
        part = Shard(number=number, of=head["of"])
        wanted = {b: _path(part.folder(folder), b) for b in part.blocks(head["count"])}
        lacking = [b for b, path in wanted.items() if not path.is_file()]
        if lacking or (wanted and not (part.folder(folder) / HEAD).is_file()):
            missing.append(f"{number}/{head['of']}")
        blocks |= wanted
    first = next((h["remarks"] for h in heads if h["number"] == 1), None)
    if first is None and not missing:
        missing.append(f"1/{head['of']}")
    if missing:
        raise RunError(words_of_missing(missing, head["of"], folder, "predict"))
    for path in blocks.values():
        _block(path)
    return Merged(
        count=head["count"], top=head["top"], out=head["out"], remarks=tuple(first or ()),
        blocks=tuple(blocks[b] for b in sorted(blocks)),
    )  # fmt: skip


def words_of_missing(missing: Sequence[str], of: int, folder: Path, command: str) -> str:
    """The sentence of shards that did not end, each such as "2/8"."""
    named = ", ".join(missing[:8])
    named += "" if len(missing) <= 8 else f" and {len(missing) - 8} more"
    return (
        f"{counted(len(missing), 'shard')} of {of} in {folder} did not end: {named}; run `striate {command}` with --shard "
        "of each of them again: it goes on where it stopped"
    )


def _indices(found: Found, block: int) -> range:
    return range(block * BLOCK, min((block + 1) * BLOCK, len(found.files)))


def _files(found: Found, block: int) -> list[str]:
    return [found.files[i] for i in _indices(found, block)]


def _path(folder: Path, block: int) -> Path:
    return folder / f"block-{block:08}.json"


def _told(prediction: Prediction, top: int) -> dict[str, Any]:
    return {
        "path": prediction.path, "error": prediction.error, "rows": prediction.rows(top), "document": prediction.document(),
        "cells": [] if prediction.error else prediction.cells(top), "headings": prediction.headings(top),
    }  # fmt: skip


def _write(path: Path, told: Sequence[Mapping[str, Any]]) -> None:
    text = to_json(list(told), indent=None)
    digest = hashlib.sha256(text.encode()).hexdigest()
    write_atomically(path, f'{{"sha256": "{digest}", "predictions":\n{text}\n}}\n'.encode())


def _block(path: Path) -> dict[str, Any]:
    """What a block holds. Raises RunError where that is not what was written."""
    try:
        text = read_file(path, limit=LARGEST).decode()
        held: dict[str, Any] = json.loads(text)
        rows = text.split("\n", 1)[1].rsplit("\n}", 1)[0]
        good = held["sha256"] == hashlib.sha256(rows.encode()).hexdigest()
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        good, held = False, {}
    if not good:
        raise RunError(
            f"{path} is damaged or cut off; delete it and run `striate predict` with its --shard again"
        )
    return held


def _is_whole(path: Path, files: Sequence[str]) -> bool:
    if not path.is_file():
        return False
    try:
        return [told["path"] for told in _block(path)["predictions"]] == list(files)
    except RunError:
        return False


def _heads(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob(f"shard-*-of-*/{HEAD}")):
        number = path.parent.name.split("-")[1]
        try:
            head = json.loads(read_file(path, limit=LARGEST).decode())
            yield {**{name: head[name] for name in (*SAME, "remarks")}, "number": int(number)}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise RunError(
                f"{path} is damaged; delete {path.parent} and run `striate predict` with its --shard again"
            ) from error


def refuse_other(
    other: Mapping[str, Any], head: Mapping[str, Any], same: Mapping[str, str], *, digests: tuple[str, ...], give: str
) -> None:  # fmt: skip
    """Raise UsageError where what is to be the `same`, key -> words, differs between two shards.

    digests: keys whose values say nothing to people. give: what all shards are to be given.
    """
    for name, words in same.items():
        if other[name] != head[name]:
            shown = "" if name in digests else f" ({other[name]} and {head[name]})"
            raise UsageError(
                f"the shards are not of one job: {words} differs{shown}; give all shards the same {give}, or choose another "
                "folder with --parts"
            )


def _refuse_other(other: Mapping[str, Any], head: Mapping[str, Any]) -> None:
    refuse_other(other, head, SAME, digests=("files", "weights"), give="images, run and options")


def _digest(files: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for name in files:
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()


def weights_of(trained: Trained) -> str:
    """A digest of what decides a network's predictions."""
    told = (
        trained.model.state_dict(),
        trained.preprocessing.to_dict(),
        trained.classes,
        trained.calibration,
    )
    return digest_of([*told, trained.flip_test])
