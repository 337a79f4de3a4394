"""Inference: what geometry makes possible, tiled, incremental and dense."""

# Files of this room that other rooms import from, beside the names above.
OPEN = (
    "apart", "dense.dense", "folded", "incremental", "incremental.incremental", "incremental.occlusion",
    "incremental.target", "kinds", "parts", "region", "repeating", "tiled", "tiled.plan.limits",
    "tiled.read.files", "tiled.read.images", "tiled.read.open", "tiled.tiled",
)  # fmt: skip
