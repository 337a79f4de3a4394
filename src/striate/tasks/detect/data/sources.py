"""The one door to sources of images with boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from striate.data.digits import open_digits
from striate.data.fashion import open_fashion
from striate.data.own import given_again, is_given
from striate.data.place import data_path
from striate.data.records import Progress
from striate.data.tree import Parts, Tree, grow
from striate.errors import DataError, UsageError
from striate.files import is_folder, is_regular, is_there, leads_out
from striate.ranges import check_ranges
from striate.tasks.detect.data.annotations import Annotations, fault
from striate.tasks.detect.data.folder import annotated_folder
from striate.tasks.detect.data.formats import FORMATS, Format, format_of_file
from striate.tasks.detect.data.scenes import open_box_scenes
from striate.tasks.detect.data.source import BoxSource
from striate.tasks.detect.data.stamps import open_stamps
from striate.tasks.segment.data.pairing import pair
from striate.tasks.segment.data.roles import role_of

# Name -> (what opens it, what it is).
BOX_SOURCES: dict[str, tuple[Callable[..., BoxSource], str]] = {
    "scenes": (
        partial(open_box_scenes, open_digits),
        "digits over photographs with the box and the pixels of each, as many and as large as you like",
    ),
    "scenes-fashion": (
        partial(open_box_scenes, open_fashion),
        "the same with Fashion-MNIST's clothes",
    ),
    "stamps": (
        open_stamps,
        "cut-outs of Tux Paint on GNOME's backgrounds, where Debian's packages of both are installed",
    ),
}
LINKED = "is a link out of the folder to what holds no annotations that can be used"
# Folders in which annotation files lie beside their images' folders.
BESIDE = frozenset({"annotations", "annotation", "anns", "labels", "label", "json"})


def is_box_data(data: str | Path) -> bool:
    """Whether `data` names images with boxes: a generated source, an annotation file, or a folder that holds such files.

    Folders of classes and of masks are none, whatever lies beside their images, nor are tables with one class an image.
    """
    if str(data) in BOX_SOURCES:
        return True
    try:
        path = data_path(data)
        if is_regular(path):
            format = format_of_file(path)
            return format is not None and format.claims(path.parent, [(path.name,)])
        if not is_folder(path):
            return False
        return _is_box_folder(path)
    except (DataError, OSError, ValueError):
        return False


def _is_box_folder(root: Path) -> bool:
    tree = grow(root)
    if not tree.images:
        return False
    by_class = _lies_by_class(tree)
    for format in FORMATS:
        if format.asked or (by_class and format.beside):
            continue
        files = format.find(root, tree)
        if files and format.claims(root, files):
            return not _has_masks(root)
    return False


def _has_masks(root: Path) -> bool:
    """Whether there is a mask for an image, as VOC and Oxford Pets have them beside their boxes."""
    try:
        return bool(pair(root).masks)
    except DataError:
        return False


def _lies_by_class(tree: Tree) -> bool:
    """Whether images lie in several folders whose names say neither a role nor a split, as classes do."""
    folders = set()
    for path in tree.images:
        own = [name for name in path[:-1] if not (role_of(name).pure or role_of(name).kind)]
        folders.add(own[-1] if own else "")
    return len(folders) > 1


def open_boxes(
    data: str | Path,
    *,
    seed: int = 0,
    val: float | None = None,
    test: float | None = None,
    count: int | None = None,
    size: int | None = None,
    progress: Progress | None = None,
) -> BoxSource:
    """Open a generated source, a folder with annotation files or one such file, split into train, validation and test.

    seed, val, test, count, size, progress: as in `open_source`; a split that the files state is kept.
    Raises UsageError for an unknown name or wrong number, DataError if annotations or images cannot be used.
    """
    check_ranges(seed=seed, val=val, test=test, count=count, size=size)
    if is_given(data):
        return given_again(str(data))  # type: ignore[no-any-return]
    if str(data) in BOX_SOURCES:
        more = {k: v for k, v in (("count", count), ("size", size)) if v is not None}
        return BOX_SOURCES[str(data)][0](seed=seed, val=val, test=test, **more)
    path = data_path(data)
    if count is not None or size is not None:
        raise UsageError("count and size are for generated sources; leave them out for a folder")
    if not is_there(path):
        raise UsageError(
            f"there is no folder or source {str(data)!r}; give a folder of images with annotations, an annotation "
            "file, or one "
            f"of {', '.join(BOX_SOURCES)}"
        )
    root, tree, annotations, others = read_annotations(path)
    return annotated_folder(
        root, tree, annotations, seed=seed, val=val, test=test, progress=progress, others=others
    )  # fmt: skip


def read_annotations(path: Path) -> tuple[Path, Tree, Annotations, list[str]]:
    """The folder of the images, what lies in it, what annotation files state, and formats that are there and not used.

    Raises DataError where there is no annotation of a known format.
    """
    if is_regular(path):
        return *_read_file(path), []
    tree = grow(path)
    found: list[tuple[Format, list[Parts]]] = []
    for format in FORMATS:
        if not (format.asked and found) and (files := format.find(path, tree)):
            found.append((format, files))
    if not found:
        names = ", ".join(format.name for format in FORMATS)
        what = "images without annotations of objects" if tree.images else "no images"
        raise DataError(f"{path} holds {what}; these are read: {names}")
    format, files = found[0]
    # Masks beside the images, as VOC has them, are no images of the set, nor are the annotations themselves.
    masks = set(files)
    images = [
        p
        for p in tree.images
        if p not in masks and not any(role_of(name).kind == "mask" for name in p[:-1])
    ]
    tree = replace(tree, images=images or tree.images)
    others = [other.name for other, its in found[1:] if other.claims(path, its)]
    return path, tree, _unquoted(path, files, lambda: format.read(path, files, tree)), others


def _read_file(path: Path) -> tuple[Path, Tree, Annotations]:
    format = format_of_file(path)
    if format is None:
        names = ", ".join(format.name for format in FORMATS)
        raise DataError(f"{path} holds no annotations that are known; these are read: {names}")
    root, parts, tree = _root(path)
    return root, tree, _unquoted(root, [parts], lambda: _read_one(format, root, parts, tree))


def _unquoted(root: Path, files: Sequence[Parts], read: Callable[[], Annotations]) -> Annotations:
    """What annotation files state; what is wrong in one that a link leads to, out of the folder, is not quoted."""
    linked = [p for p in files if leads_out(root.joinpath(*p), root)]
    try:
        found = read()
    except DataError:
        if linked:
            raise DataError(f"{root.joinpath(*linked[0])} {LINKED}") from None
        raise
    if linked and found.faults:
        return replace(found, faults=tuple(fault("/".join(p), LINKED) for p in linked))
    return replace(
        found,
        faults=tuple(
            replace(one, reason=LINKED) if leads_out(root / one.path, root) else one
            for one in found.faults
        ),
    )


def _root(path: Path) -> tuple[Path, Parts, Tree]:
    """The folder of the images that one annotation file is for: its own, or the one above annotations/."""
    root, parts = path.parent, (path.name,)
    folder = path.parent.absolute()
    if folder.name.casefold() in BESIDE:
        return folder.parent, (folder.name, path.name), grow(folder.parent)
    return root, parts, grow(root)


def _read_one(format: Format, root: Path, parts: Parts, tree: Tree) -> Annotations:
    if format.one is not None:
        return format.one(root, parts, tree)
    # The other images of the folder are not background of a file that is for one.
    return replace(format.read(root, [parts], tree), complete=True)
