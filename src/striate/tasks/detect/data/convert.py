"""Convert: annotations of one format written in another, with their images or for the place where these are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from striate.data.records import Progress
from striate.data.source import Damage
from striate.errors import UsageError, WriteError
from striate.files import open_regular
from striate.findings import Finding, Table
from striate.paths import given_folder
from striate.tasks.detect.data.checks import fault_table
from striate.tasks.detect.data.folder import MendedSet, mended_images
from striate.tasks.detect.data.output import Item
from striate.tasks.detect.data.source import BoxSource
from striate.tasks.detect.data.sources import BOX_SOURCES, open_boxes, read_annotations
from striate.tasks.detect.data.writers import WRITERS, Writer
from striate.tasks.detect.objects import Objects
from striate.wording import as_text, counted, one_line
from striate.writing import writing, writing_folder

PIECE = 2**20  # bytes


@dataclass(frozen=True, kw_only=True, eq=False)
class Given:
    """One image as it was read: its key, split, upright size and objects, and its file or its pixels."""

    key: str
    split: str | None
    size: tuple[int, int]
    objects: Objects
    image: Path | np.ndarray


def convert_boxes(
    data: str | Path,
    out: str | Path,
    *,
    to: str = "coco",
    images: bool = True,
    seed: int = 0,
    count: int | None = None,
    size: int | None = None,
    progress: Progress | None = None,
) -> Finding:
    """Read images with boxes and write them into the folder `out` in another format; the finding says what was written.

    data: as in `open_boxes`; splits that it states are kept, and none are drawn. to: a key of WRITERS. images: copy the
    images too; else only annotations are written, with names that hold in the folder of the data. seed, count, size: of a
    generated source. Raises UsageError for another format or an `out` that exists, DataError for data that cannot be read,
    WriteError; nothing half-written is left.
    """
    if to not in WRITERS:
        raise UsageError(f"to must be {', '.join(WRITERS)}; got {one_line(str(to))!r}")
    writer, place = WRITERS[to], given_folder(out, "the output")
    if os.path.lexists(place):
        raise UsageError(
            f"{place} exists; give a folder that does not, since nothing is written over"
        )
    given, classes, format, faults, notes = _read(
        data, seed=seed, count=count, size=size, progress=progress
    )
    if not images and any(isinstance(one.image, np.ndarray) for one in given):
        raise UsageError(f"the images of {data} are generated and are no files; write them too")
    items = [
        Item(name=name, split=one.split, height=one.size[0], width=one.size[1], objects=one.objects)
        for name, one in zip(
            _names(given) if images else [g.key for g in given], given, strict=True
        )
    ]
    _write(place, writer, items, classes, given if images else None)
    return _finding(place, to, writer, items, classes, format, faults, notes)


def _read(
    data: str | Path, *, seed: int, count: int | None, size: int | None, progress: Progress | None
) -> tuple[list[Given], tuple[str, ...], str, Sequence[Damage], list[str]]:
    """The images of any source, its classes, format, faults, and what was assumed."""
    if str(data) in BOX_SOURCES:
        source = open_boxes(data, seed=seed, count=count, size=size)
        return _of_source(source), source.classes, "generated", (), []
    if count is not None or size is not None:
        raise UsageError("count and size are for generated sources; leave them out for a folder")
    path = Path(data).expanduser()
    if not path.exists():
        raise UsageError(
            f"there is no folder, file or source {one_line(str(data))!r}; give annotations to convert"
        )
    root, tree, annotations, others = read_annotations(path)
    mended = mended_images(root, tree, annotations, progress=progress, others=others)
    words = [*annotations.warnings, *mended.warnings, *annotations.notes, *mended.notes]
    faults = (*mended.damaged, *mended.faults)
    return _of_set(mended), annotations.classes, annotations.format, faults, words


def _of_set(mended: MendedSet) -> list[Given]:
    return [
        Given(
            key=look.key, split=look.image.split, size=(look.form.height, look.form.width), objects=objects,
            image=mended.root / look.key,
        )
        for look, objects in zip(mended.looks, mended.objects, strict=True)
    ]  # fmt: skip


def _of_source(source: BoxSource) -> list[Given]:
    return [
        Given(
            key=f"{key.replace('/', '-')}.png", split=name, objects=split.objects[i], image=split.image(i),
            size=(int(split.sizes[i, 0]), int(split.sizes[i, 1])),
        )
        for name, split in source.splits.items()
        for i, key in enumerate(split.keys)
    ]  # fmt: skip


def _names(given: Sequence[Given]) -> list[str]:
    """A name for each image, without folders; no two differ by case or suffix alone, since labels are named after them."""
    plain = [as_text(PurePosixPath(one.key).name) for one in given]
    stems = [PurePosixPath(name).stem.casefold() for name in plain]
    if len(set(stems)) < len(stems):
        plain = [as_text(one.key.replace("/", "_")) for one in given]
    taken: set[str] = set()
    names = []
    for name in plain:
        path, number = PurePosixPath(name), 1
        free = path.stem
        while free.casefold() in taken:
            number += 1
            free = f"{path.stem}-{number}"
        taken.add(free.casefold())
        names.append(free + path.suffix)
    return names


def _write(
    place: Path,
    writer: Writer,
    items: Sequence[Item],
    classes: Sequence[str],
    given: Sequence[Given] | None,
) -> None:
    with writing_folder(place) as part:
        for name, pieces in writer.files(items, classes, given is not None):
            with writing(part / name, durable=False) as file:
                for piece in pieces:
                    file.write(piece.encode("utf-8", "surrogateescape"))
        for item, one in zip(items, given or (), strict=given is not None):
            _image(part / writer.images(item.split) / item.name, one.image)


def _image(path: Path, image: Path | np.ndarray) -> None:
    with writing(path, durable=False) as file:
        if isinstance(image, np.ndarray):
            pixels = image[..., 0] if image.shape[-1] == 1 else image
            Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
            return
        try:
            with open_regular(image) as source:
                while piece := source.read(PIECE):
                    file.write(piece)
        except OSError as error:
            raise WriteError(
                f"cannot copy {image}: {error.strerror or error}", error.errno
            ) from error


def _finding(
    place: Path, to: str, writer: Writer, items: Sequence[Item], classes: Sequence[str], format: str,
    faults: Sequence[Damage], notes: list[str],
) -> Finding:  # fmt: skip
    objects = sum(len(i.objects) for i in items)
    outlines = sum(len(i.objects.regions or ()) for i in items)
    crowds = sum(int(i.objects.crowd.sum()) for i in items)
    lost = []
    if outlines and not writer.outlines:
        lost.append(
            f"{counted(outlines, 'outline')} of objects, since {writer.about} holds boxes alone"
        )
    if crowds and not writer.crowds:
        lost.append(
            f"{counted(crowds, 'crowd')}, which {writer.about} cannot tell from objects and which are left out"
        )
    rows = [("read", format), ("written", writer.about), *(("not written", text) for text in lost)]
    rows += [("assumed", note) for note in notes]
    table = fault_table(faults)
    return Finding(
        name="convert",
        title="Converted annotations",
        verdict=f"{counted(objects - (crowds if not writer.crowds else 0), 'object')} of "
        f"{counted(len(classes), 'class', 'classes')} in {counted(len(items), 'image')} are written to {place}.",
        status="warning" if lost or faults else "good",
        tables=(Table(columns=("", "what"), rows=tuple(rows), caption="How"), *([table] if table else [])),
        data={
            "out": str(place), "to": to, "format": format, "images": len(items), "objects": objects, "outlines": outlines,
            "crowds": crowds, "classes": list(classes), "lost": lost, "faults": len(faults), "notes": notes,
        },
    )  # fmt: skip
