"""Networks by name: the architectures of the lectures, layer patterns, and timm's."""

from __future__ import annotations

from striate.models.building import build, is_pattern
from striate.models.finetuning import head, layer_groups
from striate.models.labelling import full_size, labels_pixels
from striate.models.preprocessing import Preprocessing, imagenet_classes, preprocessing
from striate.models.weights import Loaded, load_torchvision, load_weights
from striate.models.zoo import MODELS, Entry, names

__all__ = [
    "MODELS",
    "Entry",
    "Loaded",
    "Preprocessing",
    "build",
    "full_size",
    "head",
    "imagenet_classes",
    "is_pattern",
    "labels_pixels",
    "layer_groups",
    "load_torchvision",
    "load_weights",
    "names",
    "preprocessing",
]
