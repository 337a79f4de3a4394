"""YOLO: a text file an image, a line an object: class, centre x, centre y, width, height in shares of the image's sides.

Segmentation lines hold the class and the places of a polygon. Classes are named by data.yaml, classes.txt or obj.names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from striate.data.drawing import drawn
from striate.data.finder import Finder
from striate.data.naming import SPLIT_NAMES, normal
from striate.data.pool import ordered
from striate.data.reading import SUFFIXES
from striate.data.source import Damage
from striate.data.table import decoded
from striate.data.tree import Parts, Tree
from striate.errors import DataError
from striate.files import leads_out, read_regular
from striate.tasks.detect.data.annotations import (
    Annotations,
    Draft,
    Polygons,
    fault,
    joined,
    shown,
    text_of,
)
from striate.tasks.detect.data.plain_yaml import read_yaml
from striate.wording import counted, one_line

FORMAT = "YOLO txt"
LOOKED_AT = 60  # label files whose first line is read
NAMES = ("classes.txt", "obj.names", "_darknet.labels", "predefined_classes.txt", "classes.names", "coco.names")  # fmt: skip
MOST = 100_000_000  # bytes of a label file
MOST_NAMES = 10_000_000
CLASSES = 100_000
# Of these any text is one of names: whoever made the folder could show a file of the reader's by a link to it.
LINKED_NAMES = "is a link out of the folder, and its names are not read; put the file itself there"


@dataclass(kw_only=True)
class Layout:
    """labels: label file -> image. names: file of class names; config: the yaml's content and where it lies."""

    labels: dict[Parts, Parts]
    alone: list[Parts] = field(default_factory=list)
    yaml: Parts | None = None
    names: Parts | None = None


def find_yolo(root: Path, tree: Tree) -> list[Parts]:
    """The label files of a folder, if they belong to images and the first of them hold numbers as YOLO's do."""
    texts = [
        p for p in tree.rest if p[-1].lower().endswith(".txt") and p[-1].casefold() not in NAMES
    ]
    if not texts:
        return []
    stems = {(*_without_role(p[:-1]), PurePosixPath(p[-1]).stem) for p in tree.images}
    labels = [p for p in texts if (*_without_role(p[:-1]), PurePosixPath(p[-1]).stem) in stems]
    if not labels:
        return []
    lines = [_first_line(root.joinpath(*labels[int(i)])) for i in drawn(len(labels), LOOKED_AT)]
    held = [line for line in lines if line]
    if held:
        return texts if sum(map(_is_line, held)) > len(held) / 2 else []
    # Empty files alone are background of a set that a yaml describes.
    return texts if any(_config(root.joinpath(*p)) for p in tree.rest if _is_yaml(p)) else []


def is_yolo_config(path: Path) -> bool:
    """Whether a file is a data.yaml."""
    return _is_yaml((path.name,)) and bool(_config(path))


def read_yolo(
    root: Path, files: Sequence[Parts], tree: Tree, *, yaml: Parts | None = None
) -> Annotations:
    """Read label files; images without one are background. Raises DataError for oriented boxes and broken names."""
    configs = (
        [yaml] if yaml else [p for p in tree.rest if _is_yaml(p) and _config(root.joinpath(*p))]
    )
    linked = [] if yaml else [p for p in configs if leads_out(root.joinpath(*p), root)]
    configs = [p for p in configs if p not in linked]
    configs.sort(key=lambda p: (p[-1].casefold() not in ("data.yaml", "data.yml"), len(p)))
    config = _config(root.joinpath(*configs[0])) if configs else {}
    notes: list[str] = []
    warnings: list[str] = []
    if len(configs) > 1:
        warnings.append(f"of {len(configs)} yaml files {joined(configs[0])} is used")
    names, where, more = _names(root, tree, config, configs[0] if configs else None)
    warnings += [f"{joined(parts)} {LINKED_NAMES}" for parts in (*linked, *more)]
    splits = _splits(root, tree, config, configs[0]) if configs else {}
    images = {(*_without_role(p[:-1]), PurePosixPath(p[-1]).stem): p for p in tree.images}
    pairs = [(p, images.get((*_without_role(p[:-1]), PurePosixPath(p[-1]).stem))) for p in files]
    faults: list[Damage] = []
    drafts: list[Draft] = []
    held: set[int] = set()
    polygons, oblique = 0, ""
    if splits:
        pairs = [(label, image) for label, image in pairs if image is None or image in splits]
    for (label, image), read in zip(
        pairs,
        ordered(lambda pair: _read(root.joinpath(*pair[0])) if pair[1] else None, pairs),
        strict=True,
    ):
        if image is None:
            if _is_line(_first_line(root.joinpath(*label))):
                faults.append(fault(joined(label), "its image is not there"))
            continue
        if isinstance(read, str):
            faults.append(fault(joined(label), read))
            continue
        assert read is not None
        polygons += read.polygons
        if read.oblique and not oblique:
            oblique = f"{joined(label)}, line {read.oblique[0]}"
        draft = Draft(joined(image), split=splits.get(image), shares=True)
        for number, box, outline in read.objects:
            held.add(number)
            draft.add(number, box, outline)
        faults += [fault(joined(label), reason) for reason in read.faults]
        drafts.append(draft)
    if oblique and not polygons:
        # Polygons of some other number of corners show that four are an outline too.
        raise DataError(
            f"the lines in {root} hold a class and four corners ({oblique}): oriented boxes, which are not "
            "learned; export "
            "upright boxes, or outlines"
        )
    labelled = {d.file for d in drafts}
    if splits:
        drafts += [
            Draft(joined(p), split=s, shares=True)
            for p, s in splits.items()
            if joined(p) not in labelled
        ]
    classes, remarks = _classes(names, held, where)
    notes += remarks
    if configs and not splits and any(config.get(k) for k in SPLIT_NAMES):
        warnings.append(
            f"{joined(configs[0])} names images that are not there; all images below the folder are used"
        )
    warnings += _pixels(drafts)
    place = {number: i for i, number in enumerate(classes)}
    for draft in drafts:
        draft.labels = type(draft.labels)("q", [place[n] for n in draft.labels])
    return Annotations(
        format=FORMAT, classes=tuple(classes.values()), images=tuple(d.done() for d in drafts), files=tuple(files),
        complete=bool(splits), faults=tuple(faults), notes=tuple(notes), warnings=tuple(warnings),
    )  # fmt: skip


