"""Hugging Face datasets: `hf:NAME[/CONFIG][:SPLIT]`, a folder that `save_to_disk` wrote, or a folder of Parquet files.

The library `datasets` finds and fetches a name; its files are then read here, as any table of images.
"""

from __future__ import annotations

import glob
import importlib
import json
import os
from pathlib import Path
from typing import Any

from striate.errors import DataError, UsageError
from striate.volumes.layout import SPLITS

Shards = list[tuple[str, str | None]]  # a file, and the split that it is of


def shards_of(name: str) -> Shards:
    """The files of a dataset. name: what stands behind `hf:`. Raises UsageError or DataError with what to do."""
    path = Path(name).expanduser()
    if path.is_dir():
        return _folder(path)
    name, _, split = name.partition(":")
    path = Path(name).expanduser()
    if path.is_dir():
        found = [(file, own) for file, own in _folder(path) if own == SPLITS.get(split, split)]
        if not found:
            raise UsageError(f"{path} has no split {split}; leave it out to use all")
        return [(file, None) for file, _ in found]
    return _cached(name, split or None)


def _folder(path: Path) -> Shards:
    if (path / "state.json").is_file():
        return [(file, None) for file in _saved(path)]
    if (path / "dataset_dict.json").is_file():
        names = json.loads((path / "dataset_dict.json").read_bytes())["splits"]
        return [(file, SPLITS.get(name, "train")) for name in names for file in _saved(path / name)]
    found = sorted(glob.glob(f"{glob.escape(str(path))}/**/*.parquet", recursive=True))
    if found:
        return [(file, None) for file in found]
    raise DataError(
        f"{path} is no dataset of Hugging Face (no dataset_dict.json, state.json or .parquet file); for a "
        "folder of images leave "
        "hf: out"
    )


def _saved(path: Path) -> list[str]:
    """The Arrow files of one split that `save_to_disk` wrote, in its order."""
    try:
        files = [
            str(path / one["filename"])
            for one in json.loads((path / "state.json").read_bytes())["_data_files"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is not what save_to_disk writes ({type(error).__name__}: {error}); save it again"
        ) from error
    gone = [file for file in files if not os.path.isfile(file)]
    if gone:
        raise DataError(
            f"{gone[0]} is missing, which {path / 'state.json'} lists; copy the folder again"
        )
    return files


def _cached(name: str, split: str | None) -> Shards:
    try:
        datasets: Any = importlib.import_module("datasets")
    except ImportError:
        raise UsageError(
            "hf: needs the library datasets, which is not installed; run pip install 'striate[hf]'"
        ) from None
    parts = name.split("/")
    repository, config = ("/".join(parts[:2]), "/".join(parts[2:]) or None)
    try:
        loaded = datasets.load_dataset(repository, config, split=split)
    except Exception as error:  # what the library raises without a network has a dozen kinds
        raise DataError(
            f"the dataset {name} cannot be fetched ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:160].rstrip('. ')}); "
            'without a network, run python -c "import datasets; '
            f"datasets.load_dataset('{repository}').save_to_disk('FOLDER')\" "
            "where there is one, copy FOLDER here, and give hf:FOLDER"
        ) from None
    each = dict(loaded) if hasattr(loaded, "keys") else {None: loaded}
    found: Shards = []
    for own, data in each.items():
        if getattr(data, "_indices", None) is not None or not data.cache_files:
            raise DataError(
                f"the dataset {name} lies in memory or is a selection; save it with save_to_disk and give hf:FOLDER"
            )
        which = None if own is None else SPLITS.get(str(own), "train")
        found += [(one["filename"], which) for one in data.cache_files]
    return found
