"""How good a classifier is, on images it never saw: functions that return one Finding each."""

from __future__ import annotations

from striate.statistics.bootstrap import Interval, bootstrap
from striate.statistics.calibration import calibration
from striate.statistics.scores import Scores, softmax
from striate.tasks.classify.findings.classwise import per_class
from striate.tasks.classify.findings.confusion import confusion
from striate.tasks.classify.findings.headline import headline
from striate.tasks.classify.findings.mistakes import mistakes

__all__ = [
    "Interval",
    "Scores",
    "bootstrap",
    "calibration",
    "confusion",
    "headline",
    "mistakes",
    "per_class",
    "softmax",
]
