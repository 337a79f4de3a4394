"""Faults: commands that write are killed, interrupted, out of room or two at once; what lies on the disk then is whole.

    python tests/faults/faults.py TRIALS SEED

One process imports everything and forks a child a trial, which makes a trial cheap. Prints counts, and what broke the rule.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from striate.cli import main
from striate.runs.run import Run

TRAIN = [
    "train", "digits", "--out", "run", "--model", "[conv2-relu-pool]-fc", "--epochs", "2", "--set", "limit=80",
    "--precision", "fp32", "--device", "cpu",
]  # fmt: skip
COMMANDS = {
    "train": TRAIN,
    "resume": ["train", "digits", "--out", "run", "--resume"],
    "report": ["report", "done"],
    "explain": ["explain", "done", "image.png", "--out", "maps"],
    "summary": ["summary", "done", "--figure", "field.png", "--format", "json"],
    "tile": ["tile", "done", "image.png", "--out", "answer.json"],
    "diagnose": ["diagnose", "done", "filters"],
}
FAULTS = ("kill", "kill", "interrupt", "full", "twice")


def start(arguments: list[str], home: Path, limit: int | None = None) -> int:
    """The process of a command in a child of this one. limit: bytes that a file may have."""
    child = os.fork()
    if child:
        return child
    status = 99
    try:
        os.chdir(home)
        # Where room is short a log would fill, too; what is raised shows in the status.
        name = os.devnull if limit is not None else home / f"log-{os.getpid()}"
        log = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        main(arguments)
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):  # no room for what was printed either
            sys.stdout.flush()
        os._exit(status)


def wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def whole(home: Path) -> str | None:
    """What of the files is not whole, or None."""
    for path in sorted(home.rglob("*")):
        if not path.is_file() or path.name.startswith((".", "log-")):
            continue
        try:
            if path.suffix == ".json":
                json.loads(path.read_text(), parse_constant=lambda name: 1 / 0)
            elif path.suffix in (".png", ".webp"):
                with Image.open(path) as picture:
                    picture.load()
            elif path.suffix in (".html", ".svg"):
                assert path.read_text().rstrip().endswith((">",)), "cut short"
            elif path.name == "run.toml":
                run = Run.load(path.parent)
                if run.finished:
                    _ = run.model, run.metrics
                for _ in run.findings():
                    pass
        except Exception as error:
            return f"{path.relative_to(home)}: {type(error).__name__}: {error}"
    return None


def trial(
    template: Path, home: Path, seed: int, longest: dict[str, float], digest: str
) -> tuple[str, str, str | None]:
    """One fault; (command, fault, what broke the rule or None)."""
    drawn = random.Random(seed)
    name, fault = drawn.choice([*COMMANDS, "train", "resume"]), drawn.choice(FAULTS)
    shutil.copytree(template, home)
    if name == "resume":
        shutil.copytree(home / "stopped", home / "run")
    shutil.rmtree(home / "stopped")
    if fault == "twice":
        statuses = [wait(child) for child in [start(COMMANDS[name], home) for _ in range(2)]]
    elif fault == "full":
        statuses = [
            wait(start(COMMANDS[name], home, drawn.choice([0, 10, 500, 3000, 9000, 40_000])))
        ]
    else:
        child = start(COMMANDS[name], home)
        time.sleep(drawn.random() * longest.get(name, longest["train"]))
        os.kill(child, signal.SIGKILL if fault == "kill" else signal.SIGINT)
        statuses = [wait(child)]
    allowed = {"kill": (0, -9), "interrupt": (0, 1, 130), "full": (0, 1), "twice": (0, 1, 2)}[fault]
    said = "".join(p.read_text(errors="replace") for p in home.glob("log-*"))
    # Python itself swallows an interrupt in a destructor, and says so with a traceback.
    traced = "Traceback" in said and "Exception ignored in" not in said
    if traced or any(s not in allowed for s in statuses):
        return name, fault, f"statuses {statuses}\n{said[-3000:]}"
    if (
        fault == "twice"
        and name == "train"
        and (statuses != [0, 0] or not (home / "run-2/report.html").is_file())
    ):
        return name, fault, f"two trainings: {statuses}\n{said[-3000:]}"
    if broken := whole(home):
        return name, fault, f"half-written: {broken}"
    # The next command finds nothing in its way, and a training goes on to the same numbers.
    run = home / "run"
    training = name in ("train", "resume")
    again: list[str] | None = None
    if not training:
        again = [*COMMANDS[name], *(["--force"] if name in ("tile", "summary") else [])]
    elif (run / "run.toml").is_file() and not Run.load(run).finished:
        again = COMMANDS["resume"]
    if again is not None and (status := wait(start(again, home))):
        said = "".join(p.read_text(errors="replace") for p in home.glob("log-*"))
        return name, fault, f"the next command ends with {status}\n{said[-3000:]}"
    if training and (run / "run.toml").is_file() and Run.load(run).info["model_sha256"] != digest:
        return name, fault, "other weights than without the fault"
    if left := [str(p.relative_to(home)) for p in home.rglob(".striate-*") if again is not None]:
        return name, fault, f"left behind: {left}"
    return name, fault, whole(home)


def prepared(home: Path) -> tuple[dict[str, float], str]:
    """A finished run, a stopped one and an image; how long each command takes, and the digest of the trained weights."""
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).save(home / "image.png")
    longest = {}
    began = time.monotonic()
    assert wait(start(TRAIN, home)) == 0
    longest["train"] = longest["resume"] = time.monotonic() - began
    (home / "run").rename(home / "done")
    child = start(TRAIN, home)
    while not (home / "run/checkpoint/last.pt").is_file():
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    wait(child)
    (home / "run").rename(home / "stopped")
    for log in home.glob("log-*"):
        log.unlink()
    return longest, str(Run.load(home / "done").info["model_sha256"])


def run_all(trials: int, seed: int, *, until: float = float("inf")) -> int:
    """So many trials; returns the number of faults found."""
    warnings.simplefilter("ignore")
    base = Path(tempfile.mkdtemp(prefix="striate-faults-"))
    counts: collections.Counter[str] = collections.Counter()
    bad = done = 0
    try:
        (base / "template").mkdir()
        longest, digest = prepared(base / "template")
        for number in range(trials):
            if time.monotonic() > until:
                break
            home = base / str(number)
            name, fault, found = trial(base / "template", home, seed + number, longest, digest)
            counts[f"{fault} {name}"] += 1
            done += 1
            if found is not None:
                bad += 1
                print(f"seed {seed + number}: {fault} {name}: {found}", flush=True)
            shutil.rmtree(home)
    finally:
        shutil.rmtree(base)
    print(f"{done} trials, {bad} broke the rule: {json.dumps(counts, sort_keys=True)}")
    return bad


if __name__ == "__main__":
    raise SystemExit(run_all(int(sys.argv[1]), int(sys.argv[2])) > 0)
