"""Hostile arguments, made from the command line's own table of options: every command, every option, seeded.

python tests/hostile/arguments.py 2000 [SEED]     the long form; prints what breaks the rule, and counts
"""

from __future__ import annotations

import math
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer.main
from judge import Outcome, fault, run_here
from PIL import Image
from torch import nn

from striate.cli.app import app
from striate.ranges import RANGES
from striate.tasks.table import TASKS
from striate.training import Recipe


def leaves(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Each command by the words that call it, such as "gallery enrol"."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


SERVES = (
    "studio",
    "review",
)  # end when they are interrupted; their arguments are tried in tests/studio
COMMANDS: dict[str, Any] = {
    name: command for name, command in leaves(typer.main.get_command(app)) if name not in SERVES
}
RANGED = [f.name for f in fields(Recipe) if f.name in RANGES and f.name not in ("black", "white")]
SETTINGS = [f.name for f in fields(Recipe) if f.name not in ("data", "settings")]
# Settings of a task's own -> the task and data for it, where they are given as `--set`.
OWN = {
    f.name: (task.name, data)
    for task in TASKS.values()
    if task.settings is not None
    and (data := {"detect": "boxes", "segment": "scenes"}.get(task.name))
    for f in fields(task.settings)
}

NUMBERS = (
    "0", "-1", "1e300", "1e999", "nan", "-nan", "inf", "-inf", "0.5", "-0.0", "1e-320", "18446744073709551616", "4294967296",
    "2147483648", "9" * 400, "0x10", "1_000", " 7", "٣", "1,5", "1e3", "true", "None", "--", "-", "", "1/2", "NaN", "5" * 25,
)  # fmt: skip
TEXTS = (
    "", " ", ".", "..", "/", "//", "~no-such-user/x", "~", "-", "--", "\n", "a\nforged: b", "\x1b[2J", "\x07", "\udcff.png",
    "é" * 300, "x" * 5000, "[", "[[]", "*", "?", "%s", "{}", "{0.__class__}", "$(id)", "`id`", ";", "|", "=", "=1+1", "none",
    "nan", "null", "../outside/x.png", "/dev/null", "/proc/self/mem", "file:///etc/passwd", "http://127.0.0.1:1/x", "a:b",
    "os:system", "nowhere.py:make", "a/b/c.png", "con", "🙂", "\u202e", "timm/", "timm/nothing", "python:x", "0", "-1",
    "1e300", "NaN", "runs/first", "first.png", "photos", "broken.png", "complex.tif", "labels.csv", "link", "empty",
)  # fmt: skip
SHAPES = (
    "999999999999x1x1",
    "0x1x1",
    "1x0x1",
    "-1x2x3",
    "3x224",
    "3x224x224x1",
    "axbxc",
    "3×8×8",
    "x",
    "xx",
    "1e3x1x1",
)
PATTERNS = (
    "[conv2000000-fc", "conv", "[conv3]*99999999-fc", "[[[[[[", "]]]]", "[fc999999999]-fc", "fc", "[conv0]-fc",
    "[conv-1]-fc", "lenet6", "resnet18", "[conv4-relu-pool]-fc",
)  # fmt: skip
TIMES = ("0s", "-1s", "1e9s", "5x", "s", "1h2h", "99999999999h", "1.2.3s", "nan", "inf")
MEMORY = ("0", "0GB", "-1GB", "1e999GB", "GB", "5XB", "nanGB", "1B")
NETWORK = (
    "from torch import nn\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(192, 2))\n"
)
# What a working command needs beside the hostile one; small, so that a trial that is accepted ends soon.
GOOD: dict[str, list[str]] = {
    "train": ["photos", "--epochs", "0.2", "--size", "8", "--out", "out/run", "--model", "[conv2-relu-pool]-fc"],
    "sweep": ["photos", "--over", "model=[conv2-relu-pool]-fc", "--epochs", "0.2", "--set", "size=8", "--out", "out/sweep"],
    "data": ["photos"],
    "convert": ["boxes", "out/converted"],
    "models": ["lenet"],
    "summary": ["[conv4-relu-pool]-fc"],
    "lecture": ["9"],
    "experiment": ["samples", "--data", "nowhere"],
    "predict": ["runs/first", "first.png"],
    "merge": ["parts"],
    "report": ["runs/first"],
    "tile": ["runs/first", "first.png"],
    "explain": ["runs/first", "first.png", "-m", "gradient", "--no-trust", "-o", "out/e.png"],
    "compare": ["first.png", "first.png", "--network", "runs/first"],
    "units": ["runs/first", "--layer", "conv1", "--limit", "10"],
    "dissect": ["runs/first", "--layer", "conv1", "--limit", "10", "--concepts", "concepts"],
    "probe": ["runs/first", "flip", "--limit", "10"],
    "diagnose": ["runs/first", "filters", "--limit", "10"],
    "gallery enrol": ["out/gallery", "runs/first", "photos"],
    "gallery identify": ["gallery", "first.png"],
    "gallery compare": ["gallery", "first.png", "first.png"],
    "gallery search": ["gallery", "first.png"],
    "gallery duplicates": ["gallery", "photos"],
    "gallery forget": ["gallery", "nobody"],
    "wrap": ["net.py:make", "--weights", "net.pt", "--classes", "classes.txt", "--out", "out/wrapped",
             "--preprocessing", "8/0.5/0.5"],
    "export": ["runs/first", "out/model.onnx"],
    "verify": ["first.png"],
}  # fmt: skip
SLOW = (
    "train",
    "sweep",
    "explain",
    "models",
    "report",
    "export",
)  # where what is accepted takes seconds
PLACES = (
    "out",
    "figure",
    "utilisation",
    "effective",
    "page",
    "place",
)  # options that name what is written
UNWORKABLE = (
    "lecture",
    "experiment",
    "merge",
    "gallery forget",
)  # take too long, so that a second mistake ends them, which may be named
# Below these a command may write when it works or fails on the way; wrong arguments (status 2) write nothing at all.
WRITES = ("out", "runs", "sweeps", "experiments", "lecture-009")


@dataclass(frozen=True)
class Trial:
    """One command. option, value: the option or setting that is wrong, and its value. refused: whether the value is out of
    the range that the table states, so that the command must refuse it, whatever it would make of it."""

    arguments: tuple[str, ...]
    option: str
    value: str
    refused: bool = False

    @property
    def command(self) -> str:
        """The words that call it."""
        two = " ".join(self.arguments[:2])
        return two if two in COMMANDS else self.arguments[0]

    @property
    def writes(self) -> tuple[str, ...]:
        """Where it may write: the usual places, and the place that it names itself where that is below the home."""
        own = self.value.split("/")[0]
        place = own if self.option in (*PLACES, "run", "target") else ""
        if place in ("", ".", "..", "~"):
            return WRITES
        stem = place.rpartition(".")[
            0
        ]  # several pictures of one command: numbered, and drawings as SVG
        more = [f"{stem}{end}" for end in (".svg", "-2.svg", "-2.png") if stem]
        return (*WRITES, place, *(f"{place}-{n}" for n in range(2, 100)), *more)


def make_home(home: Path) -> None:
    """A folder with what the commands need: photographs of two classes, a run of them, and files that are none."""
    pixels = np.random.default_rng(0).integers(0, 255, (24, 8, 8, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        folder = home / "photos" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i}.png")
    for i, image in enumerate(pixels[:4]):
        folder = home / "concepts" / ("bright", "dark")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image // (1 + 3 * (i % 2))).save(folder / f"{i}.png")
    Image.fromarray(pixels[0]).save(home / "first.png")
    (home / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    (home / "labels.csv").write_text("path,label\nnone.png,a\n")
    (home / "boxes").mkdir()
    Image.fromarray(pixels[0]).save(home / "boxes" / "0.png")
    (home / "boxes" / "boxes.csv").write_text("file,x,y,w,h\n0.png,1,1,5,5\n0.png,2,2,4,4\n")
    (home / "empty").mkdir()
    (home / "net.py").write_text(NETWORK)
    (home / "classes.txt").write_text("a\nb\n")
    torch.manual_seed(0)
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)).state_dict(), home / "net.pt")
    (home / "link").symlink_to("link")
    import tifffile

    tifffile.imwrite(home / "complex.tif", np.ones((8, 8), np.complex64))
    good = [
        "train",
        "photos",
        "--epochs",
        "1",
        "--size",
        "8",
        "--out",
        "runs/first",
        "--model",
        "[conv4-relu-pool]-fc",
    ]
    outcome = run_here(good, home, limit=120)
    assert outcome.status == 0, outcome
    outcome = run_here(["gallery", "enrol", "gallery", "runs/first", "photos"], home, limit=120)
    assert outcome.status == 0, outcome


