"""The lectures' experiments, whole: from data to verdict, as one page."""

from __future__ import annotations

from striate.lectures.experiments.table import EXPERIMENTS, Entry, run_experiment
from striate.lectures.experiments.writing import experiment_folder, write_experiment

__all__ = ["EXPERIMENTS", "Entry", "experiment_folder", "run_experiment", "write_experiment"]
