"""Hostile files and names, drawn by a seed: what a stranger's archive, camera or script can put into a folder of images."""

from __future__ import annotations

import io
import json
import os
import socket
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

SIDE = 12
PILLOW = {
    "png": "PNG", "jpg": "JPEG", "webp": "WEBP", "bmp": "BMP", "gif": "GIF", "ppm": "PPM", "jp2": "JPEG2000", "avif": "AVIF",
}  # fmt: skip
TIFFS: tuple[dict[str, object], ...] = (
    {}, {"compression": "zlib"}, {"tile": (16, 16)}, {"compression": "lzw", "rowsperstrip": 4}
)  # fmt: skip
TABLES = ("csv", "txt", "parquet", "jsonl", "json")
SUFFIXES = (*PILLOW, "tif", "npy", *TABLES)
ROWS = {"file": ["cat/0.png", "dog/0.png"], "label": ["cat", "dog"]}
NAMES = (
    b"a\nforged: b", b"a\x1b[2Jb", b"a\x07\x9b31m", b"caf\xe9", b"\xff\xfe", "a\u202egnp.exe".encode(), b"=cmd|' C'!A0",
    b"+1+1",
    b"@SUM(1)", b"-rf", b"--help", b"a b  c", "\U0001f600".encode(), "cafe\u0301".encode(), "caf\u00e9".encode(),
    b"[red]x", b"[bold", b"$x^{$", b"%s%n{0}", b"x" * 230, b"'\"`", b"<script>alert(1)", b"&lt;", b"a;b,c\td", b"CON",
    b"~root", b"*?[a]", b"\\..\\..\\x",
)  # fmt: skip


def image(rng: np.random.Generator, suffix: str) -> bytes:
    """A sound file of the format: an image of 12 x 12 pixels, an array, or a table."""
    pixels = rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    stream = io.BytesIO()
    if suffix == "npy":
        np.save(stream, pixels.transpose(2, 0, 1))
    elif suffix in ("csv", "txt"):
        return b"file,label\ncat/0.png,cat\ndog/0.png,dog\n"
    elif suffix == "parquet":
        return (Path(__file__).parent / "table.parquet").read_bytes()  # of ROWS; read with pyarrow
    elif suffix in ("jsonl", "json"):
        rows = [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)]
        return (json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows))).encode()
    elif suffix == "tif":
        more = TIFFS[int(rng.integers(len(TIFFS)))]
        grey = pixels[..., 0]
        kinds = (pixels, grey, grey.astype(np.uint16) * 257, grey.astype(np.float32))
        chosen = kinds[int(rng.integers(len(kinds)))]
        tifffile.imwrite(
            stream, chosen, photometric="rgb" if chosen.ndim == 3 else "minisblack", **more
        )
    else:
        modes = ("RGB", "L") if suffix in ("jpg", "ppm", "jp2", "avif") else ("RGB", "L", "P", "1", "RGBA")  # fmt: skip
        modes = modes if suffix not in ("bmp", "webp") else ("RGB", "L")
        mode = modes[int(rng.integers(len(modes)))]
        Image.fromarray(pixels).convert(mode).save(stream, PILLOW[suffix])
    return stream.getvalue()


def damaged(rng: np.random.Generator, data: bytes) -> bytes:
    """The bytes cut short, with bits flipped, a stretch overwritten, or numbers of its header made large."""
    raw = bytearray(data)
    match int(rng.integers(7)):
        case 0:
            return bytes(raw[: int(rng.integers(len(raw) + 1))])
        case 1 | 2:
            for at in rng.integers(0, len(raw), int(rng.integers(1, 12))):
                raw[at] ^= 1 << int(rng.integers(8))
        case 3:
            at, n = int(rng.integers(len(raw))), int(rng.integers(1, 64))
            raw[at : at + n] = rng.bytes(len(raw[at : at + n]))
        case 4:
            at = int(rng.integers(min(len(raw), 64)))
            raw[at : at + 4] = (b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0" * 4)[int(rng.integers(3))]
        case 5:
            at = int(rng.integers(len(raw)))
            raw[at:at] = rng.bytes(int(rng.integers(1, 300)))
        case _:
            return rng.bytes(int(rng.integers(0, 400)))
    return bytes(raw)


def place(rng: np.random.Generator, folder: Path) -> Path:
    """Something hostile in the folder: damage, a strange name, a pipe, a socket, a link or a folder."""
    name = NAMES[int(rng.integers(len(NAMES)))] if rng.random() < 0.3 else b"odd"
    suffix = SUFFIXES[int(rng.integers(len(SUFFIXES)))]
    path = folder / os.fsdecode(name + b"." + suffix.encode())
    match int(rng.integers(12)):
        case 0:
            os.mkfifo(path)
        case 1:
            near = os.open(folder, os.O_RDONLY)  # a socket's path has at most 108 bytes
            try:
                with socket.socket(socket.AF_UNIX) as one:
                    one.bind(f"/proc/self/fd/{near}/s")
                (folder / "s").rename(path)
            finally:
                os.close(near)
        case 2:
            targets = (path.name, "..", "/dev/zero", "/etc/passwd", "nowhere", "../dog")
            path.symlink_to(targets[int(rng.integers(len(targets)))])
        case 3:
            path.mkdir()
        case 4 | 5:
            path.write_bytes(image(rng, suffix))
        case 6:
            path.write_bytes(image(rng, SUFFIXES[int(rng.integers(len(SUFFIXES)))]))
        case _:
            path.write_bytes(damaged(rng, image(rng, suffix)))
    return path
