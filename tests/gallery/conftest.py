"""What tests of galleries share: images of made identities, a small network of one's own, and galleries of vectors alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from identities import network, write

import striate
from striate.gallery import Gallery
from striate.gallery.changing import changing
from striate.gallery.choosing import choose, impostors_of
from striate.gallery.part import Rows


@pytest.fixture
def trained() -> striate.Trained:
    """See `network`."""
    return network()


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Four identities of three images."""
    return write(tmp_path / "people", range(4))


Made = Callable[..., Gallery]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Makes a gallery of vectors (n, d) without a network."""

    def make(
        vectors: np.ndarray, names: Sequence[str], *, rate: float | None = None, groups: Sequence[str] = (),
        place: str = "made", at_once: int = 1000,
    ) -> Gallery:  # fmt: skip
        path = tmp_path / place
        unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        with changing(path, new=True) as change:
            for start in range(0, len(unit), at_once):
                stop = min(start + at_once, len(unit))
                change.add(
                    Rows(
                        vectors=unit[start:stop], contents=[i.to_bytes(16, "big") for i in range(start, stop)],
                        names=names[start:stop], paths=[f"{names[i]}/{i}.png" for i in range(start, stop)],
                        groups=groups[start:stop] if groups else [""] * (stop - start),
                    )
                )  # fmt: skip
                change.flush()
            document = {
                "format": 1, "created": "now", "parts": change.parts, "faces": False, "consent": "", "striate": "0",
                "network": {
                    "name": "none", "where": None, "layer": "", "size": unit.shape[1], "model": "0" * 64,
                    "preprocessing": "0" * 64, "pattern": [1.0],
                },
            }  # fmt: skip
            gallery = change.opened({**document, "threshold": {}})
            threshold = choose(impostors_of(gallery, None, 0), None, default=rate)
            change.commit({**document, "threshold": threshold})
        return Gallery.open(path)

    return make
