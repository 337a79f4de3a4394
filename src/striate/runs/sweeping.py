"""Sweep: one training after the other with other settings, each an ordinary run, and which of them is best.

The folder holds all that is known, so that a sweep that was stopped goes on, and several processes can share one: each
takes the trials that nobody has done and nobody is at.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from striate.documents import to_json
from striate.errors import RunError, StriateError, UsageError, WriteError
from striate.findings import Finding
from striate.paths import given_folder, given_path
from striate.ranges import check_ranges
from striate.reading import read_file
from striate.runs.planning import plan_from, source_name
from striate.runs.record import versions
from striate.runs.run import BEGUN, Run
from striate.runs.shards import Shard
from striate.runs.space import SAMPLERS, Space, halved
from striate.runs.sweep_page import Trial, page_of, sweep_finding
from striate.runs.training import train
from striate.tasks.table import find_task, recipe_for, task_for
from striate.training.callbacks import Listener
from striate.training.machine import choose_device
from striate.training.recipe import parse_seconds
from striate.writing import held, write_atomically

HEAD = "sweep.json"
LARGEST = 1 << 24  # bytes of a head that are read
LEAST = 5.0  # seconds of a trial, below which a training says nothing
LOOK = 1.0  # seconds between two looks for what others are doing
SAME = {
    "data": "the data", "over": "--over", "settings": "the settings", "budget": "--budget", "trials": "--trials",
    "sampler": "--sampler", "seed": "--seed", "version": "the version of striate",
}  # fmt: skip


def sweep(
    data: str | Path, *, over: Sequence[str], out: str | Path | None = None, budget: str | float | None = None,
    trials: int | None = None, sampler: str | None = None, shard: str | None = None, seed: int = 0,
    listener: Callable[[str], Listener] | None = None, say: Callable[[str], None] = lambda text: None, **settings: Any,
) -> Finding:  # fmt: skip
    """Train with each combination of settings, and compare: a finding with a table, and `sweep.html` in the folder.

    over: texts such as "lr=0.1,0.01", "model=resnet18,[conv16-relu-pool]*2-fc" or, with `trials`, a range "lr=1e-4..1e-1".
    out: the folder, `sweeps/NAME` if not given; a sweep that was stopped goes on in it. budget: seconds, or such as "1h",
    of all trials together, spent by successive halving; without it each trial has the length that `settings` say. trials:
    how many are drawn; all combinations if not given. sampler: "grid", "random" or "optuna" (an extra). shard: "K/N", of
    processes that share the folder. listener: makes one for a trial of that name. settings: of `striate.train`, for all.
    Trials are ranked by validation; what is held out is measured beside it. Raises UsageError for a setting or value that
    is none, before anything trains.
    """
    given_path(data, "the data")
    check_ranges(seed=seed, trials=trials)
    part = Shard(number=1, of=1) if shard is None else Shard.parse(shard)
    space = Space.parse(over)
    seconds = None if budget is None else parse_seconds(budget)
    sampler = sampler or ("grid" if trials is None else "random")
    settings = {k: v for k, v in settings.items() if v is not None}
    refuse_together(space, sampler, trials, seconds, settings)
    folder = Path("sweeps") / source_name(str(data)) if out is None else given_folder(out, "--out")
    head = {
        "data": str(data), "over": space.to_dict(), "settings": settings, "budget": seconds, "trials": trials,
        "sampler": sampler, "seed": seed, "version": versions()["striate"],
    }  # fmt: skip
    head = json.loads(to_json(head))
    known = refuse_other(folder, head)
    if sampler == "optuna":
        first = space.drawn(1, seed)  # what it will ask is like it
        space.asked([], seed)
    else:
        first = space.grid() if sampler == "grid" else space.drawn(int(trials or 0), seed)
    rungs = [(len(first), None)] if seconds is None else halved(len(first), seconds)
    if rungs[0][1] is not None and rungs[0][1] < LEAST:
        raise UsageError(
            f"--budget {seconds:g}s gives each of {len(first)} trials {rungs[0][1]:.1f} s at first, and {LEAST:g} s is the "
            f"least; give {LEAST * len(first) * len(rungs):g}s or more, or fewer values"
        )
    if not known:
        try_all(str(data), first, {**settings, "seed": seed})
        write_atomically(folder / HEAD, to_json(head).encode())
    job = Sweep(folder, str(data), {**settings, "seed": seed}, part, listener, say)
    if sampler == "optuna":
        job.ask(space, int(trials or 0), seed)
    else:
        job.climb(first, rungs)
    finding = sweep_finding(job.trials(), source_name(str(data)), seconds)
    page = folder / "sweep.html"
    page_of(finding, page, head, rungs)
    return replace(finding, data={**finding.data, "page": str(page)})


def refuse_together(
    space: Space,
    sampler: str,
    trials: int | None,
    seconds: float | None,
    settings: Mapping[str, Any],
) -> None:
    """Raise UsageError for arguments that do not go together."""
    if sampler not in SAMPLERS:
        raise UsageError(f"--sampler is one of {', '.join(SAMPLERS)}, got {sampler!r}")
    if (sampler == "grid") != (trials is None):
        what = "the grid has all combinations" if sampler == "grid" else f"{sampler} draws trials"
        raise UsageError(
            f"{what}; give --trials N with --sampler random or optuna, and with no other"
        )
    if sampler == "optuna" and seconds is not None:
        raise UsageError(
            "--budget halves trials that are known before, and optuna asks for one after another; leave one out"
        )
    for name in space.settings:
        if settings.get(name) is not None:
            raise UsageError(f"{name} is given and swept over; leave it out of one of them")
        if name in ("data", "out", "resume", "seed", "budget", "device"):
            raise UsageError(f"--over {name}: it is no setting that a sweep compares; leave it out")
    if seconds is not None and (settings.get("epochs") is not None or "epochs" in space.settings):
        raise UsageError(
            "--budget and epochs are two ways to say how long a trial takes; give one of them"
        )


def refuse_other(folder: Path, head: Mapping[str, Any]) -> bool:
    """Whether the folder holds this sweep. Raises UsageError for another, RunError for one that cannot be read."""
    path = folder / HEAD
    if not path.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"{folder} is no sweep's folder and not empty; give another --out")
        return False
    try:
        known = json.loads(read_file(path, limit=LARGEST).decode())
        different = [words for name, words in SAME.items() if known[name] != head[name]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(f"{path} is damaged; give another --out, or delete {folder}") from error
    if different:
        raise UsageError(
            f"{folder} holds another sweep: {' and '.join(different)} differ{'s' * (len(different) == 1)}; give the same to "
            "go on with it, or another --out"
        )
    return True


def try_all(
    data: str, combinations: Sequence[Mapping[str, str]], settings: Mapping[str, Any]
) -> None:
    """Plan every trial and make its network without memory. Raises UsageError that names the one that cannot be."""
    source = None
    for one in combinations:
        own = {k: v for k, v in {**settings, **one}.items() if k != "task"}
        words = ", ".join(f"{k}={v}" for k, v in one.items())
        try:
            learned = task_for(data, settings.get("task"))
            recipe = recipe_for(learned, {**own, "data": data})
            device = choose_device(recipe.device)
            source = learned.open(recipe, lambda done, of: None) if source is None else source
            plan = plan_from(learned, recipe, device, Listener(), source)
            with torch.device("meta"):
                find_task(learned.name).build(
                    plan.recipe, plan.preprocessing, len(plan.source.classes), fresh=True
                )
        except StriateError as error:
            raise UsageError(f"the trial {words} cannot be trained: {error.sentence}") from error


@dataclass
class Sweep:
    """The trials in a folder, and this process's part of them."""

    folder: Path
    data: str
    settings: Mapping[str, Any]
    part: Shard
    listener: Callable[[str], Listener] | None
    say: Callable[[str], None]

    def name(self, number: int, rung: int) -> str:
        """Of a trial's run."""
        return f"trial-{number:03}" + (f"-rung-{rung + 1}" if rung else "")

    def climb(
        self, combinations: Sequence[Mapping[str, str]], rungs: Sequence[tuple[int, float | None]]
    ) -> None:
        """Train all, then of each rung the best with more time."""
        chosen = list(range(len(combinations)))
        for rung, (count, seconds) in enumerate(rungs):
            if rung:
                scores = {n: self.read(n, rung - 1, combinations[n]).score for n in chosen}
                ranked = [n for n in chosen if scores[n] is not None]
                ranked.sort(key=lambda n: -(scores[n] or 0.0))
                chosen = ranked[:count]
            self.share([(n, rung, combinations[n], seconds) for n in chosen])

    def ask(self, space: Space, trials: int, seed: int) -> None:
        """Train one after the other, each as the sampler asks for it by those before."""
        known: list[tuple[Mapping[str, str], float | None]] = []
        for number in range(trials):
            path = self.folder / f"{self.name(number, 0)}.json"
            with contextlib.ExitStack() as stack:
                while not path.is_file():
                    try:
                        stack.enter_context(held(path))
                    except WriteError as error:
                        if error.errno is not None:
                            raise
                        time.sleep(LOOK)
                        continue
                    if not path.is_file():
                        write_atomically(path, to_json(space.asked(known, seed)).encode())
            one = json.loads(read_file(path, limit=LARGEST).decode())
            self.share([(number, 0, one, None)])
            known.append((one, self.read(number, 0, one).score))

    def share(self, wanted: Sequence[tuple[int, int, Mapping[str, str], float | None]]) -> None:
        """Have all trials done, by this process or another."""
        first = (self.part.number - 1) * len(wanted) // self.part.of
        left = [*wanted[first:], *wanted[:first]]
        while left:
            made = False
            for item in list(left):
                number, rung, one, seconds = item
                if self.ended(number, rung):
                    left.remove(item)
                    continue
                with contextlib.ExitStack() as stack:
                    try:
                        stack.enter_context(held(self.folder / self.name(number, rung)))
                    except WriteError as error:
                        if error.errno is not None:
                            raise
                        continue
                    if not self.ended(number, rung):
                        self.train(number, rung, one, seconds)
                made = True
                left.remove(item)
            if left and not made:
                time.sleep(LOOK)

    def ended(self, number: int, rung: int) -> bool:
        """Whether a trial went to its end, or failed."""
        path = self.folder / self.name(number, rung)
        if path.with_suffix(".failed").is_file():
            return True
        return (path / "run.toml").is_file() and Run.load(path).finished

    def train(self, number: int, rung: int, one: Mapping[str, str], seconds: float | None) -> None:
        """Train one; what it fails of is written down."""
        name = self.name(number, rung)
        path = self.folder / name
        words = ", ".join(f"{k}={v}" for k, v in one.items())
        self.say(f"{name}: {words}" + ("" if seconds is None else f", {seconds:.0f} s"))
        write_atomically(self.folder / f"trial-{number:03}.json", to_json(dict(one)).encode())
        more = {} if seconds is None else {"budget": seconds}
        begun = any((path / file).is_file() for file in ("run.toml", BEGUN))
        try:
            train(
                self.data, out=path, resume=begun, listener=None if self.listener is None else self.listener(name),
                **{**self.settings, **one, **more},
            )  # fmt: skip
        except WriteError:
            raise
        except (StriateError, RuntimeError) as error:
            if not isinstance(error, StriateError) and "memory" not in str(error).lower():
                raise
            sentence = (
                error.sentence if isinstance(error, StriateError) else str(error).splitlines()[0]
            )
            self.say(f"{name} failed: {sentence}")
            write_atomically(path.with_suffix(".failed"), to_json({"error": sentence}).encode())
        else:
            if not Run.load(path).finished:  # Ctrl-C ended it, and its run is kept
                raise KeyboardInterrupt

    def read(self, number: int, rung: int, one: Mapping[str, str]) -> Trial:
        """What is known of a trial that ended."""
        return Trial.read(self.folder / self.name(number, rung), number, rung, one)

    def trials(self) -> list[Trial]:
        """All that ended, with those of later rungs in place of their earlier ones."""
        last: dict[int, Trial] = {}
        for path in sorted(self.folder.glob("trial-*.json")):
            number = int(path.stem.split("-")[1])
            one = json.loads(read_file(path, limit=LARGEST).decode())
            rung = 0
            while self.ended(number, rung):
                last[number] = self.read(number, rung, one)
                rung += 1
        return list(last.values())
