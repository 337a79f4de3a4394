"""Trainings that are stopped in their first seconds, at moments and by signals drawn by a seed: what began is resumed.

    python tests/faults/early.py TRIALS SEED

Each is a process of its own, as a person starts it. A stop while Python imports leaves nothing; from then on there is a run,
and `--resume` ends with the weights of a training that nobody stopped.
"""

from __future__ import annotations

import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from faults import TRAIN, make_files

from striate.runs.run import BEGUN, Run

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
SECONDS = (0.2, 5.0)
COMMAND = [sys.executable, "-m", "striate"]


def trial(home: Path, seed: int, whole: str) -> tuple[str, str | None]:
    """How far a stopped training was, and what broke the rule, or None."""
    drawn = random.Random(seed)
    stop = drawn.choice(SIGNALS)
    pipe = subprocess.PIPE
    child = subprocess.Popen([*COMMAND, *TRAIN], cwd=home, stdout=pipe, stderr=pipe, text=True)
    time.sleep(drawn.uniform(*SECONDS))
    child.send_signal(stop)
    _, said = child.communicate(timeout=120)
    run = home / "run"
    held = set(os.listdir(run)) - {".lock"} if run.is_dir() else set()
    stage = next(
        (name for name in ("model.safetensors", "checkpoint", "run.toml", BEGUN) if name in held),
        "nothing",
    )
    how = f"{stop.name} {stage}"
    if child.returncode not in (0, 1, 130, -stop):
        return how, f"status {child.returncode}\n{said[-2000:]}"
    if stop == signal.SIGINT and "Traceback" in said and held:
        return how, said[-2000:]
    if held and not {"run.toml", BEGUN} & held:
        return how, f"it cannot be resumed: {held}"
    finished = (run / "run.toml").is_file() and Run.load(run).finished
    words = ["train", "few", "--out", "run", "--resume"] if held else TRAIN
    if not finished:
        again = subprocess.run(
            [*COMMAND, *words], cwd=home, capture_output=True, text=True, check=False
        )
        if again.returncode:
            return how, f"it is not resumed: {again.stderr[-2000:]}"
    return how, None if Run.load(run).info["model_sha256"] == whole else "other weights"


def main(trials: int, seed: int) -> int:
    """So many trials; returns the number of faults found."""
    counts: collections.Counter[str] = collections.Counter()
    bad = 0
    base = Path(tempfile.mkdtemp(prefix="striate-early-"))
    try:
        make_files(base)
        subprocess.run([*COMMAND, *TRAIN], cwd=base, capture_output=True, check=True)
        whole = str(Run.load(base / "run").info["model_sha256"])
        for number in range(trials):
            shutil.rmtree(base / "run", ignore_errors=True)
            how, found = trial(base, seed + number, whole)
            counts[how] += 1
            if found is not None:
                bad += 1
                print(f"seed {seed + number}: {how}: {found}", flush=True)
    finally:
        shutil.rmtree(base)
    print(f"{trials} trials, {bad} broke the rule: {dict(sorted(counts.items()))}")
    return bad


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), int(sys.argv[2])) > 0)
