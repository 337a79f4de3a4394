"""Measures of embeddings against scikit-learn, and against loops over every pair and every ranking."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from striate.errors import DataError, UsageError
from striate.tasks.embed.evaluation import curve as curves
from striate.tasks.embed.evaluation import embedded as embeddeds
from striate.tasks.embed.evaluation.curve import curve_from, curve_of
from striate.tasks.embed.evaluation.embedded import Embedded
from striate.tasks.embed.evaluation.folds import (
    Pairs,
    best_threshold,
    draw_pairs,
    similarities_of,
    verify,
)
from striate.tasks.embed.evaluation.open_set import identify
from striate.tasks.embed.evaluation.retrieval import retrieve
from striate.tasks.embed.evaluation.verification import rates_at, rates_by_group


def unequal(population, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
    """Identities with 1 to 6 images, in a random order, with labels that are no running numbers."""
    e, y = population(25, 6, seed)
    rng = np.random.default_rng(seed)
    kept = rng.permutation(np.flatnonzero(np.arange(len(y)) % 6 <= y % 6))
    return e[kept], 1000 - 7 * y[kept]


def all_pairs(e: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Similarity and sameness of every pair, by a loop."""
    pairs = [(e[i] @ e[j], y[i] == y[j]) for i in range(len(y)) for j in range(i)]
    return np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])


@pytest.fixture(params=["exact", "binned"])
def small_blocks(request, monkeypatch) -> str:  # type: ignore[no-untyped-def]
    """Blocks of a few rows; with every similarity a threshold, or with bins."""
    monkeypatch.setattr(embeddeds, "AT_ONCE", 300)
    if request.param == "binned":
        monkeypatch.setattr(curves, "EXACT", 0)
    return request.param


def test_roc_and_its_area_are_scikit_learns(population, small_blocks: str) -> None:  # type: ignore[no-untyped-def]
    e, y = unequal(population)
    s, same = all_pairs(e, y)
    curve = curve_of(Embedded.of(e, y))
    assert curve.pairs == ((~same).sum(), same.sum())
    assert curve.auc == pytest.approx(roc_auc_score(same, s), abs=1e-5)
    _, _, thresholds = roc_curve(same, s, drop_intermediate=False)
    for t, f, r in zip(curve.thresholds[::37], curve.far[::37], curve.tar[::37], strict=True):
        # Whatever lies between thresholds: the counts at one are exact. A rounding of the product may move one pair.
        assert f == pytest.approx((s[~same] >= t - 1e-7).mean(), abs=1.1 / (~same).sum())
        assert r == pytest.approx((s[same] >= t - 1e-7).mean(), abs=1.1 / same.sum())
    if small_blocks == "exact":
        assert len(curve.thresholds) == pytest.approx(len(thresholds) - 1, abs=5)


def test_ties_of_the_area_count_half() -> None:
    genuine, impostor = np.array([0.5, 0.5, 0.9]), np.array([0.5, 0.1])
    same = np.array([1, 1, 1, 0, 0])
    expected = roc_auc_score(same, np.concatenate((genuine, impostor)))
    assert curve_from(genuine, impostor).auc == pytest.approx(expected)


def test_equal_error_rate_by_hand() -> None:
    """At 0.6 one of four impostors is accepted and one of four genuine pairs is not."""
    curve = curve_from(np.array([0.4, 0.7, 0.8, 0.9]), np.array([0.1, 0.2, 0.3, 0.6]))
    assert curve.eer().far == 0.25
    assert curve_from(np.array([0.8, 0.9]), np.array([0.1, 0.2])).eer().far == 0
    assert curve_from(np.array([0.1, 0.2]), np.array([0.8, 0.9])).eer().far == 1
    assert curve_from(np.full(5, 0.5), np.full(5, 0.5)).eer().far == 0.5


def test_true_accepts_at_a_rate_of_false_ones(population, small_blocks: str) -> None:  # type: ignore[no-untyped-def]
    e, y = unequal(population)
    s, same = all_pairs(e, y)
    curve = curve_of(Embedded.of(e, y))
    for rate in (0.005, 0.02, 0.1, 0.5):
        point = curve.at_far(rate)
        assert (s[~same] >= point.threshold + 1e-7).mean() <= rate
        highest = np.sort(s[~same])[::-1][
            int(rate * (~same).sum())
        ]  # the first that must be refused
        assert point.tar == pytest.approx((s[same] > highest).mean(), abs=1.1 / same.sum())
    with pytest.raises(UsageError, match="cannot be measured"):
        curve.at_far(2 / len(same))


