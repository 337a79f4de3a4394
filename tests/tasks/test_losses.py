"""The loss over pixels, against torch's and against arithmetic."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from striate.tasks.classify.loss import CrossEntropy
from striate.tasks.segment.data import IGNORE
from striate.tasks.segment.loss import PixelCrossEntropy, dice_loss
from striate.training.batch import Batch, Loss, LossFunction


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    target = torch.randint(0, 4, (2, 5, 6))
    target[0, :2] = IGNORE
    return torch.randn(2, 4, 5, 6), target


def applied(loss: LossFunction, logits: torch.Tensor, target: torch.Tensor) -> Loss:
    return loss(logits, Batch(torch.zeros(len(logits), 1, 1, 1), target))


def test_classes_is_torch_s_cross_entropy() -> None:
    logits, labels = torch.randn(8, 3), torch.randint(0, 3, (8,))
    loss = applied(CrossEntropy(0.1), logits, labels)
    right = loss.parts["accuracy"]
    torch.testing.assert_close(loss.mean, F.cross_entropy(logits, labels, label_smoothing=0.1))
    assert int(right) == int((logits.argmax(1) == labels).sum())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_without_dice_it_is_torch_s_cross_entropy(
    batch: tuple[torch.Tensor, torch.Tensor], smoothing: float
) -> None:
    logits, target = batch
    loss = applied(PixelCrossEntropy(dice=0, smoothing=smoothing), logits, target).mean
    wanted = F.cross_entropy(logits, target, ignore_index=IGNORE, label_smoothing=smoothing)
    torch.testing.assert_close(loss, wanted)


def test_weights_are_torch_s(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, target = batch
    weights = torch.tensor([0.2, 1.0, 3.0, 0.5])
    loss = applied(PixelCrossEntropy(dice=0, weights=weights), logits, target).mean
    torch.testing.assert_close(
        loss, F.cross_entropy(logits, target, weight=weights, ignore_index=IGNORE)
    )


def test_dice_of_a_worked_example() -> None:
    # Two pixels of class 0 and two of class 1; probabilities of class 1: 0, 0.5, 1, 1.
    p1 = torch.tensor([[0.0, 0.5, 1.0, 1.0]])
    p = torch.stack((1 - p1, p1), 1).view(1, 2, 2, 2)
    target = torch.tensor([[[0, 0], [1, 1]]])
    first = 2 * 1.5 / (1.5 + 2)  # |p0 t0| = 1.5, |p0| = 1.5, |t0| = 2
    second = 2 * 2 / (2.5 + 2)
    assert float(dice_loss(p, target)) == pytest.approx(1 - (first + second) / 2)


def test_ignored_pixels_change_nothing(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, target = batch
    other = logits.clone()
    other[0, :, :2] += 5 * torch.randn(4, 2, 6)
    a, b = (applied(PixelCrossEntropy(), x, target) for x in (logits, other))
    torch.testing.assert_close(a.mean, b.mean)
    torch.testing.assert_close(a.parts["accuracy"], b.parts["accuracy"])


def test_right_counts_shares_of_images() -> None:
    logits = torch.zeros(2, 2, 1, 4)
    logits[:, 1, :, :2] = 1  # the first half is said to be class 1
    target = torch.tensor([[[1, 1, 0, 0]], [[0, 0, 0, IGNORE]]])
    right = applied(PixelCrossEntropy(), logits, target).parts["accuracy"]
    assert float(right) == pytest.approx(1 + 1 / 3)


def test_a_batch_of_ignored_pixels_has_no_gradient() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    applied(PixelCrossEntropy(), logits, torch.full((1, 4, 4), IGNORE)).mean.backward()
    assert logits.grad is not None and not logits.grad.any()
