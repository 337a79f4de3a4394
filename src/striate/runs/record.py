"""Small facts that a run writes down."""

from __future__ import annotations

import csv
import datetime
import io
import platform
from collections.abc import Sequence
from dataclasses import asdict, fields
from importlib import metadata
from pathlib import Path

import striate
from striate.training.checkpoint import write_atomically
from striate.training.loop import EpochRecord


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
    names = [f.name for f in fields(EpochRecord)]
    if all(row.val_iou is None for row in history):
        names.remove("val_iou")
    writer = csv.DictWriter(text, names, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in history:
        writer.writerow({k: "" if v is None else v for k, v in asdict(row).items()})
    write_atomically(path, text.getvalue().encode())
