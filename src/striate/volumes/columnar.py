"""Tables of images: Parquet, and the Arrow files of Hugging Face's datasets. A row is read with its row group, and no more.

An image is a struct {bytes, path} as `datasets` writes it, bytes, or the path of a file beside the table. Names of classes
are those that the schema states (ClassLabel).
"""

from __future__ import annotations

import importlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from striate.errors import DataError, UsageError
from striate.volumes.layout import OBJECTS, Sample, as_cell, named, objects_of, split_in

IMAGE = (
    "image",
    "img",
    "picture",
    "photo",
    "jpg",
    "png",
    "image_bytes",
    "bytes",
    "pixels",
    "file",
    "path",
    "file_name",
    "image_path",
)
MASK = (
    "mask",
    "masks",
    "segmentation",
    "segmentation_mask",
    "label_mask",
    "annotation",
    "semantic_segmentation",
    "label",
    "labels",
)
LABEL = (
    "label",
    "labels",
    "class",
    "category",
    "target",
    "fine_label",
    "y",
    "breed",
    "species",
    "tags",
)
KEPT_BYTES = 256 * 2**20  # of row groups that a process keeps
KINDS = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG", ".png"),
    (b"RIFF", ".webp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
)
ENDINGS = (".parquet", ".arrow")


def arrow() -> Any:
    """The library pyarrow. Raises UsageError where it is not installed."""
    try:
        return importlib.import_module("pyarrow")
    except ImportError:
        raise UsageError(
            "tables of images are read by pyarrow, which is not installed; run pip install 'striate[parquet]'"
        ) from None


class Shard:
    """One file, open: `groups` of rows, each read alone. groups[i] is (first row, number of rows)."""

    def __init__(self, path: str) -> None:
        self.path = path
        pa = arrow()
        try:
            if path.endswith(".arrow"):
                self.file: Any = None
                self.table: Any = _arrow_table(path)
                self.schema = self.table.schema
                self.groups = [(0, self.table.num_rows)]
            else:
                self.table, self.file = (
                    None,
                    importlib.import_module("pyarrow.parquet").ParquetFile(path),
                )
                self.schema = self.file.schema_arrow
                self.groups, first = [], 0
                for i in range(self.file.num_row_groups):
                    rows = self.file.metadata.row_group(i).num_rows
                    self.groups.append((first, rows))
                    first += rows
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(
                f"{path} cannot be read as a table: {_reason(error)}; copy or write it again"
            ) from error
        self.rows = sum(rows for _, rows in self.groups)

    def column(self, group: int, name: str) -> Any:
        """A column of a row group. Raises DataError where it is damaged."""
        try:
            if self.table is not None:
                return self.table.column(name)
            return self.file.read_row_group(group, columns=[name], use_threads=False).column(name)
        except (arrow().ArrowException, OSError, ValueError) as error:
            raise DataError(
                f"{self.path}: row group {group} cannot be read ({_reason(error)}); copy or write it again"
            ) from error


def _arrow_table(path: str) -> Any:
    pa, ipc = arrow(), importlib.import_module("pyarrow.ipc")
    mapped = pa.memory_map(path)
    try:
        return ipc.open_stream(mapped).read_all()
    except pa.ArrowInvalid:
        return ipc.open_file(pa.memory_map(path)).read_all()


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(". ")


