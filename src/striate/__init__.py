"""Striate trains a convolutional network on your images, shows what each part of it sees, proves where it breaks,
and runs it on images of any size.

The public names are imported when first used, so that `import striate` and `striate --help` stay instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> the room that it lives in.
_ROOMS = {
    "Finding": "striate.findings",
    "Geometry": "striate.geometry",
    "Listener": "striate.runs",
    "Recipe": "striate.training",
    "Run": "striate.runs",
    "StriateError": "striate.errors",
    "build": "striate.models",
    "dense": "striate.inference.dense",
    "explain": "striate.attribution",
    "load": "striate.runs",
    "occlusion": "striate.inference.incremental",
    "open_source": "striate.tasks.table",
    "predict": "striate.runs",
    "tiled": "striate.inference.tiled",
    "trace": "striate.geometry",
    "train": "striate.runs",
    "wrap": "striate.runs",
}

__all__ = [*sorted(_ROOMS), "__version__"]

if TYPE_CHECKING:
    from striate.attribution import explain as explain
    from striate.errors import StriateError as StriateError
    from striate.findings import Finding as Finding
    from striate.geometry import Geometry as Geometry
    from striate.geometry import trace as trace
    from striate.inference.dense import dense as dense
    from striate.inference.incremental import occlusion as occlusion
    from striate.inference.tiled import tiled as tiled
    from striate.models import build as build
    from striate.runs import Listener as Listener
    from striate.runs import Run as Run
    from striate.runs import load as load
    from striate.runs import predict as predict
    from striate.runs import train as train
    from striate.runs import wrap as wrap
    from striate.tasks.table import open_source as open_source
    from striate.training import Recipe as Recipe


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(
            f"module 'striate' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    return getattr(importlib.import_module(_ROOMS[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
