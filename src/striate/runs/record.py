"""Small facts that a run writes down."""

from __future__ import annotations

import csv
import datetime
import io
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import striate
from striate.training.loop import EpochRecord
from striate.writing import write_atomically


def now() -> str:
    """The local time with its offset, to the second (ISO 8601)."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of Python, Striate and what computes for it."""
    packages = ("torch", "torchvision", "timm", "numpy", "pillow")
    return {
        "striate": striate.__version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
    }


def write_metrics(path: Path, history: Sequence[EpochRecord]) -> None:
    """Write all epochs to `path`, atomically: a run that was resumed has each epoch once."""
    text = io.StringIO()
    rows = [record.row() for record in history]
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())
