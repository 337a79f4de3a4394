"""WebDataset: samples of tar archives, files of one key with different endings.

A key is a name up to its first dot. Endings: an image (.jpg, .png, ...), .cls (a number or a name), .json, .txt; masks
.seg.png, .mask.png, .semseg.png. See https://github.com/webdataset/webdataset.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from striate.errors import DataError
from striate.volumes.layout import OBJECTS, Place, Sample, objects_of, split_in
from striate.volumes.tar import members

IMAGES = frozenset(
    {"jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "tif", "tiff", "gif", "ppm", "pgm", "pbm"}
)
MASKS = ("seg", "mask", "semseg", "segm", "segmentation", "masks", "label_mask")
LABELS = ("cls", "json", "txt")
MOST_LABEL = 64 * 2**20  # bytes of a label
NAMES = ("classes.txt", "labels.txt", "class_names.txt")

Opened = Callable[[str], BinaryIO]
Beside = Callable[[str, str], bytes | None]


def samples_of(
    shards: Sequence[str], opened: Opened, beside: Beside, progress: Callable[[int, int], None]
) -> list[Sample]:
    """All samples of all shards. opened: a shard, open. beside: what lies beside a shard, if it does.

    Raises DataError with the shard's name.
    """
    names = class_names(shards[0], beside)
    found: list[Sample] = []
    for i, shard in enumerate(shards):
        with opened(shard) as file:
            found += _of_shard(i, shard, file, names)
        progress(i + 1, len(shards))
    if not any(s.image is not None for s in found):
        raise DataError(
            f"{shards[0]} holds no images; WebDataset's samples have an image such as 0001.jpg beside 0001.cls"
        )
    if not any(s.fields or s.mask or s.objects is not None for s in found):
        for sample in found:  # no labels: the files as they lie, by their folders
            sample.split = None
    return [s for s in found if s.image is not None or s.fields]


def class_names(shard: str, beside: Beside) -> list[str] | None:
    """The names of classes 0, 1, ... that stand in classes.txt beside the first shard, a line each."""
    for name in NAMES:
        held = beside(shard, name)
        if held is not None:
            lines = held.decode("utf-8", errors="replace").splitlines()
            return [line.strip() for line in lines if line.strip()]
    return None


def _of_shard(number: int, shard: str, file: BinaryIO, names: Sequence[str] | None) -> list[Sample]:
    groups: dict[str, dict[str, Place]] = {}
    for name, offset, size in members(file, shard):
        folder, _, base = name.rpartition("/")
        stem, _, ending = base.partition(".")
        if base.startswith(".") or "__MACOSX" in folder:
            continue
        key = f"{folder}/{stem}" if folder else stem
        known = groups.setdefault(key, {})
        ending = ending.casefold()
        if ending in known:
            raise DataError(
                f"{shard} holds {name} twice; a key names one sample in a shard, so give the second another name"
            )
        known[ending] = (number, offset, size, 0)
    split, stem = split_in(shard), PurePosixPath(shard).name.removesuffix(".tar")
    found = []
    for key, parts in groups.items():
        sample = Sample(key=key, split=split, shard=stem)
        for ending, place in parts.items():
            kind = ending.rpartition(".")[2]
            if kind in IMAGES and ending.split(".")[0] in MASKS:
                sample.mask, sample.mask_suffix = place, f".{kind}"
            elif kind in IMAGES and sample.image is None:
                sample.image, sample.suffix = place, f".{ending}"
        found.append(sample)
        labels = [(kind, one) for kind in LABELS if (one := _ending(parts, kind)) is not None]
        kind, ending = labels[0] if labels else ("", "")
        where = f"{shard}: {key}.{ending}"
        if kind == "cls":
            sample.fields = {"label": _class(_text(file, parts[ending], where), names)}
        elif kind == "json":
            _from_json(sample, _text(file, parts[ending], where), where, names)
        elif kind == "txt":
            sample.fields = {"label": " ".join(_text(file, parts[ending], where).split())}
    return found


def _ending(parts: Mapping[str, Place], kind: str) -> str | None:
    """The ending of a label: .cls, or one with a word before it, .outputs.cls."""
    return kind if kind in parts else next((e for e in parts if e.endswith(f".{kind}")), None)


def _text(file: BinaryIO, place: Place, where: str) -> str:
    _, offset, size, _ = place
    if size > MOST_LABEL:
        raise DataError(f"{where} holds {size:,} bytes, which is no label; leave it out")
    file.seek(offset, os.SEEK_SET)
    return file.read(size).decode("utf-8-sig", "replace")


def _class(text: str, names: Sequence[str] | None) -> str:
    text = text.strip()
    if names and text.isdecimal() and int(text) < len(names):
        return names[int(text)]
    return text


def _from_json(sample: Sample, text: str, where: str, names: Sequence[str] | None) -> None:
    try:
        content: Any = json.loads(text)
    except ValueError as error:
        raise DataError(f"{where} is no JSON ({error}); write it again") from error
    if not isinstance(content, Mapping):
        sample.fields = {
            "label": _class(str(content), names) if isinstance(content, int | str) else content
        }
        return
    for name in OBJECTS:
        if name in content and (objects := objects_of(content[name], names)) is not None:
            sample.objects = objects
            return
    flat = {k: v for k, v in content.items() if not isinstance(v, Mapping)}
    sample.fields = {
        k: v
        for k, v in flat.items()
        if not isinstance(v, list) or all(isinstance(i, str | int | float) for i in v)
    }
