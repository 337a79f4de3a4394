"""Training: recipe, choices, loop, checkpoints. It receives a model and batches, and builds neither."""

from striate.training.recipe import Recipe, parse_seconds

__all__ = ["Recipe", "parse_seconds"]
