"""Reading image files: the names of the room `images` that sources use."""

from striate.images import SUFFIXES, UNSUPPORTED, Decoded, Shrink, decode, identify, read_image

__all__ = [
    "SUFFIXES",
    "UNSUPPORTED",
    "Decoded",
    "Shrink",
    "decode",
    "identify",
    "read_image",
]
