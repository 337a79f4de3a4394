"""Manifest: a table of all images of a source, with path, size, digest, label and split, that is mapped and not loaded.

It is an Arrow file (`pandas.read_feather` and duckdb open it too), made once, in parallel, part by part: what is killed goes
on after the last whole part, and the bytes do not depend on the order or the number of processes.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.described import record_of_row, row_of, stamp
from striate.data.folder import lay_out
from striate.data.naming import in_order
from striate.data.place import data_path
from striate.data.processes import described_apart
from striate.data.records import Progress, Record
from striate.data.splitting import uniform
from striate.errors import DataError, UsageError
from striate.files import size_of, volume_of
from striate.volumes import is_volume
from striate.writing import write_atomically, writing

ENDING = ".arrow"
KEY = b"striate manifest"
FORMAT = 1
BATCH = 65_536  # rows that are written together
PART = 4_096  # files after which what is known is written down
RECORD = (
    ("height", "int32"), ("width", "int32"), ("channels", "int8"), ("deep", "bool_"), ("low", "float32"),
    ("high", "float32"),
    ("format", "words"), ("several_pages", "bool_"), ("blank", "bool_"), ("stated", "int32"), ("missing", "float32"),
    ("left_out", "int8"), ("profile", "words"),
)  # fmt: skip


def arrow() -> Any:
    """The library pyarrow. Raises UsageError where it is not installed."""
    try:
        return importlib.import_module("pyarrow")
    except ImportError:
        raise UsageError(
            "a manifest is an Arrow file, and pyarrow is not installed; run pip install 'striate[parquet]'"
        ) from None


@dataclass(frozen=True, eq=False, kw_only=True)
class Manifest:
    """A manifest, mapped. table: N rows as pyarrow has them; root: below which paths lie; facts: what is said of all."""

    path: Path
    root: Path
    table: Any
    facts: dict[str, Any]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def numbers(self, name: str) -> np.ndarray:
        """(N,) a column of numbers."""
        chunks = [c.to_numpy(zero_copy_only=False) for c in self.table.column(name).chunks]
        return np.concatenate(chunks) if chunks else np.zeros(0)

    def codes(self, name: str) -> tuple[np.ndarray, list[str]]:
        """(N,) int32 of a column of words, and the words that they stand for."""
        chunks = self.table.column(name).chunks
        words = [str(word) for word in chunks[0].dictionary.to_pylist()]
        return np.concatenate([c.indices.to_numpy() for c in chunks]), words

    def digests(self, first: int, count: int) -> np.ndarray:
        """(count, 16) uint8."""
        column = self.table.column("digest").slice(first, count).combine_chunks()
        data = np.frombuffer(column.buffers()[1], dtype=np.uint8).reshape(-1, 16)
        return data[column.offset : column.offset + len(column)]


def is_manifest(path: str | Path) -> bool:
    """Whether a path is a manifest that `make_manifest` wrote."""
    return manifest_at(path) is not None


def manifest_at(path: str | Path) -> Manifest | None:
    """The manifest at a path, mapped; None where there is none that can be read."""
    text = os.fspath(path)
    if not text.endswith(ENDING) or is_volume(text) or not os.path.isfile(text):
        return None
    try:
        return open_manifest(Path(text))
    except (DataError, UsageError):
        return None


def open_manifest(path: Path) -> Manifest:
    """Map a manifest. Raises DataError for a file that is none."""
    pa = arrow()
    try:
        table = (
            importlib.import_module("pyarrow.ipc").open_file(pa.memory_map(str(path))).read_all()
        )
        facts = json.loads(table.schema.metadata[KEY])
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f"{path} is no manifest, or is cut short; make it with striate data SOURCE --manifest {path}"
        ) from None
    if facts.get("format") != FORMAT:
        raise DataError(
            f"{path} is a manifest of format {facts.get('format')}, and {FORMAT} is read; "
            "make it again"
        )
    root = facts["root"]
    place = data_path(root) if is_volume(root) else Path(os.path.normpath(path.parent / root))
    return Manifest(path=path, root=place, table=table, facts=facts)


def make_manifest(
    data: str | Path,
    out: Path,
    *,
    progress: Progress | None = None,
    processes: int = 0,
    seed: int = 0,
) -> Manifest:
    """Describe every image of a folder, a table or a volume, and write the manifest `out`.

    processes: one a processor if not given. seed: for which it also holds the number that a split is drawn by. What a killed
    run had described is taken from `out` with .parts behind it. Raises UsageError or DataError with one sentence.
    """
    if out.suffix != ENDING:
        raise UsageError(
            f"a manifest is an Arrow file, and {out} has another ending; name it {out.stem}{ENDING}"
        )
    root, table = data_path(data), None
    if volume_of(root) is None and root.is_file():
        root, table = root.parent, root.name
    arrow()
    layout = lay_out(root, table=table)
    order = sorted(
        range(len(layout.keys)), key=lambda i: layout.keys[i].encode("utf-8", "surrogateescape")
    )
    keys = [layout.keys[i] for i in order]
    parts = out.with_name(out.name + ".parts")
    records, damaged = _described(root, keys, parts, progress, processes)
    kept = [i for i, record in enumerate(records) if record is not None]
    if not kept:
        raise DataError(f"none of the {len(keys):,} images in {root} can be read, the first: {damaged[0][1]}")  # fmt: skip
    good = [record for record in records if record is not None]
    contents = [record.content for record in good]
    labels = [layout.classes[order[i]] for i in kept]
    by_content = sorted(range(len(good)), key=contents.__getitem__)
    facts = {
        "format": FORMAT,
        "root": os.fspath(data)
        if volume_of(root) is not None
        else os.path.relpath(root, out.resolve().parent),
        "seed": seed,
        "classes": list(in_order(labels)),
        "damaged": [*((d.path, d.reason) for d in layout.damaged), *damaged],
        "outside": list(layout.outside),
        "empty": list(layout.empty),
        "notes": list(layout.notes),
        "copies": _copies(contents, by_content),
    }
    columns = {
        "path": [keys[i] for i in kept],
        "size": [size_of(root / keys[i]) for i in kept],
        "digest": contents,
        "label": labels,
        "split": [layout.given[order[i]] or "" for i in kept],
        "place": uniform(contents, seed),
        "order": np.array(by_content, dtype=np.int64),
        **{name: [getattr(record, name) for record in good] for name, _ in RECORD},
    }
    write_manifest(out, columns, facts)
    shutil.rmtree(parts, ignore_errors=True)
    return open_manifest(out)


def write_manifest(out: Path, columns: dict[str, Any], facts: dict[str, Any]) -> None:
    """Write columns of N rows. place: (N,) in [0, 1) by which splits are drawn; order: (N,) rows by their digests."""
    pa = arrow()
    kinds = {
        "path": pa.string(), "size": pa.int64(), "digest": pa.binary(16), "label": "words", "split": "words",
        "place": pa.float64(), "order": pa.int64(),
        **{name: kind if kind == "words" else getattr(pa, kind)() for name, kind in RECORD},
    }  # fmt: skip
    coded = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        [(name, coded if kind == "words" else kind) for name, kind in kinds.items()],
        metadata={KEY: json.dumps(facts, ensure_ascii=True, sort_keys=True).encode()},
    )
    words = {
        name: sorted(set(columns[name])) for name, kind in kinds.items() if isinstance(kind, str)
    }
    indices = {name: {word: i for i, word in enumerate(known)} for name, known in words.items()}
    count = len(columns["path"])
    with (
        writing(out) as file,
        importlib.import_module("pyarrow.ipc").new_file(file, schema) as into,
    ):
        for first in range(0, max(count, 1), BATCH):
            arrays = []
            for name, kind in kinds.items():
                cells = columns[name][first : first + BATCH]
                if isinstance(kind, str):
                    codes = pa.array([indices[name][cell] for cell in cells], pa.int32())
                    arrays.append(pa.DictionaryArray.from_arrays(codes, pa.array(words[name], pa.string())))  # fmt: skip
                else:
                    arrays.append(pa.array(cells, kind))
            into.write_batch(pa.record_batch(arrays, schema=schema))


def _described(
    root: Path, keys: Sequence[str], parts: Path, progress: Progress | None, processes: int
) -> tuple[list[Record | None], list[tuple[str, str]]]:
    """The record of each file or None, and what is wrong with the others; those of whole parts are read from the disk."""
    pieces = [keys[i : i + PART] for i in range(0, len(keys), PART)]
    names = [_name_of(root, piece) for piece in pieces]
    known = [
        _read_part(parts / name, len(piece)) for name, piece in zip(names, pieces, strict=True)
    ]
    lacking = [piece for piece, have in zip(pieces, known, strict=True) if have is None]
    missing = [str(root / key) for piece in lacking for key in piece]
    fresh: Iterator[Record | str] = (
        described_apart(missing, count=processes) if missing else iter(())
    )
    records: list[Record | None] = []
    damaged: list[tuple[str, str]] = []
    for name, piece, have in zip(names, pieces, known, strict=True):
        found = have
        if found is None:
            found = []
            for _ in piece:
                found.append(next(fresh))
                if progress is not None:
                    progress(len(records) + len(found), len(keys))
            rows = [one if isinstance(one, str) else row_of(one) for one in found]
            write_atomically(parts / name, json.dumps(rows).encode(), durable=False)
        damaged += [
            (key, one) for key, one in zip(piece, found, strict=True) if isinstance(one, str)
        ]
        records += [None if isinstance(one, str) else one for one in found]
    return records, damaged


def _name_of(root: Path, piece: Sequence[str]) -> str:
    """A part's name: by its files and when they changed."""
    state = hashlib.sha256()
    for key in piece:
        state.update(
            f"{key}\0{(stamp(root / key) or [])[2:4]}\0".encode("utf-8", "surrogateescape")
        )
    return f"{state.hexdigest()[:32]}.json"


def _read_part(path: Path, count: int) -> list[Record | str] | None:
    with contextlib.suppress(OSError, ValueError):
        rows = json.loads(path.read_bytes())
        found = [row if isinstance(row, str) else record_of_row(row) for row in rows]
        whole = [one for one in found if one is not None]
        return whole if len(whole) == count else None
    return None


def _copies(contents: Sequence[bytes], order: Sequence[int]) -> list[list[int]]:
    """The rows of equal contents, for those that occur more than once. order: rows by content."""
    groups: list[list[int]] = []
    for before, row in pairwise(order):
        if contents[before] == contents[row]:
            if groups and groups[-1][-1] == before:
                groups[-1].append(row)
            else:
                groups.append([before, row])
    return sorted(sorted(group) for group in groups)
