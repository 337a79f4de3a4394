"""Sources, splits, decoding and preprocessing of images.

The public names are imported when first used: describing a folder does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Public name -> the file that it lives in.
_FILES = {
    "SOURCES": "sources",
    "Damage": "source",
    "Duplicate": "source",
    "Entry": "sources",
    "Preprocessing": "preprocessing",
    "Source": "source",
    "Split": "source",
    "SplitDataset": "memory",
    "check": "checks",
    "choose_preprocessing": "choosing",
    "open_given": "own",
    "remember": "own",
    "decoded_bytes": "memory",
    "describe": "description",
    "list_sources": "sources",
    "load_memory": "memory",
    "open_source": "sources",
    "read_image": "reading",
}

__all__ = [
    "SOURCES",
    "Damage",
    "Duplicate",
    "Entry",
    "Preprocessing",
    "Source",
    "Split",
    "SplitDataset",
    "check",
    "choose_preprocessing",
    "decoded_bytes",
    "describe",
    "list_sources",
    "load_memory",
    "open_given",
    "open_source",
    "read_image",
    "remember",
]

if TYPE_CHECKING:
    from striate.data.checks import check
    from striate.data.choosing import choose_preprocessing
    from striate.data.description import describe
    from striate.data.memory import SplitDataset, decoded_bytes, load_memory
    from striate.data.own import open_given, remember
    from striate.data.preprocessing import Preprocessing
    from striate.data.reading import read_image
    from striate.data.source import Damage, Duplicate, Source, Split
    from striate.data.sources import SOURCES, Entry, list_sources, open_source


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module 'striate.data' has no attribute {name!r}")
    return getattr(importlib.import_module(f"striate.data.{_FILES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)


# Files of this room that other rooms import from, beside the names above.
OPEN = (
    "arrangement", "augment", "by_folder", "checks", "columns", "contact_sheet", "deep_remarks", "depth",
    "described", "description",
    "digits", "drawing", "fashion", "files", "finder", "folder", "foreign", "given", "histogram", "layout", "leftout",
    "lines", "listed", "listing_table", "manifest", "naming", "numbers", "output_names", "own", "own_images", "own_labels",
    "own_splits", "own_targets", "place", "pool", "preprocessing", "problems", "reading", "records", "resampling", "scale",
    "source", "splitting", "subsets", "table", "targets", "tree",
)  # fmt: skip
