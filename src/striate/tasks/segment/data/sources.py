"""The one door to sources of images with masks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from striate.data.digits import open_digits
from striate.data.fashion import open_fashion
from striate.data.place import data_path
from striate.data.records import Progress
from striate.errors import DataError, UsageError
from striate.files import is_folder
from striate.ranges import check_ranges
from striate.tasks.segment.data.folder import open_mask_folder
from striate.tasks.segment.data.pairing import holds_masks
from striate.tasks.segment.data.scenes import open_scenes
from striate.tasks.segment.data.source import MaskSource

# Name -> (what opens it, what it is).
MASK_SOURCES: dict[str, tuple[Callable[..., MaskSource], str]] = {
    "scenes": (
        partial(open_scenes, open_digits),
        "digits over photographs with a class for every pixel, as many and as large as you like; --task detect: with boxes",
    ),
    "scenes-fashion": (
        partial(open_scenes, open_fashion),
        "the same with Fashion-MNIST's clothes",
    ),
}


def is_mask_data(data: str | Path) -> bool:
    """Whether `data` names images with a class for every pixel: a generated source, or a folder of images/ and masks/."""
    if str(data) in MASK_SOURCES:
        return True
    path = data_path(data)
    try:
        return holds_masks(path)
    except DataError:
        return False


def open_masks(
    data: str | Path,
    *,
    seed: int = 0,
    val: float | None = None,
    test: float | None = None,
    count: int | None = None,
    size: int | None = None,
    masks: str | None = None,
    ignore: str | None = None,
    progress: Progress | None = None,
) -> MaskSource:
    """Open `scenes`, or a folder of images/ and masks/, split into train, validation and test.

    seed, val, test, count, size, progress: as in `open_source`. masks, ignore: as in `decide`.
    Raises UsageError for an unknown name or wrong number, DataError if the images cannot be used.
    """
    check_ranges(seed=seed, val=val, test=test, count=count, size=size)
    if str(data) in MASK_SOURCES:
        more = {k: v for k, v in (("count", count), ("size", size)) if v is not None}
        return MASK_SOURCES[str(data)][0](seed=seed, val=val, test=test, **more)
    path = data_path(data)
    if count is not None or size is not None:
        raise UsageError("count and size are for generated sources; leave them out for a folder")
    if not is_folder(path):
        raise UsageError(
            f"there is no folder or source {str(data)!r}; give a folder of images/ and masks/, or one of "
            f"{', '.join(MASK_SOURCES)}"
        )
    return open_mask_folder(
        path, seed=seed, val=val, test=test, masks=masks, ignore=ignore, progress=progress
    )
