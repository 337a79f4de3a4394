"""Tables in memory, of pandas, polars, pyarrow or a dict of columns: paths of images and their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.arrangement import FREE
from striate.data.columns import FILE, LABEL, SPLIT
from striate.data.naming import SPLIT_NAMES
from striate.data.source import SPLITS
from striate.errors import DataError


def columns_of(data: Any) -> dict[str, Any] | None:
    """A table's columns by name; None for what is no table. Only its own methods are asked, whatever library it is of."""
    if isinstance(data, Mapping):
        return dict(data)
    if hasattr(data, "to_pydict") and hasattr(data, "column_names"):  # pyarrow
        return {name: data[name].to_pylist() for name in data.column_names}
    if hasattr(data, "columns") and hasattr(data, "get_column"):  # polars
        return {name: data[name].to_list() for name in data.columns}
    if hasattr(data, "columns") and hasattr(data, "iloc"):  # pandas
        return {str(name): data[name].tolist() for name in data.columns}
    return None


def paths_and_labels(columns: Mapping[str, Any]) -> dict[str, Any] | None:
    """Files, labels and splits of a table, as images, labels, keys, given and where; None where no column holds paths.

    Paths are absolute, or relative to the present folder. Raises DataError for columns of unequal length, a file that is
    not there, a label that is missing.
    """
    known = {name.casefold().strip(): name for name in map(str, columns)}
    file = next((known[n] for n in FILE if n in known and _paths(columns[known[n]])), None)
    label = next((known[n] for n in LABEL if n in known and known[n] != file), None)
    if file is None or label is None:
        return None
    lengths = {name: len(columns[name]) for name in (file, label)}
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"the columns differ in length: {', '.join(f'{k} {v:,}' for k, v in lengths.items())}; give each path a label"
        )
    paths = [Path(str(path)).expanduser() for path in columns[file]]
    gone = [i for i, path in enumerate(paths) if not path.is_file()]
    if gone:
        raise DataError(
            f"{len(gone):,} of {len(paths):,} files in column {file} are not there, the first in row {gone[0]}: "
            f"{paths[gone[0]]}; give absolute paths, or paths relative to {Path.cwd()}"
        )
    split = next((known[n] for n in SPLIT if n in known), None)
    return {
        "where": f"a table given in Python ({len(paths):,} rows; columns {file} and {label})",
        "images": paths,
        "labels": list(columns[label]),
        "keys": [str(path) for path in paths],
        "given": None if split is None else _splits(columns[split], split),
    }


def _paths(values: Sequence[Any]) -> bool:
    return len(values) > 0 and all(isinstance(value, str | Path) for value in values)


def _splits(values: Sequence[Any], name: str) -> np.ndarray:
    codes = []
    for row, value in enumerate(values):
        if value is None or value != value or str(value).strip() == "":
            codes.append(FREE)
            continue
        split = SPLIT_NAMES.get(str(value).strip().casefold())
        if split is None:
            raise DataError(
                f"row {row} has {value!r} in column {name}; splits are {', '.join(SPLITS)}, or empty to have one drawn"
            )
        codes.append(SPLITS.index(split))
    return np.array(codes, dtype=np.int8)