def trials(seed: int) -> Iterator[Trial]:
    """Trials without end: each option of each command in turn, then again with other values."""
    rng = random.Random(seed)
    while True:
        for name, command in COMMANDS.items():
            for parameter in command.params:
                if parameter.name != "help":
                    yield hostile(rng, name, parameter)
                if parameter.name in RANGES and parameter.type_descriptor.annotation in (
                    int,
                    float,
                ):
                    yield out_of_range(rng, name, parameter.name, parameter.opts)
            if name in ("train", "data"):
                key, value = rng.choice(SETTINGS), rng.choice((*NUMBERS, *TEXTS))
                kept = _without(GOOD[name], [f"--{key}"])
                yield Trial((name, *kept, "--set", f"{key}={value}"), key, value)
                yield out_of_range(rng, name, rng.choice(RANGED))
                yield of_task(rng, name)


def quick(seed: int) -> Iterator[Trial]:
    """The trials that begin no work that takes a second, for a check of every change."""
    return (t for t in trials(seed) if t.command not in SLOW)


def hostile(rng: random.Random, name: str, parameter: Any) -> Trial:
    """A working command but for one option, or one argument, that gets a hostile value of its kind."""
    kind, option = parameter.type_descriptor.annotation, str(parameter.name)
    value = rng.choice(_pool(name, kind, option))
    good = list(GOOD[name])
    if not parameter.opts[0].startswith("-"):
        place = [p.name for p in COMMANDS[name].params if not p.opts[0].startswith("-")].index(option)  # fmt: skip
        if place < len(good) and not good[place].startswith("-"):
            good[place] = value
        else:
            good.insert(place, value)
    elif parameter.is_flag:
        value, flag = "", rng.choice(parameter.opts)
        good = [*good, flag]
    else:
        flag = rng.choice(parameter.opts)
        joined = [f"{flag}={value}"] if flag.startswith("--") else [f"{flag}{value}"]
        good = [*_without(good, parameter.opts), *rng.choice(([flag, value], joined))]
    return Trial((*name.split(), *good), option, value)


