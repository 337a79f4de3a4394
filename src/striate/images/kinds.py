"""Kinds of image files, recognised by their first bytes; a suffix may lie."""

from __future__ import annotations

from striate.errors import DataError

# fmt: off
SUFFIXES = frozenset((
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif",
))
UNSUPPORTED = frozenset((
    ".heic", ".heif", ".jxl", ".svg", ".psd", ".ico", ".tga", ".eps", ".pdf", ".dds", ".qoi",
    ".dcm", ".nii", ".exr", ".hdr", ".dng", ".cr2", ".nef", ".arw", ".czi", ".lif",
    ".npy", ".npz", ".mat", ".h5", ".tfrecord",
))
# fmt: on

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# First bytes -> what it is, for files that are recognised to be refused.
_REFUSED = (
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\1\0", "an icon of several sizes"),
    (b"DDS ", "a texture (DDS)"),
    (b"qoif", "a QOI image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (b"#?RADIANCE", "a Radiance HDR image"),
    (b"\x01\xda", "an SGI image"),
    (b"SIMPLE  =", "a FITS file"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
)


def identify(head: bytes) -> str:
    """The format of a file by its first 16 bytes; DataError with the bare reason if it is none that is read."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[8:10] == b"CR" and head.startswith(_TIFF):
        raise DataError("it is a camera's raw file; develop it, and save it as TIFF, PNG or JPEG")
    if head.startswith(_TIFF):
        return "TIFF"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"BM"):
        return "BMP"
    if len(head) > 2 and head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "PNM"
    if head.startswith((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")):
        return "JP2"
    if head[4:12] in (b"ftypavif", b"ftypavis"):
        return "AVIF"
    if not head:
        raise DataError("it is empty (0 bytes)")
    if not head.strip(b"\0"):
        raise DataError("it holds only zero bytes; copy it again from where it came")
    if head[4:8] == b"ftyp":
        raise DataError("it is a HEIC or video file; save it as JPEG or PNG")
    for start, what in _REFUSED:
        if head.startswith(start):
            raise DataError(f"it is {what}, which is not read; save it as PNG or TIFF")
    if all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head):
        raise DataError("it holds text, not an image")
    raise DataError(
        "it is no PNG, JPEG, WebP, BMP, TIFF, GIF, PNM, JPEG 2000 or AVIF image; save it as one of these"
    )
