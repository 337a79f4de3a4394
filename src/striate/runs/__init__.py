"""Runs: make one, open one, evaluate and use it."""

from __future__ import annotations

from striate.runs.predicting import predict
from striate.runs.run import Run, load
from striate.runs.training import train
from striate.runs.wrapping import wrap
from striate.tasks.prediction import Prediction
from striate.training.callbacks import Listener

__all__ = [
    "Listener",
    "Prediction",
    "Run",
    "load",
    "predict",
    "train",
    "wrap",
]

# Files of this room that other rooms import from, beside the names above.
OPEN = (
    "diagnosing", "dissecting", "dossiers", "explaining", "factories", "galleries", "given", "listing",
    "opening", "outputs", "perceptual", "predicting", "probing", "probing_pairs", "record",
    "reporting", "run", "summarising", "training", "wrapping",
)  # fmt: skip
