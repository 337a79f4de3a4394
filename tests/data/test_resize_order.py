"""Images are resized columns first, whatever Pillow does: rounding between the passes makes their order show."""

from __future__ import annotations

import numpy as np
import pytest

from striate.data import Preprocessing


def passes(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, antialiased: columns, rounded, then rows, rounded, by sums over single pixels; (H, W) -> (height, width)."""

    def one_way(rows: np.ndarray, count: int) -> np.ndarray:
        scale = rows.shape[1] / count
        reach = max(scale, 1.0)
        made = np.empty((rows.shape[0], count))
        for x in range(count):
            weights = np.maximum(0, 1 - abs(np.arange(rows.shape[1]) + 0.5 - (x + 0.5) * scale) / reach)  # fmt: skip
            made[:, x] = np.floor(rows @ weights / weights.sum() + 0.5)
        return made

    return one_way(one_way(image.astype(float), width).T, height).T


@pytest.mark.parametrize("size", [(71, 20, 19, 25), (147, 41, 28, 3), (20, 59, 19, 78), (41, 97, 12, 30)])  # fmt: skip
def test_columns_are_resized_before_rows(size: tuple[int, int, int, int]) -> None:
    height, width, rows, columns = size
    image = np.random.default_rng(3).integers(0, 256, (height, width)).astype(np.uint8)
    made = Preprocessing(channels=1, height=rows, width=columns).apply(image)[0]
    # Sums of another order meet a half now and then, which is then rounded to the other side.
    columns_first = (made != passes(image, rows, columns)).mean()
    rows_first = (made != passes(image.T, columns, rows).T).mean()
    assert columns_first < rows_first / 2
