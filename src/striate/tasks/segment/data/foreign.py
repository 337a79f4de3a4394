"""Foreign: labels that are no mask images, such as boxes and polygons, distinguished from folders of classes."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePosixPath

from striate.data.tree import Parts, Tree
from striate.tasks.segment.data.roles import role_of, stem_of

FORMS = {
    ".json": "JSON, such as polygons or boxes (COCO, Supervisely, labelme)",
    ".jsonl": "JSON lines",
    ".xml": "XML, such as boxes (Pascal VOC)",
    ".txt": "text, such as boxes (YOLO)",
    ".npy": "NumPy arrays",
    ".npz": "NumPy arrays",
    ".mat": "MATLAB files",
    ".gz": "volumes (NIfTI)",
    ".nii": "volumes (NIfTI)",
}
DO = (
    "the task segment learns from mask images: write one for each image, a PNG of its size whose pixels hold the number of "
    "the class, and put them into masks/ beside images/ (labelme, CVAT, Label Studio, Supervisely and Roboflow export "
    "them); boxes are learned by --task detect"
)
MANY = 0.5
LABEL_STUDIO = re.compile(r"^task-\d+-annotation-\d+-by-\d+-tag-")


def foreign(tree: Tree) -> str | None:
    """What a folder holds instead of masks and what to do; None where nothing like that is to be seen."""
    if tree.tables:
        return None
    if tree.images and all(LABEL_STUDIO.match(p[-1]) for p in tree.images):
        return (
            "holds masks without their images, as Label Studio exports them, a file for each class of a task; put the "
            "images into images/, and into masks/ one PNG for each of them, of the same name, with a number for each class"
        )
    paths = tree.images or [f for f in tree.files if _suffix(f) in FORMS]
    if not paths or _classes(paths):
        return None
    children: dict[Parts, set[str]] = {}
    for path in paths:
        for i in range(min(len(path) - 1, 4)):
            children.setdefault(path[:i], set()).add(path[i])
    beside: dict[tuple[Parts, str], Counter[str]] = {}
    for file in tree.files:
        for i in range(min(len(file) - 1, 4)):
            if role_of(file[i]).kind == "mask" and file[:i] in children:
                beside.setdefault((file[:i], file[i]), Counter())[_suffix(file)] += 1
    for (parent, name), kinds in beside.items():
        others = children[parent] - {name}
        likely = [n for n in others if role_of(n).kind in ("image", "weak") or role_of(n).pure]
        form = next((s for s, _ in kinds.most_common() if s in FORMS), None)
        if likely and form is not None:
            where = "/".join((*parent, name))
            return f"holds images and, in {where}/, labels as {FORMS[form]}; {DO}"
    whole = [
        f
        for f in tree.files
        if f[-1].casefold().endswith("coco.json") or f[-1].casefold().startswith("instances_")
    ]
    if whole:
        return f"holds images and {'/'.join(whole[0])} (COCO); {DO}"
    stems = {(*p[:-1], stem_of(p[-1])) for p in tree.images}
    marked = [
        f
        for f in tree.files
        if _suffix(f) in (".json", ".xml", ".txt") and (*f[:-1], stem_of(f[-1])) in stems
    ]
    if stems and len(marked) > MANY * len(stems):
        return f"holds images and beside each, such as {'/'.join(marked[0])}, labels as {FORMS[_suffix(marked[0])]}; {DO}"
    return None


def _suffix(file: Parts) -> str:
    return PurePosixPath(file[-1]).suffix.casefold()


def _classes(paths: list[Parts]) -> bool:
    """Whether images lie in two or more folders whose names say neither images nor masks nor a split: classes."""
    own = set()
    for path in paths:
        inner = [p for p in path[:-1] if not (role_of(p).pure or role_of(p).kind)]
        if inner:
            own.add(inner[-1])
    return len(own) > 1
