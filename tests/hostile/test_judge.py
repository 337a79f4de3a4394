"""The judge itself: it lets the good pass and holds the bad."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from judge import Outcome, fault, run_apart, run_here

import striate.api  # so that no import is ended half-way

GOOD = Outcome(("data", "--format", "json"), 0, json.dumps({"a": 1}), "", 0.1, ())


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, None),
        ({"status": None}, "did not end in time"),
        ({"status": -11}, "exit status -11"),
        ({"err": "Traceback (most recent call last):"}, "a traceback on standard error"),
        ({"err": "striate: cannot read a\nforged: done"}, "a name made a line on standard error"),
        ({"out": "\x1b[2J"}, "an escape code on standard output"),
        ({"status": 1}, "fails without a word"),
        ({"status": 1, "err": "striate: no"}, "the message names none of ['seed']"),
        ({"out": '{"a": NaN}'}, "standard output is no JSON: NaN is no JSON"),
        ({"changed": ("runs/1/report.html", "other")}, "changed on disk: ['other']"),
        ({"changed": ("runs",), "status": 2, "err": "seed"}, "changed on disk: ['runs']"),
    ],
    ids=str,
)
def test_the_rule(change: dict[str, object], found: str | None) -> None:
    assert fault(replace(GOOD, **change), names=["seed"], writes=["runs"]) == found  # type: ignore[arg-type]


def test_both_ways_to_run_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    wrong = ["train", "nowhere", "--out", "runs"]
    here, apart = run_here(wrong, tmp_path), run_apart(wrong, tmp_path)
    assert (here.status, here.out, here.err) == (apart.status, apart.out, apart.err)
    assert here.status == 2 and "nowhere" in here.err and here.changed == apart.changed == ()


def test_a_command_that_is_late_is_ended(tmp_path: Path) -> None:
    assert run_apart(["train", "digits"], tmp_path, limit=0.05).status is None
    assert striate.api.train
    assert run_here(["train", "digits"], tmp_path, limit=0.1).status is None


def test_a_command_that_waits_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a pipe that nobody writes to, where no work is done."""
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr("striate.api.report", lambda *given: (tmp_path / "pipe").read_bytes())
    assert run_here(["report", "run"], tmp_path, limit=0.5).status is None
