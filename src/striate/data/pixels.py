"""Limits and transparency: the names of the room `images` that sources use."""

from striate.images import MAX_PIXELS, flatten_alpha, refuse_bomb

__all__ = ["MAX_PIXELS", "flatten_alpha", "refuse_bomb"]
