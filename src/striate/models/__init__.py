"""Networks by name: the architectures of the lectures, layer patterns, and timm's."""

from __future__ import annotations

from striate.models.building import build, is_pattern
from striate.models.detections import SPAN, Grid, Levels, Queries, Regions
from striate.models.detectors import DETECTORS, WITH_MASKS, finds_masks, is_detector
from striate.models.finetuning import freeze, head, layer_groups
from striate.models.neocognitron import Neocognitron, fit_readout, self_organise
from striate.models.own import OwnModel, is_own, make_network
from striate.models.patching import padding_of
from striate.models.preprocessing import Preprocessing, imagenet_classes, preprocessing
from striate.models.rfdetr import PREFIX as RFDETR
from striate.models.segmenters import full_size, is_segmenter
from striate.models.spelling import architecture
from striate.models.weights import Loaded, load_torchvision, load_weights
from striate.models.zoo import MODELS, Entry, names

__all__ = [
    "DETECTORS",
    "MODELS",
    "RFDETR",
    "SPAN",
    "WITH_MASKS",
    "Entry",
    "Grid",
    "Levels",
    "Loaded",
    "Neocognitron",
    "OwnModel",
    "Preprocessing",
    "Queries",
    "Regions",
    "architecture",
    "build",
    "finds_masks",
    "fit_readout",
    "freeze",
    "full_size",
    "head",
    "imagenet_classes",
    "is_detector",
    "is_own",
    "is_pattern",
    "is_segmenter",
    "layer_groups",
    "load_torchvision",
    "load_weights",
    "make_network",
    "names",
    "padding_of",
    "preprocessing",
    "self_organise",
]

# Files of this room that other rooms import from, beside the names above.
OPEN = ("centernet_masks", "logistic", "neocognitron", "preprocessing", "stored")
