"""Pictures of pixels on the page: their size, by their header alone."""

from __future__ import annotations

import io
import warnings

from PIL import Image

from striate.errors import DataError


def size_of(content: bytes) -> tuple[int, int]:
    """Width and height of an encoded picture, in pixels.

    A run from elsewhere may hold any bytes as its picture. Raises DataError where they are none, or one of more pixels than
    Pillow takes for honest (89 million).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as picture:
                return picture.size
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise DataError("it is larger than any picture of a page") from None
    except Exception as error:  # decoders raise a dozen kinds on broken files
        raise DataError("it is no picture that can be read") from error
