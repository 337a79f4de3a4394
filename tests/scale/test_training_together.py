"""`striate.train` in two processes: one run, which one of them writes; what is killed goes on when all begin again."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import jobs
import ranks

import striate
from striate.errors import StriateError
from striate.runs.together import LAUNCH

SETTINGS = {**jobs.PLAIN, "epochs": 4, "task": "classify"}


class Killed:
    """Ends process 1 at a step as `kill -9` does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, moment: Any) -> None:
        """See Callback."""
        if moment.step == self.step and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)


def trained(out: str, kill_at: int, other: dict[str, Any]) -> dict[str, Any]:
    """A training without evaluation and report, as each process sees its end."""
    from striate.runs import training

    training.evaluate_run = training.report_run = lambda *given, **more: None  # type: ignore[assignment]
    more = other if os.environ["RANK"] == "1" else {}
    try:
        run = striate.train(
            jobs.classified(), out=out, callbacks=[Killed(kill_at)], **{**SETTINGS, **more}
        )
    except StriateError as error:
        return {"error": str(error), "everywhere": error.everywhere}
    return {"path": str(run.path), "info": run.info, "processes": run.info["training"]["processes"]}


def test_a_killed_process_costs_an_epoch_and_changes_nothing(tmp_path: Path) -> None:
    whole = ranks.together(2, trained, str(tmp_path / "whole"), -1, {}, folder=tmp_path)
    assert whole[0] == whole[1] and whole[0]["processes"] == 2
    run = striate.load(whole[0]["path"])
    assert sorted(p.name for p in run.path.iterdir()) == [
        "metrics.csv",
        "model.safetensors",
        "run.toml",
    ]
    assert [row["step"] for row in run.metrics] == [3, 6, 9, 12]

    killed = ranks.together(2, trained, str(tmp_path / "part"), 8, {}, folder=tmp_path, lost=(1,))
    assert "another process of this training stopped or cannot be reached" in killed[0]["error"]
    assert (tmp_path / "part" / "checkpoint" / "last.pt").is_file() and (
        tmp_path / "part" / LAUNCH
    ).is_file()
    again = ranks.together(2, trained, str(tmp_path / "part"), -1, {}, folder=tmp_path, restarts=1)
    assert again[0]["path"] == str(tmp_path / "part")
    assert again[0]["info"]["model_sha256"] == whole[0]["info"]["model_sha256"]
    assert striate.load(tmp_path / "part").finished and not (tmp_path / "part" / LAUNCH).exists()


def refused(out: str) -> list[str]:
    """What is said where process 1 is given something else."""
    return [
        str(trained(out, -1, other).get("error")) for other in ({"lr": 0.03}, {"model": "resnet9"})
    ]


def test_processes_that_differ_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    first, second = ranks.together(2, refused, str(tmp_path / "run"), folder=tmp_path)
    assert first == second and not (tmp_path / "run").exists()
    assert "the setting lr is 0.02 in process 0" in first[0] and "0.03 in process 1" in first[0]
    assert first[1].startswith("process 1 of 2 on ") and "resnet9" in first[1]
