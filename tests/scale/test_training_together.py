"""`striate.train` in two processes: one run, which one of them writes; what is killed goes on when all begin again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jobs
import ranks
from test_worlds import gap

import striate
from striate.errors import StriateError
from striate.runs.together import LAUNCH
from tests.volumes.packing import as_tars

SETTINGS = {**jobs.PLAIN, "epochs": 4, "task": "classify"}
FEW = {"epochs": 2, "batch": 1}
TORCHRUN = [
    sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "1",
    "--monitor-interval", "0.2",
]  # fmt: skip


class Killed:
    """Ends process 1 at a step as `kill -9` does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, moment: Any) -> None:
        """See Callback."""
        if moment.step == self.step and os.environ.get("RANK") == "1":
            os.kill(os.getpid(), signal.SIGKILL)


def trained(out: str, kill_at: int, other: dict[str, Any], data: Any = None) -> dict[str, Any]:
    """A training without evaluation and report, as each process sees its end."""
    from striate.runs import training

    training.evaluate_run = training.report_run = lambda *given, **more: None  # type: ignore[assignment]
    more = other if os.environ.get("RANK") == "1" else {}
    try:
        run = striate.train(
            jobs.classified() if data is None else data, out=out, callbacks=[Killed(kill_at)],
            **{**SETTINGS, **({} if data is None else FEW), **more},
        )  # fmt: skip
    except StriateError as error:
        return {"error": str(error), "everywhere": error.everywhere}
    return {
        "path": str(run.path),
        "info": run.info,
        "processes": run.info["training"].get("processes"),
    }


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


def test_torchrun_begins_all_again_to_the_same_weights(tmp_path: Path) -> None:
    """On tars, in steps of one image, of which process 1 has none; it is killed in the second epoch."""
    data = as_tars(tmp_path)
    alone = ranks.together(1, trained, str(tmp_path / "one"), -1, {}, data, folder=tmp_path)
    whole = ranks.together(2, trained, str(tmp_path / "two"), -1, {}, data, folder=tmp_path)
    networks = [striate.load(each[0]["path"]).model for each in (whole, alone)]
    assert whole[0]["processes"] == 2
    assert gap(networks[0].state_dict(), networks[1].state_dict()) < 1e-5

    command = [
        *TORCHRUN,
        str(Path(__file__).with_name("begun_again.py")),
        data,
        str(tmp_path / "again"),
        "30",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert "exitcode: -9" in made.stderr
    again = striate.load(tmp_path / "again")
    assert again.finished and again.info["model_sha256"] == whole[0]["info"]["model_sha256"]


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
