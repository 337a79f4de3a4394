"""COCO JSON: one file of images, annotations and categories, streamed, in every variant that tools write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.finder import Finder
from striate.data.naming import SPLIT_NAMES, natural, normal
from striate.data.source import Damage
from striate.data.tree import Parts, Tree
from striate.errors import DataError
from striate.schema import is_kind, shortened
from striate.tasks.detect.data.annotations import (
    Annotations,
    Draft,
    Outline,
    Polygons,
    fault,
    joined,
    shown,
    side_of,
    text_of,
)
from striate.tasks.detect.data.polygons import has_ring_inside, turned_box
from striate.tasks.detect.data.run_lengths import counts_of_text, region_of
from striate.tasks.detect.data.streaming import entries, first_keys
from striate.wording import counted, one_line

FORMAT = "COCO JSON"
MOST_RINGS = 100  # of an object that is looked at for rings inside one another
LOOKED_AT = 40  # JSON files whose beginning is read
OTHERS = (
    "captions",
    "person_keypoints",
    "keypoints",
    "panoptic",
    "stuff",
    "image_info",
)  # COCO's other tasks
KEYS = {"images", "annotations", "categories"}


def find_coco(root: Path, tree: Tree) -> list[Parts]:
    """COCO's files below a folder, those of other tasks than detection left out where there are several."""
    files = [p for p in tree.rest if p[-1].lower().endswith(".json")]
    files.sort(key=lambda p: (not _likely(p[-1]), len(p), tuple(map(natural, p))))
    found = [p for p in files[:LOOKED_AT] if is_coco(root.joinpath(*p))]
    wanted = [p for p in found if not p[-1].casefold().startswith(OTHERS)]
    return wanted or found


def is_coco(path: Path) -> bool:
    """Whether a file begins as COCO JSON does."""
    keys = set(first_keys(path))
    return len(keys & KEYS) > 0 and not keys & {"shapes", "imagePath", "imageData"}


def _likely(name: str) -> bool:
    low = name.casefold()
    return (
        low.startswith("instances")
        or "coco" in low
        or low in ("result.json", "labels.json", "annotations.json")
    )


def read_coco(root: Path, files: Sequence[Parts], finder: Finder | None = None) -> Annotations:
    """Read one file, or one a split; classes are one where their names are.

    finder: of the images that are there; of others no objects are kept, so that a file for all of COCO beside a few of its
    images takes the memory of these.
    Raises DataError where a file is broken or holds no images.
    """
    reading = _Reading(finder)
    for parts in files:
        path = root.joinpath(*parts)
        reading.read(entries(path), parts, str(path))
    return reading.done(files)


def read_entries(given: Iterable[tuple[str, Any]], what: str) -> Annotations:
    """What `entries_of` gives, as a file of it. Raises DataError as `read_coco` does."""
    reading = _Reading()
    reading.read(given, (what,), what)
    return reading.done([])


