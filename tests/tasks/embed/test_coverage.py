"""Intervals over identities hold what is true of all identities as often as they say; those over pairs do not.

Populations are drawn anew and compared with the rates among 3,000 other identities. `python test_coverage.py 300` is the
long form, of 10, 20, 40 and 100 identities.
"""

from __future__ import annotations

import runpy
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from striate.tasks.embed.evaluation.curve import Curve, curve_from, curve_of
from striate.tasks.embed.evaluation.embedded import Embedded
from striate.tasks.embed.evaluation.open_set import Probes, identify
from striate.tasks.embed.evaluation.retrieval import retrieve
from striate.tasks.embed.evaluation.threshold import threshold_at
from striate.tasks.embed.evaluation.verification import (
    auc_interval,
    eer_interval,
    rates_at,
    tar_interval,
)

RATE = 0.02
MANY = 3000


Draw = Callable[[int, int, int], tuple[np.ndarray, np.ndarray]]


@cache
def truth(draw: Draw) -> Curve:
    """The curve of 4.5 million impostor pairs and 3,000 genuine pairs, no two of them of one identity's."""
    e, _ = draw(MANY, 2, 10_000_000)
    first, second = e[::2], e[1::2]
    impostor = (first @ first.T)[np.triu_indices(MANY, 1)]
    return curve_from((first * second).sum(1), impostor)


def true_rate(draw: Draw, threshold: float) -> float:
    """The share of those impostor pairs that a threshold accepts."""
    curve = truth(draw)
    return float(curve.far[np.searchsorted(-curve.thresholds, -threshold, side="right") - 1])


def covered(draw: Draw, identities: int, each: int, trials: int) -> dict[str, float]:
    """How often each interval held the truth."""
    fixed = truth(draw).at_far(RATE)
    eer = truth(draw).eer().far
    held: Counter[str] = Counter()
    recalls, spans = [], []
    for trial in range(trials):
        embedded = Embedded.of(*draw(identities, each, trial))
        rates = rates_at(embedded, fixed.threshold)
        for name, share, true in (("far", rates.far, fixed.far), ("tar", rates.tar, fixed.tar)):
            held[name] += share.low <= true <= share.high
            held[f"{name} by pairs"] += share.wilson[0] <= true <= share.wilson[1]
        curve = curve_of(embedded)
        _, (low, high) = eer_interval(embedded, curve)
        held["eer"] += low <= eer <= high
        low, high = auc_interval(embedded, curve)
        held["auc"] += low <= truth(draw).auc <= high
        _, (low, high) = tar_interval(embedded, curve, RATE)
        held["tar at far"] += low <= fixed.tar <= high
        recall = retrieve(embedded).recall(1)
        recalls.append(recall.value)
        spans.append((recall.low, recall.high))
        # The threshold chosen on these identities, and what it accepts of others.
        chosen = threshold_at(impostors(embedded), RATE)
        stated = rates_at(embedded, chosen.value).far
        realised = true_rate(draw, chosen.value)
        held["chosen"] += stated.low <= realised <= stated.high
        held["chosen by pairs"] += chosen.low <= realised <= chosen.high
    # Of recall, which depends on how many are searched, the truth is its mean over populations.
    mean = float(np.mean(recalls))
    held["recall"] = sum(low <= mean <= high for low, high in spans)
    return {name: count / trials for name, count in held.items()}


def impostors(embedded: Embedded) -> np.ndarray:
    """The similarities of all impostor pairs."""
    return np.concatenate([s[~same & ~np.isnan(s)] for _, s, same in embedded.upper()])


def test_intervals_over_identities_hold_and_those_over_pairs_do_not(population: Draw) -> None:
    found = covered(population, 30, 4, 60)
    for name in ("far", "tar", "eer", "auc", "tar at far", "recall", "chosen"):
        assert found[name] >= 0.88, name  # 95 % of 60 are 57; below 53 once in 60 such tests
    assert found["far by pairs"] < 0.8
    assert found["chosen by pairs"] < 0.8


def test_a_stranger_is_unknown_at_the_asked_rate(population: Draw) -> None:
    """A threshold from strangers' highest similarities to a gallery, and other strangers at the same gallery."""
    held, rates = strangers(population, 60, 30)
    assert held["identities"] >= 26
    assert abs(np.mean(rates) - 0.05) < 4 * np.std(rates) / np.sqrt(len(rates))


def strangers(draw: Draw, identities: int, trials: int) -> tuple[Counter[str], list[float]]:
    """How often the realised rate of false alarms lay in its interval, and the realised rates, asked for 5 %."""
    held: Counter[str] = Counter()
    rates = []
    for trial in range(trials):
        embedded = Embedded.of(*draw(identities, 4, 500 + trial))
        probes = identify(embedded, enrolled=0.3, each=1, seed=trial)
        chosen = probes.threshold(0.05)
        stated = probes.alarms(chosen.value)
        others, _ = draw(1500, 1, 9_000_000 + trial)
        realised = float((alarms_of(embedded, probes, trial, others) >= chosen.value).mean())
        rates.append(realised)
        held["identities"] += stated.low <= realised <= stated.high
        held["images"] += chosen.low <= realised <= chosen.high
    return held, rates


def alarms_of(embedded: Embedded, probes: Probes, seed: int, others: np.ndarray) -> np.ndarray:
    """Each other stranger's highest similarity to the gallery that `identify` drew."""
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(np.flatnonzero(embedded.counts > 1))[: probes.enrolled])
    gallery = [embedded.starts[g] + rng.permutation(embedded.counts[g])[:1] for g in chosen]
    best: np.ndarray = (others @ embedded.embeddings[np.concatenate(gallery)].T).max(1)
    return best


if __name__ == "__main__":
    population = runpy.run_path(str(Path(__file__).with_name("conftest.py")))["draw"]
    for number in (10, 20, 40, 100):
        print(number, covered(population, number, 4, int(sys.argv[1])), flush=True)
    held, rates = strangers(population, 60, int(sys.argv[1]))
    print("strangers", held, np.mean(rates))
