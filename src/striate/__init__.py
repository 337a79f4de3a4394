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
    "Snapshots": "striate.training.snapshots",
    "StriateError": "striate.errors",
    "Trained": "striate.tasks.trained",
    "build": "striate.models",
    "compare": "striate.api",
    "compare_images": "striate.api",
    "dense": "striate.inference.dense",
    "diagnose": "striate.api",
    "dissect": "striate.api",
    "explain": "striate.api",
    "load": "striate.api",
    "network_input": "striate.api",
    "occlusion": "striate.inference.incremental",
    "open_source": "striate.tasks.table",
    "perceptual_distance": "striate.api",
    "predict": "striate.api",
    "probe": "striate.api",
    "save": "striate.api",
    "summary": "striate.api",
    "tile": "striate.api",
    "tiled": "striate.inference.tiled",
    "trace": "striate.geometry",
    "train": "striate.api",
    "wrap": "striate.api",
}

__all__ = [*sorted(_ROOMS), "__version__"]

if TYPE_CHECKING:
    from striate.api import compare as compare
    from striate.api import compare_images as compare_images
    from striate.api import diagnose as diagnose
    from striate.api import dissect as dissect
    from striate.api import explain as explain
    from striate.api import load as load
    from striate.api import network_input as network_input
    from striate.api import perceptual_distance as perceptual_distance
    from striate.api import predict as predict
    from striate.api import probe as probe
    from striate.api import save as save
    from striate.api import summary as summary
    from striate.api import tile as tile
    from striate.api import train as train
    from striate.api import wrap as wrap
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
    from striate.tasks.table import open_source as open_source
    from striate.tasks.trained import Trained as Trained
    from striate.training import Recipe as Recipe
    from striate.training.snapshots import Snapshots as Snapshots


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(
            f"module 'striate' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    return getattr(importlib.import_module(_ROOMS[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