def entries_of(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """A dict in memory as `entries` gives a file."""
    for key, value in content.items():
        for entry in value if isinstance(value, list | tuple) else [value]:
            yield key, entry


def split_of(parts: Parts) -> str | None:
    """The split that a file's name or folder states: instances_val2017.json, valid/_annotations.coco.json."""
    words = parts[-1].casefold().rsplit(".", 1)[0].replace("-", "_").split("_")
    for word in (*words, *(p.casefold() for p in reversed(parts[:-1]))):
        name = word.rstrip("0123456789")
        if name in SPLIT_NAMES:
            return SPLIT_NAMES[name]
    return None


class _Reading:
    """What has been read of all files: numbers of classes by name, and faults."""

    def __init__(self, finder: Finder | None = None) -> None:
        self.finder = finder
        self.classes: dict[str, int] = {}
        self.drafts: list[Draft] = []
        self.faults: list[Damage] = []
        self.notes: list[str] = []
        self.filled = 0
        self.ignored = 0
        self.turned = 0
        self.warnings: list[str] = []
        self.used: set[int] = set()
        self.elsewhere: set[int] = (
            set()
        )  # categories of this file that objects of absent images have

    def read(self, given: Iterable[tuple[str, Any]], parts: Parts, what: str) -> None:
        """One file, as `entries` gives it. what: it is called in a message."""
        file = joined(parts)
        images: dict[str, Draft] = {}
        names: dict[str, str] = {}
        waiting: dict[str, Draft] = {}  # objects whose image has not come yet
        categories: dict[str, int] = {}
        strange: dict[str, int] = {}
        split = split_of(parts)
        seen = False
        for key, entry in given:
            seen = seen or key in KEYS
            if key not in KEYS or entry is None:
                continue
            if not isinstance(entry, dict):
                self.faults.append(fault(file, f"an entry of {key} is {type(entry).__name__}, not an object"))  # fmt: skip
            elif key == "categories":
                number = text_of(entry.get("id"))
                names[number] = normal(text_of(entry.get("name") or "")) or f"category {number}"
            elif key == "images":
                self._image(entry, parts, split, images, waiting)
            else:
                self._object(entry, file, images, waiting, categories)
        if not seen:
            raise DataError(f"{what} holds no images, annotations or categories, as COCO JSON does")
        for number, draft in waiting.items():
            self.faults.append(
                fault(file, f"{counted(len(draft.labels), 'annotation')} of image {shown(number)}, which it does not list")
            )  # fmt: skip
        self._name(categories, names, strange, images)
        if strange:
            worst = ", ".join(f"{shown(i)} ({n:,})" for i, n in list(strange.items())[:3])
            self.faults += [
                fault(
                    file,
                    f"category {shown(i)} is not among its categories ({counted(n, 'object')})",
                )
                for i, n in strange.items()
            ]
            self.warnings.append(
                f"{file}: objects of categories that it does not list are left out: {worst}"
            )
        self.drafts += images.values()

    def _image(
        self, entry: dict[str, Any], parts: Parts, split: str | None, images: dict[str, Draft], waiting: dict[str, Draft]
    ) -> None:  # fmt: skip
        number = text_of(entry.get("id"))
        name = entry.get("file_name") or entry.get("path") or entry.get("coco_url")
        if not isinstance(name, str) or not name.strip():
            self.faults.append(fault(joined(parts), f"image {shown(number)} has no file_name"))
            return
        if number in images:
            other = one_line(images[number].file)
            self.faults.append(fault(one_line(name), f"its id {shown(number)} is that of {other}"))
            return
        draft = waiting.pop(number, None) or Draft(name)
        if self.finder is not None and not any(
            self.finder.may_find(joined((*folder, name))) for folder in (parts[:-1], ())
        ):
            self.elsewhere.update(draft.labels)
            draft = Draft(name)
            draft.absent = True
        draft.file, draft.folder, draft.split = name, parts[:-1], split
        height, width = (side_of(entry.get(name)) for name in ("height", "width"))
        if height and width:
            draft.size = (height, width)
        images[number] = draft

    def _object(
        self, entry: dict[str, Any], file: str, images: dict[str, Draft], waiting: dict[str, Draft],
        categories: dict[str, int],
    ) -> None:  # fmt: skip
        number = text_of(entry.get("image_id"))
        draft = images.get(number)
        if draft is None:
            draft = waiting.setdefault(number, Draft(f"image {shown(number)}"))
        category = categories.setdefault(text_of(entry.get("category_id")), len(categories))
        if draft.absent:
            self.elsewhere.add(category)
            return
        what = f"annotation {shown(text_of(entry.get('id')))}"
        box = _box(entry.get("bbox"))
        outline: Outline | None = None
        try:
            outline = outline_of(entry.get("segmentation"))
            if isinstance(outline, Polygons) and 1 < len(outline.rings) <= MOST_RINGS:
                self.filled += has_ring_inside(outline)
        except DataError as error:
            self.faults.append(fault(one_line(draft.file), f"{what}: {error}; its box is used"))
        turn = _turn(entry.get("attributes"))
        if turn and box is not None and np.isfinite(box).all():
            self.turned += 1
            # The box is stated as it was before it was turned.
            outline = outline or turned_box(box, turn)
            box = None
        if box is None and outline is None:
            given = entry.get("bbox")
            words = f"the box {shortened(given)}" if given else "no box"
            self.faults.append(fault(one_line(draft.file), f"{what} has {words}"))
            return
        crowd, ignored = (
            bool(entry.get(name, 0)) and entry[name] != "0" for name in ("iscrowd", "ignore")
        )
        self.ignored += ignored and not crowd
        draft.add(category, box, outline, crowd=crowd or ignored)

    def _name(
        self, categories: dict[str, int], names: dict[str, str], strange: dict[str, int], images: dict[str, Draft]
    ) -> None:  # fmt: skip
        """Numbers of this file to those of all files; objects of categories that are not listed go."""
        for name in names.values():
            self.classes.setdefault(name, len(self.classes))
        place = np.full(max(len(categories), 1), -1, dtype=np.int64)
        for number, at in categories.items():
            if number in names:
                place[at] = self.classes[names[number]]
        self.used.update(place[sorted(self.elsewhere)].tolist() if self.elsewhere else ())
        self.elsewhere.clear()
        unknown = {at: number for number, at in categories.items() if number not in names}
        for draft in images.values():
            labels = (
                place[np.array(draft.labels, dtype=np.int64)]
                if len(draft.labels)
                else np.empty(0, np.int64)
            )
            self.used.update(labels.tolist())
            if (labels < 0).any():
                for at in np.array(draft.labels)[labels < 0].tolist():
                    strange[unknown[at]] = strange.get(unknown[at], 0) + 1
                _keep(draft, labels >= 0)
                labels = labels[labels >= 0]
            draft.labels = type(draft.labels)("q", labels.tolist())

    def done(self, files: Sequence[Parts]) -> Annotations:
        """All files as one. A category above others that no object has, as Roboflow writes one, is left out."""
        names = list(self.classes)
        if self.ignored:
            self.notes.append(
                f"{counted(self.ignored, 'object is', 'objects are')} marked to be ignored, and neither learned nor counted "
                "as missed, as a crowd is (pycocotools counts them)"
            )
        if self.turned:
            self.notes.append(
                f"{counted(self.turned, 'box is', 'boxes are')} turned, by the attribute rotation that CVAT writes: the "
                "upright box around each is taken, and what is turned is its outline"
            )
        if self.filled:
            self.warnings.append(
                f"{counted(self.filled, 'object')} with a ring inside another: COCO unites rings, so that it is no hole; "
                "write run lengths where holes are meant"
            )
        unused = [i for i in range(len(names)) if i not in self.used]
        if unused and len(unused) < len(names):
            listed = ", ".join(one_line(names[i]) for i in unused[:3])
            more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
            self.notes.append(
                f"no object is of {listed}{more}, so {'it is' if len(unused) == 1 else 'they are'} no class"
            )
            place = np.cumsum([i in self.used for i in range(len(names))]) - 1
            for draft in self.drafts:
                draft.labels = type(draft.labels)(
                    "q", place[np.array(draft.labels, dtype=np.int64)].tolist()
                )
            names = [name for i, name in enumerate(names) if i in self.used]
        return Annotations(
            format=FORMAT, classes=tuple(names), images=tuple(d.done() for d in self.drafts), files=tuple(files),
            faults=tuple(self.faults), notes=tuple(self.notes), warnings=tuple(self.warnings),
        )  # fmt: skip


def _keep(draft: Draft, kept: np.ndarray) -> None:
    whole = draft.done()
    draft.boxes = type(draft.boxes)("d", whole.boxes[kept].ravel().tolist())
    draft.crowd = bytearray(whole.crowd[kept].tolist())
    draft.outlines = [o for o, k in zip(whole.outlines, kept.tolist(), strict=True) if k]


def _turn(attributes: Any) -> float:
    """The degrees by which CVAT turned a box, for which COCO JSON has no other place; 0 where it did not."""
    value = attributes.get("rotation") if isinstance(attributes, dict) else None
    known = isinstance(value, int | float) and is_kind(value, (float,)) and abs(value) < 1e6
    return float(value) % 360 if known and value is not None else 0.0


def _box(value: Any) -> tuple[float, float, float, float] | None:
    """Left, top, width, height as left, top, right, bottom; NaN where a number is none. None where there is no box."""
    if not isinstance(value, list) or len(value) != 4:
        return None
    try:
        left, top, width, height = (float(v) for v in value)
    except (TypeError, ValueError, OverflowError):
        return None
    return left, top, left + width, top + height


def outline_of(value: Any) -> Outline | None:
    """COCO's `segmentation`: polygons, or run lengths as numbers or as a compressed text. None where it is empty.

    Rings of fewer than three points enclose nothing and are left out. Raises DataError for what cannot be read.
    """
    if isinstance(value, dict):
        given, counts = value.get("size"), value.get("counts")
        size = [side_of(n) for n in given] if isinstance(given, list) else []
        if len(size) != 2 or not all(size):
            raise DataError("its run lengths state no size")
        if isinstance(counts, str):
            counts = counts_of_text(counts)
        if not isinstance(counts, list):
            raise DataError("its run lengths are no list")
        return region_of(counts, size[0], size[1])
    if not isinstance(value, list) or not value:
        return None
    if all(is_kind(n, (float,)) for n in value):  # one ring, not in a list of rings
        value = [value]
    rings: list[np.ndarray] = []
    for ring in value:
        if not isinstance(ring, list):
            raise DataError("its outline is no list of numbers")
        if ring and all(isinstance(p, list) and len(p) == 2 for p in ring):  # pairs of x and y
            ring = [n for p in ring for n in p]
        if len(ring) % 2:
            raise DataError(f"a ring of its outline has {len(ring)} numbers, and x and y are pairs")
        if len(ring) >= 6:
            try:
                made = np.empty(
                    (len(ring) // 2, 2)
                )  # an array of its own: a view would hold another
                made.reshape(-1)[:] = ring
                rings.append(made)
            except (TypeError, ValueError, OverflowError):
                raise DataError("its outline holds what is no number") from None
    return Polygons(tuple(rings)) if rings else None