def test_where_all_are_alike_nothing_is_accepted_at_a_low_rate() -> None:
    e = np.tile(np.eye(4, dtype=np.float32)[0], (40, 1))
    embedded = Embedded.of(e, np.repeat(np.arange(10), 4))
    curve = curve_of(embedded)
    assert curve.at_far(0.1)[1:] == (0.0, 0.0)
    assert curve.eer().far == 0.5
    assert curve.auc == 0.5
    # Two of other trackers' reports: a network that has collapsed has a recall of 1, or of 1 at the first of equals.
    assert retrieve(embedded).recall(10).value == 0


def test_rates_at_a_threshold_by_a_loop(population, small_blocks: str) -> None:  # type: ignore[no-untyped-def]
    e, y = unequal(population)
    s, same = all_pairs(e, y)
    rates = rates_at(Embedded.of(e, y), 0.6)
    assert rates.far.hits == pytest.approx((s[~same] >= 0.6).sum(), abs=1)
    assert (rates.far.of, rates.tar.of) == ((~same).sum(), same.sum())
    assert rates.tar.value == pytest.approx((s[same] >= 0.6).mean(), abs=1.1 / same.sum())
    assert rates.tar.clusters == (np.bincount((1000 - y) // 7) > 1).sum()


def test_groups_are_measured_by_the_pairs_within_them(population) -> None:  # type: ignore[no-untyped-def]
    e, y = unequal(population)
    groups = np.where(y % 2 == 0, "even", "odd")
    found = rates_by_group(Embedded.of(e, y), groups, 0.5)
    assert list(found) == ["even", "odd"]
    for name in found:
        alone = rates_at(Embedded.of(e[groups == name], y[groups == name]), 0.5)
        assert (found[name].far, found[name].tar) == (alone.far, alone.tar)


def test_retrieval_by_sorting_every_ranking(population, small_blocks: str) -> None:  # type: ignore[no-untyped-def]
    """Musgrave et al.'s definitions in loops; average precision as scikit-learn has it."""
    e, y = unequal(population)
    found = retrieve(Embedded.of(e, y))
    asked = [i for i in range(len(y)) if (y == y[i]).sum() > 1]
    assert found.queries.tolist() == asked
    for row, i in enumerate(asked):
        others = [j for j in range(len(y)) if j != i]
        s = np.array([e[i].astype(np.float64) @ e[j] for j in others])
        right = np.array([y[j] == y[i] for j in others])
        ranked = right[np.argsort(-s)]
        r = right.sum()
        assert found.first[row] == ranked.argmax() + 1
        assert found.r_precision[row] == pytest.approx(ranked[:r].mean())
        at_r = sum(ranked[: k + 1].mean() for k in range(r) if ranked[k]) / r
        assert found.map_at_r[row] == pytest.approx(at_r)
        assert found.precision[row] == pytest.approx(average_precision_score(right, s))
    for k in (1, 5, 10):
        assert found.recall(k).value == pytest.approx((found.first <= k).mean())


def test_map_at_r_of_the_papers_figure() -> None:
    """Musgrave et al. 2020, figure 2: R = 10 with the ten right first has 100 %; with one right and nine wrong, 10 %."""
    angles = np.concatenate(([0.0], np.linspace(0.1, 0.2, 5), np.linspace(0.3, 0.4, 5), [1.0] * 5))
    e = np.stack((np.cos(angles), np.sin(angles)), 1).astype(np.float32)
    y = np.array([0] + [0] * 5 + [1] * 5 + [0] * 5)
    row = retrieve(Embedded.of(e, y))
    assert row.map_at_r[0] == pytest.approx(0.5)  # the first five of ten are right, and no other
    assert row.r_precision[0] == pytest.approx(0.5)


def test_open_set_by_loops(population, small_blocks: str) -> None:  # type: ignore[no-untyped-def]
    """Against the definition: of the enrolled, own identity at rank 1 at or above the threshold; of strangers, anyone."""
    e, y = unequal(population)
    embedded = Embedded.of(e, y)
    probes = identify(embedded, enrolled=0.4, each=2, seed=5)
    rng = np.random.default_rng(5)
    able = np.flatnonzero(embedded.counts > 2)
    chosen = np.sort(rng.permutation(able)[: round(0.4 * embedded.identities)])
    gallery = np.concatenate(
        [embedded.starts[g] + rng.permutation(embedded.counts[g])[:2] for g in chosen]
    )
    assert probes.enrolled == len(chosen)
    found, alarms = [], []
    for i in set(range(len(y))) - set(gallery.tolist()):
        best = {}
        for j in gallery:
            name = embedded.labels[j]
            best[name] = max(best.get(name, -2), embedded.embeddings[i] @ embedded.embeddings[j])
        top = max(best, key=lambda name: best[name])
        if embedded.labels[i] in best:
            found.append(top == embedded.labels[i] and best[top] >= 0.5)
        else:
            alarms.append(best[top] >= 0.5)
    assert probes.found(0.5).value == pytest.approx(np.mean(found))
    assert probes.alarms(0.5).value == pytest.approx(np.mean(alarms))
    assert probes.found(-1, rank=1000).value == 1
    assert (probes.found(0.5).of, probes.alarms(0.5).of) == (len(found), len(alarms))


def test_folds_hold_different_identities_and_as_many_pairs_of_both_kinds(population) -> None:  # type: ignore[no-untyped-def]
    e, y = unequal(population)
    pairs = draw_pairs(Embedded.of(e, y), folds=5, each=7, seed=2)
    of_fold = [set(y[pairs.first[pairs.fold == f]]) | set(y[pairs.second[pairs.fold == f]]) for f in range(5)]  # fmt: skip
    assert not any(of_fold[a] & of_fold[b] for a in range(5) for b in range(a))
    assert ((y[pairs.first] == y[pairs.second]) == pairs.same).all()
    assert (pairs.first != pairs.second).all()
    genuine = {frozenset(p) for p in zip(pairs.first[pairs.same], pairs.second[pairs.same], strict=True)}  # fmt: skip
    assert len(genuine) == pairs.same.sum() == (~pairs.same).sum()


def test_verification_by_lfws_protocol_by_a_loop(population) -> None:  # type: ignore[no-untyped-def]
    e, y = population(60, 4, 1)
    pairs = draw_pairs(Embedded.of(e, y), each=30)
    s = similarities_of(e, pairs)
    found = verify(s, pairs)
    accuracies = []
    for f in range(10):
        train = pairs.fold != f
        right = {t: ((s[train] >= t) == pairs.same[train]).mean() for t in s[train]}
        assert ((s[train] >= found.thresholds[f]) == pairs.same[train]).mean() == max(right.values())  # fmt: skip
        test = ~train
        accuracies.append(((s[test] >= found.thresholds[f]) == pairs.same[test]).mean())
    assert found.accuracy == pytest.approx(accuracies)
    assert found.error == pytest.approx(np.std(accuracies, ddof=1) / np.sqrt(10))
    assert found.low < found.mean < found.high


def test_best_threshold_lies_in_the_gap() -> None:
    s, same = np.array([0.1, 0.2, 0.6, 0.8]), np.array([False, False, True, True])
    assert best_threshold(s, same) == pytest.approx(0.4)
    assert best_threshold(np.array([0.5, 0.5]), np.array([False, False])) > 0.5
    assert best_threshold(np.array([0.5, 0.6]), np.array([True, True])) == 0.5


@pytest.mark.parametrize(
    ("e", "y", "says"),
    [
        (np.eye(3), np.zeros(2, int), r"\(3, 3\) and \(2,\)"),
        (np.zeros((3, 4)), np.arange(3), "3 images of 3, the first at index 0 with 0"),
        (np.full((2, 4), np.nan), np.arange(2), "another for 2 images"),
        (np.eye(3), np.array([0.0, 1, 2]), "integers"),
        (2 * np.eye(3), np.arange(3), "length 1"),
    ],
)
def test_what_are_no_unit_embeddings_with_identities(e, y, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=says):
        Embedded.of(e, y)


def test_what_cannot_be_measured_is_refused_with_what_is_missing() -> None:
    one = Embedded.of(np.eye(4, dtype=np.float32), np.zeros(4, int))
    each_alone = Embedded.of(np.eye(4, dtype=np.float32), np.arange(4))
    with pytest.raises(DataError, match="all images are of one identity"):
        curve_of(one)
    for measure in (curve_of, retrieve):
        with pytest.raises(DataError, match="second image"):
            measure(each_alone)
    for embedded in (one, each_alone):
        with pytest.raises(DataError, match="open-set identification"):
            identify(embedded)
        with pytest.raises(DataError, match="10 folds"):
            draw_pairs(embedded)
    pairs = Pairs(np.arange(2), np.arange(2), np.array([True, False]), np.zeros(2, int))
    with pytest.raises(DataError, match="1 fold"):
        verify(np.zeros(2), pairs)
