"""Shared tiles: one image, run tile by tile on as many machines as there are, put together to what one of them gives.

The rows of tiles of each pass over the image are dealt out, a file each. Where the next pass needs a statistic of the whole
image, whoever comes there first does what is missing, so that nobody waits for a shard that has not begun.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from striate.documents import to_json
from striate.errors import RunError, UsageError
from striate.findings import Finding
from striate.paths import given_folder, given_path
from striate.ranges import check_ranges
from striate.reading import read_file
from striate.runs.predicting import opened
from striate.runs.record import versions
from striate.runs.run import Run
from striate.runs.shards import Shard, refuse_other, weights_of, words_of_missing
from striate.tasks.tiling import ShardEndedError, Sharing, TileJob, image_file, open_job
from striate.tasks.trained import Trained
from striate.writing import write_atomically

HEAD = "tile.json"
LARGEST = 1 << 24  # bytes of a head that are read
WHOLE = (
    1 << 28
)  # bytes of an image file up to which all of it is compared; of larger ones its size and some rows
SAME = {
    "weights": "the network", "pixels": "the image", "of": "the number of shards", "memory": "--memory", "tile": "--tile",
    "page": "--page", "out": "--out", "check": "--check", "version": "the version of striate",
    "torch": "the version of torch",
}  # fmt: skip


def tile_shard(
    run: Run | Trained | str | Path, image: str | Path, out: str | Path | None = None, *, shard: str, parts: str | Path,
    memory: str = "1GB", tile: int | None = None, page: int | None = None, check: bool = True,
    say: Callable[[str], None] = lambda text: None, progress: Callable[[int, int], None] = lambda done, of: None,
) -> Path:  # fmt: skip
    """Do one shard of an image's tiles, and write it into the folder `parts`, which is returned.

    shard: "K/N", the K-th of N, from 1. Every shard gets the same network, image and options; see `striate.api.tile` for
    the others. progress: gets (rows of tiles done, all that are this shard's) of the pass that is under way. A shard that
    was stopped goes on after what is there. Raises UsageError where the folder holds shards of another image, network or
    other options, and WriteError where a file cannot be written.
    """
    check_ranges(tile=tile, page=page)
    part = Shard.parse(shard)
    file, folder = image_file(given_path(image, "the image")), given_folder(parts, "--parts")
    place = None if out is None else given_folder(out, "-o")
    trained = opened(run)
    job = open_job(trained, file, out=place, memory=memory, tile=tile, page=page, check=check)
    head = {
        "weights": weights_of(trained), "pixels": fingerprint(job, file), "of": part.of, "memory": memory, "tile": tile,
        "page": page, "out": None if place is None else str(place), "check": check, "version": versions()["striate"],
        "torch": torch.__version__.partition("+")[0],
    }  # fmt: skip
    known = _head(folder) if (folder / HEAD).is_file() else None
    if known is None:
        where = {"image": str(file.absolute()), "run": _named(run)}
        write_atomically(folder / HEAD, to_json({**head, **where}).encode())
    else:
        _refuse_other(known, head)

    def few(count: int) -> None:
        if part.number > count:
            say(
                f"the image has {count} rows of tiles, and shard {shard} has none of its own; fewer shards or a smaller "
                "--tile give each some"
            )

    job = sharing(job, folder, head, part.number, few, progress)
    try:
        trained.task.tile(job)
    except ShardEndedError:
        return folder
    raise UsageError(
        f"{trained.name} reads a whole image at once, so its tiles cannot be shared; leave --shard out"
    )


def merge_tiles(
    parts: Path, *, run: Run | Trained | str | Path | None = None, force: bool = False,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Finding:  # fmt: skip
    """What all shards in a folder give together: as `striate.api.tile`, with its file in `out`.

    run: the network, where it is not found by its path. Raises RunError for shards that did not end and rows of tiles that
    are damaged, and says which.
    """
    head = _head(parts)
    if run is None and head["run"] is None:
        raise UsageError(
            "the network of these shards was made in Python and is not found again by itself; give it with run="
        )
    trained = opened(run if run is not None else head["run"])
    file = image_file(Path(head["image"]))
    out = None if head["out"] is None else Path(head["out"])
    job = open_job(
        trained, file, out=out, memory=head["memory"], tile=head["tile"], page=head["page"], check=head["check"],
        force=force, progress=progress,
    )  # fmt: skip
    now = {
        "weights": weights_of(trained),
        "pixels": fingerprint(job, file),
        "version": versions()["striate"],
    }
    _refuse_other(head, {**head, **now})

    def whole(missing: list[int]) -> None:
        if missing:
            shards = sorted({band % head["of"] + 1 for band in missing})
            raise RunError(
                words_of_missing([f"{k}/{head['of']}" for k in shards], head["of"], parts, "tile")
            )

    return trained.task.tile(sharing(job, parts, head, 0, whole, progress))


def sharing(
    job: TileJob, folder: Path, head: Mapping[str, Any], number: int, told: Callable[[Any], None],
    progress: Callable[[int, int], None],
) -> TileJob:  # fmt: skip
    """The job with its rows of tiles in a folder; see `Sharing`."""
    from dataclasses import replace

    digest = to_json({name: head[name] for name in SAME if name != "of"}, indent=None)
    shared = Sharing(
        folder=folder, number=number, of=head["of"], facts=digest, told=told, progress=progress
    )
    return replace(job, shared=shared)


def fingerprint(job: TileJob, file: Path) -> str:
    """Of an image's pixels: of its file, or of its size and some rows where that is large or a folder."""
    image = job.image
    digest = hashlib.sha256(f"{image.shape} {job.page}".encode())
    size = file.stat().st_size if file.is_file() else 0
    if 0 < size <= WHOLE:
        digest.update(read_file(file, limit=WHOLE))
        return digest.hexdigest()
    digest.update(str(size).encode())
    rows = image.shape[1]
    for row in sorted({rows * i // 16 for i in range(16)} | {rows - 1}):
        digest.update(
            image.read(0, ((row, row + 1), (0, image.shape[2])))
            .contiguous()
            .cpu()
            .numpy()
            .tobytes()
        )
    return digest.hexdigest()


def _named(run: Run | Trained | str | Path) -> str | None:
    """Where a network is found again; None for one that was made in Python."""
    if isinstance(run, Trained):
        run = run.run
    if isinstance(run, Run):
        return str(run.path.absolute()) if run.factory is None else None
    if run is None or isinstance(run, Trained):
        return None
    return str(Path(run).absolute()) if Path(run).is_dir() else str(run)


def _head(folder: Path) -> dict[str, Any]:
    path = folder / HEAD
    try:
        head: dict[str, Any] = json.loads(read_file(path, limit=LARGEST).decode())
        return {name: head[name] for name in (*SAME, "image", "run")}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(
            f"{path} is damaged; delete {folder} and run `striate tile` with each --shard again"
        ) from error


def _refuse_other(known: Mapping[str, Any], head: Mapping[str, Any]) -> None:
    refuse_other(known, head, SAME, digests=("pixels", "weights"), give="run, image and options")
