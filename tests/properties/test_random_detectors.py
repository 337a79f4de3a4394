"""Random detectors on random images: tiles of any size and the whole image give the objects of the plain module.

Many more by hand: `python tests/properties/fuzz_detectors.py --count 600`, and with `--large` for images beyond 1024 pixels.
"""

from __future__ import annotations

import pytest
from random_detectors.judging import TOPS, drawn, judge
from random_detectors.networks import KINDS

from striate.tasks.detect import peaks, regions
from striate.tasks.detect.forms import grid, levels

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(regions, "TOP", TOPS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_objects_however_the_image_is_cut(kind, tmp_path):
    first = KINDS.index(kind)
    verdicts = [
        judge(drawn(first + len(KINDS) * n), tmp_path) for n in range(2 if kind == "voting" else 3)
    ]
    assert not [v.fault for v in verdicts if v.fault]
    assert sum(v.objects for v in verdicts) > 40
    assert sum(v.larger for v in verdicts) > 0  # objects that no tile holds


def test_an_image_beyond_a_tile_of_1024_pixels(tmp_path):
    verdict = judge(drawn(0, large=True), tmp_path)
    assert not verdict.fault and verdict.objects > 100


@pytest.mark.parametrize(
    ("seed", "module", "name", "value"),
    [(0, peaks, "LOGIT", 0.5), (1, levels, "SAME", 0.3), (14, grid, "SAME", 0.9)],
)
def test_a_wrong_choice_of_objects_is_seen(seed, module, name, value, monkeypatch, tmp_path):
    monkeypatch.setattr(module, name, value)
    assert judge(drawn(seed), tmp_path).fault
