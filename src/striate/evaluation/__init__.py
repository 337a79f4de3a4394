"""How good a classifier is, on images it never saw: functions that return one Finding each."""

from __future__ import annotations

from striate.evaluation.bootstrap import Interval, bootstrap
from striate.evaluation.classwise import per_class
from striate.evaluation.confusions import confusion
from striate.evaluation.curves import training_curves
from striate.evaluation.entering import as_seen
from striate.evaluation.mistaken import mistakes
from striate.evaluation.provenance import recipe
from striate.evaluation.reliability import calibration
from striate.evaluation.scores import Scores, softmax
from striate.evaluation.summary import headline

__all__ = [
    "Interval",
    "Scores",
    "as_seen",
    "bootstrap",
    "calibration",
    "confusion",
    "headline",
    "mistakes",
    "per_class",
    "recipe",
    "softmax",
    "training_curves",
]
