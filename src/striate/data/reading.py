"""Reading image files: the names of the room `images` that sources use."""

from striate.images import SUFFIXES, UNSUPPORTED, Decoded, Shrink, decode, identify, read_image
from striate.images import reason as _reason

__all__ = [
    "SUFFIXES",
    "UNSUPPORTED",
    "Decoded",
    "Shrink",
    "_reason",
    "decode",
    "identify",
    "read_image",
]
