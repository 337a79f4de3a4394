"""Small facts that a run writes down."""

from __future__ import annotations

import csv
import datetime
import io
import math
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import striate
from striate.errors import RunError
from striate.files import leads_out
from striate.reading import read_file
from striate.schema import shortened
from striate.training.loop import EpochRecord
from striate.writing import write_atomically

LARGEST = 64_000_000  # bytes of metrics.csv that are read


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


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """What `write_metrics` wrote, numbers as numbers; none where there is no such file. Raises RunError for another file."""
    try:
        text = read_file(path, limit=LARGEST).decode()
        header, *rows = list(csv.reader(io.StringIO(text), strict=True))
        if not {"epoch", "step"} <= set(header) or len(set(header)) < len(header):
            raise ValueError(
                f"its first line names no epochs and steps, got {shortened(','.join(header))}"
            )
        for number, row in enumerate(rows, 2):
            if len(row) != len(header):
                raise ValueError(f"line {number} holds {len(row)} values for {len(header)} columns")
        return [
            {name: _number(value, name, number) for name, value in zip(header, row, strict=True)}
            for number, row in enumerate(rows, 2)
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
        reason = getattr(error, "strerror", None) or reason
        if leads_out(path):  # to any file, of which nothing is quoted
            reason = "it is a link out of the run"
        raise RunError(
            f"{path} was altered and cannot be read: {reason}; delete it, and the curves of this training are left out"
        ) from error


def _number(text: str, name: str, line: int) -> float | None:
    """A value of metrics.csv; None where nothing was measured. Raises ValueError."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise ValueError(
            f"{shortened(name)} in line {line} must be a number, got {shortened(text)}"
        ) from None
    return value if math.isfinite(value) else None
