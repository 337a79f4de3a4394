"""Silence for image libraries: the name of the room `images` that sources use."""

from striate.images import quiet

__all__ = ["quiet"]