@dataclass
class _Lines:
    """polygons: how many have not four corners. oblique: lines of four corners that are no upright rectangle."""

    objects: list[tuple[int, tuple[float, float, float, float] | None, Polygons | None]] = field(
        default_factory=list
    )
    faults: list[str] = field(default_factory=list)
    polygons: int = 0
    oblique: list[int] = field(default_factory=list)


def _read(path: Path) -> _Lines | str:
    """The objects of one label file, or in words why it cannot be read."""
    try:
        text, _ = decoded(read_regular(path, limit=MOST))
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    lines = _Lines()
    for number, line in enumerate(text.splitlines(), 1):
        cells = line.replace(",", " ").split()
        if not cells:
            continue
        try:
            values = [float(cell) for cell in cells]
        except ValueError:
            lines.faults.append(f"line {number} is no row of numbers: {one_line(line[:40])}")
            continue
        if not (values[0].is_integer() and 0 <= values[0] < CLASSES):
            lines.faults.append(
                f"line {number} begins with {shown(cells[0])}, which is no number of a class"
            )
            continue
        if len(values) in (5, 6):  # a sixth number is a confidence, as predictions have it
            x, y, w, h = values[1:5]
            lines.objects.append(
                (int(values[0]), (x - w / 2, y - h / 2, x + w / 2, y + h / 2), None)
            )
        elif len(values) >= 7 and len(values) % 2:
            ring = np.array(values[1:], dtype=np.float64).reshape(-1, 2)
            lines.polygons += len(ring) != 4
            if len(ring) == 4 and any(len(np.unique(side)) > 2 for side in ring.T):
                lines.oblique.append(number)
            lines.objects.append((int(values[0]), None, Polygons((ring,))))
        else:
            lines.faults.append(
                f"line {number} has {len(values)} numbers; a box has 5, a polygon 7 or more in pairs"
            )
    return lines


def _pixels(drafts: Sequence[Draft]) -> list[str]:
    """Boxes that are plainly in pixels become such; what is to be said of it."""
    sides = np.concatenate([np.array(d.boxes).reshape(-1, 4) for d in drafts] or [np.empty((0, 4))])
    sides = sides[np.isfinite(sides).all(1)]
    if not len(sides) or np.mean(sides.max(1) > 2) < 0.9:
        return []
    for draft in drafts:
        draft.shares = False
    return [
        "the numbers are far above 1, so they are taken as pixels; YOLO's are shares of the image's sides"
    ]


def _without_role(folder: Parts) -> Parts:
    """A folder without the part that tells images from labels: train/images and train/labels are one."""
    return tuple(
        p
        for p in folder
        if p.casefold()
        not in ("images", "labels", "imgs", "image", "label", "obj_train_data", "jpegimages")
    )


def _first_line(path: Path) -> str:
    try:
        text, _ = decoded(read_regular(path, limit=MOST)[:2000])
    except OSError:
        return ""
    return next((line for line in text.splitlines() if line.strip()), "")


def _is_line(line: str) -> bool:
    cells = line.replace(",", " ").split()
    try:
        values = [float(c) for c in cells]
    except ValueError:
        return False
    return len(values) >= 5 and values[0].is_integer() and values[0] >= 0


def _is_yaml(parts: Parts) -> bool:
    return parts[-1].lower().endswith((".yaml", ".yml"))


def _config(path: Path) -> dict[str, Any]:
    """A data.yaml's content; empty for any other."""
    content = read_yaml(path)
    known = isinstance(content, dict) and ("names" in content or "nc" in content)
    return content if known and any(k in content for k in (*SPLIT_NAMES, "path", "names")) else {}


