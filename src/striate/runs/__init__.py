"""Runs: make one, open one, evaluate and use it.

The public names are imported when first used: a list of models does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate.runs.predicting import predict
    from striate.runs.run import Run, load
    from striate.runs.training import train
    from striate.runs.wrapping import wrap
    from striate.tasks.prediction import Prediction
    from striate.training.callbacks import Listener

# Public name -> the file that it lives in.
_FILES = {
    "Listener": "striate.training.callbacks",
    "Prediction": "striate.tasks.prediction",
    "Run": "striate.runs.run",
    "load": "striate.runs.run",
    "predict": "striate.runs.predicting",
    "train": "striate.runs.training",
    "wrap": "striate.runs.wrapping",
}

__all__ = [
    "Listener",
    "Prediction",
    "Run",
    "load",
    "predict",
    "train",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module 'striate.runs' has no attribute {name!r}")
    return getattr(importlib.import_module(_FILES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)


# Files of this room that other rooms import from, beside the names above.
OPEN = (
    "describing", "diagnosing", "dissecting", "dossiers", "explaining", "factories", "galleries", "gating", "given",
    "images", "kept", "listing", "merging", "on_ray", "opening", "outputs", "perceptual", "predicting", "probing",
    "probing_pairs", "record", "refitting", "reporting", "reviewing", "run", "shards", "shared_tiles", "steering",
    "summarising", "sweeping", "training", "wrapping",
)  # fmt: skip
