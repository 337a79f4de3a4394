"""Training: recipe, choices, loop, checkpoints. It receives a model and batches, and builds neither."""

from striate.training.recipe import Recipe, parse_seconds

__all__ = ["Recipe", "parse_seconds"]

# Files of this room that other rooms import from, beside the names above.
OPEN = (
    "averaging", "batch", "batches", "callbacks", "checkpoint", "fsdp", "launch", "loop", "machine",
    "optimizers", "own", "recipe", "restoring", "schedule", "settings", "snapshots", "watch", "world",
)  # fmt: skip