def _names(
    root: Path, tree: Tree, config: dict[str, Any], yaml: Parts | None
) -> tuple[dict[int, str], str, list[Parts]]:
    """Class names by number, the file that gives them, and files that could, which are links out of the folder."""
    given = config.get("names")
    if isinstance(given, str) and given.lower().endswith((".txt", ".names")) and yaml is not None:
        given = _lines(root.joinpath(*yaml[:-1], given)) if _below(root, yaml, given) else None
    if isinstance(given, list | tuple):
        given = dict(enumerate(given))
    if isinstance(given, dict) and yaml is not None:
        numbers = {text_of(key): name for key, name in given.items()}
        named = {int(k): normal(text_of(v)) for k, v in numbers.items() if _is_class(k)}
        return named, joined(yaml), []
    files = [p for p in tree.rest if p[-1].casefold() in NAMES]
    linked = [p for p in files if leads_out(root.joinpath(*p), root)]
    for parts in sorted(files, key=len):
        if parts not in linked and (names := _lines(root.joinpath(*parts))):
            return dict(enumerate(names)), joined(parts), linked
    return {}, "", linked


def _is_class(text: str) -> bool:
    return text.isdecimal() and len(text) < 10 and int(text) < CLASSES


def _below(root: Path, yaml: Parts, value: str) -> bool:
    target = root.joinpath(*yaml[:-1], value).resolve()
    return target.is_relative_to(root.resolve())


def _lines(path: Path) -> list[str]:
    try:
        text, _ = decoded(read_regular(path, limit=MOST_NAMES))
    except OSError:
        return []
    lines = [normal(line.strip()) for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _classes(names: dict[int, str], held: set[int], where: str) -> tuple[dict[int, str], list[str]]:
    """Number -> class name, in order; two numbers of one name keep theirs apart by the number."""
    notes: list[str] = []
    if not names:
        if held:
            notes.append(
                "nothing names the classes (data.yaml, classes.txt), so they are called by their numbers"
            )
        return {n: f"class {n}" for n in sorted(held)}, notes
    unnamed = sorted(held - names.keys())
    if unnamed:
        few = ", ".join(map(str, unnamed[:5]))
        notes.append(
            f"{where} names no class {few}, which labels use: called by "
            f"{'its number' if len(unnamed) == 1 else 'their numbers'}"
        )
    kept = {n: names.get(n) or f"class {n}" for n in sorted(held)} if held else dict(names)
    if left := [name for n, name in names.items() if n not in kept]:
        notes.append(
            f"no object is of {counted(len(left), 'class', 'classes')} that {where} names "
            f"({', '.join(map(one_line, left[:3]))})"
        )
    times = Counter(kept.values())
    twice = {name for name in kept.values() if times[name] > 1}
    return {n: f"{name} ({n})" if name in twice else name for n, name in kept.items()}, notes


def _splits(root: Path, tree: Tree, config: dict[str, Any], yaml: Parts) -> dict[Parts, str]:
    """The images of each split that a data.yaml names, as folders, files of lists, or lists of these."""
    found: dict[Parts, str] = {}
    base = text_of(config.get("path") or "")
    finder = Finder(root, yaml, tree.images)
    for key in ("train", "val", "valid", "validation", "test"):
        value = config.get(key)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str) and one.strip():
                for parts in _named(root, tree, finder, yaml, base, one.strip()):
                    found[parts] = SPLIT_NAMES[
                        key
                    ]  # held-out splits come last and keep what two name
    return found


def _named(
    root: Path, tree: Tree, finder: Finder, yaml: Parts, base: str, value: str
) -> list[Parts]:
    """Images below a folder that the yaml names, or in a list of files; paths of another machine are found by their ends."""
    folders = {p[:i] for p in tree.images for i in range(len(p))}
    deepest = max(map(len, folders), default=0)
    if value.lower().endswith(".txt"):
        lists = [p for p in tree.rest if p[-1] == PurePosixPath(value.replace("\\", "/")).name]
        images: list[Parts] = []
        for line in _lines(root.joinpath(*lists[0])) if lists else []:
            got = finder.find(line) if line else ""
            images += [got] if isinstance(got, tuple) else []
        return images
    for start in (f"{base}/{value}", value):
        parts = _normal((*yaml[:-1], *start.replace("\\", "/").split("/")))
        for cut in range(max(0, len(parts) - deepest), len(parts)):
            tail = parts[cut:]
            match = min((f for f in folders if f[-len(tail) :] == tail), key=len, default=None)
            if match is not None:
                inside = [p for p in tree.images if p[: len(match)] == match]
                if inside:
                    return inside
    if _normal((*yaml[:-1], *f"{base}/{value}".split("/"))) == yaml[:-1]:
        return [p for p in tree.images if p[: len(yaml) - 1] == yaml[:-1]]
    name = PurePosixPath(value).name
    single = finder.find(value) if f".{name.rpartition('.')[2].lower()}" in SUFFIXES else ""
    return [single] if isinstance(single, tuple) else []


def _normal(parts: Parts) -> Parts:
    """Without "." and ".."; a way out of the data is dropped, as Roboflow's ../train/images asks for."""
    kept: list[str] = []
    for part in parts:
        if part == "..":
            kept = kept[:-1]
        elif part not in ("", "."):
            kept.append(part)
    return tuple(kept)
