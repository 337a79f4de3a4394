"""The handwritten digits that scikit-learn carries: 1,797 images of 8 x 8 pixels."""

from __future__ import annotations

import numpy as np

from striate.data.arrays import open_array
from striate.data.source import Source


def open_digits(*, seed: int = 0, val: float | None = None, test: float | None = None) -> Source:
    """Open the digits (Alpaydin and Kaynak, UCI repository, 1998), grey levels 0..16 as 0..255."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    images = np.rint(raw.images * (255 / 16)).astype(np.uint8)[..., None]
    return open_array(
        images,
        np.asarray(raw.target, dtype=np.int64),
        name="digits",
        classes=tuple(str(d) for d in range(10)),
        where="scikit-learn's load_digits",
        seed=seed,
        val=val,
        test=test,
        horizontal_flip=False,
    )
