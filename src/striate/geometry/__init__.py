"""Geometry."""

from striate.geometry.apply import Crop, Weights, apply, replay
from striate.geometry.geometry import Geometry, Layer
from striate.geometry.record import Axis, Link, Record, Value
from striate.geometry.trace import trace

__all__ = [
    "Axis",
    "Crop",
    "Geometry",
    "Layer",
    "Link",
    "Record",
    "Value",
    "Weights",
    "apply",
    "replay",
    "trace",
]