class RowReader:
    """Images of rows. columns: the name of the column of part 1 (image) and 2 (mask). Keeps the row groups used last."""

    def __init__(
        self, shards: Sequence[str], local: Callable[[str], str], columns: Sequence[str]
    ) -> None:
        self.paths, self.local, self.columns = shards, local, columns
        self.lock, self.process = threading.Lock(), os.getpid()
        self.open: dict[int, Shard] = {}
        self.kept: OrderedDict[tuple[int, int, int], Any] = OrderedDict()
        self.held = 0

    def read(self, shard: int, row: int, part: int) -> bytes:
        """The bytes of an image. Raises OSError with the row where there are none."""
        with self.lock:
            value = self._value(shard, row, part)
        return bytes_of(value, self.paths[shard], row)

    def _value(self, shard: int, row: int, part: int) -> Any:
        if (
            self.process != os.getpid()
        ):  # the handles of another process share its places in the files
            self.open, self.process = {}, os.getpid()
            self.kept, self.held = OrderedDict(), 0
        if shard not in self.open:
            self.open[shard] = Shard(self.local(self.paths[shard]))
        opened = self.open[shard]
        group = next(
            i for i, (first, rows) in enumerate(opened.groups) if first <= row < first + rows
        )
        key = (shard, group, part)
        if key in self.kept:
            self.kept.move_to_end(key)
        else:
            column = opened.column(group, self.columns[part - 1])
            self.kept[key] = column
            self.held += 0 if opened.table is not None else column.nbytes
            while self.held > KEPT_BYTES and len(self.kept) > 1:
                _, old = self.kept.popitem(last=False)
                self.held -= old.nbytes
        return self.kept[key][row - opened.groups[group][0]].as_py()


