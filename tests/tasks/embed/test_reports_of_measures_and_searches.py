"""More that people reported of other tools' searches, measures and losses, made small: each is tried here."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from striate.errors import UsageError
from striate.gallery import search
from striate.gallery.search import nearest_of
from striate.tasks.embed.evaluation.curve import curve_from
from striate.tasks.embed.evaluation.embedded import Embedded
from striate.tasks.embed.evaluation.open_set import probe
from striate.tasks.embed.evaluation.retrieval import retrieve
from striate.tasks.embed.losses import BatchHardTriplet, CosineSoftmax, SupervisedContrastive
from striate.training.batch import Batch


def ring(*degrees: float) -> np.ndarray:
    a = np.radians(degrees)
    return np.stack((np.cos(a), np.sin(a)), 1).astype(np.float32)


def repeated(rows: int, kinds: int) -> np.ndarray:
    """(rows, 8) of length 1, of few kinds, so that most similarities tie."""
    x = np.random.default_rng(0).standard_normal((kinds, 8)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x[np.random.default_rng(1).integers(0, kinds, rows)]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("queries", [1, 3])
def test_the_first_hundred_are_the_same_however_many_are_asked_for(
    threads: int, queries: int
) -> None:
    """faiss, issues 808, 813 and 1985: the 100 nearest are not the first 100 of the 10,000 nearest."""
    x = repeated(3000, 40)
    q = repeated(queries, 40)
    pieces = [(start, x[start : start + 256]) for start in range(0, len(x), 256)]
    scores, few = nearest_of(pieces, q, 100, threads=threads)
    more_scores, many = nearest_of(pieces, q, 2500, threads=threads)
    assert (few == many[:, :100]).all() and (scores == more_scores[:, :100]).all()


def test_of_copies_the_earliest_is_first() -> None:
    """faiss, issue 1201: of a row and its copy either may stand first."""
    x = np.concatenate((ring(0, 40, 80, 120, 160), ring(120)))
    _, found = nearest_of([(0, x[:4]), (4, x[4:])], ring(120), 2)
    assert found.tolist() == [[3, 5]]


def test_a_piece_that_only_ties_with_the_worst_is_not_passed_over() -> None:
    """A piece whose largest similarity is that of the worst kept may hold an earlier row, where threads overtake."""
    best = search._Best(1, 2)
    best.add(np.array([[0.9], [0.5]], np.float32), 10)
    best.add(np.array([[0.5], [0.1]], np.float32), 0)
    best.add(np.array([[0.4], [0.49]], np.float32), 4)
    assert best.best()[1].tolist() == [[10, 0]]


def test_average_precision_has_no_trapezoids() -> None:
    """Person_reID_baseline_pytorch, issue 16: right ones at ranks 1, 2, 4 and 7 give less than (1 + 1 + 3/4 + 4/7) / 4."""
    e = ring(0, 1, 2, 3, 4, 5, 6, 7)
    y = np.array([0, 0, 0, 1, 0, 2, 3, 0])
    found = retrieve(Embedded.of(e, y))
    assert found.precision[found.queries == 0] == pytest.approx((1 + 1 + 3 / 4 + 4 / 7) / 4)
    # Revisiting_Deep_Metric_Learning_PyTorch, issue 4: MAP@R looks at the R nearest alone, here ranks 1 to 4.
    assert found.map_at_r[found.queries == 0] == pytest.approx((1 + 1 + 3 / 4) / 4)
    # R-precision is another thing than recall, pytorch-metric-learning, issue 283.
    assert found.r_precision[found.queries == 0] == pytest.approx(3 / 4)


def test_recall_never_falls_with_k_and_stays_at_all() -> None:
    """pytorch-metric-learning, issue 283: is recall at k 100 % wherever recall at 1 is? It is."""
    e = ring(0, 1, 90, 91, 180, 181)
    found = retrieve(Embedded.of(e, np.arange(6) // 2))
    assert [found.recall(k).value for k in (1, 2, 5)] == [1, 1, 1]
    mixed = retrieve(Embedded.of(ring(0, 10, 4, 90, 99, 93), np.array([0, 0, 1, 2, 2, 1])))
    values = [mixed.recall(k).value for k in range(1, 6)]
    assert values == sorted(values) and values[0] < 1 and values[-1] == 1


def test_alarms_are_a_share_of_strangers_and_not_of_all_who_ask() -> None:
    """AdaFace, issue 169, insightface, pull requests 1386 and 1387: the threshold of identification by the number of probes
    of the enrolled, and by all comparisons with a stranger instead of its highest."""
    # Gallery: 0 at 0°, 1 at 180°. Sixteen probes of the enrolled and four strangers: at 30, 60, 85 and 95 degrees.
    e = ring(0, *range(1, 9), 180, *range(181, 189), 30, 60, 85, 95)
    y = np.array([0] * 9 + [1] * 9 + [2, 3, 4, 5])
    probes = probe(Embedded.of(e, y), np.array([0, 9]))
    assert probes.strangers.size == 4 and probes.best.size == 16
    strangers = np.sort([math.cos(math.radians(d)) for d in (30, 60, 85, 85)])[::-1]
    assert np.sort(probes.strangers)[::-1] == pytest.approx(strangers, abs=1e-6)
    assert probes.alarms(math.cos(math.radians(61))).value == 0.5


def test_a_rate_below_what_the_pairs_show_is_refused_and_above_is_never_exceeded() -> None:
    """insightface, issues 409 and 1765: which of the points is true accepts at 1e-6, where the curve has none there?"""
    rng = np.random.default_rng(0)
    curve = curve_from(rng.normal(0.5, 0.2, 300), rng.normal(0, 0.2, 3000))
    with pytest.raises(UsageError, match="3,000,000"):
        curve.at_far(1e-6)
    for rate in (0.001, 0.0035, 0.01):
        assert curve.at_far(rate).far <= rate < curve.at_far(rate).far + 1 / 3000 + 1e-9


def batch_of(x: torch.Tensor, labels: list[int]) -> Batch:
    return Batch(x, torch.tensor(labels))


@pytest.mark.parametrize("loss", [BatchHardTriplet(), BatchHardTriplet(margin=0.2), SupervisedContrastive()])  # fmt: skip
@pytest.mark.parametrize(
    "labels", [[0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 1, 2]], ids=["one", "none twice", "some"]
)
def test_a_batch_without_pairs_has_a_loss_that_is_a_number(loss, labels: list[int]) -> None:  # type: ignore[no-untyped-def]
    """triplet-loss-pytorch, issue 3; facenet, issue 796; pyannote-audio, issue 112: batches that hold no triplet, or equal
    embeddings, give NaN, or a mean over triplets that are not there."""
    x = torch.ones(4, 3, requires_grad=True)
    made = loss(x, batch_of(x, labels))
    made.sum.backward()
    assert torch.isfinite(made.sum) and x.grad is not None and torch.isfinite(x.grad).all()
    counting = [n for n in labels if labels.count(n) > 1]
    if isinstance(loss, BatchHardTriplet) and len(set(labels)) == 1:
        counting = []  # nobody else is there
    assert int(made.weight) == len(counting)


@pytest.mark.parametrize("kind", ["arcface", "cosface", "softmax"])
def test_an_own_cosine_beyond_one_by_rounding_has_a_gradient(kind: str) -> None:
    """InsightFace_Pytorch, issue 93; keras-ArcFace, issue 2; Angular-Penalty-Softmax-Losses-Pytorch, issue 15: the root of
    1 - cos² of 1.0000001 is no number, and so are all centres one step later."""
    cosines = torch.tensor([[1.0000001, -1.0], [-1.0000001, 1.0]], requires_grad=True)
    loss = CosineSoftmax(kind=kind, scale=64.0, margin=0.5)
    made = loss((torch.ones(2, 2), cosines), batch_of(torch.ones(2, 2), [0, 0]))
    made.sum.backward()
    assert torch.isfinite(made.sum) and cosines.grad is not None
    assert torch.isfinite(cosines.grad).all()
