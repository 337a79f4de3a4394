"""What comes in is checked once, with a message that says what to do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.errors import DataError
from striate.tasks.classify.findings import Scores, softmax

GOOD = [[0.7, 0.3], [0.2, 0.8]]


@pytest.mark.parametrize(
    ("probabilities", "labels", "classes", "message"),
    [
        (
            [[np.nan, 0.5], [0.2, 0.8]],
            [0, 1],
            "ab",
            r"NaN or infinity for 1 of 2 images, the first at index 0",
        ),
        (
            [[0.5, 0.5], [np.inf, 0.8]],
            [0, 1],
            "ab",
            r"NaN or infinity for 1 of 2 images, the first at index 1",
        ),
        (
            [[3.0, -1.0], [0.2, 0.8]],
            [0, 1],
            "ab",
            r"sum to 1, got row 0 from -1 with sum 2; pass logits through",
        ),
        ([[1.0, 1.0], [0.2, 0.8]], [0, 1], "ab", r"got row 0 from 1 with sum 2"),
        (GOOD, [0, 2], "ab", r"labels must be integers from 0 to 1, got int64 from 0 to 2"),
        (GOOD, [-1, 0], "ab", r"labels must be integers from 0 to 1, got int64 from -1 to 0"),
        (GOOD, [0.0, 1.0], "ab", r"labels must be integers from 0 to 1, got float64"),
        (GOOD, [0], "ab", r"labels must be \(2,\), one an image, got \(1,\)"),
        (GOOD, [0, 1], "abc", r"must be \(N, 3\), one column a class, got \(2, 2\)"),
        ([0.5, 0.5], [0, 1], "ab", r"must be \(N, 2\), one column a class, got \(2,\)"),
        ([[1.0], [1.0]], [0, 0], "a", r"two classes or more, got 1"),
        (np.zeros((0, 2)), np.zeros(0, dtype=int), "ab", r"at least one image, got none"),
    ],
)
def test_what_does_not_fit_is_refused(
    probabilities: object, labels: object, classes: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Scores.of(np.asarray(probabilities), np.asarray(labels), list(classes))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_of_every_precision_and_gradients_are_taken(dtype: torch.dtype) -> None:
    logits = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)).to(dtype)
    p = torch.softmax(logits.requires_grad_(), dim=1)
    scores = Scores.of(p, torch.arange(50) % 7, list("abcdefg"))
    assert scores.probabilities.dtype == np.float32
    np.testing.assert_array_equal(scores.predicted, logits.argmax(dim=1).numpy())


def test_softmax_of_large_logits_is_finite_and_sums_to_one() -> None:
    p = softmax(
        torch.tensor([[1000.0, 0.0, -1000.0], [0.0, np.log(3.0), 0.0]], dtype=torch.float64)
    )
    np.testing.assert_allclose(p, [[1, 0, 0], [0.2, 0.6, 0.2]], atol=1e-6)


def test_the_callers_array_is_left_alone() -> None:
    p = np.array([[1.0, 0.0], [0.5, 0.5]], dtype=np.float32)
    scores = Scores.of(p, [0, 1], ["a", "b"])
    assert p[0, 0] == 1
    assert scores.confidence[0] < 1  # so that torchmetrics counts it in the last bin
