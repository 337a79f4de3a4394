"""The loss over pixels, against torch's and against arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F

from striate.answer import answer_of
from striate.errors import UsageError
from striate.tasks.classify.loss import CrossEntropy
from striate.tasks.multilabel.loss import BinaryCrossEntropy
from striate.tasks.regression.loss import Huber
from striate.tasks.segment.data import IGNORE
from striate.tasks.segment.loss import PixelCrossEntropy, dice_loss
from striate.training.averaging import WeightAverage
from striate.training.batch import Batch, Loss, LossFunction
from striate.training.loop import Training, gradient
from striate.training.optimizers import Optimizers
from striate.training.schedule import Pace


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
    assert float(dice_loss(p, target)[0]) == pytest.approx(1 - (first + second) / 2)
    twice = dice_loss(torch.cat((p, p)), torch.cat((target, 1 - target)))  # each image by itself
    assert float(twice[0]) == pytest.approx(1 - (first + second) / 2) and twice[1] > 0.6
    assert dice_loss(p, torch.full_like(target, IGNORE)).tolist() == [0.0]


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


class Small(torch.nn.Module):
    """A network without batch statistics, in float64."""

    def __init__(self, pixels: bool) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 4, 3, padding=1)
        self.out = torch.nn.Conv2d(4, 3, 1)
        self.pixels = pixels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.out(self.conv(x).tanh())
        return x if self.pixels else x.mean((2, 3))


LOSSES = {
    "classes": CrossEntropy(0.1),
    "pixels": PixelCrossEntropy(dice=0.0),
    "dice": PixelCrossEntropy(dice=1.0, smoothing=0.1),
    "weights": PixelCrossEntropy(dice=0.7, weights=torch.tensor([0.2, 1.0, 5.0])),
}


@pytest.mark.parametrize("name", LOSSES)
def test_micro_batches_of_any_size_give_the_same_gradient(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    pixels = name != "classes"
    model = Small(pixels).double()
    x = torch.randn(7, 1, 6, 8, dtype=torch.float64)
    target = torch.randint(0, 3, (7, 6, 8) if pixels else (7,))
    if pixels:
        target[0], target[1, :5], target[4, :, :3] = IGNORE, IGNORE, IGNORE
    found = []
    for size in (1, 3, 7):
        monkeypatch.setattr("striate.training.loop.micro_batch", lambda *_, size=size: size)
        training = Training(
            model=model,
            optimizers=Optimizers([torch.optim.SGD(model.parameters(), lr=0.1)]),
            average=WeightAverage(model, 0.0),
            pace=Pace(1),
            warmup=0.0,
            loss=LOSSES[name],
            dtype=torch.float32,
            device=torch.device("cpu"),
        )
        model.zero_grad()
        loss = gradient(training, Batch(x, target))
        found.append([loss.mean, *[p.grad.clone() for p in model.parameters()]])
    model.zero_grad()
    whole = LOSSES[name](model(x), Batch(x, target)).mean
    whole.backward()
    expected = [whole.detach(), *[p.grad for p in model.parameters()]]
    for made in found:
        for a, b in zip(made, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_a_batch_splits_its_targets_whatever_they_are() -> None:
    targets = {
        "boxes": [torch.zeros(i, 4) for i in range(5)],
        "labels": (torch.arange(5), torch.ones(5, 2)),
    }
    parts = Batch(torch.zeros(5, 1, 2, 2), targets).split(2)
    assert [len(p) for p in parts] == [2, 2, 1]
    assert [len(b) for b in parts[1].targets["boxes"]] == [2, 3]
    assert parts[2].targets["labels"][0].tolist() == [4] and parts[2].targets["labels"][
        1
    ].shape == (1, 2)
    moved = Batch(torch.zeros(1, 1), {"a": [torch.ones(2)]}).to("meta")
    assert moved.targets["a"][0].device.type == "meta"


@dataclass
class Answer:
    loss: torch.Tensor | None
    logits: torch.Tensor


class Named(NamedTuple):
    aux: torch.Tensor
    out: torch.Tensor


def test_the_prediction_of_any_output_is_found_or_refused() -> None:
    y = torch.ones(2, 3)
    other = torch.zeros(2, 7)
    for output in (
        y,
        (y, other),
        [y],
        {"aux": other, "out": y},
        {"x": y},
        Answer(None, y),
        Named(other, y),
        (None, y),
    ):
        assert answer_of(output) is y
    with pytest.raises(
        UsageError, match="returns dict with a, b, and which of it is the prediction is not known"
    ):
        answer_of({"a": y, "b": other})
    with pytest.raises(UsageError, match="returns int"):
        answer_of(3)


@pytest.mark.parametrize(
    ("loss", "output", "target"),
    [
        (CrossEntropy(0.1), (3, 4), torch.tensor([0, 3, 1])),
        (PixelCrossEntropy(), (2, 4, 5, 5), torch.arange(50).view(2, 5, 5) % 4),
        (Huber(), (3, 2), torch.arange(6.0).view(3, 2)),
        (BinaryCrossEntropy(), (3, 2), torch.arange(6.0).view(3, 2) % 2),
    ],
    ids=["classify", "segment", "regression", "multilabel"],
)
def test_losses_keep_double_precision(
    loss: LossFunction, output: tuple[int, ...], target: torch.Tensor
) -> None:
    """A loss that rounds to float32 fails every check of gradients."""
    x = torch.randn(output, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(
        lambda v: applied(loss, v, target).mean, x.requires_grad_(True), eps=1e-6, atol=1e-6
    )
