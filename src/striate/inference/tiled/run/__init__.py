"""Tiles computed, kept, stitched and resumed."""
