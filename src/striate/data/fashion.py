"""Fashion-MNIST: 60,000 + 10,000 grey pictures of clothes, 28 x 28 pixels, in ten classes.

Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
algorithms" (2017).
"""

from __future__ import annotations

import gzip
import hashlib
import os
import urllib.request
import zlib
from pathlib import Path

import numpy as np

from striate.data.arrangement import FREE
from striate.data.arrays import open_array
from striate.data.pool import ordered
from striate.data.source import Source
from striate.data.splitting import TEST
from striate.errors import DataError, WriteError
from striate.writing import write_atomically

URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
SYSTEM = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
# SHA-256 of what each file holds when unpacked: distributions pack it anew with other time stamps.
# fmt: off
DIGESTS = {
    "train-images-idx3-ubyte.gz":
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz":
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz":
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz":
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
# fmt: on
TIMEOUT = 20  # seconds without a byte


def data_folder() -> Path:
    """Where downloads are kept: $STRIATE_DATA, else striate/ in the user's cache folder."""
    if chosen := os.environ.get("STRIATE_DATA"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "striate"


def open_fashion(*, seed: int = 0, val: float | None = None, test: float | None = None) -> Source:
    """Open Fashion-MNIST; its 10,000 test images are the test split.

    Looked for in the data folder, then where Debian puts it, else downloaded to the data folder.
    Raises DataError if a file is altered or cannot be fetched, UsageError if `test` is given.
    """
    folder = find() or fetch(data_folder() / "fashion-mnist")
    packed = ordered(lambda name: _read(folder, name), DIGESTS)
    train, train_labels, tested, test_labels = packed
    given = np.repeat(np.array([FREE, TEST], dtype=np.int8), [len(train), len(tested)])
    return open_array(
        np.concatenate([train, tested])[..., None],
        np.concatenate([train_labels, test_labels]).astype(np.int64),
        name="fashion-mnist",
        classes=CLASSES,
        where=str(folder),
        seed=seed,
        val=val,
        test=test,
        given=given,
        horizontal_flip=True,
    )


def find() -> Path | None:
    """The first folder that has all four files, or None."""
    places = (data_folder() / "fashion-mnist", SYSTEM)
    return next((p for p in places if all((p / name).is_file() for name in DIGESTS)), None)


def fetch(folder: Path) -> Path:
    """Download what `folder` lacks; a file appears there only when it is whole and verified.

    Raises DataError if the folder cannot be written, or if a file cannot be fetched or is not the
    one that was published.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot make {folder} for Fashion-MNIST: {error.strerror}; "
            "set STRIATE_DATA to a folder that can be written"
        ) from error
    for name in DIGESTS:
        if not (folder / name).is_file():
            _download(name, folder)
    return folder


def _download(name: str, folder: Path) -> None:
    help_ = (
        f"put the file there yourself, or install Debian's dataset-fashion-mnist (it is looked "
        f"for in {SYSTEM})"
    )
    try:
        with urllib.request.urlopen(URL + name, timeout=TIMEOUT) as answer:
            packed = answer.read()
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"fashion-mnist is not in {folder}, and {name} cannot be downloaded from {URL} "
            f"({reason}); {help_}"
        ) from error
    _verified(packed, name, f"the download of {URL}{name}")
    try:
        write_atomically(folder / name, packed)
    except WriteError as error:
        raise DataError(f"{error}; make room there or set STRIATE_DATA") from error


def _verified(packed: bytes, name: str, what: str) -> bytes:
    try:
        raw = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{what} is broken ({error}); delete it and try again") from error
    if hashlib.sha256(raw).hexdigest() != DIGESTS[name]:
        raise DataError(
            f"{what} is not the published one (its SHA-256 differs); delete it and try again"
        )
    return raw


def _read(folder: Path, name: str) -> np.ndarray:
    """An idx file: images (N, H, W) or labels (N,), uint8. LeCun's format: 0 0 8 AXES, sizes."""
    raw = _verified((folder / name).read_bytes(), name, str(folder / name))
    axes = raw[3]
    shape = np.frombuffer(raw, dtype=">i4", count=axes, offset=4)
    return np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape)
