"""Pascal VOC XML: a file an image in Annotations/, images in JPEGImages/, lists in ImageSets/Main.

VOC counts pixels from 1 and includes the last: xmin 1, xmax W is the whole width, which is 0 to W here. Many tools write
coordinates from 0 instead, and one coordinate below 1 shows that a data set is theirs: then none is shifted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from striate.data.naming import SPLIT_NAMES
from striate.data.pool import ordered
from striate.data.source import Damage
from striate.data.table import decoded
from striate.data.tree import Parts, Tree
from striate.errors import DataError
from striate.files import read_regular
from striate.tasks.detect.data.annotations import (
    Annotations,
    ClassNames,
    Draft,
    fault,
    joined,
    number_of,
    side_of,
)
from striate.tasks.detect.data.markup import Element, elements, first_tag
from striate.wording import one_line

FORMAT = "Pascal VOC XML"
LOOKED_AT = 5
CORNERS = ("xmin", "ymin", "xmax", "ymax")
MOST_LIST = 500_000_000  # bytes of a list of images


def find_voc(root: Path, tree: Tree) -> list[Parts]:
    """The XML files of a folder, if the first of them are VOC's."""
    files = [p for p in tree.rest if p[-1].lower().endswith(".xml")]
    known = [p for p in files[:LOOKED_AT] if first_tag(root.joinpath(*p)) == "annotation"]
    return files if known else []


def read_voc(root: Path, files: Sequence[Parts]) -> Annotations:
    """Read the files; a file that is broken is a fault of its image alone, unless all are."""
    classes = ClassNames()
    drafts: list[Draft] = []
    faults: list[Damage] = []
    stems: dict[str, int] = {}
    for parts, read in zip(files, ordered(lambda p: _read(root, p), files), strict=True):
        if isinstance(read, str):
            faults.append(fault(joined(parts), read))
            continue
        if read is None:
            continue
        stems[PurePosixPath(parts[-1]).stem] = len(drafts)
        drafts.append(_draft(read, parts, classes, faults))
    if not drafts:
        raise DataError(
            f"none of the {len(files):,} XML files below {root} can be read; the first, {faults[0].path}: "
            f"{faults[0].reason}"
            if faults
            else f"the XML files below {root} hold no annotations"
        )
    lows = [
        low
        for draft in drafts
        for i in range(len(draft.labels))
        for low in draft.boxes[4 * i : 4 * i + 2]
    ]
    from_zero = any(low < 1 for low in lows)
    if not from_zero:
        for draft in drafts:
            for i in range(len(draft.labels)):
                for first in (4 * i, 4 * i + 1):
                    # The smaller one, where the corners are the other way round.
                    swapped = draft.boxes[first] > draft.boxes[first + 2]
                    draft.boxes[first + 2 * swapped] -= 1
    note = (
        "coordinates count from 0, since one lies below 1, and are taken as they are"
        if from_zero
        else "coordinates count pixels from 1, as VOC's do: xmin 1 is the left border"
    )
    listed = _lists(root, files, stems, drafts)
    kept = [d for i, d in enumerate(drafts) if not listed or i in listed]
    notes = [note] if lows else []
    if len(kept) < len(drafts):
        notes.append(
            f"{len(drafts) - len(kept):,} annotated images are in none of the lists in ImageSets/Main and are left out"
        )
    annotations = Annotations(
        format=FORMAT, classes=classes.names, images=tuple(d.done() for d in kept), files=tuple(files),
        complete=bool(listed), faults=tuple(faults), notes=tuple(notes),
    )  # fmt: skip
    return annotations.sorted()


def _read(root: Path, parts: Parts) -> Element | str | None:
    try:
        return next(elements(root.joinpath(*parts), "annotation"), None)
    except DataError as error:
        return str(error)


def _draft(one: Element, parts: Parts, classes: ClassNames, faults: list[Damage]) -> Draft:
    stem = PurePosixPath(parts[-1]).stem
    stated = one.value("filename").replace("\\", "/")
    # Tools leave the name of another file in copied annotations; the XML's own name is that of its image.
    named = PurePosixPath(stated).stem == stem
    file = stated if named else stem
    size = tuple(side_of(one.value("size", side)) for side in ("height", "width"))
    draft = Draft(file, parts[:-1], size=size if all(size) else None)  # type: ignore[arg-type]
    for i, thing in enumerate(one.all("object"), 1):
        box = thing.find("bndbox") or thing.find("robndbox")
        where = one_line(file)
        if box is None or box.tag == "robndbox":
            what = "a rotated box, which is not read" if box is not None else "no box"
            faults.append(fault(where, f"object {i} has {what}"))
            continue
        corners = [number_of(box.value(name)) for name in CORNERS]
        name = thing.value("name")
        if not name:
            faults.append(fault(where, f"object {i} has no name"))
            continue
        draft.add(classes.number(name), corners, crowd=_flag(thing.value("difficult")))
    return draft


def _lists(
    root: Path, files: Sequence[Parts], stems: dict[str, int], drafts: list[Draft]
) -> set[int]:
    """Set the splits that ImageSets/Main gives; which images they list."""
    listed: set[int] = set()
    bases = dict.fromkeys(p[:-2] for p in files if len(p) > 1)
    for base in bases:
        folder = root.joinpath(*base, "ImageSets", "Main")
        held = {
            name: _names(folder / f"{name}.txt") for name in ("train", "val", "test", "trainval")
        }
        both = held.pop("trainval")
        if not held["train"] and not held["val"]:
            held["train"] = both
        for split, names in held.items():
            for name in names:
                at = stems.get(name)
                if at is not None:
                    listed.add(at)
                    drafts[at].split = SPLIT_NAMES.get(split)
    return listed


def _names(path: Path) -> list[str]:
    try:
        text, _ = decoded(read_regular(path, limit=MOST_LIST))
    except OSError:
        return []
    return [line.split()[0] for line in text.splitlines() if line.strip()]


def _flag(text: str) -> bool:
    """`1`, `true`; VOC's "truncated" holds shares in some sets, and so may this."""
    return text.casefold() in ("true", "yes") or 0 < number_of(text) < float("inf")