def out_of_range(
    rng: random.Random, name: str, key: str, flags: Sequence[str] | None = None
) -> Trial:
    """A working command with a number just below or above the range of the table, which much else would take.

    flags: how the option is given; a setting of the recipe without them.
    """
    known = RANGES[key]
    if known.whole:
        value = str(rng.choice((int(known.low) - 1, int(known.high) + 1)))
    else:
        below = known.low if known.above else math.nextafter(known.low, -math.inf)
        value = str(rng.choice((below, math.nextafter(known.high, math.inf))))
    given = ["--set", f"{key}={value}"] if flags is None else [f"{flags[0]}={value}"]
    kept = _without(GOOD[name], flags or [f"--{key}"])
    return Trial((*name.split(), *kept, *given), key, value, refused=True)


def of_task(rng: random.Random, name: str) -> Trial:
    """A working command of a task's data with a hostile value of one of its own settings, or one that is out of range."""
    key = rng.choice(sorted(OWN))
    task, data = OWN[key]
    trial, value = None, rng.choice((*NUMBERS, *TEXTS))
    if key in RANGES and rng.random() < 0.5:
        trial = out_of_range(rng, name, key)
        value = trial.value
    # Found by what it is given alone: of a training each would take its time.
    more = ("--set", "count=20") if data == "scenes" else ()
    words = ("data", data, "--task", task, *more, "--set", f"{key}={value}")
    return Trial(words, key, value, refused=trial is not None)


