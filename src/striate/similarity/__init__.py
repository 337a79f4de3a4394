"""Similarity: how different images look to a network, and where.

    comparer = Comparer(module, (1, 3, 224, 224), mean=..., std=...)
    comparer(a, b).distance                    # (N,) for images (N, 3, 224, 224)

`striate.perceptual_distance` and `striate compare` read files and choose the network.
"""

from striate.similarity.distance import Comparer, Distance
from striate.similarity.features import feature_layers
from striate.similarity.linear import are_linear, linear_weights
from striate.similarity.pixels import pixel_scores

__all__ = [
    "Comparer",
    "Distance",
    "are_linear",
    "feature_layers",
    "linear_weights",
    "pixel_scores",
]

# Files of this room that other rooms import from, beside the names above.
OPEN = ("distortions", "scale", "stability")
