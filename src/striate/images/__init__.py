"""Image files: the one reader that every command uses, whole or region by region, with one meaning.

    picture = open_picture("slide.tif")          # (H, W, C), upright, nothing decoded yet
    part = picture.read((0, 512), (0, 512))      # the same pixels as in read_image("slide.tif")

What a file holds becomes uint8 (up to 8 bits a sample), uint16 (up to 16) or float32 (signed, longer and floating
samples): 0 to 255 and 0 to 65535 reach from black to white as the file states it, float32 holds the file's numbers and NaN
where it has none.
"""

from striate.images.kinds import SUFFIXES, UNSUPPORTED, identify
from striate.images.picture import Picture
from striate.images.pillow import moves
from striate.images.pixels import MAX_PIXELS, flatten_alpha, refuse_bomb
from striate.images.reading import MOST_BYTES, Decoded, Shrink, decode, open_picture, read_image
from striate.images.reasons import reason
from striate.images.tiff import pages_of
from striate.images.warning_filter import quiet

__all__ = [
    "MAX_PIXELS",
    "MOST_BYTES",
    "SUFFIXES",
    "UNSUPPORTED",
    "Decoded",
    "Picture",
    "Shrink",
    "decode",
    "flatten_alpha",
    "identify",
    "moves",
    "open_picture",
    "pages_of",
    "quiet",
    "read_image",
    "reason",
    "refuse_bomb",
]

# Files of this room that other rooms import from, beside the names above.
OPEN = ("kinds", "pixels", "segments", "tiff", "tiff_colours")
