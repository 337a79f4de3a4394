"""The lectures' experiments, whole: from data to verdict, as one page."""

from __future__ import annotations

from striate.lectures.experiments.table import (
    EXPERIMENTS,
    Entry,
    list_experiments,
    run_experiment,
)
from striate.lectures.experiments.writing import (
    experiment_folder,
    make_experiment,
    write_experiment,
)

__all__ = [
    "EXPERIMENTS",
    "Entry",
    "experiment_folder",
    "list_experiments",
    "make_experiment",
    "run_experiment",
    "write_experiment",
]
