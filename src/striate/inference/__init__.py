"""Inference: what geometry makes possible, tiled, incremental and dense."""