def bytes_of(value: Any, shard: str, row: int) -> bytes:
    """The bytes of a cell: {bytes, path}, bytes, or a path beside the table. Raises OSError with the row."""
    where = f"row {row:,} of {shard}"
    if isinstance(value, Mapping):
        value = value.get("bytes") if value.get("bytes") is not None else value.get("path")
    if value is None:
        raise OSError(5, f"{where} holds no image", shard)
    if isinstance(value, bytes):
        return value
    folder = Path(shard).resolve().parent
    path = (folder / str(value)).resolve()
    if folder not in path.parents:
        raise OSError(
            13,
            f"{where} names a file outside the folder of the table, {value}, which is not read",
            shard,
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise OSError(
            error.errno, f"{where} names {value}, which cannot be read ({error.strerror})", shard
        ) from None


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Which column is what. names: of classes, by column."""

    image: str
    mask: str | None
    label: str | None
    split: str | None
    objects: str | None
    others: tuple[str, ...]
    names: Mapping[str, list[str]]


def roles_of(schema: Any, where: str, chosen: Mapping[str, str]) -> Roles:
    """The roles of a table's columns. chosen: those that a person named, image=, mask=, label=, split=.

    Raises DataError with the columns that are there.
    """
    pa = arrow()
    types = {field.name: field.type for field in schema}
    listed = ", ".join(f"{name} ({_type(kind)})" for name, kind in types.items())
    for role, name in chosen.items():
        if name not in types:
            raise DataError(
                f"{where} has no column {name}, which {role}= names; there are {listed}"
            )

    def is_image(kind: Any) -> bool:
        if pa.types.is_struct(kind):
            return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    def is_text(kind: Any) -> bool:
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))

    def first(
        names: Sequence[str], fits: Callable[[Any], bool], but: Sequence[str | None] = ()
    ) -> str | None:
        low = {name.casefold(): name for name in types}
        found = (low[name] for name in names if name in low)
        return next((n for n in found if n not in but and fits(types[n])), None)

    images = [name for name, kind in types.items() if is_image(kind)]
    image = (
        chosen.get("image")
        or first(IMAGE, is_image)
        or (images[0] if len(images) == 1 else None)
        or first(IMAGE, is_text)
    )
    if image is None:
        raise DataError(
            f"{where} has no column that is known to hold images; there are {listed}. Name it: "
            f"parquet:{where}?image=COLUMN&label=COLUMN"
        )
    mask = chosen.get("mask") or first(MASK, is_image, (image,))
    features = _features(schema)
    names = {name: known for name in types if (known := _names(features.get(name))) is not None}
    objects = first(
        OBJECTS, lambda kind: pa.types.is_nested(kind) and not is_image(kind), (image, mask)
    )
    split = chosen.get("split") or first(("split",), is_text)
    label = chosen.get("label") or first(
        LABEL,
        lambda kind: not is_image(kind) and not pa.types.is_struct(kind),
        (image, mask, split),
    )
    scalar = [
        n
        for n, k in types.items()
        if n not in (image, mask, label, split, objects)
        and not pa.types.is_nested(k)
        and not is_image(k)
    ]
    others = () if label is not None else tuple(scalar)
    return Roles(
        image=image,
        mask=mask,
        label=label,
        split=split,
        objects=objects,
        others=others,
        names=names,
    )


def _type(kind: Any) -> str:
    text = str(kind)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _features(schema: Any) -> Mapping[str, Any]:
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _names(feature: Any) -> list[str] | None:
    """The names of a ClassLabel at any depth of a feature."""
    if isinstance(feature, Mapping):
        if feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
            return [str(name) for name in feature["names"]]
        return next(
            (found for part in feature.values() if (found := _names(part)) is not None), None
        )
    if isinstance(feature, list):
        return next((found for part in feature if (found := _names(part)) is not None), None)
    return None


def samples_of(
    shards: Sequence[str], splits: Sequence[str | None], local: Callable[[str], str], chosen: Mapping[str, str],
    progress: Callable[[int, int], None],
) -> tuple[list[Sample], list[str]]:  # fmt: skip
    """All rows of all shards, and the columns of images and masks. splits: of each shard, where that is known.

    Of the images their kind and size are looked at, a row group at a time. Raises DataError with the shard.
    """
    found: list[Sample] = []
    roles: Roles | None = None
    for number, (shard, split) in enumerate(zip(shards, splits, strict=True)):
        opened = Shard(local(shard))
        roles = roles or roles_of(opened.schema, shard, chosen)
        missing = [
            c
            for c in (roles.image, roles.mask, roles.label, roles.split)
            if c is not None and c not in opened.schema.names
        ]
        if missing:
            raise DataError(
                f"{shard} has no column {missing[0]}, which {shards[0]} has; there are {', '.join(opened.schema.names)}"
            )
        found += _rows(number, shard, opened, roles, split or split_in(shard))
        progress(number + 1, len(shards))
    if not found or roles is None:
        raise DataError(f"{shards[0]} holds no rows; give a table with a row an image")
    return found, [roles.image, *([roles.mask] if roles.mask else [])]


def _rows(
    number: int, shard: str, opened: Shard, roles: Roles, split: str | None
) -> Iterator[Sample]:
    wanted = [c for c in (roles.label, roles.split, roles.objects, *roles.others) if c is not None]
    digits = max(7, len(str(opened.rows)))
    stem = PurePosixPath(shard).stem
    for group, (first, rows) in enumerate(opened.groups):
        cells = {name: opened.column(group, name).to_pylist() for name in wanted}
        images = opened.column(group, roles.image)
        masks = opened.column(group, roles.mask) if roles.mask else None
        for i in range(rows):
            row = first + i
            suffix, size = _kind(images[i].as_py())
            sample = Sample(key=f"{row:0{digits}d}", suffix=suffix, shard=stem)
            sample.image = (number, row, size, 1)
            if masks is not None:
                sample.mask_suffix, size = _kind(masks[i].as_py())
                sample.mask = (number, row, size, 2)
            sample.split = split_in(as_cell(cells[roles.split][i])) if roles.split else split
            if roles.objects is not None:
                sample.objects = objects_of(cells[roles.objects][i], roles.names.get(roles.objects))
            if roles.label is not None:
                names = roles.names.get(roles.label)
                value = cells[roles.label][i]
                if isinstance(value, list):
                    value = [named(one, names) for one in value]
                sample.fields = {"label": named(value, names)}
            else:
                sample.fields = {n: named(cells[n][i], roles.names.get(n)) for n in roles.others}
            yield sample


def _kind(value: Any) -> tuple[str, int]:
    """The ending and the number of bytes of an image in a cell; a path says its own."""
    if isinstance(value, Mapping):
        value = value.get("bytes") if value.get("bytes") is not None else value.get("path")
    if isinstance(value, bytes):
        return next((s for head, s in KINDS if value.startswith(head)), ".jpg"), len(value)
    return PurePosixPath(str(value)).suffix or ".jpg", 0