def _pool(name: str, kind: Any, option: str) -> Sequence[str]:
    if option in (
        "epochs",
        "size",
    ):  # a thousand epochs or pixels are no mistake, but take their time
        return [t for t in NUMBERS if t not in ("1_000", "1e3", "5" * 25)]
    if kind in (int, float):
        return NUMBERS
    if option in PLACES:  # nothing is written outside the home, whoever runs this
        return [t for t in TEXTS if not t.startswith(("/d", "/p", "../", "~")) and t != "."]
    if option == "number":  # those that exist take long
        return [t for t in (*TEXTS, *NUMBERS) if not t.strip().isdigit()]
    if (
        name == "experiment" and option == "data"
    ):  # what holds images is no mistake, but takes minutes
        return [
            t
            for t in TEXTS
            if t not in (".", "..", "/", "//", "~", "photos", " ", "", "runs/first")
        ]
    readable = [
        t for t in TEXTS if t not in ("/", "//")
    ]  # a whole disk is no mistake, but takes its time
    more = {
        "input": SHAPES,
        "budget": TIMES,
        "memory": MEMORY,
        "model": PATTERNS,
        "target": PATTERNS,
    }
    return (*readable, *more.get(option, NUMBERS[:8]))


def _without(arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """The arguments without an option and its value."""
    kept, skip = [], False
    for text in arguments:
        if skip:
            skip = False
        elif text in options:
            skip = True
        else:
            kept.append(text)
    return kept


def names_of(trial: Trial) -> list[str]:
    """What a message about the trial may call its subject: the option, or the value itself."""
    given = [t for t in GOOD[trial.command] if trial.command in UNWORKABLE]
    said = {
        "names": "name", "images": "image", "of": "class", "number": "lecture", "settings": "set",
        "out": "-o", "factory": "what makes the network", "look": "image", "model": "returns the network", "pattern": "name",
        "target": "network", "page": "first picture",
        "place": "gallery", "a": "image", "b": "image", "consent": "consent",
    }  # fmt: skip
    flags = [o for p in COMMANDS[trial.command].params for o in p.opts if len(o) == 2]
    if trial.value == "--" or trial.value[:2] in flags:
        # `-nan` in the place of an argument is the option -n, `--` ends the options: the argument is missing, or those that
        # follow are images
        said[trial.option] = "Missing argument"
        given += ["no image at"] * (trial.value == "--")
    elif trial.value.startswith("-"):  # or an option that the command does not have
        said[trial.option] = f"No such option: {trial.value[:2]}"
    if not trial.value:  # joined with a short option it leaves that alone
        given += [f"Option '{flag}' requires an argument" for flag in flags]
    if trial.option in ("paths", "images", "image", "first", "second", "a", "b") and any(
        c in trial.value for c in "*?["
    ):  # a pattern takes what is no image too, which is named
        given.append("broken.png")
    if trial.option == "names" and "probe" in trial.arguments:
        given.append(
            "Nothing was probed"
        )  # a word may name a run to compare with, of a trial before
    if trial.value.startswith("~"):
        given.append("home/out")  # where it leads to
    words = [trial.option, trial.option.replace("_", "-"), said.get(trial.option, trial.option)]
    value = trial.value.encode(errors="surrogateescape").decode(errors="backslashreplace")
    shown = [
        value,
        repr(value),
        repr(value)[1:-1],
        value[:40],
        value.rstrip("/"),
        value.split(":")[0],
        repr(value.split(":")[0])[1:-1],
        value.split("/")[-1],
    ]
    return [w for w in (*words, *shown, *given) if w.strip()]


def run(trial: Trial, home: Path, *, limit: float = 30) -> tuple[Outcome, str | None]:
    """The outcome of a trial, and what breaks the rule, or None."""
    shutil.rmtree(home / "out", ignore_errors=True)  # of the trial before
    outcome = run_here(trial.arguments, home, limit=limit)
    if outcome.status is None:  # ended anywhere, so that torch may be left without gradients
        torch.set_grad_enabled(True)
    found = fault(outcome, names=names_of(trial), writes=trial.writes)
    if found is None and trial.refused and outcome.status != 2:
        found = "a number out of its range was accepted"
    return outcome, found


def main(count: int, seed: int) -> int:
    """Run many trials, print what breaks the rule, and count; returns the number of faults."""
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        os.environ["HOME"] = str(home / "out")  # what ~ is
        make_home(home)
        for i, trial in zip(range(count), trials(seed), strict=False):
            outcome, found = run(trial, home)
            ends[f"status {outcome.status}"] += 1
            if found is not None:
                ends["faults"] += 1
                print(f"--- {i}: {found}\n{outcome}", flush=True)
            if i % 100 == 99:
                print(i + 1, dict(ends), file=sys.stderr, flush=True)
    print(count, "trials:", dict(ends))
    return ends["faults"]


if __name__ == "__main__":
    raise SystemExit(bool(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)))
