"""Updates: what a training's notes say of each layer, on notes whose faults are known."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest

from striate.diagnostics import updates
from striate.errors import UsageError


class Note(NamedTuple):
    step: int
    layer: str
    gradient: float
    weight: float
    update: float


def notes(**ratios: float) -> list[Note]:
    """A hundred steps, every tenth noted; a layer's update is `ratio` of its weights of norm 4."""
    return [Note(s, n, 0.5, 4.0, 4 * r) for s in range(0, 100, 10) for n, r in ratios.items()]


def test_the_usual_ratio_is_good_and_the_path_is_the_sum_over_all_steps() -> None:
    found = updates(notes(first=2e-3, head=1e-3))
    assert found.status == "good"
    assert found.verdict.startswith("A step changes weights by 1e-03 (head) to 2e-03 (first)")
    # Nine notes stand for ten steps each and the last for itself: 91 x 2e-3.
    assert found.data["layers"]["first"]["path"] == pytest.approx(0.182)
    assert found.data["layers"]["head"]["ratio"] == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("rows", "status", "words"),
    [
        (notes(a=0.2, b=1e-3), "warning", "a jumps"),
        (notes(a=1e-6, b=1e-6, c=1e-3), "warning", "2 layers of 3 hardly learned"),
        (notes(a=1e-6, b=1e-3, c=1e-3), "note", "; a hardly learned"),
        (notes(a=0.05, b=0.04), "note", "more than the usual 1e-3"),
        (notes(a=0.0, b=1e-3), "note", "1 layer, a first, never moved"),
        (notes(a=0.0, b=0.0), "problem", "No layer moved"),
    ],
)
def test_faults_are_reported_by_layer(rows: list[Note], status: str, words: str) -> None:
    found = updates(rows)
    assert found.status == status and words in found.verdict


def test_vanishing_gradients_and_numbers_that_break_are_named() -> None:
    rows = [r._replace(gradient=1e-7 if r.layer == "a" else 1.0) for r in notes(a=1e-3, b=1e-3)]
    assert updates(rows).status == "warning"
    assert updates(rows).data["layers"]["a"]["gradient"] == pytest.approx(1e-7)
    rows[7] = rows[7]._replace(update=math.nan)
    broken = updates(rows)
    assert broken.status == "problem"
    assert broken.data["broken"] == {"step": 30, "layer": "b"}


def test_only_the_middle_half_is_judged_and_nothing_is_refused() -> None:
    rows = [
        r._replace(update=4.0 if r.step < 20 or r.step > 80 else r.update) for r in notes(a=1e-3)
    ]
    assert updates(rows).data["layers"]["a"]["ratio"] == pytest.approx(1e-3)
    with pytest.raises(UsageError, match="train with --watch"):
        updates([])
