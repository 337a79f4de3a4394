"""Merging: what the shards in a folder give together, be they of predictions or of one image's tiles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from striate.errors import UsageError
from striate.findings import Finding
from striate.paths import given_folder
from striate.runs.run import Run
from striate.runs.shards import Merged, merged
from striate.runs.shared_tiles import HEAD, merge_tiles
from striate.tasks.trained import Trained


def merge(
    parts: str | Path, *, run: Run | Trained | str | Path | None = None, force: bool = False,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Merged | Finding:  # fmt: skip
    """The shards in a folder as one: predictions in order, or what `tile` finds of an image, with its file.

    run: the network of an image's tiles, where it was made in Python or lies elsewhere than when they were made. force:
    write over the file that the tiles make. Raises RunError for shards that did not end and for what is missing or
    damaged, and says which; UsageError for another run or image than the shards'.
    """
    folder = given_folder(parts, "PARTS")
    if (folder / HEAD).is_file():
        return merge_tiles(folder, run=run, force=force, progress=progress)
    if run is not None or force:
        raise UsageError(
            f"{folder} holds shards of predictions, which need no run and write nothing; leave run and force out"
        )
    return merged(folder)
