"""Incremental inference: what changes when a region of an image changes, without running the network again in full.

drops = occlusion(module, image, target=207, patch=16, stride=8)          # (rows, columns)

session = Incremental(module, image)                                      # keeps the clean activations
session.scores([((10, 20), (30, 40))], contents=0.0, target=207)          # an occluder, a sticker, a dead pixel
"""

from striate.inference.incremental.incremental import Costs, Incremental
from striate.inference.incremental.moving import Moving
from striate.inference.incremental.occlusion import occlusion
from striate.inference.incremental.perturbation import Perturbation, perturb
from striate.inference.incremental.refinement import Refined, occlusion_refined
from striate.inference.incremental.target import Target

__all__ = [
    "Costs",
    "Incremental",
    "Moving",
    "Perturbation",
    "Refined",
    "Target",
    "occlusion",
    "occlusion_refined",
    "perturb",
]
