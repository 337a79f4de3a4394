"""What a run is analysed with may be given in Python, as for a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import striate
from striate.errors import StriateError
from striate.runs.given import folder_of
from striate.runs.images import source_of

OLD = Path(__file__).parent / "old" / "classes"
DIGITS = load_digits()
IMAGES = (DIGITS.images[:60] * 15).astype(np.uint8)
LABELS = DIGITS.target[:60]
PAIRS = list(zip(IMAGES, LABELS.tolist(), strict=True))


@pytest.mark.parametrize(
    "data",
    [(IMAGES, LABELS), PAIRS, {"image": IMAGES, "label": LABELS}, striate.open_source(PAIRS)],
    ids=["arrays", "dataset", "columns", "source"],
)
def test_data_with_labels_open_in_the_classes_of_the_run(data: Any) -> None:
    run = striate.load(OLD)
    with folder_of(data, None, run.trained) as where:
        source = source_of(run, where)
    assert set(source.classes) <= set(run.classes)
    assert len(source) == 60


@pytest.mark.parametrize(
    "images",
    [
        IMAGES[..., None],
        torch.from_numpy(IMAGES)[:, None],
        list(IMAGES),
        Image.fromarray(IMAGES[0]),
    ],
    ids=["array", "tensor", "list", "PIL"],
)
def test_images_alone_are_no_data_with_labels(images: Any, tmp_path: Path) -> None:
    with folder_of(images, None, striate.load(OLD).trained) as where:
        assert where is not None
        assert Path(where).is_dir()


def test_data_of_other_classes_are_refused() -> None:
    run = striate.load(OLD)
    words = [("even", "odd")[label % 2] for label in LABELS]
    with (
        folder_of((IMAGES, words), None, run.trained) as where,
        pytest.raises(StriateError, match="does not know"),
    ):
        source_of(run, where)
