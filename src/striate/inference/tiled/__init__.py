"""Tiled inference: any convolutional network on an image that does not fit, with the numbers of the whole image."""

from striate.inference.tiled.job import Tiled, tiled
from striate.inference.tiled.plan import Plan, Walk

__all__ = ["Plan", "Tiled", "Walk", "tiled"]
