"""Watching: a watched run has its notes, its finding, and the same numbers as one that was not watched."""

from __future__ import annotations

from pathlib import Path

import pytest

from striate import train
from striate.errors import RunError, TrainingError
from striate.runs.watching import updates_of
from striate.training.watch import read_updates

QUICK = {"epochs": 2, "limit": 300, "model": "[conv8-relu]-pool-fc"}


def test_watch_leaves_notes_and_changes_no_number(tmp_path: Path) -> None:
    plain = train("digits", out=tmp_path / "plain", **QUICK)
    watched = train("digits", out=tmp_path / "watched", watch=True, **QUICK)
    assert plain.info["model_sha256"] == watched.info["model_sha256"]
    rows = read_updates(watched.path / "updates.csv")
    assert {r.layer for r in rows} == {"conv1", "fc1"}
    names = [f.name for f in watched.findings()]
    assert names.index("training-curves") + 1 == names.index("diagnose-updates")
    assert "Gradients and updates" in (watched.path / "report.html").read_text()
    with pytest.raises(RunError, match="no record of its updates"):
        updates_of(plain)


def test_notes_of_a_training_that_breaks_are_kept(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="training stopped at step"):
        train(
            "digits", out=tmp_path / "run", watch=True, **{**QUICK, "optimizer": "sgd", "lr": 1e4}
        )
    assert read_updates(tmp_path / "run" / "updates.csv")
