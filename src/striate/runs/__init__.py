"""Runs: make one, open one, evaluate and use it."""

from __future__ import annotations

from striate.runs.mask_predicting import MaskPrediction, predict_masks
from striate.runs.predicting import Prediction, predict
from striate.runs.run import Run, load
from striate.runs.training import train
from striate.training.callbacks import Listener

__all__ = [
    "Listener",
    "MaskPrediction",
    "Prediction",
    "Run",
    "load",
    "predict",
    "predict_masks",
    "train",
]
