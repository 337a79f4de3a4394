"""Losses of metric learning against the papers' formulas written out in loops, and against numbers worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.tasks.embed.losses import (
    BatchHardTriplet,
    CosineSoftmax,
    LeaveOneOut,
    SupervisedContrastive,
    additive_angular_margin,
)
from striate.tasks.embed.network import CentredNetwork
from striate.training.averaging import WeightAverage
from striate.training.batch import Batch, Loss
from striate.training.loop import Training, gradient, joined
from striate.training.optimizers import Optimizers
from striate.training.own import OwnLoss
from striate.training.schedule import Pace

LABELS = torch.tensor([0, 0, 1, 1, 2, 1, 3])


@pytest.fixture
def embeddings() -> Tensor:
    return torch.from_numpy(np.random.default_rng(5).normal(0, 3, (7, 6)).astype(np.float32))


@pytest.fixture
def centres() -> Tensor:
    return torch.from_numpy(np.random.default_rng(6).normal(0, 1, (4, 6)).astype(np.float32))


def cosine(a: Tensor, b: Tensor) -> float:
    dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(float(x) ** 2 for x in a)) / math.sqrt(sum(float(y) ** 2 for y in b))


def arc(theta: float, m: float) -> float:
    return math.cos(theta + m) if theta + m < math.pi else math.cos(theta) - m * math.sin(m)


OWN_TERM = {
    "arcface": arc,
    "cosface": lambda theta, m: math.cos(theta) - m,
    "softmax": lambda theta, m: math.cos(theta),
}


@pytest.mark.parametrize("kind", OWN_TERM)
def test_cosine_losses_are_their_papers_sums(
    kind: str, embeddings: Tensor, centres: Tensor
) -> None:
    s, m = 8.0, 0.4
    total = 0.0
    for x, y in zip(embeddings, LABELS.tolist(), strict=True):
        theta = [math.acos(cosine(x, w)) for w in centres]
        own = math.exp(s * OWN_TERM[kind](theta[y], m))
        rest = sum(math.exp(s * math.cos(t)) for j, t in enumerate(theta) if j != y)
        total -= math.log(own / (own + rest))
    network = CentredNetwork(nn.Identity(), 4, 6).train()
    with torch.no_grad():
        network.centres.weight.copy_(centres)
    output = network(embeddings)
    made = CosineSoftmax(kind=kind, scale=s, margin=m)(output, Batch(embeddings, LABELS)).detach()
    assert float(made.mean) == pytest.approx(total / 7, rel=1e-5)
    assert made.parts["accuracy"] == sum(
        max(range(4), key=lambda j: cosine(x, centres[j])) == y
        for x, y in zip(embeddings, LABELS.tolist(), strict=True)
    )


def test_the_angular_margin_by_hand() -> None:
    # theta = 60 degrees and m = 30 degrees: cos 90 = 0. theta = 180 degrees: beyond pi - m, cos 180 - m sin m.
    cosines = torch.tensor([[0.5, 0.1], [-1.0, 0.1], [1.0, 0.1]])
    moved = additive_angular_margin(cosines, torch.zeros(3, dtype=torch.int64), math.pi / 6)
    assert moved[:, 0].tolist() == pytest.approx(
        [0.0, -1 - math.pi / 12, math.cos(math.pi / 6)], abs=1e-5
    )
    assert moved[:, 1].tolist() == pytest.approx([0.1] * 3)


def test_a_larger_angle_never_costs_less() -> None:
    for m in (0.1, 0.5, 1.5, 2.0):
        theta = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
        moved = additive_angular_margin(
            theta.cos()[:, None], torch.zeros(2001, dtype=torch.int64), m
        )[:, 0]
        assert (moved.diff() <= 1e-9).all(), m


@pytest.mark.parametrize("cos", [1.0, -1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_finite_where_the_angle_is_0_or_180_degrees(
    cos: float, dtype: torch.dtype
) -> None:
    # ronghuaiyang/arcface-pytorch 32, face.evoLVe 117, insightface 1664 and 1715: NaN after some thousand steps, in half
    # precision sooner, from the root of 1 - cos^2.
    x = torch.tensor([[3.0, 0, 0]], dtype=dtype, requires_grad=True)
    network = CentredNetwork(nn.Identity(), 2, 3).train()
    with torch.no_grad():
        network.centres.weight.copy_(torch.tensor([[cos, 0, 0], [0, 1.0, 0]]))
    with torch.autocast("cpu", torch.bfloat16):
        embedding, cosines = network(x)
    assert cosines.dtype == torch.float32  # bfloat16 knows 1 and 0.996, a difference of 5 degrees
    loss = CosineSoftmax(kind="arcface", scale=64.0, margin=0.5)(
        (embedding, cosines), Batch(x, torch.tensor([0]))
    )
    loss.sum.backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()
    assert torch.isfinite(network.centres.weight.grad).all()


def test_an_embedding_of_length_0_has_a_loss_and_a_gradient() -> None:
    x = torch.zeros(4, 3, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1])
    network = CentredNetwork(nn.Identity(), 2, 3).train()
    outputs = (network(x), x, x)
    for loss, output in zip(
        (CosineSoftmax(), BatchHardTriplet(), SupervisedContrastive()), outputs, strict=True
    ):
        made = loss(output, Batch(x, labels))
        x.grad = None
        made.sum.backward(retain_graph=True)
        assert torch.isfinite(made.sum) and torch.isfinite(x.grad).all()


def test_the_margin_rises_with_the_steps_of_the_training() -> None:
    # InsightFace-tensorflow 23, insightface 2144: from the first step on with the whole margin, the loss stays at 20.
    loss = CosineSoftmax(margin=0.5, warmup=10)
    assert [loss.margin_at(step) for step in (0, 5, 10, 99, None)] == [0, 0.25, 0.5, 0.5, 0.5]
    cosines, labels = torch.tensor([[0.5, 0.2]]), torch.tensor([0])
    at = [float(loss((cosines, cosines), Batch(cosines, labels, step)).sum) for step in (0, 5, 10)]
    plain = CosineSoftmax(kind="softmax")((cosines, cosines), Batch(cosines, labels))
    assert at[0] == pytest.approx(float(plain.sum)) and at[0] < at[1] < at[2]


def distances(embeddings: Tensor) -> list[list[float]]:
    rows = [[float(v) / math.sqrt(sum(float(u) ** 2 for u in x)) for v in x] for x in embeddings]
    return [
        [math.sqrt(sum((a - b) ** 2 for a, b in zip(x, y, strict=True))) for y in rows]
        for x in rows
    ]


@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_the_batch_hard_triplet_is_its_papers_sum(margin: float, embeddings: Tensor) -> None:
    d, labels = distances(embeddings), LABELS.tolist()
    losses = []
    for a in range(7):
        positive = [d[a][p] for p in range(7) if p != a and labels[p] == labels[a]]
        negative = [d[a][n] for n in range(7) if labels[n] != labels[a]]
        if positive and negative:
            gap = max(positive) - min(negative)
            losses.append(max(0.0, margin + gap) if margin else math.log1p(math.exp(gap)))
    made = BatchHardTriplet(margin=margin)(embeddings, Batch(embeddings, LABELS))
    assert len(losses) == 5 == int(made.weight)  # two identities have one image each
    assert float(made.mean) == pytest.approx(sum(losses) / 5, rel=1e-5)


def test_a_triplet_by_hand() -> None:
    # Two images of 0 at right angles (distance sqrt 2), one of 1 opposite the first (2 and sqrt 2).
    x = torch.tensor([[1.0, 0], [0, 2.0], [-5.0, 0]])
    made = BatchHardTriplet(margin=0.2)(x, Batch(x, torch.tensor([0, 0, 1])))
    root = math.sqrt(2)
    assert float(made.sum) == pytest.approx(max(0, 0.2 + root - 2) + 0.2 + root - root, rel=1e-5)


def test_supervised_contrastive_is_its_papers_sum(embeddings: Tensor) -> None:
    tau, labels = 0.2, LABELS.tolist()
    losses = []
    for i in range(7):
        others = [a for a in range(7) if a != i]
        positive = [p for p in others if labels[p] == labels[i]]
        if not positive:
            continue
        below = sum(math.exp(cosine(embeddings[i], embeddings[a]) / tau) for a in others)
        terms = [
            math.log(math.exp(cosine(embeddings[i], embeddings[p]) / tau) / below) for p in positive
        ]
        losses.append(-sum(terms) / len(positive))
    made = SupervisedContrastive(temperature=tau)(embeddings, Batch(embeddings, LABELS))
    assert int(made.weight) == len(losses) == 5
    assert float(made.mean) == pytest.approx(sum(losses) / 5, rel=1e-5)


def test_the_validation_loss_asks_the_other_images_of_each_identity(embeddings: Tensor) -> None:
    s, labels = 4.0, LABELS.tolist()
    rows = [x / x.norm() for x in embeddings]
    losses = []
    for i in range(7):
        means = {k: [rows[j] for j in range(7) if labels[j] == k and j != i] for k in set(labels)}
        if not means[labels[i]]:
            continue
        scores = {k: s * cosine(rows[i], sum(m)) for k, m in means.items() if m}  # type: ignore[arg-type]
        losses.append(math.log(sum(math.exp(v) for v in scores.values())) - scores[labels[i]])
    made = LeaveOneOut(scale=s)(embeddings, Batch(embeddings, 7 * LABELS))  # whatever the numbers
    assert float(made.mean) == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def training_of(loss: object, module: nn.Module) -> Training:
    return Training(
        model=module, optimizers=Optimizers([torch.optim.SGD(module.parameters(), lr=0.1)]),
        average=WeightAverage(module, 0), pace=Pace(1), warmup=0.1, loss=loss,
        dtype=torch.float32, device=torch.device("cpu"),
    )  # fmt: skip


EACH = [BatchHardTriplet(), SupervisedContrastive(), CosineSoftmax(warmup=8)]


@pytest.mark.parametrize("loss", EACH, ids=lambda loss: type(loss).__name__)
def test_micro_batches_give_the_gradient_of_the_whole_batch(
    loss: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Flatten(), nn.Linear(48, 6))
    module = inner if loss.related else CentredNetwork(inner, 4, 6)  # type: ignore[attr-defined]
    batch = Batch(torch.randn(7, 3, 4, 4), LABELS, step=3)
    grads, losses = [], []
    for size in (7, 3):
        monkeypatch.setattr("striate.training.loop.micro_batch", lambda *a, size=size: size)
        module.zero_grad()
        losses.append(float(gradient(training_of(loss, module), batch).mean))
        grads.append([p.grad.clone() for p in module.parameters()])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for a, b in zip(*grads, strict=True):
        assert a.abs().sum() > 0
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_loss_of_pairs_within_micro_batches_would_be_another_number() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 5)
    labels = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
    loss = SupervisedContrastive()
    parts = [loss(x[i : i + 4], Batch(x[i : i + 4], labels[i : i + 4])) for i in (0, 4)]
    assert float((parts[0] + parts[1]).weight) == 0 < float(loss(x, Batch(x, labels)).weight)


def test_a_loss_of_ones_own_is_related_where_the_tasks_is() -> None:
    def own(output: Tensor, targets: Tensor) -> Tensor:
        return output.sum() * 0

    assert OwnLoss.of(own, BatchHardTriplet()).related
    assert not OwnLoss.of(own, lambda output, batch: Loss(output.sum(), 1)).related


def test_outputs_are_joined_whatever_holds_them() -> None:
    a, b = torch.zeros(2, 3), torch.ones(1, 3)
    assert joined([a, b]).shape == (3, 3)
    first, second = joined([(a, a), (b, b)])
    assert first.shape == second.shape == (3, 3) and joined([{"x": a}, {"x": b}])["x"].shape == (
        3,
        3,
    )


LOSSES = [CosineSoftmax(), BatchHardTriplet(margin=0.3), SupervisedContrastive(), LeaveOneOut()]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_backpropagation_agrees_with_finite_differences_in_double_precision(
    loss: object, embeddings: Tensor
) -> None:
    def value(x: Tensor) -> Tensor:
        return loss(x, Batch(x, LABELS)).sum  # type: ignore[operator]

    assert torch.autograd.gradcheck(value, embeddings.double().requires_grad_(True))


def test_the_angular_margin_in_training_agrees_with_finite_differences(embeddings: Tensor) -> None:
    network = CentredNetwork(nn.Identity(), 4, 6).train().double()

    def value(x: Tensor) -> Tensor:
        return CosineSoftmax(scale=8.0, margin=0.4)(network(x), Batch(x, LABELS)).sum

    assert torch.autograd.gradcheck(value, embeddings.double().requires_grad_(True))
